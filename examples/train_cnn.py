"""Train a convolutional network to read scikit-learn's images of digits.

The network has `BatchNorm`, whose running statistics are kept beside the model, in a `State`. Each step takes the state
and returns the new one.

Ctrl-C stops the training early. The model is then evaluated and drawn as usual.
"""

import argparse

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import optax
from tqdm import tqdm

import equinox as eqx


class CNN(eqx.Module):
    """Reads an image (8, 8). Returns the log-odds of the ten digits."""

    convolutions: tuple
    norms: tuple
    pool: eqx.nn.MaxPool2d
    dropout: eqx.nn.Dropout
    readout: eqx.nn.Linear

    def __init__(self, channels, key):
        first, second, third, last = jrandom.split(key, 4)
        self.convolutions = (
            eqx.nn.Conv2d(1, channels, 3, padding=1, use_bias=False, key=first),
            eqx.nn.Conv2d(channels, channels, 3, padding=1, use_bias=False, key=second),
            eqx.nn.Conv2d(channels, 2 * channels, 3, padding=1, use_bias=False, key=third),
        )
        self.norms = tuple(eqx.nn.BatchNorm(size, "batch") for size in (channels, channels, 2 * channels))
        self.pool = eqx.nn.MaxPool2d(2, 2)
        self.dropout = eqx.nn.Dropout(0.3)
        self.readout = eqx.nn.Linear(2 * channels * 16, 10, key=last)

    def __call__(self, image, state, key=None):
        x = image[None]  # one channel
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms)):
            x, state = norm(convolution(x), state)
            x = jax.nn.relu(x)
            if i == 1:
                x = self.pool(x)
        return self.readout(self.dropout(x.ravel(), key=key)), state


def load_digits():
    """Returns: images (1797, 8, 8) with values from 0 to 1, and the digits that they show (1797,)."""
    # Imported here, so that only this function needs scikit-learn.
    from sklearn import datasets

    digits = datasets.load_digits()
    return digits.images.astype("float32") / 16, digits.target


def loss_of(model, state, images, digits, key):
    """The mean cross-entropy, and the new state."""
    keys = jrandom.split(key, len(images))
    # The state is that of the whole batch, so it isn't mapped. `BatchNorm` averages over the axis with this name.
    batched = jax.vmap(model, axis_name="batch", in_axes=(0, None, 0), out_axes=(0, None))
    logits, state = batched(images, state, keys)
    log_probabilities = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.take_along_axis(log_probabilities, digits[:, None], axis=1)), state


@eqx.filter_jit
def make_step(model, state, opt_state, images, digits, key, optim):
    (loss, state), grads = eqx.filter_value_and_grad(loss_of, has_aux=True)(model, state, images, digits, key)
    updates, opt_state = optim.update(grads, opt_state)
    return loss, eqx.apply_updates(model, updates), state, opt_state


@eqx.filter_jit
def read(model, state, images):
    """Returns: the digit that the model reads in each image. It uses the running statistics, and drops nothing."""
    model = eqx.nn.inference_mode(model)
    logits, _ = jax.vmap(model, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(images, state)
    return jnp.argmax(logits, axis=-1)


def accuracy(model, state, images, digits):
    return float(np.mean(np.asarray(read(model, state, images)) == digits))


def train(model, state, optim, training, held_out, steps, batch_size, key):
    """Train on random batches, until `steps` or Ctrl-C. Returns: the model, the state, and the history."""
    images, digits = training
    rng = np.random.RandomState(0)  # of the batches
    opt_state = optim.init(eqx.filter(model, eqx.is_inexact_array))
    history = {"loss": [], "accuracy": []}  # lists of (step, value)
    tqdm.monitor_interval = 0  # after Ctrl-C, its thread may wait for a lock for ever and keep the program running
    with tqdm(total=steps, desc="training") as bar:
        try:
            for i in range(steps):
                if i % 25 == 0:
                    history["accuracy"].append((i, accuracy(model, state, *held_out)))
                batch = rng.randint(len(images), size=batch_size)
                inputs = images[batch], digits[batch], jrandom.fold_in(key, i)
                # One assignment, so that an interrupt keeps the whole result of the last step.
                loss, model, state, opt_state = make_step(model, state, opt_state, *inputs, optim)
                history["loss"].append((i, float(loss)))
                bar.update()
                bar.set_postfix(loss="{:.3f}".format(float(loss)), refresh=False)
        except KeyboardInterrupt:
            bar.write("Interrupted: going on with what was learnt in {} steps.".format(len(history["loss"])))
    return model, state, history


def draw(path, read_as, digits, history):
    """Write a picture with the confusion matrix and the learning curve."""
    # Imported here, because training needs no picture. Unlike pyplot, a plain `Figure` needs no screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5))
    confusion, learning = figure.subplots(1, 2)

    counts = np.zeros((10, 10), int)
    np.add.at(counts, (digits, read_as), 1)
    confusion.imshow(counts, cmap="Blues")
    for row, column in zip(*np.nonzero(counts)):
        colour = "white" if counts[row, column] > counts.max() / 2 else "black"
        confusion.text(column, row, counts[row, column], ha="center", va="center", color=colour)
    confusion.set(title="Held-out digits", xlabel="read as", ylabel="written", xticks=range(10), yticks=range(10))

    if history["loss"]:  # empty if Ctrl-C came before the first step
        learning.plot(*zip(*history["loss"]), color="tab:gray", alpha=0.8, label="loss of the batch")
    learning.plot(*zip(*history["accuracy"]), color="tab:green", marker=".", label="accuracy on held-out digits")
    learning.set(title="The learning curve", xlabel="step", ylabel="cross-entropy (nats); accuracy", ylim=(0, 1.05))
    learning.grid(alpha=0.3)
    learning.legend(loc="center right")

    figure.tight_layout()
    figure.savefig(path, dpi=100)


def main(steps=300, batch_size=128, channels=16, learning_rate=3e-3, seed=0, picture="cnn.png"):
    """Returns: the accuracy on held-out digits, the model, its state, and the history of loss and accuracy."""
    images, digits = load_digits()
    number = len(images) // 5  # held out
    held_out = images[:number], digits[:number]
    model_key, train_key = jrandom.split(jrandom.PRNGKey(seed))
    model, state = eqx.nn.make_with_state(CNN)(channels, model_key)

    print("Training for {} steps. Ctrl-C stops early and keeps what was learnt.".format(steps))
    training = images[number:], digits[number:]
    optim = optax.adam(learning_rate)
    model, state, history = train(model, state, optim, training, held_out, steps, batch_size, train_key)

    final_accuracy = accuracy(model, state, *held_out)
    history["accuracy"].append((len(history["loss"]), final_accuracy))
    print("Of {} digits that were not used in training, {:.1%} are read correctly.".format(number, final_accuracy))
    if picture:
        draw(picture, np.asarray(read(model, state, held_out[0])), held_out[1], history)
        print("The picture is in {}.".format(picture))
    return final_accuracy, model, state, history


if __name__ == "__main__":
    # Options that aren't given are left out, so `main` has the defaults.
    parser = argparse.ArgumentParser(description="Train a CNN on digits.", argument_default=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help="number of training steps")
    parser.add_argument("--seed", type=int, help="seed of all random numbers")
    parser.add_argument("--picture", help="file for the picture; '' for no picture")
    main(**vars(parser.parse_args()))

"""Train a variational autoencoder on scikit-learn's images of digits, and draw digits that nobody wrote.

The encoder maps an image to a normal distribution on a plane. The decoder maps a point of the plane to an image. Both
are MLPs. They are trained together: the loss is the negative evidence lower bound of Kingma and Welling, "Auto-Encoding
Variational Bayes" (2013), https://arxiv.org/abs/1312.6114.

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

PLANE = 2  # the number of dimensions of the latent space


class VAE(eqx.Module):
    """An encoder from the pixels to the plane, and a decoder from the plane to the pixels."""

    encoder: eqx.nn.MLP
    decoder: eqx.nn.MLP

    def __init__(self, pixels, width, key):
        encoder_key, decoder_key = jrandom.split(key)
        self.encoder = eqx.nn.MLP(pixels, 2 * PLANE, width, 2, key=encoder_key)
        self.decoder = eqx.nn.MLP(PLANE, pixels, width, 2, key=decoder_key)

    def encode(self, image):
        """The mean, and the logarithm of the standard deviation."""
        return jnp.split(self.encoder(image.ravel()), 2)

    def decode(self, point):
        """The log-odds of each pixel."""
        return self.decoder(point)

    def loss(self, image, key):
        """The negative evidence lower bound in nats, with one sample of the point."""
        mean, log_std = self.encode(image)
        logits = self.decode(mean + jnp.exp(log_std) * jrandom.normal(key, mean.shape))
        pixels = image.ravel()
        reconstruction = jnp.sum(jax.nn.softplus(logits) - pixels * logits)  # the cross-entropy of each pixel
        divergence = jnp.sum((mean**2 + jnp.exp(2 * log_std) - 1) / 2 - log_std)  # from the standard normal
        return reconstruction + divergence


def load_digits():
    """Returns: images (1797, 8, 8) with values from 0 to 1, and the digits that they show (1797,)."""
    # Imported here, so that only this function needs scikit-learn.
    from sklearn import datasets

    digits = datasets.load_digits()
    return digits.images.astype("float32") / 16, digits.target


def mean_loss(model, images, key):
    return jnp.mean(jax.vmap(model.loss)(images, jrandom.split(key, len(images))))


evaluate = eqx.filter_jit(mean_loss)


@eqx.filter_jit
def make_step(model, opt_state, images, key, optim):
    loss, grads = eqx.filter_value_and_grad(mean_loss)(model, images, key)
    updates, opt_state = optim.update(grads, opt_state)
    return loss, eqx.apply_updates(model, updates), opt_state


def train(model, optim, images, held_out, steps, batch_size, key):
    """Train on random batches, until `steps` or Ctrl-C. Returns: the model, and its history."""
    rng = np.random.RandomState(0)  # of the batches
    opt_state = optim.init(eqx.filter(model, eqx.is_inexact_array))
    history = {"loss": [], "held_out": []}  # lists of (step, value)
    tqdm.monitor_interval = 0  # after Ctrl-C, its thread may wait for a lock for ever and keep the program running
    with tqdm(total=steps, desc="training") as bar:
        try:
            for i in range(steps):
                if i % 100 == 0:
                    history["held_out"].append((i, float(evaluate(model, held_out, key))))
                batch = images[rng.randint(len(images), size=batch_size)]
                # One assignment, so that an interrupt keeps the whole result of the last step.
                loss, model, opt_state = make_step(model, opt_state, batch, jrandom.fold_in(key, i), optim)
                history["loss"].append((i, float(loss)))
                bar.update()
                bar.set_postfix(loss="{:.2f}".format(float(loss)), refresh=False)
        except KeyboardInterrupt:
            bar.write("Interrupted: going on with what was learnt in {} steps.".format(len(history["loss"])))
    return model, history


@eqx.filter_jit
def sample(model, points):
    """Returns: the images at these points of the plane, as rows of pixels."""
    return jax.nn.sigmoid(jax.vmap(model.decode)(points))


@eqx.filter_jit
def encode(model, images):
    """Returns: the mean of each image in the plane."""
    return jax.vmap(model.encode)(images)[0]


def draw(path, model, images, digits, history, key):
    """Write a picture with samples, the plane, and the learning curve."""
    # Imported here, because training needs no picture. Unlike pyplot, a plain `Figure` needs no screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 5))
    samples, plane, learning = figure.subplots(1, 3)

    across = 8
    drawn = np.asarray(sample(model, jrandom.normal(key, (across * across, PLANE))))
    drawn = drawn.reshape(across, across, *images.shape[1:])
    drawn = np.pad(drawn, [(0, 0), (0, 0), (1, 1), (1, 1)])  # a gap between the images
    samples.imshow(np.vstack([np.hstack(row) for row in drawn]), cmap="gray_r", vmin=0, vmax=1)
    samples.set_title("Digits that nobody wrote: decoded random points")
    samples.set_axis_off()

    points = np.asarray(encode(model, images))
    dots = plane.scatter(points[:, 0], points[:, 1], c=digits, cmap="tab10", vmin=-0.5, vmax=9.5, s=12)
    figure.colorbar(dots, ax=plane, ticks=range(10), label="digit")
    plane.set(title="The latent plane: the encoded images", xlabel="first coordinate", ylabel="second coordinate")
    plane.grid(alpha=0.3)

    if history["loss"]:  # empty if Ctrl-C came before the first step
        learning.plot(*zip(*history["loss"]), color="tab:gray", alpha=0.5, linewidth=0.7, label="the batch")
    learning.plot(*zip(*history["held_out"]), color="tab:green", marker=".", label="held-out images")
    learning.set(title="The learning curve", xlabel="step", ylabel="negative evidence lower bound (nats)")
    learning.grid(alpha=0.3)
    learning.legend(loc="upper right")

    figure.tight_layout()
    figure.savefig(path, dpi=100)


def main(steps=3000, batch_size=128, width=256, learning_rate=1e-3, seed=0, picture="vae.png"):
    """Returns: the loss on held-out images, the model, and the history of the loss."""
    images, digits = load_digits()
    number = len(images) // 5  # held out
    held_out = images[:number]
    model_key, train_key, draw_key = jrandom.split(jrandom.PRNGKey(seed), 3)
    model = VAE(images[0].size, width, model_key)

    print("Training for {} steps. Ctrl-C stops early and keeps what was learnt.".format(steps))
    optim = optax.adam(learning_rate)
    model, history = train(model, optim, images[number:], held_out, steps, batch_size, train_key)

    loss = float(evaluate(model, held_out, train_key))
    history["held_out"].append((len(history["loss"]), loss))
    print("An image that was not used in training costs {:.1f} nats.".format(loss))
    if picture:
        draw(picture, model, images, digits, history, draw_key)
        print("The picture is in {}.".format(picture))
    return loss, model, history


if __name__ == "__main__":
    # Options that aren't given are left out, so `main` has the defaults.
    parser = argparse.ArgumentParser(description="Train a VAE on digits.", argument_default=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help="number of training steps")
    parser.add_argument("--seed", type=int, help="seed of all random numbers")
    parser.add_argument("--picture", help="file for the picture; '' for no picture")
    main(**vars(parser.parse_args()))

"""Train a recurrent network to tell clockwise from anticlockwise spirals.

The network reads a spiral point by point, with `jax.lax.scan`. The body of the scan calls `self.cell`, a module. This
works because a module is data like an array, so functions may close over it.

Ctrl-C stops the training early. The model is then evaluated and drawn as usual.
"""

import argparse
import math

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import optax
from tqdm import tqdm

import equinox as eqx


class RNN(eqx.Module):
    """Reads a sequence with a GRU. Returns the log-odds of "anticlockwise", from the last hidden state."""

    cell: eqx.nn.GRUCell
    readout: eqx.nn.Linear

    def __init__(self, hidden_size, key):
        cell_key, readout_key = jrandom.split(key)
        self.cell = eqx.nn.GRUCell(2, hidden_size, key=cell_key)
        self.readout = eqx.nn.Linear(hidden_size, 1, key=readout_key)

    def __call__(self, spiral):
        def read(hidden, point):
            return self.cell(point, hidden), None

        hidden, _ = jax.lax.scan(read, jnp.zeros(self.cell.hidden_size), spiral)
        return self.readout(hidden)[0]


@eqx.jitf(filter_fn=eqx.is_array)  # the key is traced; the numbers are static, because shapes must be
def make_spirals(number, key, length=32, noise=0.07):
    """Noisy spirals from the centre outwards: points (number, length, 2); whether they go anticlockwise (number,)."""
    class_key, start_key, turns_key, noise_key = jrandom.split(key, 4)
    anticlockwise = jrandom.bernoulli(class_key, shape=(number,))
    start = jrandom.uniform(start_key, (number, 1), maxval=2 * math.pi)
    turns = jrandom.uniform(turns_key, (number, 1), minval=0.5, maxval=2) * jnp.where(anticlockwise, 1, -1)[:, None]
    t = jnp.linspace(0, 1, length)
    angle = start + 2 * math.pi * turns * t
    points = t[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)
    return points + noise * jrandom.normal(noise_key, points.shape), anticlockwise


def cross_entropy(model, spirals, anticlockwise):
    logits = jax.vmap(model)(spirals)
    return jnp.mean(jnp.where(anticlockwise, jax.nn.softplus(-logits), jax.nn.softplus(logits)))


@eqx.jitf(filter_fn=eqx.is_array)
def make_step(model, opt_state, spirals, anticlockwise, optim):
    loss, grads = eqx.value_and_grad_f(cross_entropy, filter_fn=eqx.is_inexact_array)(model, spirals, anticlockwise)
    updates, opt_state = optim.update(grads, opt_state)
    return loss, eqx.apply_updates(model, updates), opt_state


@eqx.jitf(filter_fn=eqx.is_array)
def accuracy(model, spirals, anticlockwise):
    return jnp.mean((jax.vmap(model)(spirals) > 0) == anticlockwise)


def train(model, optim, held_out, steps, batch_size, key):
    """Train on new spirals at each step, until `steps` or Ctrl-C. Returns: the model, and its history."""
    opt_state = optim.init(eqx.filter(model, eqx.is_inexact_array))
    history = {"loss": [], "accuracy": []}  # lists of (step, value)
    tqdm.monitor_interval = 0  # after Ctrl-C, its thread may wait for a lock for ever and keep the program running
    with tqdm(total=steps, desc="training") as bar:
        try:
            for i in range(steps):
                if i % 10 == 0:
                    history["accuracy"].append((i, float(accuracy(model, *held_out))))
                spirals, anticlockwise = make_spirals(batch_size, jrandom.fold_in(key, i))
                # One assignment, so that an interrupt keeps the whole result of the last step.
                loss, model, opt_state = make_step(model, opt_state, spirals, anticlockwise, optim)
                history["loss"].append((i, float(loss)))
                bar.update()
                bar.set_postfix(loss="{:.3f}".format(float(loss)), refresh=False)
        except KeyboardInterrupt:
            bar.write("Interrupted: going on with what was learnt in {} steps.".format(len(history["loss"])))
    return model, history


def draw(path, data, history):
    """Write a picture with some of the spirals and the learning curve."""
    # Imported here, because training needs no picture. Unlike pyplot, a plain `Figure` needs no screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5))
    samples, learning = figure.subplots(1, 2)

    spirals, anticlockwise = map(np.asarray, data)
    rows = [(~anticlockwise, "tab:blue", "clockwise"), (anticlockwise, "tab:orange", "anticlockwise")]
    for row, (chosen, colour, label) in enumerate(rows):
        for column, spiral in enumerate(spirals[chosen][:3]):
            x, y = (spiral + [2.5 * column, -2.5 * row]).T
            samples.plot(x, y, ".-", color=colour, label=label if column == 0 else None)
            samples.plot(x[0], y[0], "o", color="black", label="start" if row == column == 0 else None)
    samples.set(title="The data: noisy spirals from the centre outwards", aspect="equal")
    samples.set_axis_off()
    samples.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncol=3, frameon=False)

    if history["loss"]:  # empty if Ctrl-C came before the first step
        learning.plot(*zip(*history["loss"]), color="tab:gray", alpha=0.8, label="loss of the batch")
    learning.plot(*zip(*history["accuracy"]), color="tab:green", marker=".", label="accuracy on held-out data")
    learning.set(title="The learning curve", xlabel="step", ylabel="cross-entropy (nats); accuracy", ylim=(0, 1.05))
    learning.grid(alpha=0.3)
    learning.legend(loc="center right")

    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main(steps=300, batch_size=128, hidden_size=16, learning_rate=3e-3, seed=0, picture="spirals.png"):
    """Returns: the accuracy on held-out spirals, the model, and the history of loss and accuracy."""
    held_out_key, model_key, train_key = jrandom.split(jrandom.PRNGKey(seed), 3)
    held_out = make_spirals(1000, held_out_key)
    model = RNN(hidden_size, model_key)

    # Without clipping, a rare batch makes the loss jump.
    optim = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(learning_rate))
    print("Training for {} steps. Ctrl-C stops early and keeps what was learnt.".format(steps))
    model, history = train(model, optim, held_out, steps, batch_size, train_key)

    final_accuracy = float(accuracy(model, *held_out))
    history["accuracy"].append((len(history["loss"]), final_accuracy))
    print("Of 1000 spirals that were not used in training, {:.1%} are told apart.".format(final_accuracy))
    if picture:
        draw(picture, held_out, history)
        print("The picture is in {}.".format(picture))
    return final_accuracy, model, history


if __name__ == "__main__":
    # Options that aren't given are left out, so `main` has the defaults.
    parser = argparse.ArgumentParser(description="Train an RNN on spirals.", argument_default=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help="number of training steps")
    parser.add_argument("--seed", type=int, help="seed of all random numbers")
    parser.add_argument("--picture", help="file for the picture; '' for no picture")
    main(**vars(parser.parse_args()))

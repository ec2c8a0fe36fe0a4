"""Train so that a run that was killed goes on where it was, with the same bits as a run that was never stopped.

The program saves all that the next step depends on: the model, the optimiser, the PRNG key and the number of the step.
`eqx.save` replaces the old file when the new one is whole and on the disk. So a whole checkpoint is there at any time,
even if the program is killed while it saves.

To try it, kill the program with `kill -9` or stop it with Ctrl-C, and run it again. At the end it prints a digest of
all saved bits. The digest is that of a run without a stop, if JAX and the machine are the same.
"""

import argparse
import hashlib
import os
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import optax
from tqdm import tqdm

import equinox as eqx

# The learning rate falls with the steps that the optimiser has counted. The count is in its state.
OPTIM = optax.adam(optax.exponential_decay(3e-3, transition_steps=1000, decay_rate=0.5))


class Training(NamedTuple):
    """All that the next step depends on."""

    model: eqx.nn.MLP
    optimizer: eqx.Optimizer
    key: jnp.ndarray
    step: int


def make_batch(number, key):
    """Noisy samples of a function on a square: x (number, 2), y (number,)."""
    x_key, noise_key = jrandom.split(key)
    x = jrandom.uniform(x_key, (number, 2), minval=-1, maxval=1)
    return x, jnp.sin(3 * x[:, 0]) * jnp.cos(2 * x[:, 1]) + 0.05 * jrandom.normal(noise_key, (number,))


def loss_of(model, x, y):
    return jnp.mean((jax.vmap(model)(x) - y) ** 2)


@eqx.filter_jit
def make_step(model, optimizer, key, batch_size):
    # The batch depends on the key alone, so the saved key brings back the same batches.
    key, batch_key = jrandom.split(key)
    loss, grads = eqx.value_and_grad_f(loss_of, filter_fn=eqx.trainable)(model, *make_batch(batch_size, batch_key))
    model, optimizer = optimizer.step(model, grads)
    return loss, model, optimizer, key


@eqx.filter_jit
def evaluate(model, number, key):
    return loss_of(model, *make_batch(number, key))


def start(width, seed):
    """The state before the first step."""
    model_key, key = jrandom.split(jrandom.PRNGKey(seed))
    model = eqx.nn.MLP(2, "scalar", width, depth=2, key=model_key)
    return Training(model, eqx.Optimizer(OPTIM, model), key, step=0)


def start_or_go_on(checkpoint, options):
    """The state in the file, or the state before the first step if there is no file."""
    training = start(options["width"], options["seed"])
    if not os.path.exists(checkpoint):
        print("There is no {}: starting.".format(checkpoint))
        return training
    saved = eqx.load_metadata(checkpoint)
    if saved != options:
        raise ValueError(
            "The run that saved {} had {}, but this run has {}. Pass another `checkpoint`, or the same options.".format(
                checkpoint, saved, options
            )
        )
    training = eqx.load(checkpoint, training)
    print("Going on at step {} of {}.".format(training.step, checkpoint))
    return training


def train(training, steps, save_every, checkpoint, options):
    """Train and save, until `steps` or Ctrl-C. Returns: the state at the end."""
    tqdm.monitor_interval = 0  # after Ctrl-C, its thread may wait for a lock for ever and keep the program running
    with tqdm(total=steps, initial=training.step, desc="training") as bar:
        try:
            while training.step < steps:
                model, optimizer, key, step = training
                loss, model, optimizer, key = make_step(model, optimizer, key, options["batch_size"])
                # One assignment, so that an interrupt keeps the whole result of the last step.
                training = Training(model, optimizer, key, step + 1)
                bar.update()
                if training.step % save_every == 0:
                    eqx.save(checkpoint, training, metadata=options)
                    bar.set_postfix(loss="{:.4f}".format(float(loss)), saved=training.step)
        except KeyboardInterrupt:
            bar.write("Interrupted after step {}. Run the program again to go on.".format(training.step))
    eqx.save(checkpoint, training, metadata=options)
    return training


def digest(tree):
    """A short text that changes if any bit of an array or number changes."""
    data = [np.asarray(x).tobytes() for x in jax.tree_util.tree_leaves(tree)]
    return hashlib.sha256(b"".join(data)).hexdigest()[:16]


def main(
    steps=3000,
    save_every=100,
    batch_size=128,
    width=64,
    seed=0,
    checkpoint="checkpoint.safetensors",
):
    """Returns: the loss on new samples, and the state at the end."""
    if save_every < 1:
        raise ValueError("Expected `save_every` to be at least 1, got {}.".format(save_every))
    options = {"batch_size": batch_size, "width": width, "seed": seed}
    training = start_or_go_on(checkpoint, options)
    training = train(training, steps, save_every, checkpoint, options)
    loss = float(evaluate(training.model, 1000, jrandom.PRNGKey(seed + 1)))
    print("After step {} the loss is {:.4f}. The noise alone is 0.0025.".format(training.step, loss))
    print("The digest of the model, the optimiser, the key and the step is {}.".format(digest(training)))
    return loss, training


if __name__ == "__main__":
    # Options that aren't given are left out, so `main` has the defaults.
    parser = argparse.ArgumentParser(description="Train, and go on after a stop.", argument_default=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help="number of training steps")
    parser.add_argument("--save-every", type=int, help="number of steps from one save to the next")
    parser.add_argument("--seed", type=int, help="seed of all random numbers")
    parser.add_argument("--checkpoint", help="file of the checkpoint")
    main(**vars(parser.parse_args()))

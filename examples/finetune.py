"""Teach an old model a new task: load it by name into another architecture, and train a few of its parameters.

A model learns to tell the six arms of a spiral apart, and is saved. The new task has few labelled points. The spiral is
turned a little, and the question is whether the number of the arm is odd. The new model takes the hidden layers from
the file, and gets a head of its own. Two parts are trained: the head, and a change of low rank (LoRA) of one hidden
layer. All else is frozen.
"""

import argparse

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import optax
from tqdm import tqdm

import equinox as eqx

ARMS = 6


class Classifier(eqx.Module):
    """The new architecture. The old one is an `MLP`, whose last layer is the head."""

    body: eqx.nn.MLP
    head: eqx.nn.Linear

    def __init__(self, width, key):
        body_key, head_key = jrandom.split(key)
        self.body = eqx.nn.MLP(2, width, width, depth=2, final_activation=jax.nn.relu, key=body_key)
        self.head = eqx.nn.Linear(width, 2, key=head_key)

    def __call__(self, x):
        return self.head(self.body(x))


def make_points(number, turn, seed):
    """Points of a spiral that is turned by an angle: points (number, 2), and the arm of each one (number,)."""
    rng = np.random.RandomState(seed)
    arm = rng.randint(ARMS, size=number)
    radius = rng.uniform(0.2, 1, number)
    angle = 2 * np.pi * arm / ARMS + 3 * radius + turn + 0.12 * rng.normal(size=number)
    return (radius * np.stack([np.cos(angle), np.sin(angle)])).T.astype("float32"), arm.astype("int32")


def loss_of(model, points, labels):
    log_probabilities = jax.nn.log_softmax(jax.vmap(model)(points))
    return -jnp.mean(jnp.take_along_axis(log_probabilities, labels[:, None], axis=1))


@eqx.filter_jit
def accuracy(model, points, labels):
    return jnp.mean(jnp.argmax(jax.vmap(model)(points), axis=-1) == labels)


@eqx.filter_jit
def make_step(model, optimizer, points, labels):
    # What `freeze` marks has no gradient here, and no state in the optimiser.
    loss, grads = eqx.value_and_grad_f(loss_of, filter_fn=eqx.trainable)(model, points, labels)
    model, optimizer = optimizer.step(model, grads)
    return loss, model, optimizer


def train(model, data, steps, learning_rate, title):
    """Train what isn't frozen. Returns: the model."""
    optimizer = eqx.Optimizer(optax.adam(learning_rate), model)
    tqdm.monitor_interval = 0  # no thread beside the training
    with tqdm(total=steps, desc=title) as bar:
        for _ in range(steps):
            loss, model, optimizer = make_step(model, optimizer, *data)
            bar.update()
            bar.set_postfix(loss="{:.3f}".format(float(loss)), refresh=False)
    return model


def load_body(path, model):
    """Load the hidden layers of the old model. Returns: the new model, whose head is as it was."""
    # The names in the file are those of the old model, such as `layers.0.weight`.
    model, rest = eqx.load(path, model, strict=False, rename={"layers.*": "body.layers.*"})
    # With `strict=False` a wrong name is no error. So look at what was not taken.
    taken = [name for name in eqx.load(path) if name not in rest]
    print("Loaded into the body: {}.".format(", ".join(taken)))
    print("Left in the file, because the new model has no such array: {}.".format(", ".join(rest)))
    return model


def choose_what_is_trained(model, rank, key):
    """Freeze all but the head, and wrap a hidden layer in `LoRA`."""
    model = eqx.unfreeze(eqx.freeze(model), lambda model: model.head)
    # The two small matrices of the `LoRA` come after `freeze`, so they are trained.
    return eqx.tree_at(
        lambda model: model.body.layers[1], model, replace_fn=lambda linear: eqx.nn.LoRA(linear, rank, key=key)
    )


def main(
    old_steps=500,
    new_steps=200,
    number=100,
    width=64,
    rank=4,
    learning_rate=1e-2,
    turn=0.3,
    seed=0,
    path="spirals.safetensors",
):
    """Returns: the accuracy before and after the new training, the model before and the model after."""
    old_data = make_points(3000, 0.0, seed)
    points, arms = make_points(number, turn, seed + 1)
    test_points, test_arms = make_points(3000, turn, seed + 2)
    new_data, test_data = (points, arms % 2), (test_points, test_arms % 2)

    old_key, new_key, lora_key = jrandom.split(jrandom.PRNGKey(seed), 3)
    old = eqx.nn.MLP(2, ARMS, width, depth=3, key=old_key)
    old = train(old, old_data, old_steps, learning_rate, "old task")
    eqx.save(path, old)
    print("The old model names the arm of {:.1%} of its points.".format(float(accuracy(old, *old_data))))

    before = choose_what_is_trained(load_body(path, Classifier(width, new_key)), rank, lora_key)
    print("\n{}\n".format(eqx.summary(before, points[0])))
    after = train(before, new_data, new_steps, learning_rate, "new task")

    scratch = train(Classifier(width, new_key), new_data, new_steps, learning_rate, "from scratch")
    scores = [float(accuracy(model, *test_data)) for model in (before, after, scratch)]
    print("Of 3000 new points, {:.1%} are right before the new training, and {:.1%} after it.".format(*scores))
    print("A model that learns from the same {} points alone has {:.1%}.".format(number, scores[2]))
    for change in eqx.tree_diff(before, after):
        print("Changed: {}".format(change))
    return scores[0], scores[1], before, after


if __name__ == "__main__":
    # Options that aren't given are left out, so `main` has the defaults.
    parser = argparse.ArgumentParser(description="Train a few parameters.", argument_default=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help="seed of all random numbers")
    parser.add_argument("--number", type=int, help="number of labelled points for the new task")
    parser.add_argument("--path", help="file for the old model")
    main(**vars(parser.parse_args()))

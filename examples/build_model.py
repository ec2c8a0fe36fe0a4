"""Build a model from scratch: a parameterised function that is also data.

An MLP is written here as two small classes. An instance is a function, which we call and `vmap`. It is also a pytree,
which we pass to `jax.jit` and `jax.grad` as an ordinary argument. There are no filters, no optimiser library and no
special transformations. The gradient of a model is a model of the same class, and so is the momentum.
"""

import math

import jax
import jax.numpy as jnp
import jax.random as jrandom
from jax.tree_util import tree_leaves, tree_map

import equinox as eqx


class Linear(eqx.Module):
    """`y = weight @ x + bias`, for one example. The annotations declare the children of the pytree."""

    weight: jnp.ndarray
    bias: jnp.ndarray

    def __init__(self, in_size, out_size, key):
        self.weight = jrandom.normal(key, (out_size, in_size)) / math.sqrt(in_size)
        self.bias = jnp.zeros(out_size)

    def __call__(self, x):
        return self.weight @ x + self.bias


class MLP(eqx.Module):
    """A module may hold modules, also in lists, tuples and dictionaries, which are pytrees too."""

    layers: list

    def __init__(self, sizes, key):
        keys = jrandom.split(key, len(sizes) - 1)
        self.layers = [Linear(m, n, key) for m, n, key in zip(sizes[:-1], sizes[1:], keys)]

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = jnp.tanh(layer(x))
        return self.layers[-1](x)


def loss(model, x, y):
    # The model takes one example. It is a function, so `vmap` makes a function of a batch.
    return jnp.mean((jax.vmap(model)(x) - y) ** 2)


@jax.jit
def step(model, velocity, x, y, learning_rate):
    """Gradient descent with momentum. Model, velocity and gradient are trees with the same structure."""
    value, grad = jax.value_and_grad(loss)(model, x, y)
    velocity = tree_map(lambda v, g: 0.9 * v + g, velocity, grad)
    # A model is never changed. This makes a new model of the same class.
    model = tree_map(lambda m, v: m - learning_rate * v, model, velocity)
    return value, model, velocity


def main(steps=500, learning_rate=0.05, seed=0):
    """Fit `y = sin(3 x)`. Returns: the loss at each step, and the trained model."""
    model = MLP([1, 32, 32, 1], jrandom.PRNGKey(seed))
    x = jnp.linspace(-1, 1, 64)[:, None]
    y = jnp.sin(3 * x)

    probe = jnp.array([0.5])
    print("The model is a function: at x = 0.5 it gives {:+.3f}.".format(float(model(probe)[0])))
    print("The model is data, a tree of {} arrays:\n{}".format(len(tree_leaves(model)), model))
    print("Its gradient is such a tree, too:\n{}".format(jax.jit(jax.grad(loss))(model, x, y)))

    velocity = tree_map(jnp.zeros_like, model)
    losses = []
    for i in range(1, steps + 1):
        value, model, velocity = step(model, velocity, x, y, learning_rate)
        losses.append(float(value))
        if i == 1 or i % 100 == 0:
            print("step {:4d}   loss {:.5f}".format(i, losses[-1]))

    print("At x = 0.5 it now gives {:+.3f}; sin(1.5) is {:+.3f}.".format(float(model(probe)[0]), math.sin(1.5)))
    return losses, model


if __name__ == "__main__":
    main()

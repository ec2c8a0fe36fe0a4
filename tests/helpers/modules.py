"""Small modules that several test files use."""

from typing import Any

import jax.numpy as jnp

import equinox as eqx


class Affine(eqx.Module):
    weight: Any
    bias: Any

    def __call__(self, x):
        return self.weight * x + self.bias

    def scaled(self, x, factor=2.0):
        """Scale the result of the call."""
        return factor * self(x)


class Nested(eqx.Module):
    first: Affine
    rest: Any
    name: str = eqx.field(static=True, default="nested")

    def __call__(self, x):
        return self.first(x)


def affine():
    return Affine(jnp.array([1.0, 2.0]), jnp.array(3.0))


class Layer(eqx.Module):
    weight: Any
    bias: Any
    name: str = eqx.field(static=True, default="layer")


class Net(eqx.Module):
    layers: Any
    scale: Any = 1.0
    note: Any = None

    def last(self):
        return self.layers[-1]


def make_net():
    return Net([Layer(jnp.ones((2, 2)), jnp.zeros(2)), Layer(jnp.ones((1, 2)), None)])


class Unhashable:
    """A function that defines `__eq__`, so it can't be hashed."""

    def __eq__(self, other):
        return type(other) is Unhashable

    __hash__ = None

    def __call__(self, x):
        return x

"""A model for loops, and what they loop over."""

from typing import Any

import jax.numpy as jnp

import equinox as eqx

MARK = object()  # a leaf that is equal to nothing else
STEPS = 3
XS = jnp.array([[0.5, 1.0], [-0.25, 0.75], [1.0, -0.5]])


class Cell(eqx.Module):
    weight: Any
    count: Any = 3
    mark: Any = MARK
    name: str = eqx.field(static=True, default="cell")

    def __call__(self, x):
        return jnp.tanh(self.weight * x)

    def step(self, carry, x):
        return self(carry + x), {"out": self.weight * x, "mark": self.mark}


def cell():
    return Cell(jnp.array([0.5, -1.0]))

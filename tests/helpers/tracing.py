"""A model with both kinds of static data, and ways to observe the tracing of functions and the donation of arrays."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import core, tree_util

import equinox as eqx


class Model(eqx.Module):
    weight: Any
    name: Any
    size: Any = eqx.field(static=True, default=3)

    def __call__(self, x):
        return self.weight * x

    def method(self, x, *, bias=0.0):
        return self.weight * x + bias


def model():
    return Model(jnp.array([1.0, 2.0]), "name")


class TraceRecorder:
    """Wraps a function. It counts the traces, and records which leaves were traced."""

    def __init__(self, fun=lambda *args, **kwargs: None):
        self.fun = fun
        self.traces = 0
        self.kinds = None

    def __call__(self, *args, **kwargs):
        self.traces += 1
        leaves = tree_util.tree_leaves((args, kwargs))
        self.kinds = ["traced" if isinstance(x, core.Tracer) else type(x).__name__ for x in leaves]
        return self.fun(*args, **kwargs)


def is_deleted(x):
    """Whether the memory of an array was freed, as donation does."""
    try:
        np.asarray(x)
    except (RuntimeError, ValueError):
        return True
    return False

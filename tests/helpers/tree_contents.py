"""Describe everything that a function can see of a tree, and make a tree with many kinds of nodes.

The tests of filtered functions compare the description inside a compiled function with that of a plain call.
"""

import jax.numpy as jnp
import numpy as np
from jax import tree_util
from modules import Affine, Nested
from random_trees import Pair
from tracing import Model, model

import equinox as eqx

MANY_CALLS = 8  # after so many calls with one model, the fast path is used

X, Y = jnp.array([3.0, 4.0]), jnp.array([5.0, 6.0])

FIELDS = {
    Affine: {"weight", "bias"},
    Nested: {"first", "rest", "name"},
    Pair: {"first", "second", "name"},
    Model: {"weight", "name", "size"},
}


def contents_of(x):
    """Describe everything that a function can see of a tree. Arrays stay as they are, because they may be traced."""
    if isinstance(x, eqx.Module):
        return [
            type(x).__name__,
            {name: contents_of(value) for name, value in vars(x).items() if name in FIELDS[type(x)]},
        ]
    if isinstance(x, dict):
        return ["dict", {str(key): contents_of(x[key]) for key in x}]
    if isinstance(x, (list, tuple)):
        return [type(x).__name__, [contents_of(y) for y in x]]
    return x if isinstance(x, (jnp.ndarray, np.ndarray, np.generic)) else [type(x).__name__, str(x)]


def same_contents(a, b):
    """Whether two results of `contents_of` are the same. Arrays must have the same dtype and values."""
    (leaves, structure), (others, other) = tree_util.tree_flatten(a), tree_util.tree_flatten(b)
    if structure != other:
        return False
    for x, y in zip(leaves, others):
        if isinstance(x, str) or isinstance(y, str):
            if x is not y and x != y:
                return False
        elif x.dtype != y.dtype or np.asarray(x).tolist() != np.asarray(y).tolist():
            return False
    return True


def big_model():
    """Make a model with every kind of node and leaf."""
    first, rest = Affine([X, Y], [Y, 1, 1]), {"b": [[X], [Y]], "a": (1, [2, "s"]), "c": {"n": None, "m": model()}}
    return Nested(first, rest, name="whole")

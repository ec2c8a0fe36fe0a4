"""What a function can see of a tree, for the tests of what a filtered function remembers; and a tree to look at."""

import jax.numpy as jnp
import numpy as np
from jax import tree_util
from modules import Affine, Nested
from random_trees import Pair
from tracing import Model, model

import equinox as eqx

OFTEN = 8  # calls with one model, after which it is known well

X, Y = jnp.array([3.0, 4.0]), jnp.array([5.0, 6.0])

FIELDS = {
    Affine: {"weight", "bias"},
    Nested: {"first", "rest", "name"},
    Pair: {"first", "second", "name"},
    Model: {"weight", "name", "size"},
}


def look(x):
    """All that a function can see of a tree. The arrays stay arrays, as a traced function doesn't know their values."""
    if isinstance(x, eqx.Module):
        return [type(x).__name__, {name: look(value) for name, value in vars(x).items() if name in FIELDS[type(x)]}]
    if isinstance(x, dict):
        return ["dict", {str(key): look(x[key]) for key in x}]
    if isinstance(x, (list, tuple)):
        return [type(x).__name__, [look(y) for y in x]]
    return x if isinstance(x, (jnp.ndarray, np.ndarray, np.generic)) else [type(x).__name__, str(x)]


def alike(a, b):
    """Whether two things that `look` found are the same: it may be arrays of one kind and value."""
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


def whole():
    """A model with one of everything."""
    first, rest = Affine([X, Y], [Y, 1, 1]), {"b": [[X], [Y]], "a": (1, [2, "s"]), "c": {"n": None, "m": model()}}
    return Nested(first, rest, name="whole")

"""When two static values are the same: they are equal, and so are their types, also those of what is in them.

Python's `==` takes `True`, `1` and `1.0` for one another, and `0.0` and `-0.0`. JAX compares static data by `==`. A
function that was compiled for one of them must not be used for another.
"""

import types

import numpy as np
from jax import tree_util

from .predicates import is_none

# The types whose values hold nothing else, and are the same if they are equal.
PLAIN_TYPES = frozenset([bool, int, str, bytes, type(None), types.FunctionType, type])


def types_of(x):
    """The type of a static value, and of what is in it if it is a tuple, a frozenset or a dataclass that has `==`.

    A zero that has a sign adds its sign.

    Two static values are the same if they are equal and their `types_of` are. The result is hashable if `x` is.
    """
    cls = type(x)
    if cls in PLAIN_TYPES:
        return cls
    if isinstance(x, (float, complex, np.inexact)) and x == 0:
        return cls, repr(x)  # with its sign
    if isinstance(x, tuple):
        return (cls, *map(types_of, x))
    if isinstance(x, frozenset):
        return cls, frozenset((types_of(item), item) for item in x)
    if isinstance(x, np.generic):
        return cls, x.dtype  # dates of different units may be equal
    if hasattr(cls, "__dataclass_fields__") and cls.__dataclass_params__.eq:
        names = [f.name for f in cls.__dataclass_fields__.values() if f.compare and hasattr(x, f.name)]
        return (cls, *(types_of(getattr(x, name)) for name in names))
    return cls


def hashable_key(tree):
    """What is equal for two trees of the same static values in the same places.

    If a value can't be hashed, the result is equal to nothing but itself.
    """
    leaves, treedef = tree_util.tree_flatten(tree, is_leaf=is_none)
    key = (treedef, tuple(map(types_of, leaves)), tuple(leaves))
    try:
        hash(key)
    except TypeError:
        return object()
    return key

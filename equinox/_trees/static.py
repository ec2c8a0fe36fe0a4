"""When two static values are the same: they are equal, and their types and the types of their items are equal.

For Python's `==`, `True`, `1` and `1.0` are equal, and so are `0.0` and `-0.0`. JAX compares static data by `==`. But a
function that was compiled for one of these values must not be used for another.
"""

import types

import numpy as np
from jax import tree_util

from .predicates import is_none

# The types whose values hold no other values. Two values of such a type are the same if they are equal.
PLAIN_TYPES = frozenset([bool, int, str, bytes, type(None), types.FunctionType, type])


def types_of(x):
    """The type of a static value, with the types of the items of a tuple, list, set, dictionary or dataclass with `==`.

    For a floating-point or complex zero the result includes its sign. Two static values are the same if they are equal
    and their `types_of` are equal. The result is hashable if `x` is.
    """
    cls = type(x)
    if cls in PLAIN_TYPES:
        return cls
    if isinstance(x, (float, complex, np.inexact)) and x == 0:
        return cls, repr(x)  # the `repr` has the sign
    if isinstance(x, (tuple, list)):
        return (cls, *map(types_of, x))
    if isinstance(x, (frozenset, set)):
        return cls, frozenset((types_of(item), item) for item in x)
    if isinstance(x, dict):
        return cls, frozenset((types_of(key), key, types_of(value)) for key, value in x.items())
    if isinstance(x, np.generic):
        return cls, x.dtype  # dates of different units may be equal
    if hasattr(cls, "__dataclass_fields__") and cls.__dataclass_params__.eq:
        names = [f.name for f in cls.__dataclass_fields__.values() if f.compare and hasattr(x, f.name)]
        return (cls, *(types_of(getattr(x, name)) for name in names))
    return cls


def is_same(a, b):
    """Whether two static values are the same. Those that can't be compared are the same only if they are one object."""
    if a is b:
        return True
    try:
        return types_of(a) == types_of(b) and bool(a == b)
    except Exception:  # whatever the objects' own comparison raises
        return False


def hashable_key(tree):
    """A key for a tree of static values. The keys of two trees are equal if the trees have the same values and places.

    If a value can't be hashed, the key is equal only to itself.
    """
    leaves, treedef = tree_util.tree_flatten(tree, is_leaf=is_none)
    key = (treedef, tuple(map(types_of, leaves)), tuple(leaves))
    try:
        hash(key)
    except TypeError:
        return object()
    return key

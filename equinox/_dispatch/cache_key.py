"""The keys by which static leaves are compared. The key of an array is its content. Any other leaf is its own key."""

import hashlib

import numpy as np
from jax import core

from .. import _compat
from .._trees.paths import describe_leaf
from .._trees.predicates import is_jax_array
from .._trees.static import types_of


class ArrayKey:
    """The key of a static array. Two keys are equal if their arrays have the same type, dtype, shape and bytes.

    Attributes:
        array: The array. A NumPy array is copied, because the user may change the original.
        content: What is compared.

    Raises:
        TypeError: The array has more than its bytes, such as a mask, or this process can't read all of its bytes.
    """

    __slots__ = ("array", "content")

    def __init__(self, array):
        if is_jax_array(array):
            values = _compat.to_numpy(array)
        else:
            values = array = np.array(array, subok=True) if _is_plain(array) else None
        if values is None:
            raise TypeError
        digest = hashlib.sha256(np.ascontiguousarray(values)).digest()
        weak = getattr(array, "weak_type", False)
        self.array = array
        self.content = (type(array), array.dtype, weak, values.shape, digest)

    def __eq__(self, other):
        return type(other) is ArrayKey and self.content == other.content

    def __hash__(self):
        return hash(self.content)


def _is_plain(array):
    """Whether the bytes of an array are all of it. A masked array has a mask, and an array of objects has objects."""
    is_subclass = isinstance(array, np.ndarray) and type(array) is not np.ndarray
    return not array.dtype.hasobject and (not is_subclass or _compat.is_numpy_constant(array))


def static_key(leaf, name="", path=str):
    """The key of a static leaf.

    Args:
        leaf: The leaf.
        name: The name of the transformation, for error messages.
        path: A function that returns the path of the leaf, for error messages.

    Raises:
        TypeError: The leaf is a tracer of an outer transformation, or it can't be hashed.
    """
    if isinstance(leaf, core.Tracer):
        raise TypeError(
            "`{}` holds the leaf `{}` static, but its value ({}) isn't known, because an outer transformation traces "
            "it. Let the filter trace it too, as `filter_fn=eqx.is_array` does.".format(
                name, path(), describe_leaf(leaf)
            )
        )
    is_array = is_jax_array(leaf) or _compat.is_numpy_array(leaf)
    try:
        if is_array:
            return ArrayKey(leaf)
        hash(leaf)
        return leaf
    except TypeError:
        message = "`{}` holds the leaf `{}` static, so it must be {}, got {}."
        if is_array:
            message += " Let the filter trace it, or pass its items in a tuple."
        wanted = "a plain array without objects" if is_array else "hashable"
        raise TypeError(message.format(name, path(), wanted, describe_leaf(leaf))) from None


class StaticKeys:
    """The keys of the static leaves of one call, and their types. `True == 1`, but the two need different functions."""

    __slots__ = ("_compare_by_equality", "keys", "types")

    def __init__(self, keys):
        self.keys = tuple(keys)
        self.types = tuple(map(types_of, self.keys))
        self._compare_by_equality = ArrayKey not in self.types and self.types == tuple(map(type, self.keys))

    def __eq__(self, other):
        return self.types == other.types and self.keys == other.keys

    def __hash__(self):
        return hash((self.types, self.keys))

    def values(self):
        """The static leaves."""
        return [key.array if type(key) is ArrayKey else key for key in self.keys]

    def match(self, leaves):
        """Whether a tuple of leaves has these keys. The types of the leaves must already be the same, one by one.

        An array is read only if it isn't the same JAX array as before.
        """
        if self._compare_by_equality:
            return leaves == self.keys  # tuples compare their items by identity first
        return all(map(_has_key, leaves, self.keys, self.types))


def _has_key(leaf, key, types):
    if type(key) is not ArrayKey:
        return leaf is key or (leaf == key and types_of(leaf) == types)
    try:
        return leaf is key.array or ArrayKey(leaf) == key
    except TypeError:  # `static_key` raises a better error when the new entry is made
        return False

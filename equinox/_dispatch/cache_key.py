"""What a static leaf is compared by: itself, or the content of an array."""

import hashlib

import numpy as np
from jax import core

from .. import _compat
from .._trees.paths import describe_leaf
from .._trees.predicates import is_jax_array
from .._trees.static import types_of


class ArrayKey:
    """A static array. Two are equal if their arrays have the same type, dtype, shape and bytes.

    Attributes:
        array: The array. Of a NumPy array it is a copy, because the user may change the original.

    Raises:
        TypeError: The bytes aren't all that there is to the array, or this process can't see them all.
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
    """Whether a NumPy array is all in its bytes: no subclass, such as a masked array, and no objects in it."""
    is_subclass = isinstance(array, np.ndarray) and type(array) is not np.ndarray
    return not array.dtype.hasobject and (not is_subclass or _compat.is_numpy_constant(array))


def static_key(leaf, name="", path=str):
    """The key of a static leaf of a function that `name`, the transformation, compiles.

    Args:
        leaf: The leaf.
        name: The transformation's name, for error messages.
        path: A function that gives the path of the leaf, for error messages.

    Raises:
        TypeError: The leaf is traced by a transformation around this one, or can't be compared and hashed.
    """
    if isinstance(leaf, core.Tracer):
        raise TypeError(
            "`{}` holds the leaf `{}` static, but its value ({}) isn't known: a transformation around this call "
            "traces it. Let the filter trace it too; `filter_fn=eqx.is_array` does.".format(
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
            message += " Let the filter trace it, or pass what it holds in a tuple."
        wanted = "a plain array without objects" if is_array else "hashable"
        raise TypeError(message.format(name, path(), wanted, describe_leaf(leaf))) from None


class StaticKeys:
    """The keys of the static leaves of one call."""

    __slots__ = ("_is_simple", "keys", "types")

    def __init__(self, keys):
        self.keys = tuple(keys)
        self.types = tuple(map(types_of, self.keys))
        self._is_simple = ArrayKey not in self.types and self.types == tuple(map(type, self.keys))

    def __eq__(self, other):
        return self.types == other.types and self.keys == other.keys

    def __hash__(self):
        return hash((self.types, self.keys))

    def values(self):
        """The static leaves."""
        return [key.array if type(key) is ArrayKey else key for key in self.keys]

    def match(self, leaves):
        """Whether a tuple of other leaves, whose types are the same one by one, has the same keys.

        An array is read only if it isn't the very same JAX array.
        """
        if self._is_simple:
            return leaves == self.keys  # which asks for identity first
        return all(map(_has_key, leaves, self.keys, self.types))


def _has_key(leaf, key, types):
    if type(key) is not ArrayKey:
        return leaf is key or (leaf == key and types_of(leaf) == types)
    try:
        return leaf is key.array or ArrayKey(leaf) == key
    except TypeError:  # the user is told what is wrong with it when its key is made
        return False

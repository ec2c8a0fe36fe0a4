"""What a static leaf is looked up by among the compiled functions: itself, or the values of an array."""

import hashlib

import numpy as np
from jax import core

from .. import _compat
from .._trees.paths import describe_leaf
from .._trees.predicates import is_jax_array


class ArrayKey:
    """A static array, compared and hashed by what it holds."""

    __slots__ = ("array", "content")

    def __init__(self, array):
        values = array if isinstance(array, np.ndarray) else _compat.to_numpy(array)
        if values is None or values.dtype == object:
            raise TypeError  # spans several processes, or holds anything: can't be hashed
        digest = hashlib.sha256(np.ascontiguousarray(values)).digest()
        weak = getattr(array, "weak_type", False)
        self.content = (type(array), str(array.dtype), weak, values.shape, digest)
        self.array = array

    def __eq__(self, other):
        return type(other) is ArrayKey and self.content == other.content

    def __hash__(self):
        return hash(self.content)

    def take(self):
        """The array, to be kept by the one who asks. A NumPy array is copied, as its owner may change it."""
        array, self.array = self.array, None
        return np.array(array, subok=True) if _compat.is_numpy_array(array) else array


def static_key(leaf, name="", path=str):
    """The key of a static leaf of a function that `name`, the transformation, compiles. `path()` gives its path.

    Raises: TypeError: the leaf is traced by a transformation around, or can't be hashed.
    """
    if isinstance(leaf, core.Tracer):
        raise TypeError(
            "`{}` holds the leaf `{}` static, but its value ({}) isn't known: a transformation around this call "
            "traces it. Let the filter trace it too; `filter_fn=eqx.is_array` does.".format(
                name, path(), describe_leaf(leaf)
            )
        )
    try:
        if is_jax_array(leaf) or _compat.is_numpy_array(leaf):
            return ArrayKey(leaf)
        hash(leaf)
        return leaf
    except TypeError:
        raise TypeError(
            "`{}` holds the leaf `{}` static, so it must be hashable, got {}.".format(name, path(), describe_leaf(leaf))
        ) from None

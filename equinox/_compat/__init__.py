"""The one door to JAX's versions: the only folder that knows which JAX is running.

Most of JAX needs no shim: `jax.tree_util`, `jax.numpy.ndarray` and `jax.core.Tracer` mean the same from 0.2.18 to
today. What is left is here, one function to a question, in files by subject. Each function takes the `jax` module, so
that a test can pass a stand-in and cover every arm on any JAX. Each says what moved, in which release, and the floor
that retires it.
"""

from .arrays import is_numpy_array, is_numpy_constant, is_typed_key, pickles_arrays_as_numpy, to_numpy
from .features import SINCE, require
from .pytrees import named_children, register_node
from .staging import check_options

__all__ = [
    "SINCE",
    "check_options",
    "is_numpy_array",
    "is_numpy_constant",
    "is_typed_key",
    "named_children",
    "pickles_arrays_as_numpy",
    "register_node",
    "require",
    "to_numpy",
]

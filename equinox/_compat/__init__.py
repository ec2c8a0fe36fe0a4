"""Differences between JAX releases. This is the only folder that knows which JAX is running.

Most of JAX needs no shim: `jax.tree_util`, `jax.numpy.ndarray` and `jax.core.Tracer` mean the same from 0.2.18 to
today. Everything else is here, one function for each question, in files by subject. Each function takes the `jax`
module as an argument. So a test can pass a stand-in and cover every branch on any JAX. Each docstring says what
changed, in which release, and which oldest supported JAX (the "floor") makes the function needless.
"""

from .arrays import (
    abstract,
    dot_general_in,
    dot_product_attention,
    dtype_named,
    is_numpy_array,
    is_numpy_constant,
    is_typed_key,
    key_impl_name,
    pickles_arrays_as_numpy,
    row_or_nan,
    to_numpy,
    typed_keys,
)
from .autodiff import custom_jvp, custom_vjp
from .callbacks import pure_callback
from .features import SINCE, require
from .host_checks import host_check
from .primitives import identity_primitive
from .pytrees import named_children, register_node
from .sharding import constrain, is_device, placement, shard_map, sharding_of_type
from .staging import check_options

__all__ = [
    "SINCE",
    "abstract",
    "check_options",
    "constrain",
    "custom_jvp",
    "custom_vjp",
    "dot_general_in",
    "dot_product_attention",
    "dtype_named",
    "host_check",
    "identity_primitive",
    "is_device",
    "is_numpy_array",
    "is_numpy_constant",
    "is_typed_key",
    "key_impl_name",
    "named_children",
    "placement",
    "pickles_arrays_as_numpy",
    "pure_callback",
    "register_node",
    "require",
    "row_or_nan",
    "shard_map",
    "sharding_of_type",
    "to_numpy",
    "typed_keys",
]

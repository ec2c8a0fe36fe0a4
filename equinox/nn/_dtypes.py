"""In which dtype a layer computes: that of its input."""

from typing import Any, Optional, Tuple

import jax.numpy as jnp
import numpy as np

from .._compat.types import AnyArray, Array


def match_dtypes(input: AnyArray, *parameters: Optional[AnyArray]) -> Tuple[Any, ...]:
    """Convert `input` and parameters to the dtype that a layer computes in. A parameter may be `None`.

    It is the dtype of `input` if that is floating-point or complex. So parameters in float32 take an input in bfloat16
    and return bfloat16. An input of integers or bools has the dtype of the parameters. Real numbers and complex numbers
    together are complex.
    """
    dtype = input.dtype
    given = [p for p in parameters if p is not None]
    complex_parameters = any(jnp.issubdtype(p.dtype, jnp.complexfloating) for p in given)
    if not jnp.issubdtype(dtype, jnp.inexact) or complex_parameters:
        dtype = jnp.result_type(input.dtype, *[p.dtype for p in given])
    return tuple(None if x is None else as_dtype_of(x, dtype) for x in (input,) + parameters)


def at_least_float32(x: AnyArray) -> Array:
    """`x` in its own dtype, or in float32 if it has less precision. Norms and softmax compute in it."""
    return as_dtype_of(x, jnp.promote_types(x.dtype, jnp.float32))


def where_or(condition: Any, x: AnyArray, other: float) -> Array:
    """`x` where `condition` is true, and the number `other` elsewhere.

    The number has the dtype of `x` from the start, so no conversion is traced.
    """
    return jnp.where(condition, x, np.asarray(other, x.dtype))


def as_dtype_of(x: AnyArray, dtype: Any) -> Any:
    """`x` in `dtype`. Nothing is traced if it has this dtype already."""
    return x if x.dtype == dtype else x.astype(dtype)

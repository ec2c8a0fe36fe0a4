"""What the layers that normalise share: statistics in at least float32, a scale and a shift, and the output's dtype."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
from jax import lax

from .._compat.types import AnyArray, Array, Key
from ._checks import as_bool, check_key, in_words
from ._dtypes import as_dtype_of
from ._parameters import Initialiser, as_dtype, make_parameter


def make_scale_and_shift(
    layer: str,
    shape: Tuple[int, ...],
    use_weight: Any,
    use_bias: Any,
    dtype: Any,
    weight_init: Optional[Initialiser],
    bias_init: Optional[Initialiser],
    key: Optional[Key],
    names: Tuple[str, str] = ("use_weight", "use_bias"),
) -> Tuple[Optional[Array], Optional[Array]]:
    """Make `weight` and `bias` of a layer: ones and zeros, if no initialiser is given. `None` if the layer has none."""
    known = as_dtype(dtype, layer)
    if key is not None:
        check_key(key, layer)
    keys: Any = (None, None) if key is None else jrandom.split(key)
    with_weight, with_bias = as_bool(use_weight, names[0], layer), as_bool(use_bias, names[1], layer)
    weight = make_parameter(layer, "weight", weight_init, _ones, keys[0], shape, known) if with_weight else None
    bias = make_parameter(layer, "bias", bias_init, _zeros, keys[1], shape, known) if with_bias else None
    return weight, bias


def _ones(key: Any, shape: Tuple[int, ...], dtype: Any) -> Array:
    return jnp.ones(shape, dtype)


def _zeros(key: Any, shape: Tuple[int, ...], dtype: Any) -> Array:
    return jnp.zeros(shape, dtype)


def squared_size(x: Array) -> Array:
    """`abs(x)**2`, in the dtype of `x`. The variance is the mean of this, also of complex numbers."""
    return x * (lax.conj(x) if jnp.issubdtype(x.dtype, jnp.complexfloating) else x)


def scale_and_shift(y: Array, weight: Optional[Array], bias: Optional[Array]) -> Array:
    """`weight * y + bias`, in the dtype of `y`."""
    if weight is not None:
        y = y * as_dtype_of(weight, y.dtype)
    return y if bias is None else y + as_dtype_of(bias, y.dtype)


def normalise_rows(
    x: Array, mean: Array, var: Array, eps: float, weight: Optional[Array], bias: Optional[Array]
) -> Array:
    """`(x - mean) / sqrt(var + eps) * weight + bias`, computed as `x * scale + shift`.

    `scale` and `shift` have one number for each row. So an element costs one product and one sum. This is faster only
    if the rows are long. XLA then also computes the variance without an array of `x - mean` in memory.
    """
    scale = scale_and_shift(lax.rsqrt(var + eps), weight, None)
    shift = mean * scale
    return x * scale - shift if bias is None else x * scale + (as_dtype_of(bias, x.dtype) - shift)


def as_output(y: Array, like: AnyArray) -> Array:
    """`y` in the shape of `like`, and in its dtype if that is floating-point."""
    y = y if y.shape == like.shape else y.reshape(like.shape)
    return as_dtype_of(y, like.dtype) if jnp.issubdtype(like.dtype, jnp.inexact) else y


def with_state(y: Array, state: Any) -> Any:
    """The result of a layer without state. If a state was given, it is returned too, as it is."""
    return y if state is None else (y, state)


def known_flag(flag: Any, layer: str) -> bool:
    """`inference`, the argument of `layer`, as a bool. It isn't traced."""
    if isinstance(flag, (bool, np.bool_)) or (getattr(flag, "shape", None) == () and flag.dtype == jnp.bool_):
        return bool(flag)
    raise TypeError("`{}` expects `inference` to be `True` or `False`, got {}.".format(layer, in_words(flag)))

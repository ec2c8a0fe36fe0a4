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


def standardise(x: Array, axes: Tuple[int, ...], eps: float) -> Array:
    """`x` with mean 0 and variance 1 over `axes`."""
    centred = x - jnp.mean(x, axes, keepdims=True)
    return centred * lax.rsqrt(jnp.mean(centred * centred, axes, keepdims=True) + eps)


def scale_and_shift(y: Array, weight: Optional[Array], bias: Optional[Array], like: AnyArray) -> Array:
    """`weight * y + bias` along the first axes of `y`, in the dtype of `like` if that is floating-point."""
    if weight is not None:
        y = y * along_first_axes(weight, y)
    if bias is not None:
        y = y + along_first_axes(bias, y)
    return as_dtype_of(y, like.dtype) if jnp.issubdtype(like.dtype, jnp.inexact) else y


def along_first_axes(parameter: Array, y: Array) -> Array:
    """`parameter` in the dtype of `y`, with axes of length 1 for the last axes of `y`."""
    parameter = as_dtype_of(parameter, y.dtype)
    missing = y.ndim - parameter.ndim
    return parameter.reshape(parameter.shape + (1,) * missing) if missing else parameter


def with_state(y: Array, state: Any) -> Any:
    """The result of a layer without state. If a state was given, it is returned too, as it is."""
    return y if state is None else (y, state)


def known_flag(flag: Any, layer: str) -> bool:
    """`inference`, the argument of `layer`, as a bool. It isn't traced."""
    if isinstance(flag, (bool, np.bool_)) or (getattr(flag, "shape", None) == () and flag.dtype == jnp.bool_):
        return bool(flag)
    raise TypeError("`{}` expects `inference` to be `True` or `False`, got {}.".format(layer, in_words(flag)))

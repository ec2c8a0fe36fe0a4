"""Predicates on one leaf: whether it is an array, and of what kind."""

from __future__ import annotations

import functools as ft
import operator
from typing import Any, Union

import jax
import jax.numpy as jnp
import numpy as np
from jax import core, tree_util

from .. import _compat
from .._compat.types import Array, TypeGuard

is_none = ft.partial(operator.is_, None)  # in C, because flattening calls it on every node

concrete_array_types = set()  # the types of concrete JAX arrays that were seen so far, without typed keys


def is_jax_array(element: Any) -> TypeGuard[Array]:
    """Whether `element` is a JAX array. Every dtype counts, and so do tracers and PRNG keys."""
    if type(element) in concrete_array_types:
        return True
    if isinstance(element, core.Tracer):  # asked first, because `jnp.ndarray` takes several times longer to answer
        return isinstance(element.aval, core.ShapedArray)
    # On the oldest JAX `jnp.ndarray` matches NumPy arrays too.
    if not isinstance(element, jnp.ndarray) or isinstance(element, (np.ndarray, np.generic)):
        return False
    if isinstance(element.dtype, np.dtype):
        concrete_array_types.add(type(element))
    return True


def is_numpy(element: Any) -> TypeGuard[Union[np.ndarray, np.generic]]:
    """Whether `element` is a NumPy array or a NumPy scalar, of any dtype."""
    return isinstance(element, np.generic) or _compat.is_numpy_array(element)


def is_array(element: Any) -> TypeGuard[Union[Array, np.ndarray, np.generic]]:
    """Whether `element` is a JAX array, or a NumPy array or NumPy scalar of a dtype that JAX has.

    JAX arrays of every dtype count, and so do tracers and PRNG keys. NumPy's arrays of text, dates and objects don't
    count, because no JAX function takes them. Python numbers don't count: `is_array_like` is for them.

    Args:
        element: Anything.

    Returns:
        A `bool`.

    Example:
        >>> [eqx.is_array(x) for x in (jnp.ones(2), np.ones(2), np.float32(1), 1.0, np.array(["text"]))]
        [True, True, True, False, False]
    """
    if type(element) in concrete_array_types:
        return True  # saves a call for most arrays
    return is_jax_array(element) or (is_numpy(element) and _is_number_dtype(element.dtype))


def is_array_or_shape(element: Any) -> bool:
    """Whether `element` is an array (see `is_array`), or a `jax.ShapeDtypeStruct` that stands for one."""
    return isinstance(element, jax.ShapeDtypeStruct) or is_array(element)


def is_parameter(element: Any) -> bool:
    """Whether `element` is an array that can be differentiated, or a `jax.ShapeDtypeStruct` that stands for one."""
    return is_array_or_shape(element) and is_inexact_dtype(element.dtype)


def is_inexact_array(element: Any) -> TypeGuard[Array]:
    """Whether `element` is a JAX array of floating-point or complex dtype. NumPy arrays don't count.

    Args:
        element: Anything.

    Returns:
        A `bool`.

    Example:
        >>> [eqx.is_inexact_array(x) for x in (jnp.ones(2), jnp.arange(2), np.ones(2), 1.0)]
        [True, False, False, False]
    """
    return is_jax_array(element) and is_inexact_dtype(element.dtype)


def is_inexact_jax_or_numpy(element: Any) -> bool:
    """Whether `element` is a JAX or NumPy array of floating-point or complex dtype, as `jax.grad` takes."""
    return is_array(element) and is_inexact_dtype(element.dtype)


def is_array_like(element: Any) -> bool:
    """Whether `jax.numpy.array(element)` succeeds.

    It is true for JAX and NumPy arrays of numbers, for Python and NumPy numbers that fit into JAX's dtypes, and for
    lists of these. It is false for everything else, such as strings, functions and `None`.

    Args:
        element: Anything.

    Returns:
        A `bool`.

    Example:
        >>> [eqx.is_array_like(x) for x in (jnp.ones(2), np.ones(2), 1.0, True, 2**70, "text", jax.nn.relu)]
        [True, True, True, True, False, False, False]
    """
    if is_jax_array(element) or isinstance(element, (bool, float, complex)):
        return True
    if isinstance(element, int) and -(2**31) <= element < 2**31:
        return True  # It fits with and without x64. JAX decides about a larger one.
    if element is None or isinstance(element, (str, bytes)):
        return False  # `jnp.array` of JAX 0.4.1 to 0.4.33 reads `None` as NaN
    if is_numpy(element):
        return _is_number_dtype(element.dtype)
    try:
        jnp.array(element)
    except Exception:  # the object's own conversion may raise anything
        return False
    return True


def is_inexact_array_like(element: Any) -> bool:
    """Whether `jax.numpy.array(element)` succeeds and is floating-point or complex.

    Args:
        element: Anything.

    Returns:
        A `bool`.

    Example:
        >>> [eqx.is_inexact_array_like(x) for x in (jnp.ones(2), np.ones(2), 1.0, 1, "text")]
        [True, True, True, False, False]
    """
    if isinstance(element, (float, complex)):
        return True
    if isinstance(element, (bool, int)) or not is_array_like(element):
        return False
    array: Any = element if is_jax_array(element) or is_numpy(element) else jnp.array(element)
    return is_inexact_dtype(array.dtype)


def is_boolean(x: Any) -> bool:
    """Whether `x` is a bool or a boolean array, as the predicate of a check is."""
    return isinstance(x, bool) or (is_array(x) and x.dtype == np.bool_)


def is_static_function(x: Any) -> bool:
    """Whether `x` is a function without data: a plain function, a class, or a callable pytree of functions alone.

    A layer without leaves, such as `nn.Identity()`, is data. A layer that holds arrays, numbers or flags is data too.
    """
    if not callable(x):
        return False
    leaves = tree_util.tree_leaves(x)
    return len(leaves) > 0 and all(map(callable, leaves))


@ft.lru_cache(maxsize=None)
def is_inexact_dtype(dtype: Any) -> bool:
    """Whether a dtype is floating-point or complex."""
    return bool(jnp.issubdtype(dtype, jnp.inexact))


@ft.lru_cache(maxsize=None)
def _is_number_dtype(dtype: Any) -> bool:
    if dtype.type in (
        np.timedelta64,
        np.longdouble,
        np.clongdouble,
    ):  # NumPy calls these numbers. JAX doesn't have them.
        return False
    return dtype == np.bool_ or bool(jnp.issubdtype(dtype, jnp.number))

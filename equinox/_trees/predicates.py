"""Predicates on one leaf: is it an array, and of what kind?"""

import functools as ft
import operator

import jax.numpy as jnp
import numpy as np
from jax import core

is_none = ft.partial(operator.is_, None)  # in C: pytree flattening asks it of every node

concrete_array_types = set()  # of JAX arrays met so far: neither tracers nor typed keys


def is_array(element):
    """Whether `element` is a JAX array: of any dtype, concrete or traced, old-style or typed PRNG keys too.

    A NumPy array is no JAX array.
    """
    if type(element) in concrete_array_types:
        return True
    # On the oldest JAX `jnp.ndarray` matches NumPy arrays too.
    if not isinstance(element, jnp.ndarray) or isinstance(element, (np.ndarray, np.generic)):
        return False
    if not isinstance(element, core.Tracer) and isinstance(element.dtype, np.dtype):
        concrete_array_types.add(type(element))
    return True


def is_inexact_array(element):
    """Whether `element` is a JAX array (see `is_array`) of floating-point or complex dtype."""
    return is_array(element) and _is_inexact_dtype(element.dtype)


def is_array_like(element):
    """Whether `element` can be made into a JAX array: whether `jax.numpy.array(element)` succeeds.

    True for JAX and NumPy arrays of numbers, Python and NumPy numbers that fit JAX's dtypes, and lists of those.
    False for strings, functions, `None`, and anything else.
    """
    if is_array(element) or isinstance(element, (bool, float, complex)):
        return True
    if isinstance(element, int) and -(2**31) <= element < 2**31:
        return True  # fits the default integer with and without x64; above it, JAX decides
    if element is None or isinstance(element, (str, bytes)):
        return False  # JAX 0.4.1 to 0.4.33 read `None` as NaN
    if isinstance(element, (np.ndarray, np.generic)):
        return _is_number_dtype(element.dtype)
    try:
        jnp.array(element)
    except Exception:  # whatever the object's own conversion raises
        return False
    return True


def is_inexact_array_like(element):
    """Whether `element` is array-like (see `is_array_like`) and floating-point or complex: `1.0` is, `1` isn't."""
    if isinstance(element, (float, complex)):
        return True
    if isinstance(element, (bool, int)) or not is_array_like(element):
        return False
    if not is_array(element) and not isinstance(element, (np.ndarray, np.generic)):
        element = jnp.array(element)
    return _is_inexact_dtype(element.dtype)


@ft.lru_cache(maxsize=None)
def _is_inexact_dtype(dtype):
    return bool(jnp.issubdtype(dtype, jnp.inexact))


@ft.lru_cache(maxsize=None)
def _is_number_dtype(dtype):
    if dtype.type in (np.timedelta64, np.longdouble, np.clongdouble):  # numbers to NumPy, not to JAX
        return False
    return dtype == np.bool_ or bool(jnp.issubdtype(dtype, jnp.number))

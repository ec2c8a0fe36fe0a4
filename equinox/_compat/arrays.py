"""What kind of array this is, and its values."""

import jax
import numpy as np

from .release import jax_release


def is_typed_key(x, jax=jax):
    """Whether `x` is an array of typed PRNG keys, as made by `jax.random.key`.

    Typed keys came in JAX 0.4.11 and the name of their dtype, `jax.dtypes.prng_key`, in 0.4.16; in between, no other
    arrays had a dtype that isn't NumPy's. A floor of 0.4.16 retires this function for `jax.numpy.issubdtype`.
    """
    if isinstance(x.dtype, np.dtype):
        return False
    return not hasattr(jax.dtypes, "prng_key") or bool(jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key))


def is_numpy_array(x, jax=jax):
    """Whether `x` is a NumPy array, or what JAX makes of one that is a constant of a trace."""
    return isinstance(x, np.ndarray) or is_numpy_constant(x, jax)


def is_numpy_constant(x, jax=jax):
    """Whether `x` is what JAX makes of a NumPy array that is a constant of a trace.

    JAX 0.7.2 to 0.9.1 has a class of its own for these, first `LiteralArray`, then `TypedNdArray`; in 0.9.2 it became a
    subclass of NumPy's. JAX doesn't export it, so it is known by its name. Support for none of those releases retires
    this function.
    """
    cls = type(x)
    return cls.__name__ in ("LiteralArray", "TypedNdArray") and cls.__module__.split(".")[0] == jax.__name__


def pickles_arrays_as_numpy(jax=jax):
    """Whether `pickle` and `deepcopy` turn a JAX array into a NumPy array, as they did before JAX 0.3.0.

    A floor of 0.3.0 retires this function and what asks it in `_module/packing.py`.
    """
    return jax_release(jax) < (0, 3, 0)


def to_numpy(x, jax=jax):
    """The values of the concrete JAX array `x` as a NumPy array, or `None` where this process can't see them all.

    `is_fully_addressable` came with `jax.Array` in 0.3.18; before it an array never spanned processes. A floor of
    0.4.1 retires the default. The values of typed keys (see `is_typed_key`) are their `key_data`.
    """
    if is_typed_key(x, jax):
        x = jax.random.key_data(x)
    try:
        return np.asarray(x)
    except RuntimeError:
        if getattr(x, "is_fully_addressable", True):
            raise
        return None

"""The kind of an array, and its values."""

import re

import jax
import numpy as np

from .features import require
from .release import jax_release


def is_typed_key(x, jax=jax):
    """Whether `x` is an array of typed PRNG keys, as made by `jax.random.key`.

    Typed keys came in JAX 0.4.11. The name of their dtype, `jax.dtypes.prng_key`, came in 0.4.16. Between these
    releases, typed keys are the only arrays whose dtype isn't NumPy's. With a floor of 0.4.16, `jax.numpy.issubdtype`
    replaces this function.
    """
    if isinstance(x.dtype, np.dtype):
        return False
    return not hasattr(jax.dtypes, "prng_key") or bool(jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key))


def is_numpy_array(x, jax=jax):
    """Whether `x` is a NumPy array, or a NumPy array that JAX wrapped as a constant of a trace."""
    return isinstance(x, np.ndarray) or is_numpy_constant(x, jax)


def is_numpy_constant(x, jax=jax):
    """Whether `x` is a NumPy array that JAX wrapped as a constant of a trace.

    JAX 0.7.2 to 0.9.1 wraps them in its own class: first `LiteralArray`, then `TypedNdArray`. In 0.9.2 the class became
    a subclass of NumPy's. JAX doesn't export the class, so this function compares its name. A floor of 0.9.2 retires
    this function.
    """
    cls = type(x)
    return cls.__name__ in ("LiteralArray", "TypedNdArray") and cls.__module__.split(".")[0] == jax.__name__


def pickles_arrays_as_numpy(jax=jax):
    """Whether `pickle` and `deepcopy` turn a JAX array into a NumPy array, as they did before JAX 0.3.0.

    A floor of 0.3.0 retires this function and its uses in `_module/packing.py`.
    """
    return jax_release(jax) < (0, 3, 0)


def abstract(x, without_axis=None, jax=jax):
    """A `jax.ShapeDtypeStruct` like the array `x`, with the dtype that JAX has for it.

    Without x64 JAX has 32 bits for NumPy's 64, and JAX 0.12 warns of a `ShapeDtypeStruct` with 64 bits. Typed keys
    (see `is_typed_key`) keep their dtype.

    Args:
        x: An array or a `ShapeDtypeStruct`.
        without_axis: The number of an axis to leave out.
        jax: The module `jax`, or a stand-in.
    """
    shape = tuple(size for i, size in enumerate(x.shape) if i != without_axis)
    dtype = jax.dtypes.canonicalize_dtype(x.dtype) if isinstance(x.dtype, np.dtype) else x.dtype
    return jax.ShapeDtypeStruct(shape, dtype)


def to_numpy(x, jax=jax):
    """The values of the concrete JAX array `x` as a NumPy array. `None` if this process can't see all of them.

    `is_fully_addressable` came with `jax.Array` in 0.3.18. Before that, an array never spanned several processes. A
    floor of 0.4.1 retires the default `True`. The values of typed keys (see `is_typed_key`) are their `key_data`.
    """
    if is_typed_key(x, jax):
        x = jax.random.key_data(x)
    try:
        return np.asarray(x)
    except RuntimeError:
        if getattr(x, "is_fully_addressable", True):
            raise
        return None


def key_impl_name(x, jax=jax):
    """The name of the implementation of typed keys (see `is_typed_key`), as `jax.random.wrap_key_data` takes it.

    `jax.random.key_impl` came in JAX 0.4.18. It gives a name since 0.4.30 or earlier, and before that an object. Keys
    of the same implementation have the same dtype. A floor of 0.4.30 retires the loop.

    Raises:
        NotImplementedError: The running JAX is older than 0.4.16, or no implementation of JAX has this dtype.
    """
    require("save of a typed key", jax)
    name = jax.random.key_impl(x) if hasattr(jax.random, "key_impl") else None
    if isinstance(name, str):
        return name
    for name in ("threefry2x32", "rbg", "unsafe_rbg"):
        if jax.random.key(0, impl=name).dtype == x.dtype:
            return name
    raise NotImplementedError("Keys of dtype {} have no name in JAX {}.".format(x.dtype, jax.__version__))


def typed_keys(data, impl, jax=jax):
    """Typed keys (see `is_typed_key`) with this data, of the implementation of this name.

    Raises:
        NotImplementedError: The running JAX is older than 0.4.16.
    """
    require("load of a typed key", jax)
    return jax.random.wrap_key_data(data, impl=impl)


def dtype_named(name, jax=jax):
    """The NumPy dtype of a number in `jax.numpy` that has this name. `None` if the running JAX doesn't have it.

    JAX gets further dtypes, such as float8 and int4. No floor retires this function.
    """
    if not re.match(r"(bool|u?int|b?float|complex)\w*$", name):  # such as "object", which would read pointers
        return None
    try:
        return np.dtype(np.bool_ if name == "bool" else getattr(jax.numpy, name))
    except (AttributeError, TypeError):
        return None


def row_or_nan(table, index, jax=jax):
    """The row `index` of the matrix `table`. NaNs if there is no such row. A negative index counts as no row.

    JAX 0.2.28 has modes of a gather, 0.2.18 hasn't. A floor of 0.2.28 retires the second branch.

    Args:
        table: A matrix of floating-point or complex numbers.
        index: An array of shape `()` with a signed integer.
        jax: The module `jax`, or a stand-in.
    """
    rows, columns = table.shape
    if not hasattr(jax.lax, "GatherScatterMode"):
        row = table[jax.numpy.clip(index, 0, rows - 1)]
        return jax.numpy.where((index >= 0) & (index < rows), row, np.nan)
    numbers = jax.lax.GatherDimensionNumbers(offset_dims=(0,), collapsed_slice_dims=(0,), start_index_map=(0,))
    return jax.lax.gather(table, index.reshape(1), numbers, (1, columns), mode="fill", fill_value=np.nan)


def dot_general_in(dtype, a, b, dimension_numbers, jax=jax):
    """`jax.lax.dot_general` of arrays of one dtype, accumulated and returned in `dtype`.

    The gradient of the option `preferred_element_type` is an error in JAX 0.2.28: "requires arguments to have the same
    dtypes". It works in 0.4.13. So older JAX gets both arrays in `dtype`. A floor of 0.4.13 retires this branch.
    """
    if a.dtype == dtype:
        return jax.lax.dot_general(a, b, dimension_numbers)
    if jax_release(jax) < (0, 4, 13):
        return jax.lax.dot_general(a.astype(dtype), b.astype(dtype), dimension_numbers)
    return jax.lax.dot_general(a, b, dimension_numbers, preferred_element_type=dtype)


def dot_product_attention(*args, jax=jax, **kwargs):
    """`jax.nn.dot_product_attention`, with its arguments. It came in JAX 0.4.31, a floor that retires this function.

    Raises:
        NotImplementedError: The running JAX is older.
    """
    require("dot_product_attention(implementation=...)", jax)
    return jax.nn.dot_product_attention(*args, **kwargs)

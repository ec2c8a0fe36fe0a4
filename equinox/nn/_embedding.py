"""`Embedding`: a table with a vector for each index."""

import math
import operator
from typing import Any, Optional, Tuple, Union

import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
from jax import core

from .. import _compat
from .._compat.types import AnyArray, Array, Key
from .._module import Module, field
from ._checks import as_size, check_key, check_unstacked, in_words
from ._dtypes import as_dtype_of
from ._parameters import Initialiser, as_dtype, make_parameter


class Embedding(Module):
    """Look up a row of a table: `weight[x]`.

    An index that is out of range never gives another row. If its value is known, it is an error. If it is traced, as
    in `jax.jit` and `jax.vmap`, the output is NaN, and the gradient is zero. Negative indices are out of range.

    Args:
        num_embeddings: The number of rows. It may be left out if `weight` is given.
        embedding_size: The length of a row. It may be left out if `weight` is given.
        weight: The table, if it is known. Otherwise it is drawn.
        dtype: The dtype of the table. The default is that of `weight`, or JAX's floating-point dtype.
        weight_init: A function that makes the table, such as `jax.nn.initializers.normal(0.02)`.
        key: A PRNG key for the table. It isn't needed if `weight` is given. It is not kept.

    Shapes:
        x: `()`. The output: `(embedding_size,)`. Use `jax.vmap(embedding)(indices)` for a sequence or a batch.
        weight: `(num_embeddings, embedding_size)`.

    Initialisation:
        Normal with mean 0 and variance 1, as in `torch.nn.Embedding`. Its `weight` has the same name and shape.

    Raises:
        ValueError: A size is below 1, or is missing, or isn't that of `weight`.
        ValueError: `weight` is no matrix, or `weight` and `weight_init` are both given.
        ValueError: `dtype` is not floating-point and not complex, or `weight` is complex and `dtype` is not.
        ValueError: The initialiser fails, or returns another shape.
        TypeError: A size is no integer, `weight` is no array of floating-point or complex numbers, or `dtype` is no
            dtype.
        TypeError: The initialiser can't be called.
        TypeError: `key` is no PRNG key.

    Example:
        >>> embedding = eqx.nn.Embedding(10, 3, key=jax.random.PRNGKey(0))
        >>> embedding(7).shape
        (3,)
        >>> jax.vmap(embedding)(jnp.array([2, 7, 1])).shape
        (3, 3)
    """

    weight: Array
    num_embeddings: int = field(static=True)
    embedding_size: int = field(static=True)

    def __init__(
        self,
        num_embeddings: Optional[int] = None,
        embedding_size: Optional[int] = None,
        weight: Optional[AnyArray] = None,
        dtype: Any = None,
        *,
        weight_init: Optional[Initialiser] = None,
        key: Optional[Key] = None,
    ) -> None:
        if weight is not None:
            self.weight = _as_table(weight, num_embeddings, embedding_size, dtype)
            if weight_init is not None:
                raise ValueError("`Embedding` got `weight` and `weight_init`. Pass one of them.")
            self.num_embeddings, self.embedding_size = self.weight.shape
            return
        for name, size in (("num_embeddings", num_embeddings), ("embedding_size", embedding_size)):
            if size is None:
                raise ValueError("`Embedding` needs `{}`, or the table as `weight`.".format(name))
        self.num_embeddings = as_size(num_embeddings, "num_embeddings", "Embedding")
        self.embedding_size = as_size(embedding_size, "embedding_size", "Embedding")
        dtype = as_dtype(dtype, "Embedding")
        check_key(key, "Embedding")
        assert key is not None  # type checkers don't know that `check_key` raises an error
        shape = (self.num_embeddings, self.embedding_size)
        self.weight = make_parameter("Embedding", "weight", weight_init, _normal, key, shape, dtype)

    def __call__(self, x: Union[int, AnyArray], *, key: Optional[Key] = None) -> Array:
        """Return the row of an index.

        Args:
            x: An integer, or an array of shape `()` with one, of any integer dtype.
            key: It is ignored. Every layer takes a key.

        Returns:
            An array of shape `(embedding_size,)` in the dtype of `weight`. NaN if `x` is traced and out of range.

        Raises:
            ValueError: `x` is out of range, and not traced.
            ValueError: `x` is an array with axes.
            ValueError: The layer is a stack of layers, as `jax.vmap` over the construction makes it.
            TypeError: `x` is no integer.

        Example:
            >>> embedding = eqx.nn.Embedding(weight=jnp.array([[1.0, 2.0], [3.0, 4.0]]))
            >>> embedding(1).tolist()
            [3.0, 4.0]
            >>> jax.vmap(embedding)(jnp.array([0, 2])).tolist()
            [[1.0, 2.0], [nan, nan]]
        """
        check_unstacked(self, "weight", 2)
        return _compat.row_or_nan(self.weight, _as_index(x, self.weight.shape[0]))


def _as_table(weight: Any, num_embeddings: Any, embedding_size: Any, dtype: Any) -> Array:
    if not hasattr(weight, "dtype"):
        raise TypeError("`Embedding` expects `weight` to be an array, got {}.".format(in_words(weight)))
    if not jnp.issubdtype(weight.dtype, jnp.inexact):
        raise TypeError("`Embedding` expects `weight` to be floating-point or complex, got {}.".format(weight.dtype))
    dtype = None if dtype is None else as_dtype(dtype, "Embedding")
    is_complex = jnp.issubdtype(weight.dtype, jnp.complexfloating)
    if is_complex and dtype is not None and not jnp.issubdtype(dtype, jnp.complexfloating):
        raise ValueError(
            "`Embedding` expects `dtype` to be complex as `weight` is, got {} for {}. For the real parts, pass "
            "`weight.real`.".format(dtype, weight.dtype)
        )
    if len(weight.shape) != 2 or 0 in weight.shape:
        raise ValueError(
            "`Embedding` expects `weight` to have shape (num_embeddings, embedding_size), got {}.".format(weight.shape)
        )
    given = (("num_embeddings", num_embeddings), ("embedding_size", embedding_size))
    for (name, size), length in zip(given, weight.shape):
        if size is not None and as_size(size, name, "Embedding") != length:
            raise ValueError(
                "`Embedding` got `{}={}` and `weight` of shape {}. Leave out the sizes if `weight` is given.".format(
                    name, size, weight.shape
                )
            )
    return jnp.asarray(weight, dtype)


def _as_index(x: Any, rows: int) -> Array:
    """`x` as an array of int32. A traced index that is too large for it stays out of range."""
    who = "`Embedding` with `num_embeddings={}`".format(rows)
    if getattr(x, "shape", ()) != ():
        raise ValueError(
            "{} expects `x` to be one index of shape (), got {}. Map over the indices: `jax.vmap(layer)(x)`.".format(
                who, in_words(x)
            )
        )
    if isinstance(x, core.Tracer):
        if not jnp.issubdtype(x.dtype, jnp.integer):
            raise TypeError("{} expects `x` to be an integer, got an array of {}.".format(who, x.dtype))
        kind = np.iinfo(x.dtype)
        if kind.max > np.iinfo(np.int32).max:  # a gather reads 32 bits only
            x = jnp.minimum(x, jnp.asarray(rows, x.dtype))
            x = jnp.maximum(x, jnp.asarray(-1, x.dtype)) if kind.min < 0 else x
        return as_dtype_of(x, jnp.dtype("int32"))
    try:
        index = None if isinstance(x, bool) else operator.index(x)
    except TypeError:
        index = None
    if index is None:
        dtype = getattr(x, "dtype", None)
        got = in_words(x) if dtype is None else "an array of {}".format(dtype)
        raise TypeError("{} expects `x` to be an integer, got {}.".format(who, got))
    if not 0 <= index < rows:
        raise ValueError("{} expects `x` to be from 0 to {}, got {}.".format(who, rows - 1, index))
    return jnp.asarray(index)


def _normal(key: Key, shape: Tuple[int, ...], dtype: Any) -> Array:
    """Draw from the normal distribution of variance 1. A complex number is drawn by its two parts."""
    if jnp.issubdtype(dtype, jnp.complexfloating):
        real, imaginary = (jrandom.normal(k, shape, jnp.finfo(dtype).dtype) for k in jrandom.split(key))
        return (real + 1j * imaginary) / math.sqrt(2)
    return as_dtype_of(jrandom.normal(key, shape, jnp.promote_types(dtype, jnp.float32)), dtype)

"""`RotaryPositionalEmbedding`: the position of a vector as a rotation."""

from typing import Any, Optional, Union

import jax.numpy as jnp
import numpy as np

from .._compat.types import AnyArray, Array, Key
from .._module import Module, field
from ._checks import as_array_of, as_number, as_size, in_words
from ._dtypes import as_dtype_of
from ._parameters import as_dtype


class RotaryPositionalEmbedding(Module):
    """Rotate each vector of a sequence by angles that grow with its position.

    With `h = embedding_size / 2`, the numbers `i` and `h + i` of a vector are the two coordinates that are rotated
    together. At position `p` their angle is `p * theta ** (-i / h)`:

        y[i]     = x[i] * cos(angle) - x[h + i] * sin(angle)
        y[h + i] = x[h + i] * cos(angle) + x[i] * sin(angle)

    So the inner product of a query and a key depends on the difference of their positions only.

    The layer has no leaves. The angles are computed in at least float32.

    Args:
        embedding_size: The length of each vector. It is even.
        theta: The base of the angles.
        dtype: The dtype that the vectors are rotated in. The default is that of `x`, but at least float32.

    Shapes:
        x: `(seq_length, embedding_size)`. The output has the shape and dtype of `x`. Map over the heads of attention:
            `jax.vmap(rotary, in_axes=1, out_axes=1)(heads)`.

    PyTorch:
        PyTorch has no such layer. The formula is that of
        [RoFormer](https://arxiv.org/abs/2104.09864). The paper pairs the numbers `2 * i` and `2 * i + 1`. The
        halves, as here, are what most models use.

    Raises:
        ValueError: `embedding_size` is odd or below 2, or `theta` is below 1.
        ValueError: `dtype` is not floating-point.
        TypeError: `embedding_size` is no integer, `theta` is no number, or `dtype` is no dtype.

    Example:
        >>> rotary = eqx.nn.RotaryPositionalEmbedding(2)
        >>> y = rotary(jnp.array([[1.0, 0.0], [1.0, 0.0]]))
        >>> bool(jnp.allclose(y[1], jnp.array([jnp.cos(1.0), jnp.sin(1.0)])))
        True
    """

    embedding_size: int = field(static=True)
    theta: float = field(static=True)
    dtype: Any = field(static=True)

    def __init__(self, embedding_size: int, theta: float = 10000.0, dtype: Any = None) -> None:
        self.embedding_size = as_size(embedding_size, "embedding_size", "RotaryPositionalEmbedding", 2)
        if self.embedding_size % 2:
            raise ValueError(
                "`RotaryPositionalEmbedding` expects `embedding_size` to be even, because it rotates pairs of "
                "numbers, got {}.".format(self.embedding_size)
            )
        self.theta = as_number(theta, "theta", "RotaryPositionalEmbedding", 1)
        self.dtype = None if dtype is None else as_dtype(dtype, "RotaryPositionalEmbedding")
        if self.dtype is not None and jnp.issubdtype(self.dtype, jnp.complexfloating):
            raise ValueError(
                "`RotaryPositionalEmbedding` expects `dtype` to be floating-point, got {}.".format(self.dtype)
            )

    def __call__(self, x: AnyArray, *, offset: Union[int, AnyArray] = 0, key: Optional[Key] = None) -> Array:
        """Rotate the vectors of one sequence.

        Args:
            x: An array of shape `(seq_length, embedding_size)`.
            offset: The position of the first vector: an integer, or an array of shape `()`. It may be traced. Decoding
                passes the number of vectors that came before.
            key: It is ignored. Every layer takes a key.

        Returns:
            An array of the shape of `x`. It has the dtype of `x` if that is floating-point.

        Raises:
            ValueError: `x` has another shape, or `offset` is an array with axes.
            TypeError: `x` can't be made into an array, or is complex.
            TypeError: `offset` is no integer.

        Example:
            >>> rotary = eqx.nn.RotaryPositionalEmbedding(4)
            >>> x = jnp.ones((5, 4))
            >>> bool(jnp.allclose(rotary(x[3:], offset=3), rotary(x)[3:]))
            True
        """
        who = "`RotaryPositionalEmbedding` with `embedding_size={}`".format(self.embedding_size)
        next_move = "Reshape it, or make the layer with another `embedding_size`."
        x = as_array_of(x, "x", ("seq_length", self.embedding_size), who, "jax.vmap(layer)(x)", next_move)
        if jnp.issubdtype(x.dtype, jnp.complexfloating):
            raise TypeError("`RotaryPositionalEmbedding` expects `x` to be floating-point, got {}.".format(x.dtype))
        _check_offset(offset)
        wide = jnp.promote_types(x.dtype, jnp.float32) if self.dtype is None else self.dtype
        half = self.embedding_size // 2
        angle_dtype = jnp.promote_types(wide, jnp.float32)
        positions = as_dtype_of(jnp.arange(x.shape[0]) + offset, angle_dtype)
        angles = positions[:, None] * jnp.asarray(self.theta ** (-np.arange(half) / half), angle_dtype)
        cos, sin = as_dtype_of(jnp.cos(angles), wide), as_dtype_of(jnp.sin(angles), wide)
        first, second = as_dtype_of(x[:, :half], wide), as_dtype_of(x[:, half:], wide)
        y = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], 1)
        return as_dtype_of(y, x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else wide)


def _check_offset(offset: Any) -> None:
    if getattr(offset, "shape", ()) != ():
        raise ValueError(
            "`RotaryPositionalEmbedding` expects `offset` to be one position of shape (), got {}.".format(
                in_words(offset)
            )
        )
    dtype = getattr(offset, "dtype", None)
    if dtype is None:
        is_integer, got = hasattr(offset, "__index__") and not isinstance(offset, bool), in_words(offset)
    else:
        is_integer, got = jnp.issubdtype(dtype, jnp.integer), "an array of {}".format(dtype)
    if not is_integer:
        raise TypeError("`RotaryPositionalEmbedding` expects `offset` to be an integer, got {}.".format(got))

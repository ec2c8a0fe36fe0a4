"""Reduce windows of an array, one axis after another. Pooling does this.

It is faster than `lax.reduce_window` and its gradient on the CPU. It can be differentiated in forward and reverse mode
for every operation.
"""

import functools as ft
import math
import operator
from typing import Any, Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from .._compat.types import Array
from ._checks import as_array_of
from ._spatial import axis_names

Operation = Callable[[Any, Any], Any]  # from two arrays to an array of the same shape and dtype


def as_spatial(x: Any, dimensions: int, layer: Any) -> Array:
    """`x`, an argument of `layer`, as an array of shape `(channels, *sizes)` in which no size is 0."""
    name = type(layer).__name__
    x = as_array_of(x, "x", ("channels",) + axis_names(dimensions), "`{}`".format(name), "jax.vmap(layer)(x)")
    if 0 in x.shape[1:]:
        raise ValueError("`{}` expects `x` to have no spatial axis of length 0, got shape {}.".format(name, x.shape))
    return x


def check_ordered(x: Array, layer: Any) -> None:
    """Raise an error if `x`, an argument of `layer`, has complex numbers."""
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise TypeError(
            "`{}` expects real numbers, which have an order, got `x` of dtype {}. Pool `jnp.real(x)` and "
            "`jnp.imag(x)`, or `jnp.abs(x)`.".format(type(layer).__name__, x.dtype)
        )


def larger(a: Array, b: Array) -> Array:
    """The larger one of `a` and `b`, elementwise, or NaN. If they are equal, the gradient belongs to `a`."""
    later = lax.gt(b, a)
    if jnp.issubdtype(b.dtype, jnp.inexact):
        later = lax.bitwise_or(later, lax.ne(b, b))
    return lax.select(later, b, a)


def reduce_windows(x: Array, sizes: Sequence[int], strides: Sequence[int], operation: Operation) -> Array:
    """Reduce the windows of `sizes` over the last axes of `x`. There is one wherever it fits, in steps of `strides`.

    `operation` is associative. It gets the elements of a window in the order of the axes, as `numpy.ravel` does. So the
    last axis is reduced first.
    """
    for axis, size, stride in reversed(list(zip(range(x.ndim - len(sizes), x.ndim), sizes, strides))):
        x = reduce_axis(x, axis, size, stride, operation)
    return x


def reduce_axis(x: Array, axis: int, size: int, stride: int, operation: Operation) -> Array:
    """Reduce the windows of `size` along one axis of `x`.

    A window is made of equal parts, which are windows too. Neighbours share them. So there are few operations, even for
    large windows: as many as the prime factors of `size` are in sum. A large prime factor is split too.
    """
    count = (x.shape[axis] - size) // stride + 1
    if size == 1:
        return _every(x, axis, 0, count, stride)
    parts = next((prime for prime in (2, 3, 5, 7) if size % prime == 0), None)
    if parts is None:
        first, last = reduce_axis(x, axis, size - 1, stride, operation), _every(x, axis, size - 1, count, stride)
        return operation(_every(first, axis, 0, count, 1), last)
    step = math.gcd(stride, size // parts)
    x = reduce_axis(x, axis, size // parts, step, operation)
    starts = range(0, size // step, size // parts // step)
    return ft.reduce(operation, [_every(x, axis, start, count, stride // step) for start in starts])


def _every(x: Array, axis: int, start: int, count: int, step: int) -> Array:
    """`count` elements along one axis of `x`: those at `start`, `start + step`, ..."""
    if (start, count) == (0, x.shape[axis]):
        return x
    return lax.slice_in_dim(x, start, start + (count - 1) * step + 1, step, axis)


def sum_windows(x: Array, sizes: Sequence[int], strides: Sequence[int]) -> Array:
    """The sum over each window. One window that covers all is summed at once, which is faster."""
    if x.shape[x.ndim - len(sizes) :] == tuple(sizes):
        return jnp.sum(x, tuple(range(x.ndim - len(sizes), x.ndim)), keepdims=True)
    return reduce_windows(x, sizes, strides, lax.add)


def max_windows(x: Array, sizes: Sequence[int], strides: Sequence[int]) -> Array:
    """The maximum of each window. One window that covers all is reduced at once, which is faster."""
    leading = x.shape[: x.ndim - len(sizes)]
    if x.shape[len(leading) :] != tuple(sizes):
        return reduce_windows(x, sizes, strides, larger)
    rows = x.reshape(leading + (ft.reduce(operator.mul, sizes),))
    y = _max_of_rows(rows) if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.max(rows, -1)
    return y.reshape(leading + (1,) * len(sizes))


@jax.custom_jvp
def _max_of_rows(x: Array) -> Array:
    """The maximum over the last axis. The gradient belongs to the first of equal elements, and to the first NaN.

    JAX shares the gradient of `jnp.max` among equal elements. That of `jnp.argmax` and indexing is slow on the CPU.
    """
    return jnp.max(x, -1)


@_max_of_rows.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (tangent,) = primals, tangents
    y = jnp.max(x, -1)
    places = lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1)
    is_largest = lax.bitwise_or(x == y[..., None], x != x)
    first = jnp.min(jnp.where(is_largest, places, x.shape[-1]), -1, keepdims=True)
    return y, jnp.sum(jnp.where(places == first, tangent, 0), -1)

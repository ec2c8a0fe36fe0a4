"""`AdaptivePool`, `AdaptiveAvgPool1d` to `3d` and `AdaptiveMaxPool1d` to `3d`: windows for an output of given sizes."""

from typing import Any, Callable, List, Optional, Tuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._compat.types import AnyArray, Array, Key
from .._module import Module, field
from .._trees.predicates import is_static_function
from ._checks import as_size, as_sizes, check_callable
from ._dtypes import as_dtype_of, at_least_float32
from ._spatial import Sizes
from ._windows import Operation, as_spatial, check_ordered, larger, max_windows, reduce_axis


class _Adaptive(Module):
    """The fields of adaptive pooling."""

    target_shape: Tuple[int, ...] = field(static=True)
    num_spatial_dims: int = field(static=True)

    def __init__(self, target_shape: Sizes, num_spatial_dims: int) -> None:
        layer = type(self).__name__
        self.num_spatial_dims = as_size(num_spatial_dims, "num_spatial_dims", layer)
        self.target_shape = as_sizes(target_shape, self.num_spatial_dims, "target_shape", layer)

    def _axes(self) -> List[Tuple[int, int]]:
        """Each spatial axis of the input with its target, the last axis first."""
        return list(enumerate(self.target_shape, 1))[::-1]


class AdaptivePool(_Adaptive):
    """Cut each spatial dimension into windows, as many as the output has, and reduce each of them with an operation.

    In a dimension of `size` with `target` outputs, window `i` begins at `floor(i * size / target)` and ends before
    `ceil((i + 1) * size / target)`. If `target` doesn't divide `size`, windows that are neighbours share an element.
    The dimensions are reduced one after another, the first one first. For a mean or a maximum this is the same as one
    reduction over all of them.

    Args:
        target_shape: The sizes of the output. An int stands for all spatial dimensions. A sequence has an item for each
            of them.
        num_spatial_dims: The number of spatial dimensions.
        operation: A function from a vector to a number, such as `jax.numpy.median`. It is part of the structure of the
            tree, unless it is a layer with arrays.

    Shapes:
        x: `(channels, *sizes)`. The output: `(channels, *target_shape)`. Use `jax.vmap(pool)(xs)` for a batch. The
            output may be larger than `x`.

    PyTorch:
        It has no such layer. The windows are those of `torch.nn.AdaptiveAvgPool1d`.
        In the published Equinox no two windows share an element.

    Raises:
        ValueError: A size is below 1.
        ValueError: `target_shape` hasn't one item for each spatial dimension.
        TypeError: A size is no integer, or `operation` can't be called.

    Example:
        >>> pool = eqx.nn.AdaptivePool(2, num_spatial_dims=1, operation=jnp.median)
        >>> pool(jnp.array([[5.0, 1.0, 2.0, 9.0, 8.0, 0.0]])).tolist()
        [[2.0, 8.0]]
    """

    operation: Callable[[Any], Any] = field(static=is_static_function)

    def __init__(self, target_shape: Sizes, num_spatial_dims: int, operation: Callable[[Any], Any]) -> None:
        super().__init__(target_shape, num_spatial_dims)
        check_callable(operation, "operation", "AdaptivePool")
        self.operation = operation

    def __call__(self, x: AnyArray, *, key: Optional[Key] = None) -> Array:
        """Reduce the windows of one example.

        Args:
            x: An array of shape `(channels, *sizes)`.
            key: It is ignored. Every layer takes a key.

        Returns:
            An array of shape `(channels, *target_shape)` and the dtype that `operation` returns.

        Raises:
            ValueError: `x` has another number of axes, or a dimension of size 0.
            ValueError: `operation` doesn't return one number for a vector.
            TypeError: `x` can't be made into an array.

        Example:
            >>> pool = eqx.nn.AdaptivePool((2, 3), num_spatial_dims=2, operation=jnp.max)
            >>> jax.vmap(pool)(jnp.ones((5, 1, 8, 8))).shape
            (5, 1, 2, 3)
        """
        x = as_spatial(x, self.num_spatial_dims, self)
        for axis, target in reversed(self._axes()):
            x = _map_windows(x, axis, target, self.operation)
        return x


class _AdaptiveAvgPool(_Adaptive):
    """The mean of each window."""

    def __init__(self, target_shape: Sizes, num_spatial_dims: int) -> None:
        super().__init__(target_shape, num_spatial_dims)

    def __call__(self, x: AnyArray, *, key: Optional[Key] = None) -> Array:
        x = as_spatial(x, self.num_spatial_dims, self)
        y = at_least_float32(x)
        if max(self.target_shape) == 1:
            y = jnp.mean(y, tuple(range(1, y.ndim)), keepdims=True)
        else:
            for axis, target in reversed(self._axes()):  # the sum of whole rows is faster than that along a row
                y = _mean(y, axis, target)
        return as_dtype_of(y, x.dtype) if jnp.issubdtype(x.dtype, jnp.inexact) else y


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Average each of `target_shape` windows that cover one sequence.

    In a dimension of `size` with `target` outputs, window `i` begins at `floor(i * size / target)` and ends before
    `ceil((i + 1) * size / target)`. The sum is computed in at least float32. An input of integers has an output of
    floating-point numbers.

    Args:
        target_shape: The length of the output.

    Shapes:
        x: `(channels, length)`. The output: `(channels, target_shape)`. Use `jax.vmap(pool)(xs)` for a batch. The
            output may be longer than `x`.

    PyTorch:
        `torch.nn.AdaptiveAvgPool1d(target_shape)`.
        In the published Equinox no two windows share an element.

    Raises:
        ValueError: A size is below 1.
        ValueError: `target_shape` hasn't one item for each spatial dimension.
        TypeError: A size is no integer.

    Example:
        >>> pool = eqx.nn.AdaptiveAvgPool1d(2)
        >>> pool(jnp.array([[1.0, 5.0, 2.0, 3.0]])).tolist()
        [[3.0, 2.5]]
    """

    def __init__(self, target_shape: Sizes) -> None:
        super().__init__(target_shape, 1)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Average each of `target_shape` windows that cover one image.

    In a dimension of `size` with `target` outputs, window `i` begins at `floor(i * size / target)` and ends before
    `ceil((i + 1) * size / target)`. The sum is computed in at least float32. An input of integers has an output of
    floating-point numbers.

    Args:
        target_shape: The height and width of the output. An int stands for both.

    Shapes:
        x: `(channels, height, width)`. The output: `(channels, *target_shape)`. Use `jax.vmap(pool)(xs)` for a batch.
            The output may be larger than `x`.

    PyTorch:
        `torch.nn.AdaptiveAvgPool2d(target_shape)`.
        In the published Equinox no two windows share an element.

    Raises:
        ValueError: A size is below 1.
        ValueError: `target_shape` hasn't one item for each spatial dimension.
        TypeError: A size is no integer.

    Example:
        >>> pool = eqx.nn.AdaptiveAvgPool2d((2, 3))
        >>> pool(jnp.ones((3, 7, 7))).shape
        (3, 2, 3)
    """

    def __init__(self, target_shape: Sizes) -> None:
        super().__init__(target_shape, 2)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Average each of `target_shape` windows that cover one volume.

    In a dimension of `size` with `target` outputs, window `i` begins at `floor(i * size / target)` and ends before
    `ceil((i + 1) * size / target)`. The sum is computed in at least float32. An input of integers has an output of
    floating-point numbers.

    Args:
        target_shape: The depth, height and width of the output. An int stands for all three.

    Shapes:
        x: `(channels, depth, height, width)`. The output: `(channels, *target_shape)`. Use `jax.vmap(pool)(xs)` for a
            batch. The output may be larger than `x`.

    PyTorch:
        `torch.nn.AdaptiveAvgPool3d(target_shape)`.
        In the published Equinox no two windows share an element.

    Raises:
        ValueError: A size is below 1.
        ValueError: `target_shape` hasn't one item for each spatial dimension.
        TypeError: A size is no integer.

    Example:
        >>> pool = eqx.nn.AdaptiveAvgPool3d(2)
        >>> pool(jnp.ones((3, 5, 6, 7))).shape
        (3, 2, 2, 2)
    """

    def __init__(self, target_shape: Sizes) -> None:
        super().__init__(target_shape, 3)


class _AdaptiveMaxPool(_Adaptive):
    """The maximum of each window."""

    def __init__(self, target_shape: Sizes, num_spatial_dims: int) -> None:
        super().__init__(target_shape, num_spatial_dims)

    def __call__(self, x: AnyArray, *, key: Optional[Key] = None) -> Array:
        x = as_spatial(x, self.num_spatial_dims, self)
        check_ordered(x, self)
        if max(self.target_shape) == 1:
            return max_windows(x, x.shape[1:], self.target_shape)
        for axis, target in self._axes():
            x = _max(x, axis, target)
        return x


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Take the maximum of each of `target_shape` windows that cover one sequence.

    In a dimension of `size` with `target` outputs, window `i` begins at `floor(i * size / target)` and ends before
    `ceil((i + 1) * size / target)`. A NaN in a window makes the output NaN. If several elements of a window are the
    largest, the gradient belongs to the first of them, in the order of `numpy.ravel`.

    Args:
        target_shape: The length of the output.

    Shapes:
        x: `(channels, length)`. The output: `(channels, target_shape)`. Use `jax.vmap(pool)(xs)` for a batch. The
            output may be longer than `x`.

    PyTorch:
        `torch.nn.AdaptiveMaxPool1d(target_shape)`.
        In the published Equinox no two windows share an element.

    Raises:
        ValueError: A size is below 1.
        ValueError: `target_shape` hasn't one item for each spatial dimension.
        TypeError: A size is no integer.

    Example:
        >>> pool = eqx.nn.AdaptiveMaxPool1d(2)
        >>> pool(jnp.array([[1.0, 5.0, 2.0, 3.0]])).tolist()
        [[5.0, 3.0]]
    """

    def __init__(self, target_shape: Sizes) -> None:
        super().__init__(target_shape, 1)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Take the maximum of each of `target_shape` windows that cover one image.

    In a dimension of `size` with `target` outputs, window `i` begins at `floor(i * size / target)` and ends before
    `ceil((i + 1) * size / target)`. A NaN in a window makes the output NaN. If several elements of a window are the
    largest, the gradient belongs to the first of them, in the order of `numpy.ravel`.

    Args:
        target_shape: The height and width of the output. An int stands for both.

    Shapes:
        x: `(channels, height, width)`. The output: `(channels, *target_shape)`. Use `jax.vmap(pool)(xs)` for a batch.
            The output may be larger than `x`.

    PyTorch:
        `torch.nn.AdaptiveMaxPool2d(target_shape)`.
        In the published Equinox no two windows share an element.

    Raises:
        ValueError: A size is below 1.
        ValueError: `target_shape` hasn't one item for each spatial dimension.
        TypeError: A size is no integer.

    Example:
        >>> pool = eqx.nn.AdaptiveMaxPool2d((2, 3))
        >>> pool(jnp.ones((3, 7, 7))).shape
        (3, 2, 3)
    """

    def __init__(self, target_shape: Sizes) -> None:
        super().__init__(target_shape, 2)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Take the maximum of each of `target_shape` windows that cover one volume.

    In a dimension of `size` with `target` outputs, window `i` begins at `floor(i * size / target)` and ends before
    `ceil((i + 1) * size / target)`. A NaN in a window makes the output NaN. If several elements of a window are the
    largest, the gradient belongs to the first of them, in the order of `numpy.ravel`.

    Args:
        target_shape: The depth, height and width of the output. An int stands for all three.

    Shapes:
        x: `(channels, depth, height, width)`. The output: `(channels, *target_shape)`. Use `jax.vmap(pool)(xs)` for a
            batch. The output may be larger than `x`.

    PyTorch:
        `torch.nn.AdaptiveMaxPool3d(target_shape)`.
        In the published Equinox no two windows share an element.

    Raises:
        ValueError: A size is below 1.
        ValueError: `target_shape` hasn't one item for each spatial dimension.
        TypeError: A size is no integer.

    Example:
        >>> pool = eqx.nn.AdaptiveMaxPool3d(2)
        >>> pool(jnp.ones((3, 5, 6, 7))).shape
        (3, 2, 2, 2)
    """

    def __init__(self, target_shape: Sizes) -> None:
        super().__init__(target_shape, 3)


_FEW = 8  # windows along one axis


def _windows(size: int, target: int) -> Tuple[Any, Any]:
    """Where each of `target` windows begins, and where it ends. They have at most two lengths, `n` and `n + 1`."""
    i = np.arange(target)
    return i * size // target, -(-(i + 1) * size // target)


def _reduce(x: Array, axis: int, target: int, operation: Operation) -> Array:
    """Reduce the windows along one axis, with an associative operation of two arrays.

    If they have two lengths, the windows of both lengths are reduced at every place. Then the wanted ones are taken.
    """
    size = x.shape[axis]
    if size % target == 0:
        return reduce_axis(x, axis, size // target, size // target, operation)
    starts, ends = _windows(size, target)
    length = int(min(ends - starts))
    short = reduce_axis(x, axis, length, 1, operation)
    wanted = jnp.take(short, starts, axis, mode="clip")
    longer = (ends - starts > length).reshape(_along(axis, x.ndim))
    if not longer.any():
        return wanted
    rest = lax.slice_in_dim(x, length, size, 1, axis)
    long = operation(lax.slice_in_dim(short, 0, size - length, 1, axis), rest)
    return jnp.where(longer, jnp.take(long, starts, axis, mode="clip"), wanted)


def _max(x: Array, axis: int, target: int) -> Array:
    """The maximum of each window along one axis.

    A few windows of two lengths are reduced one by one, which is faster. With many, the program would be large.
    """
    size = x.shape[axis]
    if size % target == 0 or target > _FEW:
        return _reduce(x, axis, target, larger)
    windows = [lax.slice_in_dim(x, int(start), int(end), 1, axis) for start, end in zip(*_windows(size, target))]
    return jnp.concatenate([reduce_axis(w, axis, w.shape[axis], w.shape[axis], larger) for w in windows], axis)


def _mean(x: Array, axis: int, target: int) -> Array:
    """The mean of each window along one axis."""
    starts, ends = _windows(x.shape[axis], target)
    lengths = (ends - starts).reshape(_along(axis, x.ndim))
    divisor = int(lengths.flat[0]) if np.all(lengths == lengths.flat[0]) else lengths.astype(x.dtype)
    return _reduce(x, axis, target, lax.add) / divisor


def _along(axis: int, ndim: int) -> Tuple[int, ...]:
    """The shape of a vector that is broadcast along all axes but `axis`."""
    return (-1,) + (1,) * (ndim - 1 - axis)


def _map_windows(x: Array, axis: int, target: int, operation: Callable[[Any], Any]) -> Array:
    """Call `operation` on each window along one axis. It is called once for each length."""
    starts, ends = _windows(x.shape[axis], target)
    x = jnp.moveaxis(x, axis, -1)
    places: List[Any] = []
    results: List[Array] = []
    for length in sorted(set((ends - starts).tolist())):
        chosen = np.flatnonzero(ends - starts == length)
        windows = jnp.take(x, starts[chosen, None] + np.arange(length), -1, mode="clip")
        result = jax.vmap(operation)(windows.reshape(-1, length))
        if jnp.shape(result) != (windows.size // length,):
            raise ValueError(
                "`AdaptivePool` expects `operation` to return one number for a vector of {} numbers, got shape "
                "{}.".format(length, jnp.shape(result)[1:])
            )
        results.append(result.reshape(windows.shape[:-1]))
        places.append(chosen)
    order = np.argsort(np.concatenate(places))
    return jnp.moveaxis(jnp.take(jnp.concatenate(results, -1), order, -1, mode="clip"), -1, axis)

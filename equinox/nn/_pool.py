"""`Pool`, `AvgPool1d` to `AvgPool3d` and `MaxPool1d` to `MaxPool3d`: reduce windows of one example."""

import math
from typing import Any, Callable, Optional, Sequence, Tuple

import jax.numpy as jnp
import numpy as np
from jax import core, lax

from .._compat.types import AnyArray, Array, Key
from .._module import Module, field
from .._trees.predicates import is_static_function
from ._checks import as_bool, as_size, as_sizes, check_callable, in_words
from ._dtypes import as_dtype_of, at_least_float32
from ._published import Published
from ._spatial import Padding, PaddingArgument, Pair, Sizes, as_padding, output_sizes, padding_pairs
from ._windows import as_spatial, check_ordered, larger, max_windows, reduce_windows, sum_windows


class Pool(Module):
    """Reduce each window of one example with an operation, in any number of spatial dimensions.

    The output at place `i` is `operation(... operation(operation(init, x_1), x_2) ..., x_n)` over the elements of the
    window that begins at `i * stride`. Each channel is reduced on its own. `operation` is associative, such as
    `jax.lax.add` or `jax.lax.max`. So windows share what they have in common.

    Args:
        init: The number that a reduction begins with. The padding holds it too. Usually it is neutral, such as 0 for a
            sum. For integers an infinite `init` is the least or the largest integer.
        operation: A function of two arrays, elementwise. It returns an array of their shape and dtype. It is part of
            the structure of the tree, unless it is a layer with arrays.
        num_spatial_dims: The number of spatial dimensions.
        kernel_size: The size of a window. An int stands for all spatial dimensions, here and below. A sequence has an
            item for each of them.
        stride: The step from one window to the next.
        padding: What is added before and after each dimension: an int, an int for each dimension, or a pair for each
            dimension. `"VALID"` adds nothing. `"SAME"` and `"SAME_LOWER"` add what gives `ceil(size / stride)` outputs.
            If the total is odd, `"SAME"` adds one more after the dimension, and `"SAME_LOWER"` before it. The padding
            is less than `kernel_size`, so each window has an element of the input.
        use_ceil: Whether there is also an output for a window that ends behind the padded input. Such a window begins
            inside the input, or in the padding before it.

    Shapes:
        x: `(channels, *sizes)`. The output: `(channels, *output_sizes)`. Use `jax.vmap(pool)(xs)` for a batch. An
            output size is `(size + before + after - kernel_size) // stride + 1`. Here `before` and `after` are what
            `padding` adds. If `use_ceil` is true, the division rounds up.

    PyTorch:
        It has no such layer. `use_ceil` is its `ceil_mode`.

    Raises:
        ValueError: A size is below 1, or a padding is negative.
        ValueError: A sequence hasn't one item for each spatial dimension.
        ValueError: `padding` is an unknown string, or not less than `kernel_size`.
        TypeError: `init` is no number, a size is no integer, or `use_ceil` is no bool.
        TypeError: `operation` can't be called.

    Example:
        >>> product = eqx.nn.Pool(1, jax.lax.mul, num_spatial_dims=1, kernel_size=2)
        >>> product(jnp.array([[1.0, 2.0, 3.0, 4.0]])).tolist()
        [[2.0, 6.0, 12.0]]
    """

    init: Any = field(static=True)
    operation: Callable[[Any, Any], Any] = field(static=is_static_function)
    num_spatial_dims: int = field(static=True)
    kernel_size: Tuple[int, ...] = field(static=True)
    stride: Tuple[int, ...] = field(static=True)
    padding: Padding = field(static=True)
    use_ceil: bool = field(static=True)

    __published__ = Published("init")

    def __init__(
        self,
        init: Any,
        operation: Callable[[Any, Any], Any],
        num_spatial_dims: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: PaddingArgument = 0,
        use_ceil: bool = False,
    ) -> None:
        layer = type(self).__name__
        self.init = _as_init(init, layer)
        check_callable(operation, "operation", layer)
        self.operation = operation
        self.num_spatial_dims = dimensions = as_size(num_spatial_dims, "num_spatial_dims", layer)
        self.kernel_size = as_sizes(kernel_size, dimensions, "kernel_size", layer)
        self.stride = as_sizes(stride, dimensions, "stride", layer)
        self.padding = as_padding(padding, dimensions, layer)
        _check_padding(self.padding, self.kernel_size, layer)
        self.use_ceil = as_bool(use_ceil, "use_ceil", layer)

    def __call__(self, x: AnyArray, *, key: Optional[Key] = None) -> Array:
        """Reduce the windows of one example.

        Args:
            x: An array of shape `(channels, *sizes)`.
            key: It is ignored. Every layer takes a key.

        Returns:
            An array of shape `(channels, *output_sizes)` and the dtype of `x`.

        Raises:
            ValueError: `x` has another number of axes, or a spatial axis of length 0.
            ValueError: The kernel is larger than the padded input.
            TypeError: `x` can't be made into an array.
            TypeError: `x` has integers, and `init` is no integer. Or `x` is real, and `init` is complex.
            TypeError: `operation` returns another shape or dtype.

        Example:
            >>> pool = eqx.nn.Pool(-jnp.inf, jax.lax.max, num_spatial_dims=1, kernel_size=2, stride=2)
            >>> jax.vmap(pool)(jnp.ones((5, 3, 8))).shape
            (5, 3, 4)
        """
        x = as_spatial(x, self.num_spatial_dims, self)
        y = reduce_windows(self._padded(x), self.kernel_size, self.stride, self._combine)
        return self._combine(lax.full_like(y, self._init_in(y.dtype)), y)

    def _combine(self, a: Array, b: Array) -> Array:
        """Call `operation`, and check what it returns."""
        y = self.operation(a, b)
        got = jnp.shape(y), jnp.result_type(y)
        if got != (a.shape, a.dtype):
            raise TypeError(
                "`Pool` expects `operation` to return an array like its two arguments, of shape {} and dtype {}, got "
                "shape {} and dtype {}.".format(a.shape, a.dtype, *got)
            )
        return y

    def _init_in(self, dtype: Any) -> Any:
        """`init` in `dtype`. For integers and bools an infinite one is the least or the largest."""
        value, fits = self.init, True
        if isinstance(value, complex):
            fits = jnp.issubdtype(dtype, jnp.complexfloating)
        elif not jnp.issubdtype(dtype, jnp.inexact):
            if np.isinf(value):
                least, most = (False, True) if dtype == jnp.bool_ else (jnp.iinfo(dtype).min, jnp.iinfo(dtype).max)
                value = most if value > 0 else least
            else:
                fits = not np.isnan(value) and np.asarray(value).astype(dtype) == value
        if not fits:
            raise TypeError(
                "`{}` expects `init` to be a number of the dtype of `x`, got {} for {}.".format(
                    type(self).__name__, value, dtype
                )
            )
        return np.asarray(value, dtype)

    def _pairs(self, sizes: Sequence[int]) -> Tuple[Pair, ...]:
        return padding_pairs(self.padding, sizes, self.kernel_size, self.stride)

    def _padded(self, x: Array) -> Array:
        """`x` with the padding. If `use_ceil` is true, the last window fits into it too."""
        sizes, pairs = x.shape[1:], self._pairs(x.shape[1:])
        if self.use_ceil:
            pairs = tuple(map(_up_to_last_window, sizes, pairs, self.kernel_size, self.stride))
        output_sizes(type(self).__name__, sizes, self.kernel_size, self.stride, pairs)  # an error if no window fits
        if not any(before or after for before, after in pairs):
            return x
        return lax.pad(x, self._init_in(x.dtype), ((0, 0, 0),) + tuple(pair + (0,) for pair in pairs))


class _MaxPool(Pool):
    """The maximum of each window."""

    def __init__(
        self, num_spatial_dims: int, kernel_size: Sizes, stride: Sizes, padding: PaddingArgument, use_ceil: bool
    ) -> None:
        super().__init__(-math.inf, larger, num_spatial_dims, kernel_size, stride, padding, use_ceil)

    def __call__(self, x: AnyArray, *, key: Optional[Key] = None) -> Array:
        x = as_spatial(x, self.num_spatial_dims, self)
        check_ordered(x, self)
        return max_windows(self._padded(x), self.kernel_size, self.stride)


class MaxPool1d(_MaxPool):
    """Take the maximum of each window of one sequence: `y[c, i] = max(x[c, k])` over `k` in the window.

    A NaN in a window makes the output NaN. If several elements of a window are the largest, the gradient belongs to the
    first of them, in the order of `numpy.ravel`.

    Args:
        kernel_size: The size of a window.
        stride: The step from one window to the next. PyTorch's default is `kernel_size`, this one is 1.
        padding: What is added before and after the input: an int, or `((before, after),)`. `"VALID"` adds nothing.
            `"SAME"` and `"SAME_LOWER"` add what gives `ceil(length / stride)` outputs. If the total is odd, `"SAME"`
            adds one more at the end, and `"SAME_LOWER"` at the beginning. The padding is less than `kernel_size`, so
            each window has an element of the input.
        use_ceil: Whether there is also an output for a window that ends behind the padded input. Such a window begins
            inside the input, or in the padding before it.

    Shapes:
        x: `(channels, length)`. The output: `(channels, output_length)`. Use `jax.vmap(pool)(xs)` for a batch. The
            output length is `(length + before + after - kernel_size) // stride + 1`. Here `before` and `after` are what
            `padding` adds. If `use_ceil` is true, the division rounds up.

    PyTorch:
        `torch.nn.MaxPool1d(kernel_size, stride, padding, ceil_mode=use_ceil)`. Its padding is at most half of
        `kernel_size`.

    Raises:
        ValueError: A size is below 1, or a padding is negative.
        ValueError: A sequence hasn't one item for each spatial dimension.
        ValueError: `padding` is an unknown string, or not less than `kernel_size`.
        TypeError: A size is no integer, or `use_ceil` is no bool.

    Example:
        >>> pool = eqx.nn.MaxPool1d(kernel_size=2, stride=2)
        >>> pool(jnp.array([[1.0, 4.0, 3.0, 2.0]])).tolist()
        [[4.0, 3.0]]
    """

    def __init__(
        self, kernel_size: Sizes, stride: Sizes = 1, padding: PaddingArgument = 0, use_ceil: bool = False
    ) -> None:
        super().__init__(1, kernel_size, stride, padding, use_ceil)


class MaxPool2d(_MaxPool):
    """Take the maximum of each window of one image: `y[c, i, j] = max(x[c, k, l])` over `k, l` in the window.

    A NaN in a window makes the output NaN. If several elements of a window are the largest, the gradient belongs to the
    first of them, in the order of `numpy.ravel`.

    Args:
        kernel_size: The size of a window. An int stands for both dimensions, here and below. A sequence has an
            item for each of them.
        stride: The step from one window to the next. PyTorch's default is `kernel_size`, this one is 1.
        padding: What is added before and after each dimension: an int, an int for each dimension, or a pair for each
            dimension. `"VALID"` adds nothing. `"SAME"` and `"SAME_LOWER"` add what gives `ceil(size / stride)` outputs.
            If the total is odd, `"SAME"` adds one more after the dimension, and `"SAME_LOWER"` before it. The padding
            is less than `kernel_size`, so each window has an element of the input.
        use_ceil: Whether there is also an output for a window that ends behind the padded input. Such a window begins
            inside the input, or in the padding before it.

    Shapes:
        x: `(channels, height, width)`. The output: `(channels, output_height, output_width)`. Use
            `jax.vmap(pool)(xs)` for a batch. An output size is `(size + before + after - kernel_size) // stride + 1`.
            Here `before` and `after` are what `padding` adds. If `use_ceil` is true, the division rounds up.

    PyTorch:
        `torch.nn.MaxPool2d(kernel_size, stride, padding, ceil_mode=use_ceil)`. Its padding is at most half of
        `kernel_size`.

    Raises:
        ValueError: A size is below 1, or a padding is negative.
        ValueError: A sequence hasn't one item for each spatial dimension.
        ValueError: `padding` is an unknown string, or not less than `kernel_size`.
        TypeError: A size is no integer, or `use_ceil` is no bool.

    Example:
        >>> pool = eqx.nn.MaxPool2d(kernel_size=2, stride=2)
        >>> pool(jnp.ones((3, 28, 28))).shape
        (3, 14, 14)
    """

    def __init__(
        self, kernel_size: Sizes, stride: Sizes = 1, padding: PaddingArgument = 0, use_ceil: bool = False
    ) -> None:
        super().__init__(2, kernel_size, stride, padding, use_ceil)


class MaxPool3d(_MaxPool):
    """Take the maximum of each window of one volume: `y[c, i, j, m] = max(x[c, k, l, n])` over `k, l, n` in the window.

    A NaN in a window makes the output NaN. If several elements of a window are the largest, the gradient belongs to the
    first of them, in the order of `numpy.ravel`.

    Args:
        kernel_size: The size of a window. An int stands for all three dimensions, here and below. A sequence has an
            item for each of them.
        stride: The step from one window to the next. PyTorch's default is `kernel_size`, this one is 1.
        padding: What is added before and after each dimension: an int, an int for each dimension, or a pair for each
            dimension. `"VALID"` adds nothing. `"SAME"` and `"SAME_LOWER"` add what gives `ceil(size / stride)` outputs.
            If the total is odd, `"SAME"` adds one more after the dimension, and `"SAME_LOWER"` before it. The padding
            is less than `kernel_size`, so each window has an element of the input.
        use_ceil: Whether there is also an output for a window that ends behind the padded input. Such a window begins
            inside the input, or in the padding before it.

    Shapes:
        x: `(channels, depth, height, width)`. The output: `(channels, *output_sizes)`. Use `jax.vmap(pool)(xs)` for a
            batch. An output size is `(size + before + after - kernel_size) // stride + 1`. Here `before` and `after`
            are what `padding` adds. If `use_ceil` is true, the division rounds up.

    PyTorch:
        `torch.nn.MaxPool3d(kernel_size, stride, padding, ceil_mode=use_ceil)`. Its padding is at most half of
        `kernel_size`.

    Raises:
        ValueError: A size is below 1, or a padding is negative.
        ValueError: A sequence hasn't one item for each spatial dimension.
        ValueError: `padding` is an unknown string, or not less than `kernel_size`.
        TypeError: A size is no integer, or `use_ceil` is no bool.

    Example:
        >>> pool = eqx.nn.MaxPool3d(kernel_size=2, stride=2)
        >>> pool(jnp.ones((2, 8, 8, 8))).shape
        (2, 4, 4, 4)
    """

    def __init__(
        self, kernel_size: Sizes, stride: Sizes = 1, padding: PaddingArgument = 0, use_ceil: bool = False
    ) -> None:
        super().__init__(3, kernel_size, stride, padding, use_ceil)


class _AvgPool(Pool):
    """The average of each window."""

    count_include_pad: bool = field(static=True)

    def __init__(
        self,
        num_spatial_dims: int,
        kernel_size: Sizes,
        stride: Sizes,
        padding: PaddingArgument,
        use_ceil: bool,
        count_include_pad: bool,
    ) -> None:
        super().__init__(0, lax.add, num_spatial_dims, kernel_size, stride, padding, use_ceil)
        self.count_include_pad = as_bool(count_include_pad, "count_include_pad", type(self).__name__)

    def __call__(self, x: AnyArray, *, key: Optional[Key] = None) -> Array:
        x = as_spatial(x, self.num_spatial_dims, self)
        padded = self._padded(at_least_float32(x))
        mean = self._divide(sum_windows(padded, self.kernel_size, self.stride), x.shape[1:])
        return as_dtype_of(mean, x.dtype) if jnp.issubdtype(x.dtype, jnp.inexact) else mean

    def _divide(self, total: Array, sizes: Sequence[int]) -> Array:
        """Divide the sum over each window by the number of its elements. It differs only at a border."""
        everywhere = 1
        for i, (size, (before, after)) in enumerate(zip(sizes, self._pairs(sizes))):
            begin, end = (-before, size + after) if self.count_include_pad else (0, size)
            starts = np.arange(total.shape[i + 1]) * self.stride[i] - before
            counts = np.minimum(starts + self.kernel_size[i], end) - np.maximum(starts, begin)
            if np.all(counts == counts[0]):
                everywhere *= int(counts[0])
            else:
                total = total / counts.astype(total.dtype).reshape((-1,) + (1,) * (len(sizes) - 1 - i))
        return total / everywhere


class AvgPool1d(_AvgPool):
    """Average each window of one sequence: `y[c, i] = mean(x[c, k])` over `k` in the window.

    The sum is computed in at least float32. An input of integers has an output of floating-point numbers.

    Args:
        kernel_size: The size of a window.
        stride: The step from one window to the next. PyTorch's default is `kernel_size`, this one is 1.
        padding: What is added before and after the input: an int, or `((before, after),)`. `"VALID"` adds nothing.
            `"SAME"` and `"SAME_LOWER"` add what gives `ceil(length / stride)` outputs. If the total is odd, `"SAME"`
            adds one more at the end, and `"SAME_LOWER"` at the beginning. The padding is less than `kernel_size`, so
            each window has an element of the input.
        use_ceil: Whether there is also an output for a window that ends behind the padded input. Such a window begins
            inside the input, or in the padding before it. What is behind the padding isn't counted, as in PyTorch.
        count_include_pad: Whether the zeros of the padding count as elements. Otherwise a window at the border is the
            average of its elements of the input.

    Shapes:
        x: `(channels, length)`. The output: `(channels, output_length)`. Use `jax.vmap(pool)(xs)` for a batch. The
            output length is `(length + before + after - kernel_size) // stride + 1`. Here `before` and `after` are what
            `padding` adds. If `use_ceil` is true, the division rounds up.

    PyTorch:
        `torch.nn.AvgPool1d(kernel_size, stride, padding, ceil_mode=use_ceil, count_include_pad=...)`. Its padding is at
        most half of `kernel_size`.
        The published Equinox divides each sum by the size of the kernel, also if `use_ceil` cuts the window.

    Raises:
        ValueError: A size is below 1, or a padding is negative.
        ValueError: A sequence hasn't one item for each spatial dimension.
        ValueError: `padding` is an unknown string, or not less than `kernel_size`.
        TypeError: A size is no integer, or `use_ceil` or `count_include_pad` is no bool.

    Example:
        >>> pool = eqx.nn.AvgPool1d(kernel_size=2, stride=2)
        >>> pool(jnp.array([[1.0, 3.0, 5.0, 2.0]])).tolist()
        [[2.0, 3.5]]
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: PaddingArgument = 0,
        use_ceil: bool = False,
        *,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(1, kernel_size, stride, padding, use_ceil, count_include_pad)


class AvgPool2d(_AvgPool):
    """Average each window of one image: `y[c, i, j] = mean(x[c, k, l])` over `k, l` in the window.

    The sum is computed in at least float32. An input of integers has an output of floating-point numbers.

    Args:
        kernel_size: The size of a window. An int stands for both dimensions, here and below. A sequence has an
            item for each of them.
        stride: The step from one window to the next. PyTorch's default is `kernel_size`, this one is 1.
        padding: What is added before and after each dimension: an int, an int for each dimension, or a pair for each
            dimension. `"VALID"` adds nothing. `"SAME"` and `"SAME_LOWER"` add what gives `ceil(size / stride)` outputs.
            If the total is odd, `"SAME"` adds one more after the dimension, and `"SAME_LOWER"` before it. The padding
            is less than `kernel_size`, so each window has an element of the input.
        use_ceil: Whether there is also an output for a window that ends behind the padded input. Such a window begins
            inside the input, or in the padding before it. What is behind the padding isn't counted, as in PyTorch.
        count_include_pad: Whether the zeros of the padding count as elements. Otherwise a window at the border is the
            average of its elements of the input.

    Shapes:
        x: `(channels, height, width)`. The output: `(channels, output_height, output_width)`. Use
            `jax.vmap(pool)(xs)` for a batch. An output size is `(size + before + after - kernel_size) // stride + 1`.
            Here `before` and `after` are what `padding` adds. If `use_ceil` is true, the division rounds up.

    PyTorch:
        `torch.nn.AvgPool2d(kernel_size, stride, padding, ceil_mode=use_ceil, count_include_pad=...)`. Its padding is at
        most half of `kernel_size`.
        The published Equinox divides each sum by the size of the kernel, also if `use_ceil` cuts the window.

    Raises:
        ValueError: A size is below 1, or a padding is negative.
        ValueError: A sequence hasn't one item for each spatial dimension.
        ValueError: `padding` is an unknown string, or not less than `kernel_size`.
        TypeError: A size is no integer, or `use_ceil` or `count_include_pad` is no bool.

    Example:
        >>> pool = eqx.nn.AvgPool2d(kernel_size=2, stride=2)
        >>> pool(jnp.ones((3, 28, 28))).shape
        (3, 14, 14)
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: PaddingArgument = 0,
        use_ceil: bool = False,
        *,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(2, kernel_size, stride, padding, use_ceil, count_include_pad)


class AvgPool3d(_AvgPool):
    """Average each window of one volume: `y[c, i, j, m] = mean(x[c, k, l, n])` over `k, l, n` in the window.

    The sum is computed in at least float32. An input of integers has an output of floating-point numbers.

    Args:
        kernel_size: The size of a window. An int stands for all three dimensions, here and below. A sequence has an
            item for each of them.
        stride: The step from one window to the next. PyTorch's default is `kernel_size`, this one is 1.
        padding: What is added before and after each dimension: an int, an int for each dimension, or a pair for each
            dimension. `"VALID"` adds nothing. `"SAME"` and `"SAME_LOWER"` add what gives `ceil(size / stride)` outputs.
            If the total is odd, `"SAME"` adds one more after the dimension, and `"SAME_LOWER"` before it. The padding
            is less than `kernel_size`, so each window has an element of the input.
        use_ceil: Whether there is also an output for a window that ends behind the padded input. Such a window begins
            inside the input, or in the padding before it. What is behind the padding isn't counted, as in PyTorch.
        count_include_pad: Whether the zeros of the padding count as elements. Otherwise a window at the border is the
            average of its elements of the input.

    Shapes:
        x: `(channels, depth, height, width)`. The output: `(channels, *output_sizes)`. Use `jax.vmap(pool)(xs)` for a
            batch. An output size is `(size + before + after - kernel_size) // stride + 1`. Here `before` and `after`
            are what `padding` adds. If `use_ceil` is true, the division rounds up.

    PyTorch:
        `torch.nn.AvgPool3d(kernel_size, stride, padding, ceil_mode=use_ceil, count_include_pad=...)`. Its padding is at
        most half of `kernel_size`.
        The published Equinox divides each sum by the size of the kernel, also if `use_ceil` cuts the window.

    Raises:
        ValueError: A size is below 1, or a padding is negative.
        ValueError: A sequence hasn't one item for each spatial dimension.
        ValueError: `padding` is an unknown string, or not less than `kernel_size`.
        TypeError: A size is no integer, or `use_ceil` or `count_include_pad` is no bool.

    Example:
        >>> pool = eqx.nn.AvgPool3d(kernel_size=2, stride=2)
        >>> pool(jnp.ones((2, 8, 8, 8))).shape
        (2, 4, 4, 4)
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: PaddingArgument = 0,
        use_ceil: bool = False,
        *,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(3, kernel_size, stride, padding, use_ceil, count_include_pad)


def _as_init(value: Any, layer: str) -> Any:
    """`value`, the argument `init` of `layer`, as a Python number."""
    number = isinstance(value, (bool, int, float, complex, np.generic))
    if not number and (getattr(value, "shape", None) != () or isinstance(value, core.Tracer)):
        raise TypeError("`{}` expects `init` to be a number, got {}.".format(layer, in_words(value)))
    return np.asarray(value).item()


def _check_padding(padding: Padding, kernel_size: Sequence[int], layer: str) -> None:
    if isinstance(padding, str):
        return
    if any(max(pair) >= size for pair, size in zip(padding, kernel_size)):
        raise ValueError(
            "`{}` expects `padding` to be less than `kernel_size`, so that each window has an element of the input. "
            "Got `padding` {} and `kernel_size` {}.".format(layer, padding, tuple(kernel_size))
        )


def _up_to_last_window(size: int, pair: Pair, kernel: int, stride: int) -> Pair:
    """The padding of a dimension, with what the last window needs. It begins before the end of the input."""
    before, after = pair
    last = -((kernel - before - size - after) // stride) * stride
    if last >= before + size:
        last -= stride
    return (before, after) if last < 0 else (before, max(after, last + kernel - before - size))

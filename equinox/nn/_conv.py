"""`Conv` and `Conv1d`, `Conv2d`, `Conv3d`: convolution of one example."""

from typing import Any, Optional

import jax.numpy as jnp
from jax import lax

from .._compat.types import AnyArray, Array, Key
from ._convolution import PADDING_MODES, Convolution
from ._dtypes import match_dtypes
from ._parameters import Initialiser
from ._spatial import PaddingArgument, Sizes, output_sizes, padding_pairs


class Conv(Convolution):
    """Convolve one example with a kernel, in any number of spatial dimensions.

    In one dimension, with the sum over the channels `c` of the group of `o` and over the places `k` of the kernel:
    `y[o, i] = bias[o] + sum(weight[o, c, k] * padded_x[c, i * stride + k * dilation])`. The kernel isn't flipped.

    Args:
        num_spatial_dims: The number of spatial dimensions.
        in_channels: The number of input channels.
        out_channels: The number of output channels.
        kernel_size: The size of the kernel. An int stands for all spatial dimensions, here and below. A sequence has an
            item for each of them.
        stride: The step from one place of the kernel to the next.
        padding: What is added before and after each dimension: an int, an int for each dimension, or a pair for each
            dimension. `"VALID"` adds nothing. `"SAME"` and `"SAME_LOWER"` add what gives `ceil(size / stride)` outputs.
            If the total is odd, `"SAME"` adds one more after the dimension, and `"SAME_LOWER"` before it.
        dilation: The step from one element of the kernel to the next.
        groups: The number of groups of channels. Each group has its own kernels. If it is `in_channels`, the
            convolution is depthwise.
        use_bias: Whether to add a bias. Without it the field `bias` is `None`.
        padding_mode: What the padding holds. `"ZEROS"`: zeros. `"REFLECT"`: `1234` becomes `32123432`. `"REPLICATE"`:
            `11123444`. `"CIRCULAR"`: `34123412`.
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        weight_init: A function that makes the weight, such as `jax.nn.initializers.he_normal()`. It sees the weight in
            JAX's layout, `(*kernel_size, in_channels // groups, out_channels)`.
        bias_init: A function that makes the bias, such as `jax.nn.initializers.zeros`.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        x: `(in_channels, *sizes)`. The output: `(out_channels, *output_sizes)`. Use `jax.vmap(conv)(xs)` for a batch.
            An output size is `(size + before + after - dilation * (kernel_size - 1) - 1) // stride + 1`. Here `before`
            and `after` are what `padding` adds.
        weight: `(out_channels, in_channels // groups, *kernel_size)`. bias: `(out_channels, 1, ...)` with a 1 for each
            spatial dimension.

    Initialisation:
        Weight and bias are uniform in `(-b, b)` with `b = 1 / sqrt(in_channels // groups * product(kernel_size))`, as
        in PyTorch.

    PyTorch:
        `torch.nn.Conv1d`, `Conv2d` and `Conv3d`. The weight has the same shape. Give the bias of PyTorch a 1 for each
        spatial dimension: `bias.reshape(-1, 1, 1)` in two dimensions.
        PyTorch refuses a padding that is longer than the input in the mode `"CIRCULAR"`, or as long as the input in the
        mode `"REFLECT"`. Here the pattern goes on.

    Source:
        Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.

    Raises:
        ValueError: A size is below 1, or a padding is negative.
        ValueError: A sequence hasn't one item for each spatial dimension.
        ValueError: `groups` doesn't divide the numbers of channels.
        ValueError: `padding` or `padding_mode` is an unknown string.
        ValueError: `dtype` is not floating-point or complex.
        ValueError: An initialiser fails, or returns another shape.
        TypeError: A size is no integer, `use_bias` is no bool, `padding_mode` is no string, or `dtype` is no dtype.
        TypeError: An initialiser can't be called, or `key` is no PRNG key.

    Example:
        >>> conv = eqx.nn.Conv(4, 2, 3, kernel_size=2, key=jax.random.PRNGKey(0))
        >>> conv(jnp.ones((2, 4, 4, 4, 4))).shape
        (3, 3, 3, 3, 3)
    """

    def __init__(
        self,
        num_spatial_dims: int,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: PaddingArgument = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        use_bias: bool = True,
        padding_mode: str = "ZEROS",
        dtype: Any = None,
        *,
        weight_init: Optional[Initialiser] = None,
        bias_init: Optional[Initialiser] = None,
        key: Key,
    ) -> None:
        super().__init__(
            num_spatial_dims,
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            use_bias,
            padding_mode,
            dtype,
            weight_init,
            bias_init,
            key,
        )

    def __call__(self, x: AnyArray, *, key: Optional[Key] = None) -> Array:
        """Convolve one example.

        Args:
            x: An array of shape `(in_channels, *sizes)`.
            key: It is ignored. Every layer takes a key.

        Returns:
            An array of shape `(out_channels, *output_sizes)`. It has the dtype of `x` if that is floating-point or
            complex.

        Raises:
            ValueError: `x` has another shape.
            ValueError: The kernel is larger than the padded input.
            ValueError: A spatial axis of length 0 is padded, and `padding_mode` isn't `"ZEROS"`.
            ValueError: The layer is a stack of layers, as `jax.vmap` over the construction makes it.
            TypeError: `x` can't be made into an array.

        Example:
            >>> conv = eqx.nn.Conv(1, 2, 3, kernel_size=3, padding="SAME", key=jax.random.PRNGKey(0))
            >>> jax.vmap(conv)(jnp.ones((5, 2, 8))).shape
            (5, 3, 8)
        """
        input, weight, bias = match_dtypes(self._as_input(x), self.weight, self.bias)
        sizes, extent = input.shape[1:], self._extent()
        pairs = padding_pairs(self.padding, sizes, extent, self.stride)
        output_sizes(type(self).__name__, sizes, extent, self.stride, pairs)  # an error if the kernel doesn't fit
        if self.padding_mode != "ZEROS":
            if any(n == 0 and pair != (0, 0) for n, pair in zip(sizes, pairs)):
                raise ValueError(
                    "`{}` with `padding_mode={!r}` expects `x` to have no spatial axis of length 0, which has nothing "
                    "to copy, got shape {}. The mode 'ZEROS' takes it.".format(
                        type(self).__name__, self.padding_mode, input.shape
                    )
                )
            input = jnp.pad(input, ((0, 0),) + pairs, mode=PADDING_MODES[self.padding_mode])
            pairs = ((0, 0),) * len(sizes)
        y = lax.conv_general_dilated(
            input[None], weight, self.stride, pairs, rhs_dilation=self.dilation, feature_group_count=self.groups
        )
        y = jnp.squeeze(y, 0)
        return y if bias is None else y + bias


# Each class below has its own `__init__`. Without it, type checkers would take the fields for its arguments, as they do
# for a dataclass. The same holds for `ConvTranspose1d`, ..., and for the pools.


class Conv1d(Conv):
    """Convolve one sequence with a kernel: `Conv` in one dimension.

    Args:
        in_channels: The number of input channels.
        out_channels: The number of output channels.
        kernel_size: The size of the kernel.
        stride: The step from one place of the kernel to the next.
        padding: What is added before and after the input: an int, or `((before, after),)`. `"VALID"` adds nothing.
            `"SAME"` and `"SAME_LOWER"` add what gives `ceil(length / stride)` outputs. If the total is odd, `"SAME"`
            adds one more at the end, and `"SAME_LOWER"` at the beginning.
        dilation: The step from one element of the kernel to the next.
        groups: The number of groups of channels. Each group has its own kernels. If it is `in_channels`, the
            convolution is depthwise.
        use_bias: Whether to add a bias. Without it the field `bias` is `None`.
        padding_mode: What the padding holds. `"ZEROS"`: zeros. `"REFLECT"`: `1234` becomes `32123432`. `"REPLICATE"`:
            `11123444`. `"CIRCULAR"`: `34123412`.
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        weight_init: A function that makes the weight, such as `jax.nn.initializers.he_normal()`. It sees the weight in
            JAX's layout, `(kernel_size, in_channels // groups, out_channels)`.
        bias_init: A function that makes the bias, such as `jax.nn.initializers.zeros`.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        x: `(in_channels, length)`. The output: `(out_channels, output_length)`. Use
            `jax.vmap(conv)(xs)` for a batch. An output size is
            `(size + before + after - dilation * (kernel_size - 1) - 1) // stride + 1`. Here `before` and `after` are
            what `padding` adds.
        weight: `(out_channels, in_channels // groups, kernel_size)`. bias: `(out_channels, 1)`.

    Initialisation:
        Weight and bias are uniform in `(-b, b)` with `b = 1 / sqrt(in_channels // groups * kernel_size)`, as
        in PyTorch.

    PyTorch:
        `torch.nn.Conv1d`. The weight has the same shape. The bias of PyTorch is `bias.reshape(-1)`.
        PyTorch refuses a padding that is longer than the input in the mode `"CIRCULAR"`, or as long as the input in the
        mode `"REFLECT"`. Here the pattern goes on.

    Source:
        Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.

    Raises:
        ValueError: A size is below 1, or a padding is negative.
        ValueError: A sequence hasn't one item for each spatial dimension.
        ValueError: `groups` doesn't divide the numbers of channels.
        ValueError: `padding` or `padding_mode` is an unknown string.
        ValueError: `dtype` is not floating-point or complex.
        ValueError: An initialiser fails, or returns another shape.
        TypeError: A size is no integer, `use_bias` is no bool, `padding_mode` is no string, or `dtype` is no dtype.
        TypeError: An initialiser can't be called, or `key` is no PRNG key.

    Example:
        >>> conv = eqx.nn.Conv1d(2, 3, kernel_size=3, key=jax.random.PRNGKey(0))
        >>> conv(jnp.ones((2, 10))).shape
        (3, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: PaddingArgument = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        use_bias: bool = True,
        padding_mode: str = "ZEROS",
        dtype: Any = None,
        *,
        weight_init: Optional[Initialiser] = None,
        bias_init: Optional[Initialiser] = None,
        key: Key,
    ) -> None:
        super().__init__(
            1,
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            use_bias,
            padding_mode,
            dtype,
            weight_init=weight_init,
            bias_init=bias_init,
            key=key,
        )


class Conv2d(Conv):
    """Convolve one image with a kernel: `Conv` in two dimensions.

    Args:
        in_channels: The number of input channels.
        out_channels: The number of output channels.
        kernel_size: The size of the kernel. An int stands for both dimensions, here and below. A sequence has an item
            for each of them.
        stride: The step from one place of the kernel to the next.
        padding: What is added before and after each dimension: an int, an int for each dimension, or a pair for each
            dimension. `"VALID"` adds nothing. `"SAME"` and `"SAME_LOWER"` add what gives `ceil(size / stride)` outputs.
            If the total is odd, `"SAME"` adds one more after the dimension, and `"SAME_LOWER"` before it.
        dilation: The step from one element of the kernel to the next.
        groups: The number of groups of channels. Each group has its own kernels. If it is `in_channels`, the
            convolution is depthwise.
        use_bias: Whether to add a bias. Without it the field `bias` is `None`.
        padding_mode: What the padding holds. `"ZEROS"`: zeros. `"REFLECT"`: `1234` becomes `32123432`. `"REPLICATE"`:
            `11123444`. `"CIRCULAR"`: `34123412`.
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        weight_init: A function that makes the weight, such as `jax.nn.initializers.he_normal()`. It sees the weight in
            JAX's layout, `(*kernel_size, in_channels // groups, out_channels)`.
        bias_init: A function that makes the bias, such as `jax.nn.initializers.zeros`.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        x: `(in_channels, height, width)`. The output: `(out_channels, output_height, output_width)`. Use
            `jax.vmap(conv)(xs)` for a batch. An output size is
            `(size + before + after - dilation * (kernel_size - 1) - 1) // stride + 1`. Here `before` and `after` are
            what `padding` adds.
        weight: `(out_channels, in_channels // groups, *kernel_size)`. bias: `(out_channels, 1, 1)`.

    Initialisation:
        Weight and bias are uniform in `(-b, b)` with `b = 1 / sqrt(in_channels // groups * product(kernel_size))`, as
        in PyTorch.

    PyTorch:
        `torch.nn.Conv2d`. The weight has the same shape. The bias of PyTorch is `bias.reshape(-1)`.
        PyTorch refuses a padding that is longer than the input in the mode `"CIRCULAR"`, or as long as the input in the
        mode `"REFLECT"`. Here the pattern goes on.

    Source:
        Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.

    Raises:
        ValueError: A size is below 1, or a padding is negative.
        ValueError: A sequence hasn't one item for each spatial dimension.
        ValueError: `groups` doesn't divide the numbers of channels.
        ValueError: `padding` or `padding_mode` is an unknown string.
        ValueError: `dtype` is not floating-point or complex.
        ValueError: An initialiser fails, or returns another shape.
        TypeError: A size is no integer, `use_bias` is no bool, `padding_mode` is no string, or `dtype` is no dtype.
        TypeError: An initialiser can't be called, or `key` is no PRNG key.

    Example:
        >>> conv = eqx.nn.Conv2d(1, 8, kernel_size=3, stride=2, padding="SAME", key=jax.random.PRNGKey(0))
        >>> conv(jnp.ones((1, 28, 28))).shape
        (8, 14, 14)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: PaddingArgument = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        use_bias: bool = True,
        padding_mode: str = "ZEROS",
        dtype: Any = None,
        *,
        weight_init: Optional[Initialiser] = None,
        bias_init: Optional[Initialiser] = None,
        key: Key,
    ) -> None:
        super().__init__(
            2,
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            use_bias,
            padding_mode,
            dtype,
            weight_init=weight_init,
            bias_init=bias_init,
            key=key,
        )


class Conv3d(Conv):
    """Convolve one volume with a kernel: `Conv` in three dimensions.

    Args:
        in_channels: The number of input channels.
        out_channels: The number of output channels.
        kernel_size: The size of the kernel. An int stands for all three dimensions, here and below. A sequence has an
            item for each of them.
        stride: The step from one place of the kernel to the next.
        padding: What is added before and after each dimension: an int, an int for each dimension, or a pair for each
            dimension. `"VALID"` adds nothing. `"SAME"` and `"SAME_LOWER"` add what gives `ceil(size / stride)` outputs.
            If the total is odd, `"SAME"` adds one more after the dimension, and `"SAME_LOWER"` before it.
        dilation: The step from one element of the kernel to the next.
        groups: The number of groups of channels. Each group has its own kernels. If it is `in_channels`, the
            convolution is depthwise.
        use_bias: Whether to add a bias. Without it the field `bias` is `None`.
        padding_mode: What the padding holds. `"ZEROS"`: zeros. `"REFLECT"`: `1234` becomes `32123432`. `"REPLICATE"`:
            `11123444`. `"CIRCULAR"`: `34123412`.
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        weight_init: A function that makes the weight, such as `jax.nn.initializers.he_normal()`. It sees the weight in
            JAX's layout, `(*kernel_size, in_channels // groups, out_channels)`.
        bias_init: A function that makes the bias, such as `jax.nn.initializers.zeros`.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        x: `(in_channels, depth, height, width)`. The output: `(out_channels, *output_sizes)`. Use
            `jax.vmap(conv)(xs)` for a batch. An output size is
            `(size + before + after - dilation * (kernel_size - 1) - 1) // stride + 1`. Here `before` and `after` are
            what `padding` adds.
        weight: `(out_channels, in_channels // groups, *kernel_size)`. bias: `(out_channels, 1, 1, 1)`.

    Initialisation:
        Weight and bias are uniform in `(-b, b)` with `b = 1 / sqrt(in_channels // groups * product(kernel_size))`, as
        in PyTorch.

    PyTorch:
        `torch.nn.Conv3d`. The weight has the same shape. The bias of PyTorch is `bias.reshape(-1)`.
        PyTorch refuses a padding that is longer than the input in the mode `"CIRCULAR"`, or as long as the input in the
        mode `"REFLECT"`. Here the pattern goes on.

    Source:
        Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.

    Raises:
        ValueError: A size is below 1, or a padding is negative.
        ValueError: A sequence hasn't one item for each spatial dimension.
        ValueError: `groups` doesn't divide the numbers of channels.
        ValueError: `padding` or `padding_mode` is an unknown string.
        ValueError: `dtype` is not floating-point or complex.
        ValueError: An initialiser fails, or returns another shape.
        TypeError: A size is no integer, `use_bias` is no bool, `padding_mode` is no string, or `dtype` is no dtype.
        TypeError: An initialiser can't be called, or `key` is no PRNG key.

    Example:
        >>> conv = eqx.nn.Conv3d(1, 2, kernel_size=3, padding=1, key=jax.random.PRNGKey(0))
        >>> conv(jnp.ones((1, 8, 8, 8))).shape
        (2, 8, 8, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: PaddingArgument = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        use_bias: bool = True,
        padding_mode: str = "ZEROS",
        dtype: Any = None,
        *,
        weight_init: Optional[Initialiser] = None,
        bias_init: Optional[Initialiser] = None,
        key: Key,
    ) -> None:
        super().__init__(
            3,
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            use_bias,
            padding_mode,
            dtype,
            weight_init=weight_init,
            bias_init=bias_init,
            key=key,
        )

"""`ConvTranspose` and `ConvTranspose1d`, `ConvTranspose2d`, `ConvTranspose3d`: the transpose of a convolution."""

from typing import Any, Dict, Optional, Sequence, Tuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._compat.types import AnyArray, Array, Key
from .._module import field
from ._checks import as_sizes
from ._convolution import PADDING_MODES, Convolution
from ._dtypes import match_dtypes
from ._parameters import Initialiser
from ._published import Published
from ._spatial import PaddingArgument, Pair, Sizes, padding_pairs
from ._torch_layout import changed


def _flip(layer: Any, weight: Any) -> Tuple[Any]:
    """The published layer has the kernel in the opposite order."""
    if weight is None or weight.ndim < layer.num_spatial_dims:
        return (weight,)  # that of another tree of this structure, such as the state of an optimiser
    return (np.flip(weight, tuple(range(-layer.num_spatial_dims, 0))),)


class ConvTranspose(Convolution):
    """Apply the transpose of a convolution to one example, in any number of spatial dimensions.

    A convolution is a linear map. This layer is the transpose of the `Conv` with the same options that goes from
    `out_channels` to `in_channels`. In one dimension and without padding it is
    `y[o, j] = bias[o] + sum(weight[o, c, k] * x[c, i])`. The sum is over the channels `c` of the group of `o`, and over
    all places `i` and `k` with `i * stride + k * dilation == j`.

    Args:
        num_spatial_dims: The number of spatial dimensions.
        in_channels: The number of input channels.
        out_channels: The number of output channels.
        kernel_size: The size of the kernel. An int stands for all spatial dimensions, here and below. A sequence has an
            item for each of them.
        stride: The stride of the convolution: the step from the place of one input to the next in the output.
        padding: The padding of the convolution: an int, an int for each dimension, or a pair for each dimension. It
            makes the output smaller. `"VALID"` is no padding. `"SAME"` and `"SAME_LOWER"` make the output
            `stride * size - output_padding`.
        output_padding: A convolution with a stride gives outputs of one size for inputs of several sizes. This number
            chooses one of these sizes: it is added at the end of each dimension of the output of the transpose. With
            `"SAME"` and `"SAME_LOWER"` it is subtracted from the size.
        dilation: The step from one element of the kernel to the next.
        groups: The number of groups of channels. Each group has its own kernels.
        use_bias: Whether to add a bias. Without it the field `bias` is `None`.
        padding_mode: What the padding of the convolution holds: `"ZEROS"`, `"REFLECT"`, `"REPLICATE"` or `"CIRCULAR"`.
            In all other modes, what falls on the padding is added to the elements that it copies.
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        weight_init: A function that makes the weight, such as `jax.nn.initializers.he_normal()`. It sees the weight in
            JAX's layout, `(*kernel_size, in_channels // groups, out_channels)`.
        bias_init: A function that makes the bias, such as `jax.nn.initializers.zeros`.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        x: `(in_channels, *sizes)`. The output: `(out_channels, *output_sizes)`. Use `jax.vmap(conv)(xs)` for a batch.
            An output size is
            `(size - 1) * stride - before - after + dilation * (kernel_size - 1) + 1 + output_padding`. Here `before`
            and `after` are what `padding` adds.
        weight: `(out_channels, in_channels // groups, *kernel_size)`. bias: `(out_channels, 1, ...)` with a 1 for each
            spatial dimension.

    Initialisation:
        Weight and bias are uniform in `(-b, b)` with `b = 1 / sqrt(out_channels // groups * product(kernel_size))`, as
        in PyTorch.

    PyTorch:
        `torch.nn.ConvTranspose1d`, `ConvTranspose2d` and `ConvTranspose3d`. Their weight has the shape
        `(in_channels, out_channels // groups, *kernel_size)`. Without groups ours is `jnp.swapaxes(weight, 0, 1)`. With
        groups, swap the axes in each group: reshape to `(groups, in_channels // groups, out_channels // groups, ...)`,
        swap the axes 1 and 2, and reshape to the shape above. The weight of a `Conv` becomes that of its transpose in
        the same way. The published Equinox has the kernel in the opposite order: use `jnp.flip` on the spatial axes.

    Source:
        Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.

    Raises:
        ValueError: A size is below 1, or a padding is negative.
        ValueError: A sequence hasn't one item for each spatial dimension.
        ValueError: `output_padding` isn't smaller than the stride or the dilation.
        ValueError: `groups` doesn't divide the numbers of channels.
        ValueError: `padding` or `padding_mode` is an unknown string.
        ValueError: `dtype` is not floating-point or complex.
        ValueError: An initialiser fails, or returns another shape.
        TypeError: A size is no integer, `use_bias` is no bool, `padding_mode` is no string, or `dtype` is no dtype.
        TypeError: An initialiser can't be called, or `key` is no PRNG key.

    Example:
        >>> conv = eqx.nn.ConvTranspose(4, 2, 3, kernel_size=2, key=jax.random.PRNGKey(0))
        >>> conv(jnp.ones((2, 3, 3, 3, 3))).shape
        (3, 4, 4, 4, 4)
    """

    output_padding: Tuple[int, ...] = field(static=True)

    __published__ = Published("weight", to=_flip, back=_flip)

    def __init__(
        self,
        num_spatial_dims: int,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: PaddingArgument = 0,
        output_padding: Sizes = 0,
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
        self.output_padding = self._as_output_padding(output_padding)

    def _torch_names(self) -> Dict[str, Any]:
        """PyTorch has the inputs first, and ours are the outputs. Swapping twice, in each group, changes nothing."""

        def swap(weight: Any) -> Any:
            rows, columns, *kernel = weight.shape
            in_groups = weight.reshape((self.groups, rows // self.groups, columns, *kernel))
            return in_groups.swapaxes(1, 2).reshape((self.groups * columns, rows // self.groups, *kernel))

        return dict(super()._torch_names(), weight=changed(self.weight, swap, swap))

    def _as_output_padding(self, value: Any) -> Tuple[int, ...]:
        layer = type(self).__name__
        sizes = as_sizes(value, self.num_spatial_dims, "output_padding", layer, least=0)
        named = isinstance(self.padding, str)
        limits = self.stride if named else tuple(map(max, self.stride, self.dilation))
        if any(size >= limit for size, limit in zip(sizes, limits)):
            raise ValueError(
                "`{}` expects `output_padding` to be smaller than {}, got {} for stride {} and dilation {}.".format(
                    layer,
                    "the stride if `padding` is {!r}".format(self.padding) if named else "the stride or the dilation",
                    sizes,
                    self.stride,
                    self.dilation,
                )
            )
        return sizes

    def _fan_in(self) -> int:
        return self.out_channels // self.groups * int(np.prod(self.kernel_size))

    def __call__(self, x: AnyArray, *, key: Optional[Key] = None) -> Array:
        """Apply the transpose to one example.

        Args:
            x: An array of shape `(in_channels, *sizes)`.
            key: It is ignored. Every layer takes a key.

        Returns:
            An array of shape `(out_channels, *output_sizes)`. It has the dtype of `x` if that is floating-point or
            complex.

        Raises:
            ValueError: `x` has another shape.
            ValueError: The padding is so large that no output is left.
            ValueError: The layer is a stack of layers, as `jax.vmap` over the construction makes it.
            TypeError: `x` can't be made into an array.

        Example:
            >>> conv = eqx.nn.ConvTranspose(1, 2, 3, kernel_size=4, stride=2, padding=1, key=jax.random.PRNGKey(0))
            >>> jax.vmap(conv)(jnp.ones((5, 2, 8))).shape
            (5, 3, 16)
        """
        input, weight, bias = match_dtypes(self._as_input(x), self.weight, self.bias)
        sizes, pairs = self._output(input.shape[1:])
        if self.padding_mode == "ZEROS":
            y = self._transpose(input, weight, sizes, pairs)
        else:
            padded = tuple(before + n + after for n, (before, after) in zip(sizes, pairs))
            y = self._transpose(input, weight, padded, ((0, 0),) * len(sizes))
            y = self._transpose_padding(y, sizes, pairs)
        return y if bias is None else y + bias

    def _output(self, sizes: Sequence[int]) -> Tuple[Tuple[int, ...], Tuple[Pair, ...]]:
        """The sizes of the output, and what the convolution adds before and after each dimension of it."""
        extent = self._extent()
        if isinstance(self.padding, str):
            outputs = tuple(n * s - more for n, s, more in zip(sizes, self.stride, self.output_padding))
        else:
            outputs = tuple(
                (n - 1) * s + e - before - after + more
                for n, s, e, (before, after), more in zip(sizes, self.stride, extent, self.padding, self.output_padding)
            )
        if min(*sizes, *outputs) < 1:
            raise ValueError(
                "`{}` has no output for an input of sizes {}: with `padding` {} and a kernel that covers {}, the sizes "
                "of the output are {}. Use a larger input or less `padding`.".format(
                    type(self).__name__, tuple(sizes), self.padding, extent, outputs
                )
            )
        return outputs, padding_pairs(self.padding, outputs, extent, self.stride)

    def _transpose(self, input: Array, weight: Array, sizes: Sequence[int], pairs: Sequence[Pair]) -> Array:
        """The transpose of the convolution of an input of `sizes` that is padded with zeros.

        It is a convolution with stride 1 of the input with zeros between its elements, and the kernel is flipped.
        """
        around = tuple(
            (e - 1 - before, m - (n - 1) * s - 1 + before)
            for n, m, s, e, (before, _) in zip(input.shape[1:], sizes, self.stride, self._extent(), pairs)
        )
        y = lax.conv_general_dilated(
            input[None],
            lax.rev(weight, tuple(range(2, weight.ndim))),
            (1,) * len(around),
            around,
            lhs_dilation=self.stride,
            rhs_dilation=self.dilation,
            feature_group_count=self.groups,
        )
        return jnp.squeeze(y, 0)

    def _transpose_padding(self, y: Array, sizes: Tuple[int, ...], pairs: Tuple[Pair, ...]) -> Array:
        """The transpose of the padding. An element is the sum of all places where the padding puts it."""
        whole = jax.ShapeDtypeStruct(y.shape[:1] + sizes, y.dtype)
        mode = PADDING_MODES[self.padding_mode]
        (transposed,) = jax.linear_transpose(lambda x: jnp.pad(x, ((0, 0),) + pairs, mode=mode), whole)(y)
        return transposed


class ConvTranspose1d(ConvTranspose):
    """Apply the transpose of `Conv1d` to one sequence: `ConvTranspose` in one dimension.

    It is the transpose of the `Conv1d` with the same options that goes from `out_channels` to `in_channels`. Here
    `output_padding` comes before `padding`.

    Args:
        in_channels: The number of input channels.
        out_channels: The number of output channels.
        kernel_size: The size of the kernel.
        stride: The stride of the convolution: the step from the place of one input to the next in the output.
        output_padding: A convolution with a stride gives outputs of one size for inputs of several sizes. This number
            chooses one of these sizes: it is added at the end of the output of the transpose. With `"SAME"` and
            `"SAME_LOWER"` it is subtracted from the size.
        padding: The padding of the convolution: an int, or `((before, after),)`. It makes the output smaller.
            `"VALID"` is no padding. `"SAME"` and `"SAME_LOWER"` make the output `stride * length - output_padding`.
        dilation: The step from one element of the kernel to the next.
        groups: The number of groups of channels. Each group has its own kernels.
        use_bias: Whether to add a bias. Without it the field `bias` is `None`.
        padding_mode: What the padding of the convolution holds: `"ZEROS"`, `"REFLECT"`, `"REPLICATE"` or `"CIRCULAR"`.
            In all other modes, what falls on the padding is added to the elements that it copies.
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        weight_init: A function that makes the weight, such as `jax.nn.initializers.he_normal()`. It sees the weight in
            JAX's layout, `(kernel_size, in_channels // groups, out_channels)`.
        bias_init: A function that makes the bias, such as `jax.nn.initializers.zeros`.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        x: `(in_channels, length)`. The output: `(out_channels, output_length)`. Use
            `jax.vmap(conv)(xs)` for a batch. An output size is
            `(size - 1) * stride - before - after + dilation * (kernel_size - 1) + 1 + output_padding`. Here `before`
            and `after` are what `padding` adds.
        weight: `(out_channels, in_channels // groups, kernel_size)`. bias: `(out_channels, 1)`.

    Initialisation:
        Weight and bias are uniform in `(-b, b)` with `b = 1 / sqrt(out_channels // groups * kernel_size)`, as
        in PyTorch.

    PyTorch:
        `torch.nn.ConvTranspose1d`. Without groups its weight is `jnp.swapaxes(weight, 0, 1)`. `ConvTranspose` says what
        it is with groups. The bias of PyTorch is `bias.reshape(-1)`.

    Source:
        Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.

    Raises:
        ValueError: A size is below 1, or a padding is negative.
        ValueError: A sequence hasn't one item for each spatial dimension.
        ValueError: `output_padding` isn't smaller than the stride or the dilation.
        ValueError: `groups` doesn't divide the numbers of channels.
        ValueError: `padding` or `padding_mode` is an unknown string.
        ValueError: `dtype` is not floating-point or complex.
        ValueError: An initialiser fails, or returns another shape.
        TypeError: A size is no integer, `use_bias` is no bool, `padding_mode` is no string, or `dtype` is no dtype.
        TypeError: An initialiser can't be called, or `key` is no PRNG key.

    Example:
        >>> conv = eqx.nn.ConvTranspose1d(2, 3, kernel_size=3, key=jax.random.PRNGKey(0))
        >>> conv(jnp.ones((2, 8))).shape
        (3, 10)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        output_padding: Sizes = 0,
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
            output_padding,
            dilation,
            groups,
            use_bias,
            padding_mode,
            dtype,
            weight_init=weight_init,
            bias_init=bias_init,
            key=key,
        )


class ConvTranspose2d(ConvTranspose):
    """Apply the transpose of `Conv2d` to one image: `ConvTranspose` in two dimensions.

    It is the transpose of the `Conv2d` with the same options that goes from `out_channels` to `in_channels`. Here
    `output_padding` comes before `padding`.

    Args:
        in_channels: The number of input channels.
        out_channels: The number of output channels.
        kernel_size: The size of the kernel. An int stands for both dimensions, here and below. A sequence has an item
            for each of them.
        stride: The stride of the convolution: the step from the place of one input to the next in the output.
        output_padding: A convolution with a stride gives outputs of one size for inputs of several sizes. This number
            chooses one of these sizes: it is added at the end of each dimension of the output of the transpose. With
            `"SAME"` and `"SAME_LOWER"` it is subtracted from the size.
        padding: The padding of the convolution: an int, an int for each dimension, or a pair for each dimension. It
            makes the output smaller. `"VALID"` is no padding. `"SAME"` and `"SAME_LOWER"` make the output
            `stride * size - output_padding`.
        dilation: The step from one element of the kernel to the next.
        groups: The number of groups of channels. Each group has its own kernels.
        use_bias: Whether to add a bias. Without it the field `bias` is `None`.
        padding_mode: What the padding of the convolution holds: `"ZEROS"`, `"REFLECT"`, `"REPLICATE"` or `"CIRCULAR"`.
            In all other modes, what falls on the padding is added to the elements that it copies.
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        weight_init: A function that makes the weight, such as `jax.nn.initializers.he_normal()`. It sees the weight in
            JAX's layout, `(*kernel_size, in_channels // groups, out_channels)`.
        bias_init: A function that makes the bias, such as `jax.nn.initializers.zeros`.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        x: `(in_channels, height, width)`. The output: `(out_channels, output_height, output_width)`. Use
            `jax.vmap(conv)(xs)` for a batch. An output size is
            `(size - 1) * stride - before - after + dilation * (kernel_size - 1) + 1 + output_padding`. Here `before`
            and `after` are what `padding` adds.
        weight: `(out_channels, in_channels // groups, *kernel_size)`. bias: `(out_channels, 1, 1)`.

    Initialisation:
        Weight and bias are uniform in `(-b, b)` with `b = 1 / sqrt(out_channels // groups * product(kernel_size))`, as
        in PyTorch.

    PyTorch:
        `torch.nn.ConvTranspose2d`. Without groups its weight is `jnp.swapaxes(weight, 0, 1)`. `ConvTranspose` says what
        it is with groups. The bias of PyTorch is `bias.reshape(-1)`.

    Source:
        Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.

    Raises:
        ValueError: A size is below 1, or a padding is negative.
        ValueError: A sequence hasn't one item for each spatial dimension.
        ValueError: `output_padding` isn't smaller than the stride or the dilation.
        ValueError: `groups` doesn't divide the numbers of channels.
        ValueError: `padding` or `padding_mode` is an unknown string.
        ValueError: `dtype` is not floating-point or complex.
        ValueError: An initialiser fails, or returns another shape.
        TypeError: A size is no integer, `use_bias` is no bool, `padding_mode` is no string, or `dtype` is no dtype.
        TypeError: An initialiser can't be called, or `key` is no PRNG key.

    Example:
        >>> conv = eqx.nn.ConvTranspose2d(8, 1, kernel_size=4, stride=2, padding=1, key=jax.random.PRNGKey(0))
        >>> conv(jnp.ones((8, 14, 14))).shape
        (1, 28, 28)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        output_padding: Sizes = 0,
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
            output_padding,
            dilation,
            groups,
            use_bias,
            padding_mode,
            dtype,
            weight_init=weight_init,
            bias_init=bias_init,
            key=key,
        )


class ConvTranspose3d(ConvTranspose):
    """Apply the transpose of `Conv3d` to one volume: `ConvTranspose` in three dimensions.

    It is the transpose of the `Conv3d` with the same options that goes from `out_channels` to `in_channels`. Here
    `output_padding` comes before `padding`.

    Args:
        in_channels: The number of input channels.
        out_channels: The number of output channels.
        kernel_size: The size of the kernel. An int stands for all three dimensions, here and below. A sequence has an
            item for each of them.
        stride: The stride of the convolution: the step from the place of one input to the next in the output.
        output_padding: A convolution with a stride gives outputs of one size for inputs of several sizes. This number
            chooses one of these sizes: it is added at the end of each dimension of the output of the transpose. With
            `"SAME"` and `"SAME_LOWER"` it is subtracted from the size.
        padding: The padding of the convolution: an int, an int for each dimension, or a pair for each dimension. It
            makes the output smaller. `"VALID"` is no padding. `"SAME"` and `"SAME_LOWER"` make the output
            `stride * size - output_padding`.
        dilation: The step from one element of the kernel to the next.
        groups: The number of groups of channels. Each group has its own kernels.
        use_bias: Whether to add a bias. Without it the field `bias` is `None`.
        padding_mode: What the padding of the convolution holds: `"ZEROS"`, `"REFLECT"`, `"REPLICATE"` or `"CIRCULAR"`.
            In all other modes, what falls on the padding is added to the elements that it copies.
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        weight_init: A function that makes the weight, such as `jax.nn.initializers.he_normal()`. It sees the weight in
            JAX's layout, `(*kernel_size, in_channels // groups, out_channels)`.
        bias_init: A function that makes the bias, such as `jax.nn.initializers.zeros`.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        x: `(in_channels, depth, height, width)`. The output: `(out_channels, *output_sizes)`. Use
            `jax.vmap(conv)(xs)` for a batch. An output size is
            `(size - 1) * stride - before - after + dilation * (kernel_size - 1) + 1 + output_padding`. Here `before`
            and `after` are what `padding` adds.
        weight: `(out_channels, in_channels // groups, *kernel_size)`. bias: `(out_channels, 1, 1, 1)`.

    Initialisation:
        Weight and bias are uniform in `(-b, b)` with `b = 1 / sqrt(out_channels // groups * product(kernel_size))`, as
        in PyTorch.

    PyTorch:
        `torch.nn.ConvTranspose3d`. Without groups its weight is `jnp.swapaxes(weight, 0, 1)`. `ConvTranspose` says what
        it is with groups. The bias of PyTorch is `bias.reshape(-1)`.

    Source:
        Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.

    Raises:
        ValueError: A size is below 1, or a padding is negative.
        ValueError: A sequence hasn't one item for each spatial dimension.
        ValueError: `output_padding` isn't smaller than the stride or the dilation.
        ValueError: `groups` doesn't divide the numbers of channels.
        ValueError: `padding` or `padding_mode` is an unknown string.
        ValueError: `dtype` is not floating-point or complex.
        ValueError: An initialiser fails, or returns another shape.
        TypeError: A size is no integer, `use_bias` is no bool, `padding_mode` is no string, or `dtype` is no dtype.
        TypeError: An initialiser can't be called, or `key` is no PRNG key.

    Example:
        >>> conv = eqx.nn.ConvTranspose3d(2, 1, kernel_size=2, stride=2, padding="SAME", key=jax.random.PRNGKey(0))
        >>> conv(jnp.ones((2, 4, 4, 4))).shape
        (1, 8, 8, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        output_padding: Sizes = 0,
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
            output_padding,
            dilation,
            groups,
            use_bias,
            padding_mode,
            dtype,
            weight_init=weight_init,
            bias_init=bias_init,
            key=key,
        )

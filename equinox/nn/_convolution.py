"""What `Conv` and `ConvTranspose` share: their arguments, their parameters, and the check of their input."""

import math
from typing import Any, Dict, Optional, Tuple

import jax.random as jrandom
import numpy as np

from .._compat.types import AnyArray, Array, Key
from .._module import Module, field
from ._checks import as_array_of, as_bool, as_size, as_sizes, check_key, check_unstacked, in_words
from ._parameters import WEIGHT, Initialiser, as_dtype, make_parameter, uniform
from ._spatial import Padding, PaddingArgument, Sizes, as_padding, axis_names, extents
from ._torch_layout import changed

# The modes of padding, with the names that `jnp.pad` has for them.
PADDING_MODES = {
    "ZEROS": "constant",
    "REFLECT": "reflect",
    "REPLICATE": "edge",
    "CIRCULAR": "wrap",
}


class Convolution(Module):
    """The fields of a convolution, or of the transpose of one."""

    weight: Array = field(metadata=WEIGHT)
    bias: Optional[Array]
    num_spatial_dims: int = field(static=True)
    in_channels: int = field(static=True)
    out_channels: int = field(static=True)
    kernel_size: Tuple[int, ...] = field(static=True)
    stride: Tuple[int, ...] = field(static=True)
    padding: Padding = field(static=True)
    dilation: Tuple[int, ...] = field(static=True)
    groups: int = field(static=True)
    use_bias: bool = field(static=True)
    padding_mode: str = field(static=True)

    def __init__(
        self,
        num_spatial_dims: int,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes,
        padding: PaddingArgument,
        dilation: Sizes,
        groups: int,
        use_bias: bool,
        padding_mode: str,
        dtype: Any,
        weight_init: Optional[Initialiser],
        bias_init: Optional[Initialiser],
        key: Key,
    ) -> None:
        layer = type(self).__name__
        self.num_spatial_dims = dimensions = as_size(num_spatial_dims, "num_spatial_dims", layer)
        self.in_channels = as_size(in_channels, "in_channels", layer)
        self.out_channels = as_size(out_channels, "out_channels", layer)
        self.kernel_size = as_sizes(kernel_size, dimensions, "kernel_size", layer)
        self.stride = as_sizes(stride, dimensions, "stride", layer)
        self.padding = as_padding(padding, dimensions, layer)
        self.dilation = as_sizes(dilation, dimensions, "dilation", layer)
        self.groups = as_size(groups, "groups", layer)
        self.use_bias = as_bool(use_bias, "use_bias", layer)
        self.padding_mode = _as_padding_mode(padding_mode, layer)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                "`{}` expects `groups` to divide `in_channels` and `out_channels`, got {} groups for {} and {} "
                "channels.".format(layer, self.groups, self.in_channels, self.out_channels)
            )
        dtype = as_dtype(dtype, layer)
        check_key(key, layer)
        weight_key, bias_key = jrandom.split(key)
        default = uniform(1 / math.sqrt(self._fan_in()))
        shape = (self.out_channels, self.in_channels // self.groups) + self.kernel_size
        self.weight = make_parameter(layer, "weight", weight_init, default, weight_key, shape, dtype, True)
        self.bias = None
        if self.use_bias:
            shape = (self.out_channels,) + (1,) * dimensions
            self.bias = make_parameter(layer, "bias", bias_init, default, bias_key, shape, dtype)

    def _fan_in(self) -> int:
        """The number by which PyTorch scales the initial parameters."""
        return self.in_channels // self.groups * int(np.prod(self.kernel_size))

    def _as_input(self, x: AnyArray) -> Array:
        """`x`, the argument of the call, as an array of the right shape."""
        check_unstacked(self, "weight", self.num_spatial_dims + 2)
        channels = self.weight.shape[1] * self.groups
        return as_array_of(
            x,
            "x",
            (channels,) + axis_names(self.num_spatial_dims),
            "`{}` with `in_channels={}`".format(type(self).__name__, channels),
            "jax.vmap(layer)(x)",
            "Reshape it, or make the layer with another `in_channels`.",
        )

    def _torch_names(self) -> Dict[str, Any]:
        ones = (1,) * self.num_spatial_dims
        bias = changed(self.bias, lambda b: b.reshape(b.shape + ones), lambda b: b.reshape(b.shape[: -len(ones)]))
        return {"weight": self.weight, "bias": bias}

    def _extent(self) -> Tuple[int, ...]:
        """The length that the kernel covers in each dimension. `tree_at` may change the weight, so it is read."""
        return extents(self.weight.shape[2:], self.dilation)


def _as_padding_mode(value: Any, layer: str) -> str:
    if not isinstance(value, str):
        raise TypeError("`{}` expects `padding_mode` to be a string, got {}.".format(layer, in_words(value)))
    if value.upper() not in PADDING_MODES:
        raise ValueError(
            "`{}` expects `padding_mode` to be one of {}, got {!r}.".format(
                layer, ", ".join(map(repr, PADDING_MODES)), value
            )
        )
    return value.upper()

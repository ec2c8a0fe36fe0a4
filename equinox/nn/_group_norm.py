"""`GroupNorm` and `InstanceNorm`: normalise groups of channels of one example."""

from __future__ import annotations

from typing import Any, Optional

import jax.numpy as jnp

from .._compat.types import AnyArray, Array, Key
from .._module import Module, field
from ._checks import as_number, as_size, check_unstacked, in_words
from ._dtypes import at_least_float32
from ._normalise import as_output, make_scale_and_shift, normalise_rows, squared_size, with_state
from ._parameters import Initialiser
from ._state import State


class GroupNorm(Module):
    """Normalise groups of channels: `(x - mean(x)) / sqrt(var(x) + eps) * weight + bias`.

    Mean and variance are those of one group of `channels // groups` channels that follow each other, over all their
    spatial axes. The variance is the biased one. They are computed in at least float32, and the output has the dtype of
    `x`.

    Args:
        groups: The number of groups.
        channels: The number of channels. It may be `None` if `channelwise_affine` is false.
        eps: What is added to the variance.
        channelwise_affine: Whether to multiply each channel with a weight and add a bias. Without it the fields are
            `None`.
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        weight_init: A function like those of `jax.nn.initializers` that makes the weight.
        bias_init: The same for the bias.
        key: A PRNG key for the initialisers. Only those that draw random numbers need it.

    Shapes:
        x: `(channels, *spatial)`. The output: the same. weight and bias: `(channels,)`. Use `jax.vmap(norm)(xs)` for a
        batch.

    Initialisation:
        The weight is 1, the bias is 0.

    PyTorch:
        `torch.nn.GroupNorm(groups, channels, eps)`. The parameters have the same names and shapes. The formula is that
        of [Group Normalization](https://arxiv.org/abs/1803.08494).

    Raises:
        ValueError: A size is below 1, or `eps` is negative.
        ValueError: `groups` doesn't divide `channels`.
        ValueError: `channels` is `None`, and `channelwise_affine` is true.
        TypeError: A size is no integer, `eps` is no number, a flag is no bool, or `dtype` is no dtype.

    Example:
        >>> norm = eqx.nn.GroupNorm(groups=2, channels=4)
        >>> y = norm(jnp.arange(12.0).reshape(4, 3))
        >>> bool(abs(y[:2].mean()) < 1e-6), bool(abs(y[2:].var() - 1) < 1e-4)
        (True, True)
    """

    weight: Optional[Array]
    bias: Optional[Array]
    groups: int = field(static=True)
    channels: Optional[int] = field(static=True)
    eps: float = field(static=True)
    channelwise_affine: bool = field(static=True)

    def __init__(
        self,
        groups: int,
        channels: Optional[int] = None,
        eps: float = 1e-5,
        channelwise_affine: bool = True,
        dtype: Any = None,
        *,
        weight_init: Optional[Initialiser] = None,
        bias_init: Optional[Initialiser] = None,
        key: Optional[Key] = None,
    ) -> None:
        self.groups = as_size(groups, "groups", "GroupNorm")
        self.channels = _as_channels(channels, channelwise_affine, "GroupNorm")
        self.eps = as_number(eps, "eps", "GroupNorm", 0)
        if self.channels is not None:
            _check_groups(self.groups, self.channels, "`channels`")
        self.weight, self.bias = _parameters(
            "GroupNorm", self.channels, channelwise_affine, dtype, weight_init, bias_init, key
        )
        self.channelwise_affine = bool(channelwise_affine)

    def __call__(self, x: AnyArray, state: Optional[State] = None, *, key: Optional[Key] = None) -> Any:
        """Normalise one example.

        Args:
            x: An array of shape `(channels, *spatial)`.
            state: If given, it is returned as it is. So the layer can replace one that has state.
            key: It is ignored. Every layer takes a key.

        Returns:
            An array of the shape and dtype of `x`. If `state` is given, `(output, state)`.

        Raises:
            ValueError: `x` has another number of channels, or `groups` doesn't divide it.
            ValueError: The layer is a stack of layers, as `jax.vmap` over the construction makes it.
            TypeError: `x` is no array.

        Example:
            >>> jax.vmap(eqx.nn.GroupNorm(2, 4))(jnp.ones((3, 4, 5))).shape
            (3, 4, 5)
        """
        x = as_channels(x, self, self.channels)
        _check_groups(self.groups, x.shape[0], "the number of channels of `x`")
        return with_state(_normalise(x, self.groups, self), state)


class InstanceNorm(Module):
    """Normalise each channel over its spatial axes: `(x - mean(x)) / sqrt(var(x) + eps) * weight + bias`.

    The variance is the biased one. Mean and variance are those of one example, in training and in inference. They are
    computed in at least float32, and the output has the dtype of `x`.

    Args:
        channels: The number of channels. It may be `None` if `channelwise_affine` is false.
        eps: What is added to the variance.
        channelwise_affine: Whether to multiply each channel with a weight and add a bias. Without it the fields are
            `None`.
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        weight_init: A function like those of `jax.nn.initializers` that makes the weight.
        bias_init: The same for the bias.
        key: A PRNG key for the initialisers. Only those that draw random numbers need it.

    Shapes:
        x: `(channels, *spatial)` with at least one spatial axis. The output: the same. weight and bias: `(channels,)`.
        Use `jax.vmap(norm)(xs)` for a batch.

    Initialisation:
        The weight is 1, the bias is 0.

    PyTorch:
        `torch.nn.InstanceNorm1d`, `2d` and `3d` without running statistics. `affine` is `channelwise_affine`. The
        parameters have the same names and shapes. The formula is that of
        [Instance Normalization](https://arxiv.org/abs/1607.08022).

    Raises:
        ValueError: A size is below 1, or `eps` is negative.
        ValueError: `channels` is `None`, and `channelwise_affine` is true.
        TypeError: A size is no integer, `eps` is no number, a flag is no bool, or `dtype` is no dtype.

    Example:
        >>> y = eqx.nn.InstanceNorm(2)(jnp.arange(6.0).reshape(2, 3))
        >>> bool(abs(y.mean(axis=1)).max() < 1e-6)
        True
    """

    weight: Optional[Array]
    bias: Optional[Array]
    channels: Optional[int] = field(static=True)
    eps: float = field(static=True)
    channelwise_affine: bool = field(static=True)

    def __init__(
        self,
        channels: Optional[int] = None,
        eps: float = 1e-5,
        channelwise_affine: bool = False,
        dtype: Any = None,
        *,
        weight_init: Optional[Initialiser] = None,
        bias_init: Optional[Initialiser] = None,
        key: Optional[Key] = None,
    ) -> None:
        self.channels = _as_channels(channels, channelwise_affine, "InstanceNorm")
        self.eps = as_number(eps, "eps", "InstanceNorm", 0)
        self.weight, self.bias = _parameters(
            "InstanceNorm", self.channels, channelwise_affine, dtype, weight_init, bias_init, key
        )
        self.channelwise_affine = bool(channelwise_affine)

    def __call__(self, x: AnyArray, state: Optional[State] = None, *, key: Optional[Key] = None) -> Any:
        """Normalise one example.

        Args:
            x: An array of shape `(channels, *spatial)`.
            state: If given, it is returned as it is. So the layer can replace one that has state.
            key: It is ignored. Every layer takes a key.

        Returns:
            An array of the shape and dtype of `x`. If `state` is given, `(output, state)`.

        Raises:
            ValueError: `x` has another number of channels, or less than two numbers a channel.
            ValueError: The layer is a stack of layers, as `jax.vmap` over the construction makes it.
            TypeError: `x` is no array.

        Example:
            >>> jax.vmap(eqx.nn.InstanceNorm(4))(jnp.ones((3, 4, 5))).shape
            (3, 4, 5)
        """
        x = as_channels(x, self, self.channels)
        if x.size <= x.shape[0]:
            raise ValueError(
                "`InstanceNorm` expects at least two numbers in each channel, got `x` of shape {}. Give it spatial "
                "axes, or use `LayerNorm`.".format(x.shape)
            )
        return with_state(_normalise(x, x.shape[0], self), state)


def _as_channels(channels: Any, affine: Any, layer: str) -> Optional[int]:
    if channels is not None:
        return as_size(channels, "channels", layer)
    if affine:
        raise ValueError(
            "`{}` needs `channels`, the number of weights. Without weights write `channelwise_affine=False`.".format(
                layer
            )
        )
    return None


def _parameters(layer: str, channels: Any, affine: Any, dtype: Any, weight_init: Any, bias_init: Any, key: Any) -> Any:
    names = "channelwise_affine", "channelwise_affine"
    return make_scale_and_shift(layer, (channels,), affine, affine, dtype, weight_init, bias_init, key, names)


def _check_groups(groups: int, channels: int, name: str) -> None:
    if channels % groups:
        raise ValueError(
            "`GroupNorm` expects `groups` to divide {}, got {} groups for {} channels.".format(name, groups, channels)
        )


def as_channels(x: Any, layer: Any, channels: Optional[int]) -> Array:
    """`x` as an array whose first axis has the length `channels`, or that of the weight of `layer`."""
    who = type(layer).__name__
    for name in ("weight", "bias"):
        if getattr(layer, name) is not None:
            check_unstacked(layer, name, 1)
    channels = channels if layer.weight is None else layer.weight.shape[0]
    if not hasattr(x, "shape"):
        raise TypeError("`{}` expects `x` to be an array, got {}.".format(who, in_words(x)))
    if not x.shape or (channels is not None and x.shape[0] != channels):
        batched = len(x.shape) > 1 and x.shape[1] == channels
        raise ValueError(
            "`{}` expects `x` to be one example of shape ({}, *spatial), got {}. {}".format(
                who,
                "channels" if channels is None else channels,
                x.shape,
                "Batch with `jax.vmap`." if batched else "The first axis is that of the channels.",
            )
        )
    return x


def _normalise(x: Array, groups: int, layer: Any) -> Array:
    channels = (groups, x.shape[0] // groups, 1)
    y = at_least_float32(x).reshape(channels[:2] + (-1,))
    mean = jnp.mean(y, (1, 2), keepdims=True)
    centred = y - mean
    var = jnp.mean(squared_size(centred), (1, 2), keepdims=True)
    weight, bias = (None if p is None else p.reshape(channels) for p in (layer.weight, layer.bias))
    return as_output(normalise_rows(y, mean, var, layer.eps, weight, bias), x)

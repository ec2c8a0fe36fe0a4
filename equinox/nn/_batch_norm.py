"""`BatchNorm`: normalise each channel over a batch, and keep running statistics for inference."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Dict, Hashable, Optional, Sequence, Tuple, Union

import jax.numpy as jnp
from jax import core, lax, tree_util

from .._compat.types import AnyArray, Array, Key
from .._module import field
from ._checks import as_bool, as_number, as_size, in_words
from ._dtypes import as_dtype_of, at_least_float32
from ._group_norm import as_channels
from ._normalise import as_output, known_flag, make_scale_and_shift, normalise_rows, squared_size
from ._parameters import Initialiser, as_dtype
from ._state import SHARE_STATE, State, StatefulLayer, StateIndex, as_state, value_for
from ._torch_layout import as_int64, changed

_EMA = ("ema", "legacy")
_MODES = ("torch", "batch") + _EMA


class BatchNorm(StatefulLayer):
    """Normalise each channel over the batch and the spatial axes: `(x - mean) / sqrt(var + eps) * weight + bias`.

    The layer takes one example, as all layers do. It finds the batch by the name of the axis, so call it in a
    `jax.vmap` with this name:

        norm, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(3, axis_name="batch")
        call = jax.vmap(norm, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
        ys, state = call(xs, state)

    In training the mean and the variance are those of the batch, and the running statistics in the state follow them.
    In inference the running statistics are used, and no axis is needed. Choose with `eqx.nn.inference_mode`. All
    statistics are computed in at least float32, and the output has the dtype of `x`. If the batch is split over several
    devices, give the names of both axes. Then the statistics are those of the whole batch.

    Args:
        input_size: The number of channels.
        axis_name: The name of the axis of the batch, or a tuple of names.
        eps: What is added to the variance.
        channelwise_affine: Whether to multiply each channel with a weight and add a bias. Without it the fields are
            `None`.
        momentum: How the running statistics follow those of a batch, from 0 to 1. In the mode `"torch"` it is the share
            of the new batch, 0.1 by default. In the other modes it is the share that is kept, 0.99 by default.
        inference: Whether to use the running statistics. It is a leaf.
        dtype: The dtype of the parameters and of the running statistics. The default is JAX's floating-point dtype.
        mode: What the running statistics are. `"torch"`: those of PyTorch. The mean begins at 0 and the variance at 1.
            The running variance follows the unbiased variance of the batch. The other modes are those of the published
            Equinox. `"batch"`: the variance is the biased one, and inference divides mean and variance by
            `1 - momentum**steps`. `"ema"`: the first batch sets the running statistics, the variance is the biased one,
            and training is normalised by the running statistics too. `"legacy"` is `"ema"`.
        weight_init: A function like those of `jax.nn.initializers` that makes the weight.
        bias_init: The same for the bias.
        key: A PRNG key for the initialisers. Only those that draw random numbers need it.

    Shapes:
        x: `(input_size, *spatial)`. The output: the same. weight and bias: `(input_size,)`. The value of the state at
        `running` is a dictionary: `mean` and `var` of shape `(input_size,)`, and `steps`, the number of batches. In the
        mode `"ema"` it has `first` instead of `steps`: whether there was no batch yet.

    Initialisation:
        The weight is 1, the bias is 0.

    PyTorch:
        `torch.nn.BatchNorm1d`, `2d` and `3d`, with the same `eps` and `momentum`. The parameters have the same names
        and shapes. `running_mean`, `running_var` and `num_batches_tracked` are `mean`, `var` and `steps`. Two options
        are missing. PyTorch's `momentum=None`, the average of all batches, is not offered: here `None` is the default.
        Instead of `track_running_stats=False`, call with `inference=False` also in evaluation. Then the running
        statistics have no effect on the output. The formula is that of
        [Batch Normalization](https://arxiv.org/abs/1502.03167).

    Raises:
        ValueError: `input_size` is below 1, `eps` is negative, or `momentum` is outside 0 to 1.
        ValueError: `mode` is none of the four.
        TypeError: `input_size` is no integer, a number is none, a flag is no bool, `axis_name` can't be hashed, or
            `dtype` is no dtype.

    Example:
        >>> norm, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(3, axis_name="batch")
        >>> xs = jnp.arange(12.0).reshape(4, 3)
        >>> call = jax.vmap(norm, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
        >>> ys, state = call(xs, state)
        >>> bool(abs(ys.mean(axis=0)).max() < 1e-6)
        True
        >>> y, state = eqx.nn.inference_mode(norm)(xs[0], state)
    """

    weight: Optional[Array]
    bias: Optional[Array]
    running: StateIndex
    inference: Any
    input_size: int = field(static=True)
    axis_name: Any = field(static=True)
    eps: float = field(static=True)
    channelwise_affine: bool = field(static=True)
    momentum: float = field(static=True)
    mode: str = field(static=True)

    def __init__(
        self,
        input_size: int,
        axis_name: Union[Hashable, Sequence[Hashable]],
        eps: float = 1e-5,
        channelwise_affine: bool = True,
        momentum: Optional[float] = None,
        inference: bool = False,
        dtype: Any = None,
        mode: str = "torch",
        *,
        weight_init: Optional[Initialiser] = None,
        bias_init: Optional[Initialiser] = None,
        key: Optional[Key] = None,
    ) -> None:
        self.input_size = as_size(input_size, "input_size", "BatchNorm")
        self.axis_name = tuple(axis_name) if isinstance(axis_name, list) else axis_name
        try:
            hash(self.axis_name)
        except TypeError:
            raise TypeError(
                "`BatchNorm` expects `axis_name` to be the name of the axis of the batch, as in "
                "`jax.vmap(..., axis_name='batch')`, or a tuple of names, got {}.".format(in_words(axis_name))
            ) from None
        self.eps = as_number(eps, "eps", "BatchNorm", 0)
        if mode not in _MODES:
            raise ValueError(
                "`BatchNorm` expects `mode` to be one of {}, got {}.".format(
                    ", ".join(map(repr, _MODES)), in_words(mode)
                )
            )
        self.mode = mode
        if momentum is None:
            momentum = 0.1 if mode == "torch" else 0.99
        self.momentum = as_number(momentum, "momentum", "BatchNorm", 0, 1)
        self.inference = (
            inference if isinstance(inference, core.Tracer) else as_bool(inference, "inference", "BatchNorm")
        )
        self.weight, self.bias = make_scale_and_shift(
            "BatchNorm",
            (self.input_size,),
            channelwise_affine,
            channelwise_affine,
            dtype,
            weight_init,
            bias_init,
            key,
            ("channelwise_affine", "channelwise_affine"),
        )
        self.channelwise_affine = bool(channelwise_affine)
        statistics = as_dtype(dtype, "BatchNorm")
        mean = jnp.zeros(self.input_size, statistics)
        var = jnp.zeros_like(mean) if mode in _EMA else jnp.ones_like(mean)
        count = jnp.array(True) if mode in _EMA else jnp.zeros((), jnp.int32)
        self.running = StateIndex(self._running(mean, var, count))

    def __call__(
        self, x: AnyArray, state: Optional[State] = None, *, key: Optional[Key] = None, inference: Any = None
    ) -> Tuple[Array, State]:
        """Normalise one example of a batch.

        Args:
            x: An array of shape `(input_size, *spatial)`.
            state: The state with the running statistics. It is needed.
            key: It is ignored. Every layer takes a key.
            inference: If given, it is used instead of the layer's `inference`.

        Returns:
            `(output, new state)`. The output has the shape and dtype of `x`. In inference the state is the same.

        Raises:
            NameError: No `jax.vmap` around the call has the axis `axis_name`, and `inference` is false.
            ValueError: `x` has another number of channels.
            ValueError: `state` is missing, is spent, or its arrays have other shapes than this layer's.
            ValueError: A batch in training has one number for each channel, so it has no variance.
            ValueError: The layer is a stack of layers, as `jax.vmap` over the construction makes it.
            TypeError: `x` is no array, `state` is no `State`, or `inference` is no bool.

        Example:
            >>> norm, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(3, axis_name="batch", inference=True)
            >>> y, state = norm(jnp.ones(3), state)
        """
        x = as_channels(x, self, self.input_size)
        state = as_state(state, "BatchNorm")
        shapes = self._running((self.input_size,), (self.input_size,), ())
        before = value_for(state, self.running, shapes, "BatchNorm", SHARE_STATE.format(self._in_vmap()))
        flag = self.inference if inference is None else inference
        wide = at_least_float32(x)
        wide = wide.reshape(wide.shape[0], -1) if wide.ndim > 1 else wide
        if not isinstance(flag, core.Tracer) and known_flag(flag, "BatchNorm"):
            return self._apply(x, wide, *self._for_inference(before, wide.dtype)), state
        mean, var, after = self._train(wide, x.shape, before)
        if isinstance(flag, core.Tracer):
            mean, var, after = tree_util.tree_map(
                lambda a, b: jnp.where(flag, a, b),
                (*self._for_inference(before, wide.dtype), before),
                (mean, var, after),
            )
        return self._apply(x, wide, mean, var), state.set(self.running, after)

    def _torch_names(self) -> Dict[str, Any]:
        names: Dict[str, Any] = {"weight": self.weight, "bias": self.bias}
        if isinstance(self.running, dict):
            names.update(running_mean=self.running["mean"], running_var=self.running["var"])
            if self.mode in _EMA:
                count = changed(
                    self.running["first"], lambda n: n == 0, lambda first: as_int64(1 - first.astype(jnp.int32))
                )
            else:
                count = changed(self.running["steps"], lambda steps: steps, as_int64)
            names["num_batches_tracked"] = count
        return names

    def _apply(self, x: AnyArray, wide: Array, mean: Array, var: Array) -> Array:
        mean, var = _along_rows(mean, wide), _along_rows(var, wide)
        weight, bias = (None if p is None else _along_rows(p, wide) for p in (self.weight, self.bias))
        return as_output(normalise_rows(wide, mean, var, self.eps, weight, bias), x)

    def _for_inference(self, running: Dict[str, Array], dtype: Any) -> Tuple[Array, Array]:
        """Mean and variance from the running statistics."""
        mean, var = as_dtype_of(running["mean"], dtype), as_dtype_of(running["var"], dtype)
        if self.mode == "batch":
            weight = 1 - jnp.asarray(self.momentum, dtype) ** jnp.maximum(running["steps"], 1)
            weight = jnp.where(running["steps"] == 0, 1, weight)
            mean, var = mean / weight, var / weight
        return mean, var

    def _train(
        self, x: Array, shape: Tuple[int, ...], running: Dict[str, Array]
    ) -> Tuple[Array, Array, Dict[str, Array]]:
        """Mean and variance to normalise with, and the new running statistics. `x` has one row for each channel."""
        size = self._axis_size() * (x.size // x.shape[0])
        if size == 1 and self.mode == "torch":
            raise ValueError(
                "`BatchNorm` expects more than one number for each channel in training, got a batch of 1 with `x` of "
                "shape {}. Use a larger batch, or `inference=True`.".format(shape)
            )
        mean = self._mean(x)
        centred = x - _along_rows(mean, x)
        var = self._mean(squared_size(centred))
        running_dtype = running["mean"].dtype
        old_mean, old_var = (as_dtype_of(running[name], x.dtype) for name in ("mean", "var"))
        if self.mode == "torch":
            share, new_var = self.momentum, var * (size / (size - 1))
        else:
            share, new_var = 1 - self.momentum, var
        new_mean = old_mean + share * (mean - old_mean)
        new_var = old_var + share * (new_var - old_var)
        if self.mode in _EMA:
            mean = new_mean = jnp.where(running["first"], mean, new_mean)
            var = new_var = jnp.where(running["first"], var, new_var)
        count = jnp.zeros_like(running["first"]) if self.mode in _EMA else running["steps"] + 1
        new_mean, new_var = (lax.stop_gradient(as_dtype_of(value, running_dtype)) for value in (new_mean, new_var))
        return mean, var, self._running(new_mean, new_var, count)

    def _running(self, mean: Any, var: Any, count: Any) -> Dict[str, Any]:
        """The value of the state. `count` is the number of batches, or whether the next batch is the first.

        In the modes of the published Equinox it has the leaves of the published layer, in their order.
        """
        if self.mode == "torch":
            return {"mean": mean, "var": var, "steps": count}
        return OrderedDict([("first" if self.mode in _EMA else "steps", count), ("mean", mean), ("var", var)])

    def _mean(self, x: Array) -> Array:
        """The mean of each channel over the spatial axes and the batch."""
        return lax.pmean(jnp.mean(x, 1) if x.ndim > 1 else x, self.axis_name)

    def _axis_size(self) -> Any:
        try:
            return lax.psum(1, self.axis_name)
        except NameError:
            raise NameError(
                "`BatchNorm` finds no axis named {!r}. In training the mean is that of a batch, so call the model in a "
                "`jax.vmap` with this name: `{}`. For inference use `eqx.nn.inference_mode(model)`.".format(
                    self.axis_name, self._in_vmap()
                )
            ) from None

    def _in_vmap(self) -> str:
        """The call for a batch, as code."""
        return "ys, state = jax.vmap(model, axis_name={!r}, in_axes=(0, None), out_axes=(0, None))(xs, state)".format(
            self.axis_name
        )


def _along_rows(parameter: Array, x: Array) -> Array:
    """`parameter`, one number for each channel, in a shape that is broadcast along the rows of `x`."""
    return parameter[:, None] if x.ndim > 1 else parameter

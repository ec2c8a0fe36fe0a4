"""`WeightNorm`: the length and the direction of a weight are separate parameters."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

import jax.numpy as jnp

from .._compat.types import Array, Key
from .._module import field
from .._module.replace import replace_unchecked
from ._checks import as_size
from ._dtypes import as_dtype_of, at_least_float32
from ._reparametrised import Reparametrised, Updates, first_weight, get_weight
from ._state import State
from ._torch_layout import OneArray, changed


class WeightNorm(Reparametrised):
    """Wrap a layer, and give it the weight `g * v / norm(v)`.

    `g` is a parameter, the length. `v` is the weight in the wrapped layer, of which only the direction counts. The norm
    is that of each slice of `v` along `axis`. It is computed in at least float32. If `v` is zero, the weight is NaN.

    `WeightNorm`, `SpectralNorm` and `LoRA` nest in each other. Then `v` is the weight that the inner wrapper computes.
    So `WeightNorm(LoRA(layer, ...))` is [DoRA](https://arxiv.org/abs/2402.09353). To wrap the layers of a `Stacked`,
    write the wrapper inside `make_layer`.

    Args:
        layer: The layer, such as `Linear`, `Conv2d` or `GRUCell`. It may be another wrapper.
        weight_name: The name of the field with the weight.
        axis: The axis whose slices have a length each. `None` gives the whole weight one length.

    Shapes:
        The call takes and returns what `layer` does. g: the shape of the weight, with length 1 for each axis but
        `axis`.

    Initialisation:
        `g` is the norm of `v`. So at first the wrapped layer gives the same output. `eqx.nn.reinitialise` of `v` sets
        `g` to the new norm.

    PyTorch:
        `torch.nn.utils.parametrizations.weight_norm`, with `dim` for `axis`. `original0` is `g`, `original1` is the
        weight of `layer`. A zero `v` gives NaN there, too. The formula is that of [Weight Normalization](https://arxiv.org/abs/1602.07868).

    Raises:
        ValueError: `layer` has no field `weight_name`, or the weight has no axis `axis`.
        ValueError: `layer` is a stack of layers, or a `SpectralNorm` whose state was made before.
        TypeError: `layer` can't be called, the field holds no array, or `axis` is no integer.

    Example:
        >>> linear = eqx.nn.Linear(3, 2, key=jax.random.PRNGKey(0))
        >>> norm = eqx.nn.WeightNorm(linear)
        >>> bool(jnp.allclose(norm(jnp.ones(3)), linear(jnp.ones(3)), atol=1e-6))
        True

        >>> cell = eqx.nn.WeightNorm(eqx.nn.GRUCell(3, 2, key=jax.random.PRNGKey(0)), "weight_hh")
        >>> ys, final = eqx.nn.RNN(cell)(jnp.ones((5, 3)))
        >>> ys.shape
        (5, 2)
    """

    g: Array
    axis: Optional[int] = field(static=True)

    def __init__(self, layer: Any, weight_name: str = "weight", axis: Optional[int] = 0) -> None:
        weight = get_weight(layer, weight_name, "WeightNorm")
        if axis is not None:
            axis = as_size(axis, "axis", "WeightNorm", -weight.ndim)
            if axis >= weight.ndim:
                raise ValueError(
                    "`WeightNorm` expects `axis` to be an axis of the weight, got {} for shape {}.".format(
                        axis, weight.shape
                    )
                )
        self.layer = layer
        self.weight_name = weight_name
        self.axis = axis
        self.g = _length(layer, weight_name, axis, weight.dtype)

    def __call__(self, x: Any, *args: Any, key: Optional[Key] = None, **kwargs: Any) -> Any:
        """Call the layer with the normalised weight.

        Args:
            x: What the layer takes.
            *args: They are passed to the layer, such as the hidden state of a cell.
            key: A PRNG key for the layer. If the layer takes no key, it is not used.
            **kwargs: They are passed to the layer.

        Returns:
            What the layer returns.

        Raises:
            ValueError: The layer is stateful, and its state isn't given.
            TypeError: The layer is stateful, and the argument after `x` is no `State`.

        Example:
            >>> norm = eqx.nn.WeightNorm(eqx.nn.Linear(3, 2, key=jax.random.PRNGKey(0)))
            >>> norm(jnp.ones(3)).shape
            (2,)
        """
        return self._call(x, args, dict(kwargs, key=key))

    def _torch_parametrization(self, inside: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        if list(inside) != ["original"]:
            return None  # in PyTorch it is the first parametrization or none
        weight, g = inside["original"], self.g
        if self.axis is None:
            ones = (1,) * g.ndim
            g = changed(g, lambda g: g.reshape(ones), lambda g: g.reshape(()))
        elif isinstance(weight, OneArray):
            g = OneArray((g,), weight.to_leaves, weight.to_arrays)
        return {"original0": g, "original1": weight}

    def _follow_weight(self) -> WeightNorm:
        return replace_unchecked(self, {"g": _length(self.layer, self.weight_name, self.axis, self.g.dtype)})

    def _compute(self, weight: Array, state: Optional[State]) -> Tuple[Array, Updates]:
        wide = at_least_float32(weight)
        normalised = wide * (as_dtype_of(self.g, wide.dtype) / _norm(wide, self.axis))
        return as_dtype_of(normalised, weight.dtype), ()


def _length(layer: Any, weight_name: str, axis: Optional[int], dtype: Any) -> Array:
    return as_dtype_of(_norm(at_least_float32(first_weight(layer, weight_name)), axis), dtype)


def _norm(v: Array, axis: Optional[int]) -> Array:
    axes: Tuple[int, ...] = tuple(range(v.ndim))
    if axis is not None:
        axes = tuple(i for i in axes if i != axis % v.ndim)
    return jnp.sqrt(jnp.sum(v * v, axes, keepdims=True))

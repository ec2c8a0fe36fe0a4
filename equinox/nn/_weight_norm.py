"""`WeightNorm`: the length and the direction of a weight are separate parameters."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import jax.numpy as jnp

from .._compat.types import Array, Key
from .._module import Module, field
from .._module.replace import replace_unchecked
from .._trees.layout import layout_of
from ._checks import as_size, check_callable, in_words
from ._dtypes import as_dtype_of, at_least_float32


class WeightNorm(Module):
    """Wrap a layer, and give it the weight `g * v / norm(v)`.

    `g` is a parameter, the length. `v` is the weight in the wrapped layer, of which only the direction counts. The norm
    is that of each slice of `v` along `axis`. It is computed in at least float32.

    Args:
        layer: The layer, such as `Linear` or `Conv2d`.
        weight_name: The name of the field with the weight.
        axis: The axis whose slices have a length each. `None` gives the whole weight one length.

    Shapes:
        The call takes and returns what `layer` does. g: the shape of the weight, with length 1 for each axis but
        `axis`.

    Initialisation:
        `g` is the norm of `v`. So at first the wrapped layer gives the same output.

    PyTorch:
        `torch.nn.utils.parametrizations.weight_norm`, with `dim` for `axis`. `original0` is `g`, `original1` is the
        weight of `layer`. The formula is that of [Weight Normalization](https://arxiv.org/abs/1602.07868).

    Raises:
        ValueError: `layer` has no field `weight_name`, or the weight has no axis `axis`.
        TypeError: `layer` can't be called, the field holds no array, or `axis` is no integer.

    Example:
        >>> linear = eqx.nn.Linear(3, 2, key=jax.random.PRNGKey(0))
        >>> norm = eqx.nn.WeightNorm(linear)
        >>> bool(jnp.allclose(norm(jnp.ones(3)), linear(jnp.ones(3)), atol=1e-6))
        True
    """

    layer: Any
    g: Array
    weight_name: str = field(static=True)
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
        self.g = as_dtype_of(_norm(at_least_float32(weight), axis), weight.dtype)

    def __call__(self, x: Any, *, key: Optional[Key] = None) -> Any:
        """Call the layer with the normalised weight.

        Args:
            x: What the layer takes.
            key: It is passed to the layer.

        Returns:
            What the layer returns.

        Example:
            >>> norm = eqx.nn.WeightNorm(eqx.nn.Linear(3, 2, key=jax.random.PRNGKey(0)))
            >>> norm(jnp.ones(3)).shape
            (2,)
        """
        v = getattr(self.layer, self.weight_name)
        wide = at_least_float32(v)
        weight = wide * (as_dtype_of(self.g, wide.dtype) / _norm(wide, self.axis))
        return replace_unchecked(self.layer, {self.weight_name: as_dtype_of(weight, v.dtype)})(x, key=key)


def _norm(v: Array, axis: Optional[int]) -> Array:
    axes: Tuple[int, ...] = tuple(range(v.ndim))
    if axis is not None:
        axes = tuple(i for i in axes if i != axis % v.ndim)
    return jnp.sqrt(jnp.sum(v * v, axes, keepdims=True))


def get_weight(layer: Any, name: Any, who: str) -> Array:
    """The weight `name` of the layer that `who` wraps."""
    check_callable(layer, "layer", who)
    layout = layout_of(layer)
    if layout is None or name not in layout.names:
        raise ValueError(
            "`{}` expects `weight_name` to be the name of a field of `{}`, got {}.".format(
                who, type(layer).__name__, in_words(name)
            )
        )
    weight = getattr(layer, name)
    if not hasattr(weight, "dtype") or not jnp.issubdtype(weight.dtype, jnp.floating):
        raise TypeError(
            "`{}` expects `{}.{}` to be an array of floating-point numbers, got {}.".format(
                who, type(layer).__name__, name, in_words(weight)
            )
        )
    return weight

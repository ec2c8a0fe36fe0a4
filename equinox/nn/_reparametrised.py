"""What `LoRA`, `WeightNorm` and `SpectralNorm` share: they wrap a layer, and compute one of its weights."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Optional, Tuple

import jax.numpy as jnp

from .._compat.types import Array
from .._module import field
from .._module.replace import replace_unchecked
from .._trees.layout import layout_of
from ._checks import check_callable, in_words
from ._parameters import OUTPUT_FIRST
from ._sequential import takes_key
from ._state import State, StatefulLayer, StateIndex, as_state, is_stateful
from ._torch_layout import OneArray, own_names, torch_contents

Updates = Tuple[Tuple[StateIndex, Any], ...]  # new values of the state, to be set after the call of the layer


class Reparametrised(StatefulLayer):
    """A wrapper that computes the weight `weight_name` of `layer`, from this weight and from its own parameters.

    Wrappers nest: an outer wrapper starts with the weight that the inner one computes. The layer inside all wrappers is
    called with the computed weights.
    """

    layer: Any
    weight_name: str = field(static=True)

    def is_stateful(self) -> bool:
        """Say whether the wrapped layer takes and returns a state."""
        return is_stateful(self.layer)

    def _compute(self, weight: Array, state: Optional[State]) -> Tuple[Array, Updates]:
        """The weight that the call uses, and new values of the state."""
        raise NotImplementedError

    def _inner_layer(self) -> Any:
        """The wrapped layer, as the call uses it."""
        return self.layer

    def _follow_weight(self) -> Reparametrised:
        """The wrapper after `reinitialise` changed the weight. Its own parameters may depend on the weight."""
        return self

    def _torch_names(self) -> Dict[str, Any]:
        """PyTorch has the layer, with a list of parametrizations for the weight."""
        names = dict(torch_contents(self.layer))
        lists = dict(names.get("parametrizations", {}))
        inside = lists.get(self.weight_name)
        if self.weight_name in names:
            weight = names.pop(self.weight_name)
            # PyTorch's parametrizations see its own layout. That of `ConvTranspose` with groups has other rows.
            mixed = isinstance(weight, OneArray) and getattr(innermost(self), "groups", 1) > 1
            inside = None if mixed else {"original": weight}
        inside = None if inside is None else self._torch_parametrization(inside)
        if inside is None:
            return own_names(self)
        lists[self.weight_name] = inside
        names["parametrizations"] = lists
        return names

    def _torch_parametrization(self, inside: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        """What PyTorch keeps for the weight, with this wrapper around `inside`. `None` if it has no such wrapper."""
        return None

    def _call(self, x: Any, args: Tuple[Any, ...], options: Dict[str, Any]) -> Any:
        """Call the layer. If it is stateful, the state comes first in `args`, or by name."""
        if not self.is_stateful():
            layer, _ = unwrap(self, None)
            return layer(x, *args, **_options_for(layer, options))
        if "state" in options:
            args = (options.pop("state"),) + args
        state = as_state(args[0] if args else None, type(self).__name__)
        layer, updates = unwrap(self, state)
        return call_with_state(layer, updates, x, state, args[1:], options)


def innermost(layer: Any) -> Any:
    """The layer inside all wrappers, as it is."""
    while isinstance(layer, Reparametrised):
        layer = layer.layer
    return layer


def unwrap(layer: Any, state: Optional[State]) -> Tuple[Any, Updates]:
    """The layer inside all wrappers, with the computed weights, and new values of the state."""
    if not isinstance(layer, Reparametrised):
        return layer, ()
    inside, updates = unwrap(layer._inner_layer(), state)
    weight, own_updates = layer._compute(getattr(inside, layer.weight_name), state)
    return replace_unchecked(inside, {layer.weight_name: weight}), updates + own_updates


def call_with_state(
    layer: Any, updates: Updates, x: Any, state: State, args: Tuple[Any, ...], options: Dict[str, Any]
) -> Tuple[Any, State]:
    """Call a layer without wrappers. The new values are set after it, so a call that fails doesn't spend the state."""
    options = _options_for(layer, options)
    if is_stateful(layer):
        y, state = layer(x, state, *args, **options)
    else:
        y = layer(x, *args, **options)
    for index, value in updates:
        state = state.set(index, value)
    return y, state


def _options_for(layer: Any, options: Dict[str, Any]) -> Dict[str, Any]:
    """`options` without `key`, if it is `None` or `layer` takes none. The layers of a user may take none."""
    if options["key"] is not None and takes_key(layer):
        return options
    return {name: value for name, value in options.items() if name != "key"}


def get_weight(layer: Any, name: Any, who: str) -> Array:
    """The weight `name` of the layer that `who` wraps, checked. Other wrappers in `layer` keep its shape and dtype."""
    check_callable(layer, "layer", who)
    inside = innermost(layer)
    kind, layout = type(inside).__name__, layout_of(inside)
    if layout is None or name not in layout.names:
        raise ValueError(
            "`{}` expects `weight_name` to be the name of a field of `{}`, got {}. To wrap layers inside a model: "
            "`eqx.tree_at(eqx.select(model, eqx.nn.Linear), model, replace_fn=wrap)`.".format(who, kind, in_words(name))
        )
    weight = getattr(inside, name)
    if not hasattr(weight, "dtype") or not jnp.issubdtype(weight.dtype, jnp.floating):
        raise TypeError(
            "`{}` expects `{}.{}` to be an array of floating-point numbers, got {}.".format(
                who, kind, name, in_words(weight)
            )
        )
    output_first = any(f.name == name and f.metadata.get(OUTPUT_FIRST) for f in dataclasses.fields(inside))
    axes = 2 + getattr(inside, "num_spatial_dims", 0)  # output, input, and those of a kernel
    if output_first and weight.ndim > axes:
        raise ValueError(
            "`{0}` expects one layer, but `{1}.{2}` has shape {3}, with an additional axis before {4}. The layers are "
            "stacked, as in `Stacked`. Wrap each of them: `eqx.filter_vmap(wrap)(layers)`.".format(
                who, kind, name, weight.shape, weight.shape[weight.ndim - axes :]
            )
        )
    return weight


def first_weight(layer: Any, name: str) -> Array:
    """The weight `name` of a layer that is being wrapped, as other wrappers in it compute it."""
    return getattr(unwrap(layer, None)[0], name)

"""The outputs of the layers of a model, found by tracing a call of the model."""

from __future__ import annotations

import itertools
import sys
import threading
import types
from typing import Any, Callable, Dict, List, Optional, Tuple

import jax
import jax.numpy as jnp
from jax import tree_util

from .._module import call_listeners
from .._transforms.eval_shape import filter_eval_shape
from .._trees.format import tree_pformat
from .._trees.paths import short_text
from .._trees.predicates import is_array
from .summary_layers import Layer, walk

_OUTPUT_WIDTH = 60  # of the text of an output
_axis_numbers = itertools.count()


def add_outputs(layers: List[Layer], args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> None:
    """Call the model `layers[0].node` on shapes, and note the outputs of each layer. Nothing is computed."""

    def call(model: Any, args: Any, kwargs: Any) -> None:
        watch = _Watch(layers, model)
        call_listeners.add(watch)
        try:
            watch.note(layers[0], _trace_again(lambda: model(*args, **kwargs)))
        finally:
            call_listeners.remove(watch)

    filter_eval_shape(call, layers[0].node, args, kwargs)


def _trace_again(call: Callable[[], Any]) -> Any:
    """Return `call()`. In it, JAX traces each function at least once, also those that it has traced before.

    JAX reuses a trace only under the same axes of `jax.vmap`. So the call is under an axis of a new name. Nothing is
    mapped along it.
    """
    results = []

    def on_a_new_axis(unused: Any) -> Any:
        results.append(call())
        return unused

    jax.vmap(on_a_new_axis, axis_name="equinox.summary {}".format(next(_axis_numbers)))(jnp.zeros(1))
    return results[0]


def _is_decorated(function: Any) -> bool:
    """Whether a decorator has made `function`. With `jax.jit`, two layers of one class may share a trace."""
    return not isinstance(function, types.FunctionType) or hasattr(function, "__wrapped__")


class _Watch:
    """Listens to the calls of modules in this thread, and finds the layer for each.

    A layer is found by identity. A transformation inside the model, such as `filter_checkpoint(layer)`, calls a copy.
    The layer of a copy is one with the same structure, inside the layer that is running. Of several, the first one with
    the same shapes that wasn't called.
    """

    def __init__(self, layers: List[Layer], model: Any) -> None:
        self.layers = layers
        self.model = model  # keeps the nodes, so that their `id`s stay theirs
        self.nodes = [node for _, node, owner, is_leaf in walk(model) if not is_leaf or owner is None]
        self.by_id = {id(node): layer for node, layer in zip(self.nodes, layers)}
        self.keys: Dict[int, Any] = {}  # see `_key`, by the number of the layer
        self.running = layers[:1]
        self.thread = threading.get_ident()

    def __call__(self, module: Any, call: Callable[[], Any]) -> Any:
        layer = self._layer(module) if threading.get_ident() == self.thread else None
        if layer is None:
            return call()
        layer.is_called = True
        self.running.append(layer)
        try:
            output = _trace_again(call) if _is_decorated(type(module).__call__) else call()
        finally:
            self.running.pop()
        self.note(layer, output)
        return output

    def note(self, layer: Layer, output: Any) -> None:
        """Note an output of a layer."""
        layer.outputs[_output_in_words(output)] = None

    def _layer(self, module: Any) -> Optional[Layer]:
        layer = self.by_id.get(id(module))
        if layer is not None:
            return layer
        structure, shapes = _key(module)
        for around in reversed(self.running):
            alike = [x for x in self.layers[around.start : around.end] if self._key(x)[0] == structure]
            if alike:
                return min(alike, key=lambda x: (self._key(x)[1] != shapes, x.is_called))
        return None

    def _key(self, layer: Layer) -> Any:
        if layer.start not in self.keys:
            self.keys[layer.start] = _key(self.nodes[layer.start])
        return self.keys[layer.start]


def _key(module: Any) -> Tuple[Any, List[Any]]:
    """The structure of a module, and the shapes of its leaves."""
    leaves, structure = tree_util.tree_flatten(module)
    return structure, [getattr(x, "shape", None) for x in leaves]


def _output_in_words(output: Any) -> str:
    """The shapes of a tree of arrays. Its other nodes are written as their type alone, such as a state."""
    plain = (tuple, list, dict, type(None), bool, int, float, complex, str)
    text = tree_pformat(output, width=sys.maxsize, truncate_leaf=lambda x: not isinstance(x, plain) and not is_array(x))
    return short_text(text, _OUTPUT_WIDTH)

"""The layers of a model: the modules in it, with their paths and sizes."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Optional, Tuple

import jax
import numpy as np

from .._compat import named_children
from .._compat.types import PyTree
from .._trees.count_parameters import size_of
from .._trees.layout import layout_of
from .._trees.predicates import is_array_or_shape, is_parameter
from .._trees.trainable import places_of_leaves


class Layer:
    """A module in a model, or the whole model.

    Attributes:
        path: What follows the name of the model in Python. Empty for the whole model.
        name: The end of `path` that follows the path of the layer around it.
        node: The module.
        owner: The layer around it. `None` for the whole model.
        inner: The layers in it, without those that are in one of these.
        start: Its place in the list of all layers, in the order of flattening.
        end: The place after its last inner layer.
        parameters: The number of elements of its floating-point and complex arrays, and of those of its inner layers.
        trainable: How many of them are trained.
        nbytes: The bytes of its arrays, and of those of its inner layers.
        dtypes: The dtypes of these arrays.
        shardings: The shardings of these arrays, in words. An array on one device has none.
        outputs: The different outputs of its calls, in words.
        is_called: Whether a call of it was seen.
    """

    def __init__(self, path: str, node: Any, owner: Optional[Layer], start: int) -> None:
        self.path = path
        self.name = path if owner is None else path[len(owner.path) :]
        self.node = node
        self.owner = owner
        self.inner: List[Layer] = []
        self.start = start
        self.end = start + 1
        self.parameters = self.trainable = self.nbytes = 0
        self.dtypes: Dict[str, None] = {}
        self.shardings: Dict[str, None] = {}
        self.outputs: Dict[str, None] = {}
        self.is_called = False

    def add_array(self, x: Any, is_trained: bool) -> None:
        """Count an array that is in this layer, and in none of its inner layers."""
        size = size_of(x)
        self.parameters += size if is_parameter(x) else 0
        self.trainable += size if is_trained else 0
        self.nbytes += _nbytes(x)
        self.dtypes[str(x.dtype)] = None
        sharding = _sharding_in_words(x)
        if sharding:
            self.shardings[sharding] = None

    def add_inner(self, layer: Layer) -> None:
        """Count what an inner layer has. The inner layer is complete."""
        self.end = max(self.end, layer.end)
        self.parameters += layer.parameters
        self.trainable += layer.trainable
        self.nbytes += layer.nbytes
        self.dtypes.update(layer.dtypes)
        self.shardings.update(layer.shardings)


def layers_of(model: PyTree) -> List[Layer]:
    """All layers of a model, in the order of flattening. The first is the whole model."""
    layers: List[Layer] = []
    places = iter(places_of_leaves(model))
    for path, node, owner, is_leaf in walk(model):
        if not is_leaf or owner is None:
            layer = Layer(path, node, None if owner is None else layers[owner], len(layers))
            layers.append(layer)
            if layer.owner is not None:
                layer.owner.inner.append(layer)
        is_trained = is_leaf and next(places).is_trained
        if is_leaf and is_array_or_shape(node):
            layers[owner or 0].add_array(node, is_trained and is_parameter(node))
    for layer in reversed(layers):
        if layer.owner is not None:
            layer.owner.add_inner(layer)
    return layers


def walk(tree: PyTree) -> Iterator[Tuple[str, Any, Optional[int], bool]]:
    """The root, the modules and the leaves of a tree, in the order of flattening.

    Yields:
        `(path, node, the number of the module around it, whether it is a leaf)`. The root and the modules are numbered
        from 0. Nothing is around the root.
    """
    count = 0
    pending: List[Tuple[str, Any, Optional[int]]] = [("", tree, None)]
    while pending:
        path, node, owner = pending.pop()
        children = named_children(node)
        if children is None or owner is None or layout_of(node) is not None:
            yield path, node, owner, children is None
        if children is None:
            continue
        if owner is None or layout_of(node) is not None:
            owner, count = count, count + 1
        pending.extend((path + name, child, owner) for name, child in reversed(children))


def _nbytes(x: Any) -> int:
    if isinstance(x.dtype, np.dtype):
        return size_of(x) * x.dtype.itemsize
    data = jax.eval_shape(jax.random.key_data, x)  # typed PRNG keys
    return size_of(data) * data.dtype.itemsize


def _sharding_in_words(x: Any) -> str:
    """The sharding of an array that is on several devices. Otherwise an empty text."""
    sharding = getattr(x, "sharding", None)
    try:
        number = len(getattr(sharding, "device_set", ()))
    except ValueError:  # its mesh has no devices
        return ""
    if number < 2:
        return ""
    spec = getattr(sharding, "spec", None)
    devices = "{} devices".format(number)
    return devices if spec is None else "P({}) on {}".format(", ".join(map(repr, spec)), devices)

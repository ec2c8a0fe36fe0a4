"""How PyTorch keeps the arrays of a layer, if its names or layouts differ from ours.

A layer says it in `_torch_names`: a dictionary from names in PyTorch to what is there. An item is a part of the layer,
such as an array or another layer, or an `OneArray` or an `Each`. A layer without this method has the same names in
PyTorch. `_torch_names.py` calls the method on a layer that has a `Place` for each leaf.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, NamedTuple, Sequence, Tuple

import numpy as np
from jax import core

from .._trees.layout import layout_of
from .._trees.translation import Change, concatenate


class OneArray(NamedTuple):
    """An array of PyTorch, made of one or several leaves in another layout. Without leaves there is no array."""

    leaves: Tuple[Any, ...]
    to_leaves: Change
    to_arrays: Change


class Each(NamedTuple):
    """A stack of equal layers: PyTorch has a layer for each item of the first axis, named by its number."""

    stack: Any
    depth: int
    first: int = 0  # the number of the first layer


def changed(leaf: Any, to_ours: Callable[[Any], Any], to_theirs: Callable[[Any], Any]) -> OneArray:
    """One leaf in another layout."""
    return OneArray((leaf,), lambda arrays: [to_ours(arrays[0])], lambda leaves: [to_theirs(leaves[0])])


def joined(leaves: Sequence[Any]) -> OneArray:
    """Leaves of one shape, one below the other."""

    def split(arrays: Sequence[Any]) -> Sequence[Any]:
        (x,) = arrays
        rows = x.shape[0] // len(leaves)
        return [x[i * rows : (i + 1) * rows] for i in range(len(leaves))]

    return OneArray(tuple(leaves), split, lambda parts: [concatenate(parts)])


def as_int64(x: Any) -> Any:
    """A count, in the dtype that PyTorch has for it. JAX usually has no int64, so the result is a NumPy array."""
    return x if isinstance(x, core.Tracer) else np.asarray(x, np.int64)


def own_names(layer: Any) -> Dict[str, Any]:
    """The fields of a layer, by their names."""
    layout = layout_of(layer)
    return {} if layout is None else {name: vars(layer).get(name) for name in layout.dynamic}


def torch_contents(layer: Any) -> Dict[str, Any]:
    """What PyTorch's counterpart of a layer holds, by name."""
    hook = getattr(type(layer), "_torch_names", None)
    return own_names(layer) if hook is None else hook(layer)

"""`torch_names`: the names and layouts that PyTorch has for the arrays of a model."""

from __future__ import annotations

from typing import Any, Iterator, List, Sequence, Tuple

import numpy as np
from jax import core, tree_util

from .. import _compat
from .._compat.types import PyTree
from .._trees.layout import layout_of
from .._trees.names import part_of_name
from .._trees.predicates import is_array, is_array_or_shape, is_jax_array
from .._trees.translation import Change, Link, Translation, stack
from ._state import State, StateIndex
from ._torch_layout import Each, OneArray, torch_contents


def torch_names(model: PyTree) -> Translation:
    """Make the `rename` that loads the `state_dict` of a PyTorch model, and the `rename` that gives it back.

    It knows the names and the layouts of each layer of `eqx.nn` that PyTorch has, such as the index of a layer in
    `Sequential`, the shape of the bias of a `Conv2d`, and the fused projections of `MultiheadAttention`. Give your own
    modules the names of fields that the PyTorch model has. Then its names are the paths of your arrays. Lists and
    dictionaries are like `ModuleList` and `ModuleDict`. A layer that PyTorch doesn't have keeps the names of its
    fields.

    The values may be PyTorch's tensors, NumPy arrays or JAX arrays. PyTorch isn't imported.

    If layers have a state, such as the running statistics of `BatchNorm`, load into the pair of model and state:
    `model, state = eqx.from_dict((model, state), state_dict, rename=eqx.nn.torch_names(model))`.

    Args:
        model: The model, or the pair `(model, state)`. It may be made of shapes, as by `filter_eval_shape`.

    Returns:
        What `from_dict`, `load` and `to_dict` take as `rename`, for `model`, or for the pair `(model, state)`.

    Raises:
        ValueError: Two arrays of `model` have the same name in PyTorch.

    Example:
        >>> conv = eqx.nn.Conv1d(3, 2, kernel_size=1, key=jax.random.PRNGKey(0))
        >>> model = eqx.nn.Sequential([conv, jax.nn.relu, eqx.nn.PReLU()])
        >>> state_dict = {
        ...     "0.weight": np.ones((2, 3, 1), np.float32),  # for example of `torch_model.state_dict()`
        ...     "0.bias": np.ones(2, np.float32),
        ...     "2.weight": np.zeros(1, np.float32),
        ... }
        >>> model = eqx.from_dict(model, state_dict, rename=eqx.nn.torch_names(model))
        >>> model.layers[0].bias.shape, model.layers[2].negative_slope.tolist()
        ((2, 1), [0.0])
        >>> sorted(eqx.to_dict(model, rename=eqx.nn.torch_names(model)))
        ['0.bias', '0.weight', '2.weight']
    """
    names = _Torch()
    names.links("torch_names", model)
    return names


class _Torch(Translation):
    """The names and layouts of PyTorch, for any model."""

    def links(self, function: str, tree: PyTree) -> List[Link]:
        links = list(_walk("", _with_places(tree)))
        names = [name for link in links for name in link.names]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(
                "`{}` needs a name for each array, but two arrays of the model have the name {!r} in PyTorch.".format(
                    function, twice
                )
            )
        return links

    def as_array(self, value: Any, expected: Any) -> Any:
        if not is_array(value) and hasattr(value, "detach") and hasattr(value, "numpy"):
            value = _tensor_as_numpy(value)
        return _as_integer_of(value, expected) if is_array(value) and is_array_or_shape(expected) else value

    def next_move(self, tree: PyTree) -> str:
        text = (
            "The names and shapes are those of PyTorch. If names differ, change those in the dictionary first. Pass "
            "`strict=False` to take what fits."
        )
        if _has_no_state(tree):
            text += " If the unknown arrays are statistics of a layer, pass `(model, state)` as `like`."
        return text


class _Place:
    """Stands in a model for a leaf, while the layers say what PyTorch has for it."""

    def __init__(self, number: int, shape: Tuple[int, ...]) -> None:
        self.number = number
        self.shape = shape
        self.ndim = len(shape)


def _with_places(tree: PyTree) -> PyTree:
    """The model in `tree`, with a `_Place` for each array. A `StateIndex` becomes the tree of its value, or `None`."""
    leaves, treedef = tree_util.tree_flatten(tree)
    with_places = treedef.unflatten(
        [_Place(i, tuple(x.shape)) if _is_parameter(x) else None for i, x in enumerate(leaves)]
    )
    model, state = _model_and_state(with_places)
    values = {} if state is None else state._values

    def value_of(x: Any) -> Any:
        if not isinstance(x, StateIndex):
            return x
        return values.get(x.key) if x.init is None else x.init

    return tree_util.tree_map(value_of, model, is_leaf=lambda x: isinstance(x, StateIndex))


def _is_parameter(x: Any) -> bool:
    """Whether PyTorch has `x`, a leaf. It has no typed PRNG keys."""
    return is_array_or_shape(x) and not (is_jax_array(x) and _compat.is_typed_key(x))


def _model_and_state(tree: PyTree) -> Tuple[Any, Any]:
    """The two parts of the pair `(model, state)`. The state is `None` if `tree` is the model alone."""
    is_pair = isinstance(tree, (tuple, list)) and len(tree) == 2 and isinstance(tree[1], State)
    return (tree[0], tree[1]) if is_pair else (tree, None)


def _has_no_state(tree: PyTree) -> bool:
    model, state = _model_and_state(tree)
    leaves = tree_util.tree_flatten(model, is_leaf=lambda x: isinstance(x, StateIndex))[0]
    return state is None and any(isinstance(x, StateIndex) and x.init is None for x in leaves)


def _walk(name: str, node: Any) -> Iterator[Link]:
    """The links of `node`, which PyTorch has under `name`."""
    if isinstance(node, _Place):
        yield Link((name,), (node.number,))
    elif isinstance(node, OneArray):
        if all(isinstance(leaf, _Place) for leaf in node.leaves):
            yield Link((name,), tuple(leaf.number for leaf in node.leaves), node.to_leaves, node.to_arrays)
    elif isinstance(node, Each):
        yield from _walk_each(name, node)
    else:
        for part, child in _children(node):
            yield from _walk(name + "." + part if name and part else name or part, child)


def _children(node: Any) -> Sequence[Tuple[str, Any]]:
    if layout_of(node) is not None:
        return list(torch_contents(node).items())
    children = _compat.named_children(node)
    return [] if children is None else [(part_of_name(part), child) for part, child in children]


def _walk_each(name: str, stacked: Each) -> Iterator[Link]:
    """The links of a stack of layers: PyTorch has an array for each layer where we have one array for all."""
    layer = tree_util.tree_map(lambda place: _Place(place.number, place.shape[1:]), stacked.stack)
    numbers = range(stacked.first, stacked.first + stacked.depth)
    for link in _walk("", layer):
        parts = [tuple(".".join(filter(None, (name, str(i), part))) for part in link.names) for i in numbers]
        yield Link(sum(parts, ()), link.leaves, *_for_each(link, stacked.depth))


def _for_each(link: Link, depth: int) -> Tuple[Change, Change]:
    """The changes of `link`, for a stack of layers."""
    size = len(link.names)

    def to_leaves(arrays: Sequence[Any]) -> Sequence[Any]:
        rows = [arrays[i * size : (i + 1) * size] for i in range(depth)]
        return [stack(leaf) for leaf in zip(*(row if link.to_leaves is None else link.to_leaves(row) for row in rows))]

    def to_arrays(leaves: Sequence[Any]) -> Sequence[Any]:
        rows = [[leaf[i] for leaf in leaves] for i in range(depth)]
        return [x for row in rows for x in (row if link.to_arrays is None else link.to_arrays(row))]

    return to_leaves, to_arrays


def _tensor_as_numpy(tensor: Any) -> np.ndarray:
    """A tensor of PyTorch as a NumPy array, which may share its memory."""
    tensor = tensor.detach().cpu()
    try:
        return tensor.numpy()
    except TypeError:  # a dtype that NumPy itself doesn't have, such as bfloat16
        dtype = _compat.dtype_named(str(tensor.dtype).split(".")[-1])
        return tensor if dtype is None else tensor.float().numpy().astype(dtype)


def _as_integer_of(value: Any, expected: Any) -> Any:
    """`value` in the dtype of `expected`, if both are integers and the numbers fit. PyTorch counts in int64."""
    if value.dtype == expected.dtype or not {value.dtype.kind, np.dtype(expected.dtype).kind} <= set("iu"):
        return value
    new = value.astype(expected.dtype)
    return new if isinstance(value, core.Tracer) or bool((new == value).all()) else value

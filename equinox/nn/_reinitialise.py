"""`reinitialise`: new parameters for a whole model, chosen by the patterns of their paths."""

from __future__ import annotations

import dataclasses
import zlib
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence

import jax
import jax.random as jrandom

from .._compat import named_children
from .._compat.types import Array, Key, T
from .._transforms.vmap import filter_vmap
from .._trees.at import tree_at
from .._trees.layout import layout_of
from .._trees.paths import describe_leaf
from .._trees.predicates import is_inexact_jax_or_numpy
from .._trees.select import select
from ._checks import check_callable, check_key, in_words
from ._parameters import OUTPUT_FIRST, Initialiser, initialise
from ._reparametrised import Reparametrised
from ._stack import HasStacks


def reinitialise(model: T, initialisers: Mapping[Any, Initialiser], key: Key) -> T:
    """Draw parameters of a model again, each by the initialiser for the pattern of its path.

    The key of each parameter depends on `key` and on its path. So it stays the same if other parameters are added. Each
    layer of a `Stacked` or of an `MLP` gets its own values. For an ensemble, call `eqx.filter_vmap` of this function.

    Args:
        model: A model, or any pytree.
        initialisers: A dictionary from patterns to functions `(key, shape, dtype) -> array`, such as
            `jax.nn.initializers.he_normal()`. A pattern is what `eqx.select` takes, such as `"*.weight"`. It selects
            parameters. If a parameter matches several patterns, the last one counts. The weight of a layer is shown to
            the initialiser in JAX's layout, `(*kernel, input, output)`.
        key: A PRNG key.

    Returns:
        The changed model. Shapes and dtypes are as before. Where the weight inside a `WeightNorm` changes, `g` becomes
        the new norm. A later pattern may select `g`.

    Raises:
        TypeError: `initialisers` is no dictionary, an initialiser can't be called, or `key` is no PRNG key.
        TypeError: A pattern selects what is no floating-point or complex array.
        ValueError: A pattern selects nothing. The message shows near paths.
        ValueError: An initialiser fails, or returns another shape.

    Example:
        >>> model = eqx.nn.MLP(2, 1, 8, 2, key=jax.random.PRNGKey(0))
        >>> init = jax.nn.initializers
        >>> initialisers = {"*.weight": init.orthogonal(), "*.bias": init.zeros}
        >>> model = eqx.nn.reinitialise(model, initialisers, jax.random.PRNGKey(1))
        >>> model.layers[0].bias.tolist()
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    if not isinstance(initialisers, Mapping):
        raise TypeError(
            "`reinitialise` expects `initialisers` to be a dictionary, such as "
            "`{{'*.weight': jax.nn.initializers.he_normal()}}`, got {}.".format(in_words(initialisers))
        )
    check_key(key, "reinitialise")
    nodes = _nodes(model)
    for by, init in initialisers.items():
        check_callable(init, "initialisers[{!r}]".format(by), "reinitialise")
        selected = select(model, by)
        new = []
        for path, leaf in zip(selected, selected(model)):
            if leaf is not None and not is_inexact_jax_or_numpy(leaf):
                raise TypeError(
                    "`reinitialise` expects {!r} to select floating-point or complex arrays, but {} is {}. Select "
                    "parameters, as in '*.weight'.".format(by, _place(path), describe_leaf(leaf))
                )
            own_key = jrandom.fold_in(key, zlib.crc32(path.encode()) & 0x7FFFFFFF)
            # A layer without bias has `None`, which stays.
            new.append(None if leaf is None else _draw(path, init, own_key, leaf, nodes[path]))
        model = _follow_weights(tree_at(selected, model, tuple(new)), selected, nodes)
    return model


def _follow_weights(model: T, changed: Sequence[str], nodes: Mapping[str, _Node]) -> T:
    """`model`, in which wrappers follow the weights at the paths `changed`. Inner wrappers come first."""
    for path in sorted(nodes, key=len, reverse=True):
        if nodes[path].weight_path in changed:
            follow: Any = _follow_weight
            for _ in range(nodes[path].stacks):
                follow = filter_vmap(follow)
            model = tree_at(select(model, path), model, replace_fn=follow)
    return model


def _follow_weight(wrapper: Reparametrised) -> Reparametrised:
    return wrapper._follow_weight()


def _place(path: str) -> str:
    """`path` in the words of a message."""
    return "`{}`".format(path) if path else "the whole model"


class _Node(NamedTuple):
    output_first: bool  # whether it is a weight whose first two axes are output and input
    stacks: int  # in how many stacks it is, as in `Stacked`
    weight_path: Optional[str]  # if it is a wrapper such as `WeightNorm`, the path of the weight that it changes


def _nodes(model: Any) -> Dict[str, _Node]:
    """What is known about each node, by its path."""
    found = {}
    stack_paths = set()
    pending = [("", model, False, 0)]
    while pending:
        path, node, output_first, stacks = pending.pop()
        stacks += path in stack_paths
        found[path] = _Node(output_first, stacks, _weight_path(path, node))
        is_module = layout_of(node) is not None
        fields = {"." + f.name: f for f in dataclasses.fields(node)} if is_module else {}
        if isinstance(node, HasStacks):
            stack_paths.update(path + name for name in node._stacks())
        for name, child in named_children(node) or ():
            weight = name in fields and bool(fields[name].metadata.get(OUTPUT_FIRST))
            pending.append((path + name, child, weight, stacks))
    return found


def _weight_path(path: str, node: Any) -> Optional[str]:
    if not isinstance(node, Reparametrised):
        return None
    name = node.weight_name
    while isinstance(node, Reparametrised):
        path, node = path + ".layer", node.layer
    return "{}.{}".format(path, name)


def _draw(path: str, init: Initialiser, key: Key, leaf: Any, node: _Node) -> Array:
    """A new value for `leaf`. Its first `node.stacks` axes are those of stacks, and each layer gets its own key."""
    if node.stacks == 0 or not leaf.shape:  # without axes it is that of each layer
        return initialise(init, key, leaf.shape, leaf.dtype, node.output_first, "The initialiser of " + _place(path))
    keys = jrandom.split(key, leaf.shape[0])
    like = jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)
    return jax.vmap(lambda key: _draw(path, init, key, like, node._replace(stacks=node.stacks - 1)))(keys)

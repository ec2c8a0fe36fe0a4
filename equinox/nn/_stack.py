"""A stack: equal layers in one tree, whose arrays have an additional first axis, with one item for each layer.

An array without axes is a flag, which `jax.jit` made an array. It is the flag of each layer.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence, Tuple

import jax.numpy as jnp
from jax import tree_util

from .._module import Module
from .._trees.paths import named_leaves
from .._trees.predicates import is_array, is_inexact_array
from ._checks import MAP_OVER_LAYERS


class HasStacks(Module):
    """A layer that holds stacks."""

    def _stacks(self) -> Tuple[str, ...]:
        """The paths of the stacks in this layer."""
        raise NotImplementedError


def stack(layers: Sequence[Any]) -> Any:
    """Stack the arrays of equal layers. Everything else is as in the first."""
    return tree_util.tree_map(lambda *leaves: jnp.stack(leaves) if is_array(leaves[0]) else leaves[0], *layers)


def copies(layer: Any, depth: int) -> Any:
    """Stack `depth` copies of a layer."""

    def of_array(x: Any) -> Any:
        many = jnp.broadcast_to(x, (depth,) + x.shape)
        # `jnp.array(1.0)` is weakly typed. `astype` ends this: JAX 0.2 can't scan over weakly typed arrays.
        return many.astype(many.dtype) if is_inexact_array(many) else many

    return _map_arrays(of_array, layer)


def take(stack: Any, index: Any) -> Any:
    """One layer of a stack, or the stack of some of its layers, if `index` is a slice."""
    return _map_arrays(lambda x: jnp.asarray(x)[index] if x.ndim else x, stack)


def for_each(stack: Any, depth: int, name: str, owner: str) -> Any:
    """The stack `name` of `owner`, checked. Each of its arrays has the first axis, flags too."""
    for path, leaf in named_leaves(stack, name):
        if is_array(leaf) and leaf.shape[:1] not in ((), (depth,)):
            raise ValueError(
                "`{}` with `depth={}` expects `{}` to have a first axis of this length, with one item for each layer, "
                "got shape {}. After `jax.vmap` over the construction there is another axis before it. {}".format(
                    owner, depth, path, leaf.shape, MAP_OVER_LAYERS
                )
            )
    return _map_arrays(lambda x: x if x.ndim else jnp.broadcast_to(jnp.asarray(x), (depth,)), stack)


def _map_arrays(function: Callable[[Any], Any], tree: Any) -> Any:
    """Apply `function` to each array. A tree without arrays, such as an activation, stays the same object."""
    if not any(map(is_array, tree_util.tree_leaves(tree))):
        return tree
    return tree_util.tree_map(lambda x: function(x) if is_array(x) else x, tree)

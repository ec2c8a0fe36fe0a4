"""`tree_check`: whether flattening a tree loses nothing."""

from __future__ import annotations

from typing import Any, Dict, List

from jax import tree_util

from .._compat import named_children
from .._compat.types import PyTree
from .flatten_one_level import tree_flatten_one_level


def tree_check(tree: PyTree) -> None:
    """Raise an error if a node of the tree is at two places, or holds itself.

    When JAX flattens a tree and makes it again, a layer that is at two places becomes two layers. From then on each has
    its own parameters. The same array, number or function at two places is no error. A node without leaves is none,
    because nothing in it can change.

    Args:
        tree: Any pytree, usually a model. It is checked as it is: a tree that JAX has made again shares nothing.

    Raises:
        ValueError: A node with leaves is at two places. The message names both.
        ValueError: A node holds itself, directly or inside another node.

    Example:
        >>> linear = eqx.nn.Linear(3, 3, key=jax.random.PRNGKey(0))
        >>> eqx.tree_check([linear, linear.weight, eqx.nn.Identity()])
        >>> eqx.tree_check([linear, {"again": linear}])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        ValueError: The `Linear` at `tree[0]` is also at `tree[1]['again']`. ...
    """
    seen: Dict[int, Any] = {}  # the path of each node by its `id`, and the node itself: so its `id` isn't used again
    pending: List[Any] = [("tree", tree, None)]  # in this order, a node is seen again after all that is below it
    while pending:
        path, node, _ = entry = pending.pop()
        if tree_util.all_leaves([node]):
            continue
        if id(node) in seen:
            first = seen[id(node)][0]
            if _is_inside(entry, node):
                raise ValueError(_LOOP.format(type(node).__name__, first, ", at `{}`".format(path)))
            if tree_util.tree_leaves(node):
                raise ValueError(_SHARED.format(type(node).__name__, first, path))
            continue
        if any(child is node for child in tree_flatten_one_level(node)[0]):
            raise ValueError(_LOOP.format(type(node).__name__, path, ""))
        seen[id(node)] = path, node
        pending.extend((path + name, child, entry) for name, child in reversed(named_children(node) or ()))


def _is_inside(entry, node):
    """Whether `entry`, which is `(path, node, the entry of its parent)`, lies inside `node`."""
    parent = entry[2]
    while parent is not None and parent[1] is not node:
        parent = parent[2]
    return parent is not None


_SHARED = (
    "The `{0}` at `{1}` is also at `{2}`. When JAX flattens the tree and makes it again, it becomes two `{0}`s, which "
    "are then changed separately. Make one for each place, as with `copy.deepcopy`, or keep it at one place."
)
_LOOP = "The `{}` at `{}` holds itself{}. JAX can't flatten such a tree. Remove it from one of the places."

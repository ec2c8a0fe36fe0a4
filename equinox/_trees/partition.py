"""`filter`, `partition` and `combine`: split a pytree by a filter, and put it together again."""

from __future__ import annotations

import operator
from typing import Any, Optional, Tuple

from jax import tree_util

from .._compat.types import FilterSpec, IsLeaf, T
from .paths import first_difference
from .predicates import is_none
from .prefix import mismatch
from .selection import mask


def filter(
    tree: T, filter_spec: FilterSpec, inverse: bool = False, replace: Any = None, is_leaf: Optional[IsLeaf] = None
) -> T:
    """Keep the leaves of `tree` that `filter_spec` selects. Replace the others by `replace`.

    Args:
        tree: Any pytree.
        filter_spec: A function `leaf -> bool`, or a bool, or a pytree of these whose structure is a prefix of that of
            `tree`. Each applies to every leaf of `tree` below it. A module is a pytree here, even if it can be called.
            A bound method, a `Partial` and what a transformation returned are functions.
        inverse: Whether to keep the leaves that are not selected instead.
        replace: What replaces a leaf that is not kept.
        is_leaf: As in `jax.tree_util.tree_flatten`: what else in `tree` counts as a leaf.

    Returns:
        A tree of the structure of `tree`.

    Raises:
        ValueError: The structure of `filter_spec` isn't a prefix of that of `tree`. The message says where.
        TypeError: A leaf of `filter_spec` is no bool and no function.

    Example:
        >>> tree = {"weight": np.float32(1), "name": "layer"}
        >>> eqx.filter(tree, eqx.is_array, inverse=True)
        {'name': 'layer', 'weight': None}
        >>> eqx.filter([1, [2, 3]], [False, True])
        [None, [2, 3]]
    """
    leaves, treedef, selected = select_leaves(tree, filter_spec, is_leaf)
    if inverse:
        selected = map(operator.not_, selected)
    return treedef.unflatten([x if keep else replace for x, keep in zip(leaves, selected)])


def partition(tree: T, filter_spec: FilterSpec, replace: Any = None, is_leaf: Optional[IsLeaf] = None) -> Tuple[T, T]:
    """Split `tree` into two trees: the leaves that `filter_spec` selects, and the others. `combine` undoes it.

    Args:
        tree: Any pytree.
        filter_spec: A function `leaf -> bool`, or a bool, or a pytree of these whose structure is a prefix of that of
            `tree`. Each applies to every leaf of `tree` below it. A module is a pytree here, even if it can be called.
            A bound method, a `Partial` and what a transformation returned are functions.
        replace: What replaces a leaf in the tree that doesn't get it.
        is_leaf: As in `jax.tree_util.tree_flatten`: what else in `tree` counts as a leaf.

    Returns:
        Two trees of the structure of `tree`. Each leaf is in one of them.

    Raises:
        ValueError: The structure of `filter_spec` isn't a prefix of that of `tree`. The message says where.
        TypeError: A leaf of `filter_spec` is no bool and no function.

    Example:
        >>> arrays, others = eqx.partition([np.float32(1), "text"], eqx.is_array)
        >>> others
        [None, 'text']
        >>> eqx.combine(arrays, others)[1]
        'text'
    """
    leaves, treedef, selected = select_leaves(tree, filter_spec, is_leaf)
    kept = [x if keep else replace for x, keep in zip(leaves, selected)]
    others = [replace if keep else x for x, keep in zip(leaves, selected)]
    return treedef.unflatten(kept), treedef.unflatten(others)


def select_leaves(tree, filter_spec, is_leaf=None):
    """The leaves and the structure of `tree`, and for each leaf whether it is selected."""
    leaves, treedef = tree_util.tree_flatten(tree, is_leaf=is_leaf)
    selected = mask(leaves, treedef, filter_spec, "filter_spec")
    if selected is None:
        raise ValueError(
            "`filter_spec` must have the structure of `tree`, or of a prefix of it. {}".format(
                mismatch(tree, filter_spec, "tree", is_leaf)
            )
        )
    return leaves, treedef, selected


def combine(*trees: T, is_leaf: Optional[IsLeaf] = None) -> T:
    """Merge trees of the same structure. At each place, take the first leaf that isn't `None`.

    Args:
        *trees: Pytrees of the same structure, such as those that `partition` returns. `None` counts as a leaf.
        is_leaf: As in `jax.tree_util.tree_flatten`: what else counts as a leaf.

    Returns:
        A tree of the same structure.

    Raises:
        ValueError: No tree was given.
        ValueError: The structures differ. The message says where.

    Example:
        >>> eqx.combine([1, None, None], [None, 2, None])
        [1, 2, None]
    """
    if not trees:
        raise ValueError("`combine` expects at least one tree, got none.")
    is_leaf_or_none = is_none if is_leaf is None else lambda x: x is None or is_leaf(x)
    flat = [tree_util.tree_flatten(tree, is_leaf=is_leaf_or_none) for tree in trees]
    treedef = flat[0][1]
    for i, (_, other) in enumerate(flat):
        if other != treedef:
            difference = first_difference(trees[0], trees[i], "tree", is_leaf_or_none, is_leaf_or_none)
            raise ValueError(
                "`combine` expects trees of the same structure, but number 0 and number {} differ. At `{}` expected "
                "{}, got {}.".format(i, *difference)
            )
    if len(flat) == 2:  # the two halves of a partition
        return treedef.unflatten([b if a is None else a for a, b in zip(flat[0][0], flat[1][0])])
    columns = zip(*(leaves for leaves, _ in flat))
    return treedef.unflatten([next((x for x in column if x is not None), None) for column in columns])

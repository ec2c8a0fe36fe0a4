"""Split a pytree by a filter, and put it together again."""

import operator

from jax import tree_util

from .paths import first_difference
from .predicates import is_none
from .selection import mask, mismatch


def filter(tree, filter_spec, inverse=False, replace=None, is_leaf=None):
    """Keep the leaves of `tree` that `filter_spec` selects; put `replace` in the place of the others.

    Args:
        tree: any pytree.
        filter_spec: a function `leaf -> bool`; or a bool; or a pytree of these whose structure is a prefix of that
            of `tree`. Each applies to every leaf of `tree` below it. A callable that is a pytree itself, such as a
            module, counts as a pytree; but for bound methods, which are functions here.
        inverse: keep the leaves that are not selected instead.
        replace: what stands for a leaf that is not kept.
        is_leaf: as in `jax.tree_util.tree_flatten`: what else in `tree` counts as a leaf.

    Returns: a tree like `tree`.

    Raises: ValueError: `filter_spec` isn't a prefix of `tree`. TypeError: a leaf of it is neither bool nor function.
    """
    leaves, treedef, selected = _select(tree, filter_spec, is_leaf)
    if inverse:
        selected = map(operator.not_, selected)
    return treedef.unflatten([x if keep else replace for x, keep in zip(leaves, selected)])


def partition(tree, filter_spec, replace=None, is_leaf=None):
    """Split `tree` in two: the leaves that `filter_spec` selects, and the others. `combine` undoes it.

    Args and Raises: as for `filter`.

    Returns: two trees like `tree`; each leaf is in one of them, and `replace` stands for it in the other.
    """
    leaves, treedef, selected = _select(tree, filter_spec, is_leaf)
    kept = [x if keep else replace for x, keep in zip(leaves, selected)]
    others = [replace if keep else x for x, keep in zip(leaves, selected)]
    return treedef.unflatten(kept), treedef.unflatten(others)


def _select(tree, filter_spec, is_leaf):
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


def combine(*trees, is_leaf=None):
    """Merge trees of one structure: at each place the first leaf that isn't `None`.

    Args:
        trees: pytrees alike but for `None`s, such as `partition` returns.
        is_leaf: as in `jax.tree_util.tree_flatten`: what else counts as a leaf.

    Raises: ValueError: no tree given, or their structures differ, naming where.
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
                "`combine` expects trees of one structure, but number 0 and number {} differ. At `{}` expected {}, "
                "got {}.".format(i, *difference)
            )
    if len(flat) == 2:  # the two halves of a partition
        return treedef.unflatten([b if a is None else a for a, b in zip(flat[0][0], flat[1][0])])
    columns = zip(*(leaves for leaves, _ in flat))
    return treedef.unflatten([next((x for x in column if x is not None), None) for column in columns])

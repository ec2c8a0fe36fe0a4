"""Split a pytree by a filter, and put it together again."""

import operator

import numpy as np
from jax import tree_util

from .paths import describe_leaf, first_difference, leaf_paths
from .predicates import is_none


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
    leaves, treedef = tree_util.tree_flatten(tree, is_leaf=is_leaf)
    mask = _mask(leaves, treedef, tree, filter_spec, is_leaf)
    if inverse:
        mask = map(operator.not_, mask)
    return treedef.unflatten([x if keep else replace for x, keep in zip(leaves, mask)])


def partition(tree, filter_spec, replace=None, is_leaf=None):
    """Split `tree` in two: the leaves that `filter_spec` selects, and the others. `combine` undoes it.

    Args and Raises: as for `filter`.

    Returns: two trees like `tree`; each leaf is in one of them, and `replace` stands for it in the other.
    """
    leaves, treedef = tree_util.tree_flatten(tree, is_leaf=is_leaf)
    mask = _mask(leaves, treedef, tree, filter_spec, is_leaf)
    selected = [x if keep else replace for x, keep in zip(leaves, mask)]
    others = [replace if keep else x for x, keep in zip(leaves, mask)]
    return treedef.unflatten(selected), treedef.unflatten(others)


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


def _mask(leaves, treedef, tree, filter_spec, is_leaf):
    """`filter_spec` as something true or false for each of the `leaves` of `tree`."""
    if callable(filter_spec) and tree_util.all_leaves([filter_spec]):
        return list(map(filter_spec, leaves))
    spec_is_leaf = None
    specs, prefix = tree_util.tree_flatten(filter_spec)
    if prefix == treedef:
        if set(map(type, specs)) == {bool}:
            return specs
        below = range(len(leaves))
    else:
        spec_is_leaf = _is_spec
        specs, prefix = tree_util.tree_flatten(filter_spec, is_leaf=spec_is_leaf)
        try:
            below = prefix.flatten_up_to(treedef.unflatten(range(len(leaves))))
        except ValueError:
            path, expected, got = first_difference(tree, filter_spec, "tree", is_leaf, covers=_is_spec_leaf)
            raise ValueError(
                "`filter_spec` must have the structure of `tree`, or of a prefix of it. At `{}` expected {}, "
                "got {}.".format(path, expected, got)
            ) from None
    mask = []
    for i, (spec, subtree) in enumerate(zip(specs, below)):
        indices = [subtree] if type(subtree) is int else tree_util.tree_leaves(subtree)
        if isinstance(spec, (bool, np.bool_)):
            mask.extend([spec] * len(indices))
        elif callable(spec):
            mask.extend(spec(leaves[j]) for j in indices)
        elif indices or spec is not None:
            raise TypeError(
                "`{}` must be a bool or a function from a leaf to a bool, got {}.".format(
                    leaf_paths(filter_spec, "filter_spec", spec_is_leaf)[i], describe_leaf(spec)
                )
            )
    return mask


def _is_spec(x):
    """What in a `filter_spec` is no container, though JAX has it as a node: `None`, and a bound method."""
    return x is None or hasattr(x, "__func__")


def _is_spec_leaf(x):
    return _is_spec(x) or tree_util.all_leaves([x])

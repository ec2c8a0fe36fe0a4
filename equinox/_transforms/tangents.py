"""Tangents and cotangents that a user gives for the leaves of a tree. `None` stands for no tangent."""

import jax
import numpy as np
from jax import tree_util

from .._trees.agreement import describe, dtype_of
from .._trees.paths import describe_leaf, first_difference, leaf_paths
from .._trees.predicates import is_array_like, is_array_or_shape, is_inexact_dtype, is_none


def tangents_of_leaves(name, leaves, treedef, tangents, root, tree_root):
    """Find the tangent of each leaf of a tree.

    Args:
        name: The name of the transformation, for error messages.
        leaves: The leaves of the tree: arrays, `jax.ShapeDtypeStruct`s, or anything else.
        treedef: The structure of the tree.
        tangents: A tree of the same structure. `None` may stand for a leaf, or for a whole subtree.
        root: What `tangents` is called in an error message.
        tree_root: What the tree is called in an error message.

    Returns:
        A list with the tangent of each leaf, or `None` if there is none.

    Raises:
        ValueError: The structure of `tangents` is another one.
        ValueError: A tangent has another shape than its leaf.
        TypeError: A tangent has another dtype than its leaf, or its leaf isn't a floating-point or complex array.
    """
    items, structure = tree_util.tree_flatten(tangents, is_leaf=is_none)
    places = range(len(leaves)) if structure == treedef else _places(items, structure, treedef)
    if places is None:
        message = "`{}` expects `{}` to have the structure of `{}`, or `None` in it. At `{}` expected {}, got {}."
        difference = first_difference(treedef.unflatten(leaves), tangents, root, covers=is_none)
        raise ValueError(message.format(name, root, tree_root, *difference))
    found = [None] * len(leaves)
    for x, place in zip(items, places):
        if x is not None and not _is_float0(x):  # JAX's own tangent of an integer
            found[place] = x
    for i, (tangent, x) in enumerate(zip(found, leaves)):
        problem = None if tangent is None else _problem(tangent, x)
        if problem is not None:
            error, expected, hint = problem
            tree = treedef.unflatten(leaves)
            path, tree_path = leaf_paths(tree, root)[i], leaf_paths(tree, tree_root)[i]
            message = "`{}` got {} for `{}`, but `{}` is {}. {}"
            got = describe(tangent) if is_array_like(tangent) else describe_leaf(tangent)
            raise error(message.format(name, got, path, tree_path, expected, hint))
    return found


def _places(items, structure, treedef):
    """For each item, the number of its leaf in a tree. `None` if a structure with such items doesn't fit the tree."""
    try:
        places = structure.flatten_up_to(treedef.unflatten(range(treedef.num_leaves)))
    except ValueError:
        return None
    fits = all(x is None or tree_util.all_leaves([place]) for x, place in zip(items, places))
    return places if fits else None


def _problem(tangent, x):
    """The class of an error, what the leaf is, and what to do. `None` if nothing is wrong with the tangent."""
    if not (is_array_or_shape(x) and is_inexact_dtype(x.dtype)):
        return TypeError, "no floating-point array but {}".format(describe_leaf(x)), "Give `None` there."
    if not is_array_like(tangent) or dtype_of(tangent) != dtype_of(x):
        return TypeError, describe(x), "Both must have the same dtype: convert one of them."
    if np.shape(tangent) != x.shape:
        return ValueError, describe(x), "Both must have the same shape."
    return None


def _is_float0(x):
    return getattr(x, "dtype", None) == jax.dtypes.float0

"""What a prefix says of the leaves of a tree.

A prefix is a value, or a function from a leaf to a value, or a pytree of these whose structure is a prefix of that of
the tree. Each applies to all leaves below it. The values are bools in a filter specification, and axes in `in_axes`.
"""

from jax import tree_util

from .layout import layout_of
from .paths import describe_leaf, first_difference, leaf_paths


def values_of_leaves(prefix, leaves, treedef, is_value, name, expected):
    """For each leaf of a tree the value that `prefix` has for it, or `None` if `prefix` is no prefix of the tree.

    Args:
        prefix: The prefix.
        leaves, treedef: The tree, flattened.
        is_value: A function that says whether a leaf of `prefix` is a value.
        name: What an error message calls `prefix`.
        expected: What an error message says that a leaf of `prefix` must be.

    Raises:
        TypeError: A leaf of `prefix` is neither a value nor a function.
    """
    if callable(prefix) and tree_util.all_leaves([prefix]):
        return list(map(prefix, leaves))
    is_leaf = None
    items, structure = tree_util.tree_flatten(prefix)
    if structure == treedef:
        if all(map(is_value, items)):
            return items
        below = range(len(leaves))
    else:
        is_leaf = is_item
        items, structure = tree_util.tree_flatten(prefix, is_leaf=is_leaf)
        try:
            below = structure.flatten_up_to(treedef.unflatten(range(len(leaves))))
        except ValueError:
            return None
    values = []
    for i, (item, subtree) in enumerate(zip(items, below)):
        indices, structure = tree_util.tree_flatten(subtree)
        if is_value(item):
            values += [item] * len(indices)
        elif callable(item):
            parts, its_structure = tree_util.tree_flatten(item)
            if its_structure != structure or not all(is_value(x) or callable(x) for x in parts):
                parts = [item] * len(indices)  # it is a function, and no tree such as `tree_map` makes of one
            values += [x if is_value(x) else x(leaves[j]) for x, j in zip(parts, indices)]
        elif indices or item is not None:
            path = leaf_paths(prefix, name, is_leaf)[i]
            raise TypeError("`{}` must be {}, got {}.".format(path, expected, describe_leaf(item)))
    return values


def mismatch(tree, prefix, root, is_leaf=None):
    """Where `prefix` stops being a prefix of `tree`, in words: the path begins with `root`."""
    return "At `{}` expected {}, got {}.".format(*first_difference(tree, prefix, root, is_leaf, covers=covers))


def is_item(x):
    """Whether `x` is `None` or a function that is a pytree node.

    Such are a bound method, a `Partial`, and what a transformation returned. A callable module is no function, but a
    tree.
    """
    if x is None or isinstance(x, tree_util.Partial):
        return True
    return layout_of(x) is None and (hasattr(x, "__func__") or hasattr(x, "__wrapped__"))


def covers(x):
    """Whether `x`, in a prefix, may stand in the place of any subtree."""
    return is_item(x) or tree_util.all_leaves([x])

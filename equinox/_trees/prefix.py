"""Read a prefix of a tree: find the value that it has for each leaf.

A prefix is a value, or a function from a leaf to a value, or a pytree of these whose structure is a prefix of that of
the tree. Each applies to all leaves below it. The values are bools in a filter specification, and axes in `in_axes`.
The function `trainable` is asked about the whole tree, not about its leaves.
"""

from jax import tree_util

from .layout import layout_of
from .paths import describe_leaf, first_difference, leaf_paths
from .predicates import is_none
from .trainable import trainable, trainable_leaves


def values_of_leaves(prefix, leaves, treedef, is_value, name, expected):
    """Find the value that `prefix` has for each leaf of a tree.

    Args:
        prefix: The prefix.
        leaves: The leaves of the tree.
        treedef: The structure of the tree.
        is_value: A predicate: whether a leaf of `prefix` is a value.
        name: The name of `prefix` in an error message.
        expected: What a leaf of `prefix` must be, for an error message.

    Returns:
        A list with a value for each leaf. `None` if `prefix` is no prefix of the tree.

    Raises:
        TypeError: A leaf of `prefix` is no value and no function.
    """
    if prefix is trainable:
        return trainable_leaves(leaves, treedef)
    if is_function(prefix):
        return list(map(prefix, leaves))
    items = items_of_leaves(prefix, treedef, is_value, name, expected)
    if items is None:
        return None
    answers = trainable_leaves(leaves, treedef) if any(x is trainable for x in items) else leaves
    return [y if x is trainable else x if is_value(x) else x(leaf) for x, leaf, y in zip(items, leaves, answers)]


def items_of_leaves(prefix, treedef, is_value, name, expected):
    """Find the value or the function that `prefix` has for each leaf of a tree.

    The arguments, the result and the errors are those of `values_of_leaves`, but functions aren't called.
    """
    if is_function(prefix):
        return [prefix] * treedef.num_leaves
    is_leaf = None
    items, structure = tree_util.tree_flatten(prefix)
    if structure == treedef:
        if all(map(is_value, items)):
            return items
        below = range(treedef.num_leaves)
    else:
        is_leaf = is_item
        items, structure = tree_util.tree_flatten(prefix, is_leaf=is_leaf)
        try:
            below = structure.flatten_up_to(treedef.unflatten(range(treedef.num_leaves)))
        except ValueError:
            return None
    found = []
    for i, (item, subtree) in enumerate(zip(items, below)):
        for part, part_below in _parts(item, subtree, is_value):
            number = len(tree_util.tree_leaves(part_below))
            if not (is_value(part) or callable(part)) and (number or part is not None):
                path = leaf_paths(prefix, name, is_leaf)[i]
                raise TypeError("`{}` must be {}, got {}.".format(path, expected, describe_leaf(part)))
            found += [part] * number
    return found


def is_function(prefix):
    return callable(prefix) and tree_util.all_leaves([prefix])


def _parts(item, subtree, is_value):
    """Pairs of a value or function and the part of `subtree` below it.

    A function that is a pytree node counts as one function. It counts as a tree if `tree_map` made it from `subtree`.
    """
    parts, structure = tree_util.tree_flatten(item, is_leaf=is_none)
    try:
        pairs = list(zip(parts, structure.flatten_up_to(subtree)))
    except ValueError:
        return [(item, subtree)]
    are_values = all(is_value(x) or callable(x) or not tree_util.tree_leaves(below) for x, below in pairs)
    return pairs if are_values else [(item, subtree)]


def mismatch(tree, prefix, root, is_leaf=None):
    """Say in words where `prefix` stops being a prefix of `tree`. The path begins with `root`."""
    return "At `{}` expected {}, got {}.".format(*first_difference(tree, prefix, root, is_leaf, covers=covers))


def is_item(x):
    """Whether `x` is `None` or a function that is a pytree node.

    Such functions are bound methods, `Partial`s and what a transformation returned. A callable module counts as a tree,
    not as a function.
    """
    if x is None or isinstance(x, tree_util.Partial):
        return True
    return layout_of(x) is None and (hasattr(x, "__func__") or hasattr(x, "__wrapped__"))


def covers(x):
    """Whether `x`, in a prefix, applies to any subtree."""
    return is_item(x) or tree_util.all_leaves([x])

"""Which leaves of a tree a filter selects.

A filter specification is a function from a leaf to a bool, or a bool, or a pytree of these whose structure is a prefix
of that of the tree. `partition` takes one, and so does the `filter_tree` of a transformation.
"""

import numpy as np
from jax import tree_util

from .paths import describe_leaf, leaf_paths
from .predicates import is_array, is_inexact_array, is_inexact_jax_or_numpy
from .prefix import covers, is_item, mismatch, values_of_leaves
from .trainable import trainable, trainable_leaves

# What the answers of a filter depend on, in addition to the structure of the inputs: nothing, the type of a leaf, its
# type and dtype, or anything, such as its value. Each includes the ones before it. One exception: a filter that depends
# on the type may answer "no" for arrays that no JAX function takes, such as NumPy's arrays of text.
STRUCTURE, TYPE, DTYPE, ANYTHING = DEPENDENCIES = ("structure", "type", "dtype", "anything")

_KNOWN_FUNCTIONS = {
    id(is_array): TYPE,
    id(is_inexact_array): DTYPE,
    id(is_inexact_jax_or_numpy): DTYPE,
    id(trainable): DTYPE,
}


def mask(leaves, treedef, spec, name):
    """A list with one bool for each leaf: whether `spec` selects it. `None` if `spec` is no prefix of `treedef`.

    Raises:
        TypeError: A leaf of `spec` is no bool and no function. The message calls `spec` by `name`.
    """
    expected = "a bool or a function from a leaf to a bool"
    answers = values_of_leaves(spec, leaves, treedef, _is_bool, name, expected)
    return None if answers is None else list(map(bool, answers))


def _is_bool(x):
    return isinstance(x, (bool, np.bool_))


class Selection:
    """The leaves on which a transformation acts, as given by exactly one of `filter_fn` and `filter_tree`.

    Two selections are equal if they have the same name, the same functions (by identity) and the same trees of bools.

    Args:
        name: The transformation's name, for error messages.
        filter_fn: A function `leaf -> bool`, or `None`.
        filter_tree: A filter specification of the inputs, or a tuple or list of one for each input, or `None`.

    Attributes:
        filter_fn: As given.
        depends_on: What the answers depend on: one of `DEPENDENCIES`. If it is "anything", the filter must be called
            at each call of the function. If it is "dtype", `filter_fn` must be called when the dtype of a leaf changed.

    Raises:
        TypeError: `filter_fn` is no function.
        TypeError: A leaf of `filter_tree` is no bool and no function.
        ValueError: Both were given, or none.
    """

    __slots__ = ("_key", "depends_on", "filter_fn", "filter_tree", "name")
    _key: tuple

    def __init__(self, name, filter_fn=None, filter_tree=None):
        if (filter_fn is None) == (filter_tree is None):
            raise ValueError(
                "`{}` expects exactly one of `filter_fn` and `filter_tree`, got {}. "
                "Pass for example `filter_fn=eqx.is_array`.".format(
                    name, "both" if filter_fn is not None else "neither"
                )
            )
        self.name = name
        self.filter_fn = filter_fn
        self.filter_tree = filter_tree
        if filter_tree is None:
            _check_function(name, filter_fn)
            self.depends_on = _KNOWN_FUNCTIONS.get(id(filter_fn), ANYTHING)
            self._key = (name, "function", id(filter_fn))
        else:
            items, structure = tree_util.tree_flatten(filter_tree, is_leaf=is_item)
            _check_items(name, filter_tree, items)
            self.filter_tree = structure.unflatten(items)  # a copy, because the user may change a list later
            self.depends_on = _dependency_of_tree(items)
            # JAX 0.7.2 can't compare a structure with another type. So the kind of the key comes before it.
            bools = tuple(bool(x) if _is_bool(x) else id(x) for x in items)
            by_value = _is_hashable(structure)
            self._key = (name, "tree", structure, bools) if by_value else (name, "object", id(self))

    def of(self, inputs):
        """A list with one bool for each leaf of `inputs`, a tuple of pytrees: whether the leaf is selected.

        There are three ways to read a `filter_tree`. The first one that fits is used:
            1. a tree of the structure of the only input;
            2. a tuple or list of one specification for each input;
            3. a prefix of the only input, or of the tuple of inputs.

        Raises:
            ValueError: `filter_tree` fits in none of these ways. The message says where it differs.
        """
        if self.filter_fn is trainable:
            return trainable_leaves(*tree_util.tree_flatten(inputs))
        if self.filter_fn is not None:
            return [bool(self.filter_fn(x)) for x in tree_util.tree_leaves(inputs)]
        alone = len(inputs) == 1
        spec, tree = self.filter_tree, inputs[0] if alone else inputs
        leaves, treedef = tree_util.tree_flatten(tree)
        by_input = tuple(spec) if type(spec) in (tuple, list) else None
        selected = None
        if by_input is not None and len(by_input) == len(inputs) and tree_util.tree_structure(spec) != treedef:
            selected = mask(leaves, tree_util.tree_structure(inputs), by_input, "filter_tree")
        if selected is None:
            selected = mask(leaves, treedef, spec, "filter_tree")
        if selected is None:
            raise ValueError(
                "`{}` expects `filter_tree` to have the structure of {}, or of a prefix of it. {}".format(
                    self.name,
                    "the input" if alone else "its {0} inputs, as a tuple of {0} trees".format(len(inputs)),
                    mismatch(tree, spec if alone or by_input is None else by_input, "filter_tree"),
                )
            )
        return selected

    def __eq__(self, other):
        return type(other) is Selection and self._key == other._key

    def __hash__(self):
        return hash(self._key)


def _check_function(name, filter_fn):
    leaves = [filter_fn] if covers(filter_fn) else tree_util.tree_leaves(filter_fn)
    if leaves and all(map(_is_bool, leaves)):
        raise TypeError(
            "`{}` got a tree of bools as `filter_fn`, {}. Pass it as `filter_tree`. `filter_fn` is a function from a "
            "leaf to a bool. (For a module that is such a function, pass its method `__call__`.)".format(
                name, describe_leaf(filter_fn)
            )
        )
    if not callable(filter_fn):
        raise TypeError(
            "`{}` expects `filter_fn` to be a function from a leaf to a bool, got {}.".format(
                name, describe_leaf(filter_fn)
            )
        )


def _check_items(name, filter_tree, items):
    for i, item in enumerate(items):
        if not (item is None or _is_bool(item) or callable(item)):
            raise TypeError(
                "`{}` expects every leaf of `filter_tree` to be True or False, or a function from a leaf to a bool; "
                "`{}` is {}.".format(name, leaf_paths(filter_tree, "filter_tree", is_item)[i], describe_leaf(item))
            )


def _dependency_of_tree(items):
    functions = [x for x in items if callable(x)]
    if not functions:
        return STRUCTURE
    return TYPE if all(_KNOWN_FUNCTIONS.get(id(x)) == TYPE for x in functions) else ANYTHING


def _is_hashable(x):
    try:
        hash(x)
    except TypeError:
        return False
    return True

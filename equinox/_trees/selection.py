"""`filter_fn` or `filter_tree`: how the filtered transformations are told which leaves of their inputs to act on."""

import numpy as np
from jax import tree_util

from .paths import describe_leaf, first_difference, leaf_paths


class Selection:
    """The user's choice, checked: exactly one of `filter_fn` and `filter_tree`.

    `name` is the transformation's, for error messages.
    """

    def __init__(self, name, filter_fn, filter_tree):
        if (filter_fn is None) == (filter_tree is None):
            raise ValueError(
                "`{}` expects exactly one of `filter_fn` and `filter_tree`, got {}. "
                "Pass for example `filter_fn=eqx.is_array`.".format(
                    name, "both" if filter_fn is not None else "neither"
                )
            )
        if filter_fn is not None and not callable(filter_fn):
            raise TypeError(
                "`{}` expects `filter_fn` to be a function from a leaf to a bool, got {}. "
                "For a tree of bools use `filter_tree`.".format(name, describe_leaf(filter_fn))
            )
        self.name = name
        self.filter_fn = filter_fn
        if filter_tree is not None:
            self.filter_tree = filter_tree
            self.tree_leaves, self.tree_structure = tree_util.tree_flatten(filter_tree)
            for i, leaf in enumerate(self.tree_leaves):
                if not isinstance(leaf, (bool, np.bool_)):
                    path = leaf_paths(filter_tree, "filter_tree")[i]
                    raise TypeError(
                        "`{}` expects every leaf of `filter_tree` to be True or False; `{}` is {}.".format(
                            name, path, describe_leaf(leaf)
                        )
                    )

    def of(self, inputs):
        """One bool for each leaf of `inputs`, a tuple of pytrees.

        Raises: ValueError: `filter_tree` doesn't have the structure of the inputs; says where it differs.
        """
        if self.filter_fn is not None:
            return [bool(self.filter_fn(x)) for x in tree_util.tree_leaves(inputs)]
        structure = tree_util.tree_structure(inputs)
        alone = len(inputs) == 1 and self.tree_structure == tree_util.tree_structure(inputs[0])
        if not alone and self.tree_structure != structure:
            raise ValueError(self._mismatch(inputs))
        return [bool(leaf) for leaf in self.tree_leaves]

    def _mismatch(self, inputs):
        message = "`{}` expects `filter_tree` to have the structure of its inputs: ".format(self.name)
        if len(inputs) == 1:
            message += "a tree like the input. "
            expected = inputs[0]
        else:
            message += "a tuple of {} trees, one for each. ".format(len(inputs))
            expected = inputs
        difference = first_difference(expected, self.filter_tree, "filter_tree")
        if difference is None:
            return message + "They differ in the static data of a node."
        return message + "At `{}` expected {}, got {}.".format(*difference)

"""`in_axes` and `out_axes`: the axis along which each array is mapped."""

import numpy as np
from jax import tree_util

from .._trees.paths import describe_leaf, leaf_paths
from .._trees.predicates import is_array
from .._trees.prefix import is_item, mismatch, values_of_leaves

_EXPECTED = "an int, `None`, or a function from a leaf to an int or `None`"


class Axes:
    """Axes in a prefix of the tree that they are for. Only arrays are mapped. Axes of other leaves have no effect.

    Args:
        transformation: The name of the transformation, for error messages.
        name: "in_axes" or "out_axes".
        given: Ints, `None`s and functions from a leaf to an int or `None`, in a pytree.
        of_what: What the tree is, for error messages.
        added: How many more axes an array has outside of the mapped function than in the tree: 0 or 1.

    Raises:
        TypeError: A leaf of `given` isn't an int, `None` or a function.
    """

    def __init__(self, transformation, name, given, of_what, added):
        items, structure = tree_util.tree_flatten(given, is_leaf=is_item)
        for i, item in enumerate(items):
            if not (_is_axis(item) or callable(item)):
                path = leaf_paths(given, name, is_item)[i]
                message = "`{}` expects `{}` to be {}, got {}."
                raise TypeError(message.format(transformation, path, _EXPECTED, describe_leaf(item)))
        self.prefix = structure.unflatten(items)  # a copy: a list may be changed later
        self._transformation = transformation
        self._name = name
        self._of_what = of_what
        self._added = added

    def of(self, tree, leaves, treedef, path):
        """For each leaf of `tree`, the number of its mapped axis, or `None` if it isn't mapped.

        Args:
            tree: The tree.
            leaves: The leaves of the tree.
            treedef: The structure of the tree.
            path: A function from the number of a leaf to its path, for error messages.

        Raises:
            ValueError: The prefix doesn't fit the tree. The message says where.
            ValueError: An array has no such axis.
            TypeError: A function doesn't return an int or `None`.
        """
        axes = values_of_leaves(self.prefix, leaves, treedef, _is_axis, self._name, _EXPECTED)
        if axes is None:
            message = "`{}` expects `{}` to have the structure of {}, or of a prefix of it. {}"
            difference = mismatch(tree, self.prefix, self._name)
            raise ValueError(message.format(self._transformation, self._name, self._of_what, difference))
        for i, (axis, x) in enumerate(zip(axes, leaves)):
            if axis is None or not is_array(x):
                axes[i] = None
                continue
            rank = x.ndim + self._added
            if not _is_axis(axis):
                message = "`{}` expects the function in `{}` to return an int or `None`. For `{}` it returned {}."
                raise TypeError(message.format(self._transformation, self._name, path(i), describe_leaf(axis)))
            if not -rank <= axis < rank:
                raise ValueError(
                    "`{}` is asked for axis {} of `{}` (by `{}`), but that is {}{}, which has {} axes. Give `None` for "
                    "what is not mapped.".format(
                        self._transformation,
                        axis,
                        path(i),
                        self._name,
                        describe_leaf(x),
                        " and an axis more" if self._added else "",
                        rank,
                    )
                )
            axes[i] = int(axis) % rank
        return axes


def _is_axis(x):
    return x is None or (isinstance(x, (int, np.integer)) and not isinstance(x, bool))

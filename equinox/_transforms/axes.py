"""`in_axes` and `out_axes`: the axis along which each array is mapped."""

import dataclasses
import itertools
import operator

import numpy as np
from jax import tree_util

from .._dispatch.leaf_groups import separate_leaves
from .._trees.paths import describe_leaf, leaf_paths
from .._trees.predicates import is_array
from .._trees.prefix import is_item, items_of_leaves, mismatch

_MAX_SHOWN = 8  # leaves of one size in an error message
_EXPECTED = "an int, `None`, or a function from a leaf to an int or `None`"


@dataclasses.dataclass(frozen=True)
class IfArray:
    """What `if_array` returns."""

    axis: int

    def __call__(self, leaf):
        return self.axis if is_array(leaf) else None

    def __repr__(self):
        return "if_array({!r})".format(self.axis)


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

    def items(self, tree, treedef):
        """For each leaf of `tree`, an axis, `None`, or a function from the leaf to one of these.

        Args:
            tree: The tree.
            treedef: The structure of the tree.

        Raises:
            ValueError: The prefix doesn't fit the tree. The message says where.
        """
        items = items_of_leaves(self.prefix, treedef, _is_axis, self._name, _EXPECTED)
        if items is None:
            message = "`{}` expects `{}` to have the structure of {}, or of a prefix of it. {}"
            difference = mismatch(tree, self.prefix, self._name)
            raise ValueError(message.format(self._transformation, self._name, self._of_what, difference))
        return items

    def axis(self, item, array, path):
        """The number of the mapped axis of an array, counted from the first. `None` if the array isn't mapped.

        Args:
            item: What `items` has for the array.
            array: An array, or a shape that stands for one.
            path: A function without arguments that returns the path of the array, for error messages.

        Raises:
            ValueError: The array has no such axis.
            TypeError: A function doesn't return an int or `None`.
        """
        axis = item if _is_axis(item) else item(array)
        if axis is None:
            return None
        if not _is_axis(axis):
            message = "`{}` expects the function in `{}` to return an int or `None`. For `{}` it returned {}."
            raise TypeError(message.format(self._transformation, self._name, path(), describe_leaf(axis)))
        rank = len(array.shape) + self._added
        if not -rank <= axis < rank:
            raise ValueError(
                "`{}` is asked for axis {} of `{}` (by `{}`), but the number of its axes{} is {}: {}. Give `None` for "
                "what is not mapped.".format(
                    self._transformation,
                    axis,
                    path(),
                    self._name,
                    ", with the mapped one," if self._added else "",
                    rank,
                    ("one example is {}" if self._added else "it is {}").format(describe_leaf(array)),
                )
            )
        return int(axis) % rank


class InAxes(Axes):
    """The `in_axes` of a transformation: a prefix of the tuple of the inputs that are passed by position."""

    def __init__(self, transformation, given):
        by_position = tuple(given) if type(given) is list else given
        super().__init__(transformation, "in_axes", by_position, "the tuple of the inputs passed by position", 0)

    def items_of_inputs(self, args, treedef):
        """As `items`, for all leaves of `(args, kwargs)`, whose structure is `treedef`. Keywords have the axis 0."""
        of_args, of_kwargs = treedef.children()
        return self.items(args, of_args) + [0] * of_kwargs.num_leaves


class OutAxes(Axes):
    """The `out_axes` of a transformation: a prefix of the output."""

    def __init__(self, transformation, given):
        super().__init__(transformation, "out_axes", given, "the output", 1)

    def of(self, out, leaves, treedef):
        """For each leaf of the output of one example, the number of the mapped axis. `None` if it isn't mapped."""
        return [
            self.axis(item, x, lambda i=i: leaf_paths(out, "output")[i]) if is_array(x) else None
            for i, (item, x) in enumerate(zip(self.items(out, treedef), leaves))
        ]

    def separate(self, out):
        """Split the output of one example.

        Returns:
            The list of its arrays, the axis of each, and a function that rebuilds the output from such a list.
        """
        leaves, treedef = tree_util.tree_flatten(out)
        axes = self.of(out, leaves, treedef)
        are_arrays = list(map(is_array, leaves))
        arrays, merge = separate_leaves(leaves, treedef, are_arrays)
        return arrays, list(itertools.compress(axes, are_arrays)), merge

    def possible(self):
        """The different axes in the prefix. `None` if only the output tells them: functions, and negative axes."""
        items, _ = tree_util.tree_flatten(self.prefix, is_leaf=is_item)
        axes = list(dict.fromkeys(x.axis if isinstance(x, IfArray) else x for x in items))
        return axes if all(axis is None or (_is_axis(axis) and axis >= 0) for axis in axes) else None


def _is_axis(x):
    return x is None or (isinstance(x, (int, np.integer)) and not isinstance(x, bool))


def mapped_size(transformation, axis_size, arrays, axes, paths):
    """The size of the axis that arrays are mapped along.

    Args:
        transformation: The name of the transformation, for error messages.
        axis_size: The size that the user gave, or `None`.
        arrays: The arrays.
        axes: The number of the mapped axis of each array, or `None`.
        paths: A function without arguments that returns the paths of the arrays, for error messages.

    Raises:
        ValueError: The sizes differ, or there is none.
    """
    sizes = {x.shape[axis] for x, axis in zip(arrays, axes) if axis is not None}
    if axis_size is not None:
        sizes.add(axis_size)
    if len(sizes) == 1:
        return sizes.pop()
    if not sizes:
        raise ValueError(
            "`{}` has nothing to map: `in_axes` has no axis for any array in the inputs. Pass an array to map, or "
            "`axis_size`.".format(transformation)
        )
    described = {size: ["`axis_size`"] if size == axis_size else [] for size in sorted(sizes)}
    for x, axis, path in zip(arrays, axes, paths()):
        if axis is not None:
            described[x.shape[axis]].append("axis {} of `{}`, {}".format(axis, path, describe_leaf(x)))
    raise ValueError(
        "`{}` maps along axes of one size, but these differ:\n{}\nGive `None` in `in_axes` for what is not to be "
        "mapped.".format(transformation, describe_sizes(described))
    )


def describe_sizes(described):
    """One line for each size, for error messages. `described` maps each size to a list of texts."""
    lines = []
    for size, shown in described.items():
        more = ["{} more".format(len(shown) - _MAX_SHOWN)] if len(shown) > _MAX_SHOWN else []
        lines.append("  size {}: {}".format(size, "; ".join(shown[:_MAX_SHOWN] + more)))
    return "\n".join(lines)


def check_axis_size(transformation, axis_size):
    """`axis_size` as an int, or `None`.

    Raises:
        TypeError: It is no int.
        ValueError: It is negative.
    """
    if axis_size is None:
        return None
    try:
        size = operator.index(axis_size)
    except TypeError:
        message = "`{}` expects `axis_size` to be an int, got {!r}."
        raise TypeError(message.format(transformation, axis_size)) from None
    if size < 0:
        raise ValueError("`{}` expects an `axis_size` of zero or more, got {}.".format(transformation, size))
    return size

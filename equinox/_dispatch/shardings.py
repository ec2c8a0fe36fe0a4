"""`in_shardings`, `out_shardings` and the like: how each array is spread over devices."""

import functools as ft
import operator

import numpy as np
from jax import tree_util

from .. import _compat
from .._trees.paths import describe_leaf, leaf_paths
from .._trees.predicates import is_array, is_array_or_shape, is_none
from .._trees.prefix import is_item, items_of_leaves, mismatch

_EXPECTED = "a sharding, `None`, or a function from an array to one of these"


class Shardings:
    """Shardings in a prefix of the tree that they are for. Only arrays are sharded. Other leaves are ignored.

    Args:
        transformation: The name of the public function, for error messages.
        name: The name of its argument.
        given: Shardings, `None`s and functions from an array to one of these, in a pytree.
        of_what: What the tree is, for error messages.

    Attributes:
        has_functions: Whether there is a function among them.
        values: The shardings in `given`. The first is `None`. What is no sharding may be the item of another leaf.
    """

    def __init__(self, transformation, name, given, of_what):
        items, structure = tree_util.tree_flatten(given, is_leaf=is_item)
        self.prefix = structure.unflatten(items)  # a copy: a list may be changed later
        self.transformation = transformation
        self.name = name
        self._of_what = of_what
        self.has_functions = any(map(callable, items))
        self.values = [None]
        self._numbers = {}  # `id` of a sharding -> its number in `values`
        # A function that is a pytree node may hold shardings: `tree_map` made it from an input that is such a function.
        for x in [x for item in items for x in tree_util.tree_flatten(item, is_leaf=is_none)[0]]:
            if _is_sharding(x) and not (x is None or id(x) in self._numbers):
                self._numbers[id(x)] = len(self.values)
                self.values.append(x)

    def items(self, tree, treedef=None):
        """For each leaf of `tree`, a sharding, `None`, or a function from an array to one of these.

        Args:
            tree: The tree.
            treedef: The structure of the tree.

        Raises:
            ValueError: The prefix doesn't fit the tree. The message says where.
        """
        treedef = tree_util.tree_structure(tree) if treedef is None else treedef
        items = items_of_leaves(self.prefix, treedef, _is_no_function, self.name, _EXPECTED)
        if items is None:
            message = "`{}` expects `{}` to have the structure of {}, or of a prefix of it. {}"
            difference = mismatch(tree, self.prefix, self.name)
            raise ValueError(message.format(self.transformation, self.name, self._of_what, difference))
        return items

    def number(self, item):
        """The number in `values` of what `items` has for a leaf. A function has the number of `None`."""
        return self._numbers.get(id(item), 0)

    def of_array(self, item, x, path):
        """The sharding of an array, or `None`.

        Args:
            item: What `items` has for the array.
            x: The array, or a shape that stands for it. Functions aren't asked about any other leaf.
            path: A function without arguments that returns the path of the array, for error messages.

        Raises:
            TypeError: The item isn't a sharding or a function, or the function doesn't return a sharding.
        """
        if not callable(item):
            if is_array_or_shape(x) and not _is_sharding(item):
                message = "`{}` expects the item in `{}` for `{}` to be {}, got {}."
                raise TypeError(message.format(self.transformation, self.name, path(), _EXPECTED, describe_leaf(item)))
            return item
        if not is_array_or_shape(x):
            return None
        sharding = item(x)
        if not _is_sharding(sharding):
            message = "`{}` expects the function in `{}` to return a sharding or `None`. For `{}` it returned {}."
            raise TypeError(message.format(self.transformation, self.name, path(), describe_leaf(sharding)))
        return sharding

    def check_fit(self, sharding, x, path):
        """Raise a `ValueError` with the path of an array if it can't be split as `sharding` says.

        The arguments are those of `of_array`.
        """
        reason = misfit(sharding, x)
        if reason is not None:
            message = "`{}` can't shard `{}`, {}, as `{}` says: {}."
            raise ValueError(message.format(self.transformation, path(), describe_leaf(x), self.name, reason)) from None

    def constrained(self, tree):
        """`tree`, with the shardings that the functions give to its arrays. The function runs inside `jax.jit`.

        Returns:
            The tree, and what `items` has for its leaves.
        """
        leaves, treedef = tree_util.tree_flatten(tree)
        items = self.items(tree, treedef)
        for i, (item, x) in enumerate(zip(items, leaves)):
            if is_array(x):

                def path(i=i):
                    return leaf_paths(tree, "output")[i]

                sharding = self.of_array(item, x, path)
                self.check_fit(sharding, x, path)
                if callable(item) and sharding is not None:
                    leaves[i] = _compat.constrain(x, sharding)
        return treedef.unflatten(leaves), items


def _is_no_function(x):
    return not callable(x)


def _is_sharding(x):
    # Each release of JAX has other kinds of shardings. So this knows what is none.
    return not (callable(x) or is_array(x) or isinstance(x, (str, int, float, complex)))


def misfit(sharding, x):
    """Why the array `x` can't have this sharding, in words. `None` if it can, or if that isn't known."""
    spec, mesh = getattr(sharding, "spec", None), getattr(sharding, "mesh", None)
    if spec is not None and mesh is not None:
        return misfit_of_spec(spec, mesh, x)
    if hasattr(sharding, "shard_shape"):
        try:
            sharding.shard_shape(np.shape(x))
        except ValueError as error:
            return str(error)
    return None


def misfit_of_spec(spec, mesh, x):
    """As `misfit`, for a `PartitionSpec` on a mesh."""
    shape = np.shape(x)
    unknown = unknown_names(spec, mesh)
    if unknown:
        return "{} names the axis {!r} of the mesh, but the mesh has {}".format(spec, unknown[0], describe_axes(mesh))
    if len(spec) > len(shape):
        return "the length of {} is {}, but the number of axes is {}".format(spec, len(spec), len(shape))
    for axis, (names, size) in enumerate(zip(spec, shape)):
        parts = ft.reduce(operator.mul, [mesh.shape[name] for name in names_in(names)], 1)
        if size % parts:
            return "{} splits axis {} into {} parts, but its size is {}".format(spec, axis, parts, size)
    return None


def unknown_names(spec, mesh):
    """The names in a `PartitionSpec` of axes that the mesh doesn't have."""
    return [name for part in spec for name in names_in(part) if name not in mesh.axis_names]


def check_mesh(name, mesh):
    """Refuse what is no mesh. Each release of JAX has other kinds of meshes."""
    if not (hasattr(mesh, "axis_names") and hasattr(mesh, "shape")):
        message = "`{}` expects `mesh` to be a `jax.sharding.Mesh`, got {}."
        raise TypeError(message.format(name, describe_leaf(mesh)))


def describe_axes(mesh):
    """The axes of a mesh, in words."""
    return ", ".join(map(repr, mesh.axis_names)) or "no axes"


def names_in(part):
    """The names of the mesh axes in one item of a `PartitionSpec`: a name, a tuple of names, or something else."""
    return part if isinstance(part, tuple) else (part,) if isinstance(part, str) else ()


class Sharded:
    """`jax.jit` of one function with `in_shardings`, for inputs of one structure with all shapes.

    Args:
        shardings: The `Shardings`.
        leaves: The `LeafOption` of each input, in groups: the traced ones, then the donated ones.
        jit: A function from `in_shardings`, in such groups, to what `jax.jit` returns.
    """

    def __init__(self, shardings, leaves, jit):
        self._shardings = shardings
        self._leaves = leaves
        self._jit = jit
        self._programs = {}

    def __call__(self, *groups):
        in_shardings, program = self._program(groups)
        try:
            return program(*groups)
        except ValueError:
            self._refuse_misfit(groups, in_shardings)
            raise

    def lower(self, *groups):
        """Lower the function for these inputs, as `jax.jit(...).lower` does."""
        in_shardings, program = self._program(groups)
        try:
            return program.lower(*groups)
        except ValueError:
            self._refuse_misfit(groups, in_shardings)
            raise

    def _program(self, groups):
        # Only functions depend on the shapes. Without them there is one program.
        key = None
        if self._shardings.has_functions:
            key = tuple((np.shape(x), getattr(x, "dtype", None)) for group in groups for x in group)
        found = self._programs.get(key)
        if found is None:
            in_shardings = tuple(
                tuple(self._shardings.of_array(leaf.item, x, leaf.get_path) for leaf, x in zip(leaves, group))
                for leaves, group in zip(self._leaves, groups)
            )
            found = self._programs.setdefault(key, (in_shardings, self._jit(in_shardings)))
        return found

    def _refuse_misfit(self, groups, in_shardings):
        for leaves, group, shardings in zip(self._leaves, groups, in_shardings):
            for leaf, x, sharding in zip(leaves, group, shardings):
                self._shardings.check_fit(sharding, x, leaf.get_path)

"""The leaves of a tree as the published Equinox has them. `tree_serialise_leaves` writes them in this form.

Most layers have the same leaves in both packages, in the same order. A class whose leaves differ has the attribute
`__published__`, a `Published` of `nn/_published.py`. It names the fields whose values differ, and converts the values
to the published ones and back. The other fields are the same.

A conversion may lose something. For example, a bias may be the sum of two. Then the file also has the values as they
were, after all leaves. The published package doesn't read what is there.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from jax import tree_util

from .._compat import named_children
from .flatten_one_level import tree_flatten_one_level
from .paths import named_leaves
from .predicates import is_array_or_shape, is_numpy


class PublishedLeaves:
    """The leaves of a tree in the published form, and how to make the tree from new leaves.

    Args:
        tree: Any pytree.
        root: What the paths begin with.
        functions: A function for each leaf of `tree`, in the order of flattening. A leaf that only the published layer
            has gets the function of the first leaf of the layer.
        default: The function for a published leaf of a layer that has no leaves here.
        is_leaf: As in `jax.tree_util.tree_flatten`, or `None`.
        as_numpy: A function from a leaf to a NumPy array. A leaf that is no array is returned as it is.
        as_own: A function from a leaf of `tree` and a NumPy array to an array like the leaf.

    Attributes:
        leaves: A list with `(path, leaf, function)` for each leaf.
        converted: The `Converted` of each layer with leaves of which the published ones are made.
    """

    def __init__(self, tree, root, functions, default, is_leaf, as_numpy, as_own):
        self.leaves = []
        self.converted = []
        self._default, self._as_numpy, self._as_own = default, as_numpy, as_own
        self._is_leaf = (lambda x: False) if is_leaf is None else is_leaf
        self._build = self._walk(tree, root, iter(functions))

    def build(self, leaves):
        """Make the tree from new leaves, in the order of the attribute `leaves`."""
        return self._build(iter(leaves))

    def _walk(self, tree, path, functions):
        """Collect the leaves of a part of the tree. Return a function from the new leaves to the new part."""

        def stop(x):
            return self._is_leaf(x) or _published_of(x) is not None

        builders = []
        for place, node in named_leaves(tree, path, stop):
            if self._is_leaf(node) or _published_of(node) is None:
                self.leaves.append((place, node, next(functions)))
                builders.append(next)
            else:
                builders.append(self._walk_layer(node, place, functions))
        structure = tree_util.tree_flatten(tree, is_leaf=stop)[1]
        return lambda leaves: structure.unflatten([build(leaves) for build in builders])

    def _walk_layer(self, layer, path, functions):
        values, structure = tree_flatten_one_level(layer)
        children = dict(zip([name[1:] for name, _ in named_children(layer)], values))
        number = sum(len(named_leaves(child, "", self._is_leaf)) for child in children.values())
        functions = list(itertools.islice(functions, number))
        first, functions = functions[0] if functions else self._default, iter(functions)
        converted = Converted(layer, children, self._as_numpy, self._as_own)
        builders = {}
        for name in [field.name for field in dataclasses.fields(layer)]:
            place, child = "{}.{}".format(path, name), children.get(name)
            if name in converted.fields:
                own = named_leaves(child, place, self._is_leaf)
                converted.own += [(where, leaf, next(functions)) for where, leaf in own]
                builders[name] = self._walk(converted.fields[name], place, itertools.repeat(first))
            elif name in children:
                builders[name] = self._walk(child, place, functions)
        if converted.own:
            self.converted.append(converted)

        def build(leaves):
            new = {name: builder(leaves) for name, builder in builders.items()}
            fields = {name: new.pop(name) for name in converted.fields}
            made = structure.unflatten([new.get(name, child) for name, child in children.items()])
            return converted.restore(made, fields)

        return build


class Converted:
    """The fields of one layer that are converted.

    Attributes:
        fields: The published values, by name. It is empty if the values are the same in both packages.
        own: A list with `(path, leaf, function)` for each leaf that is converted.
        kept: New values of the leaves in `own`, if a file has them. Else `None`.
    """

    def __init__(self, layer, children, as_numpy, as_own):
        self._layer, self._published, self._as_own = layer, _published_of(layer), as_own
        self._values = {name: getattr(layer, name) for name in self._published.fields}
        self._old = {name: tree_util.tree_map(as_numpy, value) for name, value in self._values.items()}
        self.fields = self._convert(self._published.to, self._old)
        if all(
            x is self._old[name] and (x is None or children.get(name) is not None) for name, x in self.fields.items()
        ):
            self.fields = {}
        self.own = []
        self.kept = None

    def loses(self):
        """Whether the values can't be made again from the published ones."""
        old, structure = tree_util.tree_flatten(self._old)
        new, new_structure = tree_util.tree_flatten(self._convert(self._published.back, self.fields))
        return structure != new_structure or not all(map(_is_equal, old, new))

    def restore(self, layer, fields):
        """Make the layer from one that has the other new values, and the new published values of `fields`."""
        if not fields:
            return layer
        if self.kept is not None:
            kept = iter(self.kept)
            values = {name: tree_util.tree_map(lambda _: next(kept), value) for name, value in self._values.items()}
        elif _is_same(fields, self.fields):  # nothing was read
            values = self._values
        else:
            values = self._convert(self._published.back, fields)
            values = {name: self._like(self._values[name], value) for name, value in values.items()}
        return self._published.replace(layer, values)

    def _convert(self, function, fields):
        """Apply `to` or `back`. Leaves that are no arrays, such as those of a tree of bools, stay as they are."""
        if any(tree_util.all_leaves([x]) and not is_numpy(x) for x in fields.values()):
            return fields
        return dict(zip(fields, function(self._layer, *fields.values())))

    def _like(self, old, new):
        """`new` with arrays like those of `old`, if it has the same structure."""
        leaves, structure = tree_util.tree_flatten(old)
        new_leaves, new_structure = tree_util.tree_flatten(new)
        if new_structure != structure:
            return new
        return structure.unflatten(
            [self._as_own(a, b) if is_array_or_shape(a) and is_numpy(b) else b for a, b in zip(leaves, new_leaves)]
        )


def _published_of(x):
    """The `Published` of the class of `x`, or `None`."""
    return getattr(type(x), "__published__", None)


def _is_equal(a, b):
    if not is_numpy(a) or not is_numpy(b):
        return a is b or a == b
    return a.shape == b.shape and a.dtype == b.dtype and bool(np.all((a == b) | ((a != a) & (b != b))))


def _is_same(a, b):
    a, structure = tree_util.tree_flatten(a)
    b, other_structure = tree_util.tree_flatten(b)
    return structure == other_structure and all(x is y for x, y in zip(a, b))

"""Split a tree into groups of leaves, and rebuild it. This lets any object pass through `jax.jit`.

`jax.jit` returns only arrays. It calls its compiled code from C++ only if all leaves of the output are arrays. So a
traced function returns groups of arrays and a `Rest`. A `Rest` is a pytree node without children, which holds the
other leaves.
"""

import itertools
import operator

from jax import tree_util

from .._trees.static import is_same


class LeafGroups:
    """How to rebuild a tree from groups of its leaves.

    Args:
        treedef: The structure of the tree.
        groups: For each leaf, the number of its group.

    Attributes:
        treedef: As above.
        groups: As above, as a tuple.
        in_order: A function from the list that `merge` takes to the tuple of the leaves in the order of the tree.
    """

    __slots__ = ("groups", "in_order", "treedef")

    def __init__(self, treedef, groups):
        self.treedef = treedef
        self.groups = tuple(groups)
        order = [0] * len(groups)
        for position, i in enumerate(sorted(range(len(groups)), key=groups.__getitem__)):
            order[i] = position
        self.in_order = gatherer(order)

    def merge(self, leaves):
        """The tree, from one list of its leaves: group 0 in the order of the tree, then group 1, and so on."""
        return self.treedef.unflatten(self.in_order(leaves))

    def __eq__(self, other):
        return type(other) is LeafGroups and self.groups == other.groups and self.treedef == other.treedef

    def __hash__(self):
        return hash((self.treedef, self.groups))


def gatherer(indices):
    """A function from a sequence to the tuple of its items at `indices`. It runs in C where it can, for speed."""
    if len(indices) > 1:
        return operator.itemgetter(*indices)
    if not indices:
        return lambda items: ()
    index = indices[0]
    return lambda items: (items[index],)


class Rest:
    """What is left of a tree when its arrays are taken out: its structure and its static leaves.

    It is a pytree without children. Two are equal if they have the same structure and the same static leaves. JAX
    compares them to check that the branches of a `cond` return the same. A `Rest` has a hash if all its static leaves
    have one.
    """

    __slots__ = ("_statics", "groups")

    def __init__(self, groups, statics):
        self.groups = groups
        self._statics = statics

    @classmethod
    def of(cls, tree):
        """The `Rest` of a tree that has no arrays."""
        statics, treedef = tree_util.tree_flatten(tree)
        return cls(LeafGroups(treedef, [True] * len(statics)), statics)

    def __call__(self, arrays):
        """The whole tree, from the list of its arrays."""
        return self.groups.merge([*arrays, *self._statics])

    def merge(self, groups):
        """The whole tree, from the groups of its arrays."""
        return self(itertools.chain.from_iterable(groups))

    def with_nones(self, arrays):
        """The whole tree from the list of its arrays, with `None` in the place of any other leaf."""
        return self.fill(arrays, None)

    def fill(self, arrays, other):
        """The whole tree from the list of its arrays, with the value `other` in the place of any other leaf."""
        return self.groups.merge([*arrays, *[other] * len(self._statics)])

    def leaves(self, arrays):
        """The leaves of the whole tree, in its order, from the list of its arrays."""
        return self.groups.in_order([*arrays, *self._statics])

    def __eq__(self, other):
        if self is other:
            return True
        same_places = type(other) is Rest and self.groups == other.groups
        return same_places and all(map(is_same, self._statics, other._statics))

    def __hash__(self):
        return hash((self.groups, tuple(self._statics)))


tree_util.register_pytree_node(Rest, lambda rest: ((), rest), lambda rest, children: rest)


def separate(tree, is_selected):
    """Split a tree, so that its arrays can pass through a transformation of JAX that takes only arrays.

    Args:
        tree: Any pytree.
        is_selected: A function `leaf -> bool`, such as `is_array`.

    Returns:
        The list of the selected leaves, and a `Rest`: a function that rebuilds the tree from such a list.
    """
    leaves, treedef = tree_util.tree_flatten(tree)
    return separate_leaves(leaves, treedef, map(is_selected, leaves))


def separate_leaves(leaves, treedef, selected):
    """Split a flattened tree as `separate` does.

    Args:
        leaves: The leaves of the tree.
        treedef: The structure of the tree.
        selected: For each leaf, whether it is selected.

    Returns:
        As for `separate`.
    """
    is_other = [not x for x in selected]
    rest = Rest(LeafGroups(treedef, is_other), list(itertools.compress(leaves, is_other)))
    return [x for x, other in zip(leaves, is_other) if not other], rest


def pack_output(tree, is_array, group_of=None, number_of_groups=1):
    """`tree` as a pytree whose only leaves are its arrays.

    Args:
        tree: What a function returned.
        is_array: A function that says whether JAX returns a leaf as an array.
        group_of: For each leaf of `tree`, the number of its group. By default there is one group.
        number_of_groups: How many groups there are.

    Returns:
        `tree` itself if all its leaves are arrays and `group_of` is not given. Otherwise `(groups, rest)`.
    """
    leaves, treedef = tree_util.tree_flatten(tree)
    arrays = list(map(is_array, leaves))
    if group_of is None:
        if all(arrays):
            return tree
        group_of = [0] * len(leaves)
    statics_group = number_of_groups  # the last one
    group_of = [group if array else statics_group for group, array in zip(group_of, arrays)]
    groups = [[] for _ in range(number_of_groups + 1)]
    for x, group in zip(leaves, group_of):
        groups[group].append(x)
    statics = groups.pop()
    return tuple(map(tuple, groups)), Rest(LeafGroups(treedef, group_of), statics)


def unpack_output(out):
    """The tree that `pack_output` was given, from what it returned."""
    if type(out) is tuple and len(out) == 2 and type(out[1]) is Rest:
        return out[1].merge(out[0])
    return out

"""Take a tree apart into groups of leaves, and put it back together: how anything goes through a JAX transformation.

`jax.jit` takes and returns only arrays, and calls its compiled code from C++ only if what it returns flattens to
arrays alone. So a traced function returns a `Box`, whose children are the arrays, and the caller opens it.
"""

from jax import tree_util

from ._filters import is_array, is_array_like


class Lid:
    """What is left of a tree whose leaves were sorted into groups: enough to put it back together.

    `kinds` gives the group of each leaf, a number. Compares by identity, as every trace makes its own.
    """

    __slots__ = ("order", "treedef")

    def __init__(self, treedef, kinds):
        self.treedef = treedef
        self.order = [0] * len(kinds)
        for position, i in enumerate(sorted(range(len(kinds)), key=kinds.__getitem__)):
            self.order[i] = position

    def close(self, pool):
        """The tree, from one list of its leaves: group after group, each in its own order."""
        return self.treedef.unflatten(map(pool.__getitem__, self.order))  # a gather in C


class Box:
    """A tree as a pytree whose leaves are the tree's arrays alone; the other leaves are static."""

    __slots__ = ("arrays", "lid", "statics")

    def __init__(self, arrays, lid, statics):
        self.arrays = arrays
        self.lid = lid
        self.statics = statics

    def open(self):
        """The tree that was boxed."""
        return self.lid.close([*self.arrays, *self.statics])


class _Statics(list):
    """Static leaves as auxiliary data: compare by identity, for they may hold anything."""

    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__


tree_util.register_pytree_node(
    Box,
    lambda box: (box.arrays, (box.lid, box.statics)),
    lambda aux, arrays: Box(arrays, *aux),
)


def box(tree):
    """`tree` in a `Box`, or `tree` itself if all its leaves are arrays."""
    leaves, treedef = tree_util.tree_flatten(tree)
    is_static = [not _is_carried(x) for x in leaves]
    if not any(is_static):
        return tree
    arrays = tuple(x for x, static in zip(leaves, is_static) if not static)
    statics = _Statics(x for x, static in zip(leaves, is_static) if static)
    return Box(arrays, Lid(treedef, is_static), statics)


def unbox(x):
    """Undo `box`."""
    return x.open() if type(x) is Box else x


def _is_carried(x):
    """JAX arrays, and NumPy's, which a transformation makes JAX arrays of; Python numbers stay as they are."""
    return is_array(x) or (hasattr(x, "dtype") and is_array_like(x))

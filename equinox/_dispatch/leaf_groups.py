"""Take a tree apart into groups of leaves, and put it back together: how anything goes through a JAX transformation.

`jax.jit` takes and returns only arrays, and calls its compiled code from C++ only if what it returns flattens to
arrays alone. So a traced function returns a `Box`, whose children are the arrays, and the caller unboxes it.
"""

import operator

import numpy as np
from jax import tree_util

from .. import _compat
from .._trees.predicates import is_array_like, is_jax_array


class Lid:
    """What is left of a tree whose leaves were sorted into groups: enough to put it back together.

    `kinds` gives the group of each leaf, a number.
    """

    __slots__ = ("gather", "treedef")

    def __init__(self, treedef, kinds):
        self.treedef = treedef
        order = [0] * len(kinds)
        for position, i in enumerate(sorted(range(len(kinds)), key=kinds.__getitem__)):
            order[i] = position
        self.gather = gatherer(order)

    def close(self, pool):
        """The tree, from one list of its leaves: group after group, each in its own order."""
        return self.treedef.unflatten(self.gather(pool))


def gatherer(indices):
    """A function from a list to the tuple of its items at `indices`: in C, as each call does it to all its leaves."""
    if len(indices) > 1:
        return operator.itemgetter(*indices)
    return lambda items: tuple(items[i] for i in indices)  # of one index, `itemgetter` gives the bare item


class Box:
    """A tree as a pytree whose leaves are the tree's arrays alone; the rest of it is auxiliary data."""

    __slots__ = ("arrays", "rest")

    def __init__(self, rest, arrays):
        self.rest = rest
        self.arrays = arrays


class _Rest:
    """A tree without its arrays. Compares by identity, as it may hold anything."""

    __slots__ = ("lid", "statics")

    def __init__(self, lid, statics):
        self.lid = lid
        self.statics = statics


tree_util.register_pytree_node(Box, lambda box: (box.arrays, box.rest), Box)


def box(tree):
    """`tree` in a `Box`, or `tree` itself if all its leaves are arrays."""
    leaves, treedef = tree_util.tree_flatten(tree)
    is_static = [not _is_carried(x) for x in leaves]
    if not any(is_static):
        return tree
    arrays = tuple(x for x, static in zip(leaves, is_static) if not static)
    statics = [x for x, static in zip(leaves, is_static) if static]
    return Box(_Rest(Lid(treedef, is_static), statics), arrays)


def unbox(x):
    """Undo `box`."""
    if type(x) is not Box:
        return x
    return x.rest.lid.close([*x.arrays, *x.rest.statics])


def _is_carried(x):
    """JAX arrays, and NumPy's, which a transformation makes JAX arrays of; Python numbers stay as they are."""
    return is_jax_array(x) or ((_compat.is_numpy_array(x) or isinstance(x, np.generic)) and is_array_like(x))

"""Modules that a function is called with again and again: what needn't be found out again at each call.

That a frozen module is the same object means that its fields are the same. So its arrays are known, and it isn't
flattened. Only what may be changed in it is looked at again.
"""

import operator
from typing import Any

from jax.tree_util import all_leaves, tree_flatten

from .._trees.layout import layout_of, unfinished

_MEETINGS = 4  # after so many calls a module is known: in training it is a new one at each call, and never is
_MOST_CALLS = 4  # kinds of calls that are remembered for the same modules


class Watched:
    """What may change in frozen modules: lists, dictionaries, and nodes that only JAX can look into."""

    __slots__ = ("_containers", "_others")

    def __init__(self, containers, others):
        self._containers = [(x, _contents(x)) for x in containers]
        self._others = [(x, *tree_flatten(x)) for x in others]

    def is_unchanged(self):
        """Whether each container still has the very same things in it, in the same order."""
        return all(_same_objects(_contents(x), contents) for x, contents in self._containers) and all(
            _same_node(tree_flatten(x), leaves, treedef) for x, leaves, treedef in self._others
        )


def watch(modules):
    """The `Watched` of modules, or `None` if one of them is still being made."""
    containers, being_made = [], []

    def is_not_looked_into(x):
        cls = type(x)
        if cls is list or cls is dict:
            containers.append(x)
            return False
        if layout_of(x) is not None:
            if id(x) in unfinished:
                being_made.append(x)
            return False
        return not (x is None or cls is tuple or (isinstance(x, tuple) and hasattr(cls, "_fields")))

    leaves, _ = tree_flatten(modules, is_leaf=is_not_looked_into)
    if being_made:
        return None
    return Watched(containers, [] if all_leaves(leaves) else [x for x in leaves if not all_leaves([x])])


def _contents(container):
    return [*container, *container.values()] if type(container) is dict else [*container]


def _same_objects(a, b):
    return len(a) == len(b) and all(map(operator.is_, a, b))


def _same_node(flat, leaves, treedef):
    return flat[1] == treedef and _same_objects(flat[0], leaves)


class Known:
    """What is known about the modules of a call.

    It is kept for as long as the modules live, and keeps their arrays, but not the modules themselves.
    """

    __slots__ = ("_known", "_meetings")

    def __init__(self):
        self._meetings = 1
        self._known: Any = (None, ())  # one attribute, because one thread may change it while another reads it

    def find(self, arrangement, others):
        """`(entry, arguments)` for a call with these modules and other inputs, or `None` if that isn't known."""
        watched, ready = self._known
        if not ready:
            return None
        if not watched.is_unchanged():
            self._known = None, ()
            return None
        leaves, treedef = tree_flatten(others)
        for entry, arrays in ready:
            if entry.arrangement is arrangement and entry.others.matches(leaves, treedef):
                return entry, entry.others.arguments(leaves, arrays)
        return None

    def watch(self, modules):
        """Begin to watch the modules if they have come often enough. To be called before they are flattened."""
        self._meetings += 1
        watched, _ = self._known
        if watched is None and self._meetings >= _MEETINGS:
            watched = watch(modules)
        return watched

    def learn(self, watched, entry, leaves):
        """Remember which arrays the modules have for calls like `entry`. `leaves` are those of all inputs."""
        _, ready = self._known
        known = entry, entry.traced_of_modules(leaves)
        self._known = watched, (known, *[x for x in ready if x[0] is not entry][: _MOST_CALLS - 1])

"""Skip the flattening of modules that a function is called with again and again.

A frozen module keeps its fields. So if the same module object is passed again, its arrays are known. Only the lists,
dictionaries and other nodes in it may have changed, and they are compared at each call.
"""

import operator
from typing import Any

from jax.tree_util import all_leaves, tree_flatten

from .._trees.layout import layout_of, unfinished

# The arrays of modules are remembered from this call on. Training has a new model at each call, so it never gets there.
_CALLS_UNTIL_KNOWN = 4
_MAX_ENTRIES = 4  # how many cache entries are remembered for the same modules


class Watched:
    """What may change in frozen modules: lists, dictionaries, and nodes that only JAX can flatten.

    Args:
        containers: The lists and dictionaries.
        others: The nodes that only JAX can flatten.
    """

    __slots__ = ("_containers", "_others")

    def __init__(self, containers, others):
        self._containers = [(x, _contents(x)) for x in containers]
        self._others = [(x, *tree_flatten(x)) for x in others]

    def is_unchanged(self):
        """Whether each container and node still holds the same objects in the same order."""
        return all(_same_objects(_contents(x), contents) for x, contents in self._containers) and all(
            _same_node(tree_flatten(x), leaves, treedef) for x, leaves, treedef in self._others
        )


def watch(modules):
    """The `Watched` of some modules, or `None` if the `__init__` of one of them still runs."""
    containers, being_made = [], []

    def stops_here(x):
        # JAX asks this about every node below `modules`, so it also collects what it sees.
        cls = type(x)
        if cls is list or cls is dict:
            containers.append(x)
            return False
        if layout_of(x) is not None:
            if id(x) in unfinished:
                being_made.append(x)
            return False
        return not (x is None or cls is tuple or (isinstance(x, tuple) and hasattr(cls, "_fields")))

    leaves, _ = tree_flatten(modules, is_leaf=stops_here)
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

    The dispatcher keeps it as long as the modules live. It holds their arrays, but not the modules themselves.
    """

    __slots__ = ("_calls", "_known")

    def __init__(self):
        self._calls = 1
        # `(watched, ((entry, traced leaves of the modules), ...))`. One attribute, so that threads see both or neither.
        self._known: Any = (None, ())

    def find(self, arrangement, others):
        """`(entry, arguments)` for a call with these modules and these other inputs, or `None` if none is known."""
        watched, ready = self._known
        if not ready:
            return None
        if not watched.is_unchanged():
            self._known = None, ()
            return None
        leaves, treedef = tree_flatten(others)
        for entry, arrays in ready:
            if entry.arrangement is arrangement and entry.signature_of_others.matches(leaves, treedef):
                return entry, entry.signature_of_others.arguments(leaves, arrays)
        return None

    def count_call(self, modules):
        """Count a call. Return the `Watched` of the modules if there were enough calls, else `None`.

        Call it before the modules are flattened: a change in between is then seen at the next call.
        """
        self._calls += 1
        watched, _ = self._known
        if watched is None and self._calls >= _CALLS_UNTIL_KNOWN:
            watched = watch(modules)
        return watched

    def learn(self, watched, entry, leaves):
        """Remember which arrays the modules have for calls that use `entry`. `leaves` are those of all inputs."""
        _, ready = self._known
        known = entry, entry.traced_of_modules(leaves)
        self._known = watched, (known, *[x for x in ready if x[0] is not entry][: _MAX_ENTRIES - 1])

"""Tell, faster than by flattening it, whether a tree is made of the very objects that it was made of before.

A module is frozen, but what is in it may not be: a list, a dictionary; and `object.__setattr__` changes even a module.
To flatten a tree takes a call of Python for each module in it. To see that nothing was put in the place of anything
takes one comparison in C for each field: a third of the time. What isn't seen has to be forced on purpose: that a
module is given another `__dict__` or `__class__`, or its fields each other's names.
"""

import itertools
import operator

from jax import tree_util

from .._trees.layout import layout_of, unfinished

_END = object()


class Snapshot:
    """What was found in each container of a tree.

    `modules` are the values of modules, which may become more but, without force, not less; `others` have lengths that
    may do anything.
    """

    __slots__ = ("_containers", "_contents", "_lengths", "_others")

    def __init__(self, modules, others):
        self._containers = [*modules, *others, (_END,)]  # where a module has grown, the end isn't where it was
        self._contents = list(itertools.chain.from_iterable(self._containers))
        self._others = others
        self._lengths = list(map(len, others))  # without which what moves on to the next container isn't seen

    def holds(self):
        """Whether each container still has the very same things in it, in the same order."""
        return list(map(len, self._others)) == self._lengths and all(
            map(operator.is_, itertools.chain.from_iterable(self._containers), self._contents)
        )


def snapshot(tree):
    """The `Snapshot` of a tree, or `None` if it has something in it that can't be watched.

    Such are nodes that only JAX can look into, and modules that aren't complete, or keep more than their fields: a
    cached property may refer to the model, which must be free to go. A tuple needs no watching; it is looked through.
    """
    modules, others = [], []
    nodes = [tree]
    while nodes:
        x = nodes.pop()
        cls = type(x)
        layout = layout_of(x)
        if layout is not None:
            fields = x.__dict__
            if id(x) in unfinished or fields.keys() != layout.names:
                return None
            modules.append(fields.values())
            nodes.extend(map(fields.__getitem__, layout.dynamic))
        elif cls is list:
            others.append(x)
            nodes.extend(x)
        elif cls is dict:
            others += [x, x.values()]
            nodes.extend(x.values())
        elif cls is tuple or (isinstance(x, tuple) and hasattr(cls, "_fields")):
            nodes.extend(x)
        elif x is not None and not tree_util.all_leaves([x]):
            return None
    return Snapshot(modules, others)

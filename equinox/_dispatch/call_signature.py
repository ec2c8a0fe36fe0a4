"""How a call of a filtered function went, so that the next one like it can go the same way."""

import operator
import weakref
from typing import Any, Tuple

from jax.tree_util import tree_flatten, tree_leaves

from .. import _compat
from .._trees.layout import layout_of
from .._trees.predicates import is_jax_array
from .cache_key import static_key
from .leaf_groups import gatherer
from .snapshot import snapshot

# The kinds of leaves: how each goes into the compiled function, or doesn't.
KEPT, DONATED, STATIC = range(3)

_FAMILIAR = 3  # how often in a row an input comes again until it is watched, which costs a few flattenings to begin


class Call:
    """A call: what its inputs were like, and what they go to."""

    def __init__(self, leaves, treedef, kinds, keys, ask, asked, jitted, fun_arrays):
        self.pattern = _Pattern(leaves, treedef, kinds)
        self.kinds = kinds
        self.keys = keys
        self.may_go_stale = any(map(_compat.is_numpy_array, self.pattern.statics))  # changed in place, that is
        # A filter that may look at anything is asked at each call, and must answer as before.
        self.ask = ask
        self.asked = _gather(asked, len(leaves))
        self.answers = None if ask is None else list(map(ask, self.asked(leaves)))
        self.jitted = jitted
        self.fun_arrays = fun_arrays
        self.familiar: Any = None
        self._first: Any = lambda: None  # a weak reference to the first input, if it is a model
        self._times = 0  # how often in a row it has come again

    def matches(self, leaves, treedef):
        """Whether inputs of these leaves and this structure are to be treated as those of this call."""
        if not self.pattern.matches(leaves, treedef):
            return False
        return self.ask is None or list(map(self.ask, self.asked(leaves))) == self.answers

    def has_equal_statics(self, leaves):
        """Whether the static ones among `leaves`, of the same structure, are equal to those of this call."""
        keys = [static_key(x) for x in self.pattern.static(leaves)]
        return list(map(type, keys)) == list(map(type, self.keys)) and keys == self.keys

    def arguments(self, leaves):
        """The arguments of `jitted`."""
        kept = self.pattern.kept(leaves)
        if self.fun_arrays:
            kept += self.fun_arrays
        return (kept,) if self.pattern.donated is None else (kept, self.pattern.donated(leaves))

    def get_familiar(self, args, kwargs):
        """Watch the first input from now on, if it is a model that comes again and again, as it does in inference.

        In training it is a new one each time.
        """
        if not args or layout_of(args[0]) is None:
            return
        if self._first() is not args[0]:
            self._first, self._times = weakref.ref(args[0]), 0
            return
        self._times += 1
        if self._times != _FAMILIAR or self.ask is not None:
            return
        watched = snapshot(args[0])  # before it is flattened: what changes in between is seen by the next call
        number = len(tree_leaves(args[0]))
        leaves, treedef = tree_flatten((args, kwargs))
        if watched is None or DONATED in self.kinds[:number] or not self.matches(leaves, treedef):
            return
        kept = tuple(x for x, kind in zip(leaves, self.kinds[:number]) if kind == KEPT)
        others, treedef = tree_flatten((args[1:], kwargs))
        pattern = _Pattern(others, treedef, self.kinds[number:])
        self.familiar = _Familiar(args[0], watched, kept, pattern, self.fun_arrays)


class _Pattern:
    """What leaves must be like to be treated as these were."""

    __slots__ = ("by_identity", "donated", "kept", "static", "statics", "treedef", "types")

    def __init__(self, leaves, treedef, kinds):
        self.treedef = treedef
        self.types = list(map(type, leaves))
        self.kept, donated, self.static = (
            _gather([i for i, k in enumerate(kinds) if k == kind], len(kinds)) for kind in (KEPT, DONATED, STATIC)
        )
        self.donated = donated if DONATED in kinds else None
        self.statics = self.static(leaves)
        self.by_identity = any(map(is_jax_array, self.statics))  # by value is for the look-up, when identity fails

    def matches(self, leaves, treedef):
        if self.types != list(map(type, leaves)) or self.treedef != treedef:
            return False
        statics = self.static(leaves)
        if self.by_identity:
            return all(map(operator.is_, statics, self.statics))
        return statics == self.statics  # which asks for identity first


class _Familiar:
    """A model that comes as the first input again and again: what needn't be found out again while nothing changes.

    It doesn't keep the model alive. It keeps the model's arrays until the model is gone, or the next call finds that it
    has changed.
    """

    __slots__ = ("fun_arrays", "known", "model", "others")

    def __init__(self, model, watched, kept, others, fun_arrays):
        self.known: Any = (watched, kept)  # one attribute, as one thread may forget while another looks
        self.others = others
        self.fun_arrays = fun_arrays
        self.model = weakref.ref(model, self.forget)

    def arguments(self, args, kwargs):
        """As `Call.arguments`, or `None` if the first of these inputs isn't that model, or they aren't as they were."""
        known = self.known
        if known is None or not args or args[0] is None or self.model() is not args[0]:
            return None
        watched, kept = known
        if not watched.holds():
            return self.forget()
        leaves, treedef = tree_flatten((args[1:], kwargs))
        if not self.others.matches(leaves, treedef):
            return None
        kept += self.others.kept(leaves) + self.fun_arrays
        return (kept,) if self.others.donated is None else (kept, self.others.donated(leaves))

    def forget(self, _=None):
        self.known = None


def _gather(indices, number):
    """`gatherer(indices)` of a list of `number` items, of which nothing may have to be left out."""
    return tuple if len(indices) == number else gatherer(indices)


class _NoCall:
    """Stands for a call where there was none."""

    familiar = None

    def matches(self, leaves, treedef):
        return False


NO_CALLS: Tuple[Any, Any] = (_NoCall(), _NoCall())  # the last one, and the one before

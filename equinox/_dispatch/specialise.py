"""A function compiled by `jax.jit` for one combination of structure, kinds of leaves, and static leaves."""

from .cache_key import ArrayKey
from .call_signature import DONATED
from .callables import put_together
from .leaf_groups import LeafGroups, gatherer


class FilterChanged(Exception):
    """A leaf has another dtype, for which the filter answers otherwise: look for another compiled function."""


class Specialisation:
    """What a function is compiled for. Two are equal if they can share the compiled function.

    Args:
        arrangement: In which order the inputs are flattened.
        treedef: The structure of the inputs: modules, and others.
        kinds: For each leaf how it goes into the compiled function, or doesn't.
        static_keys: The keys of the static leaves.
        shardings: Those of traced and of donated leaves, or `None`.
        recheck: `None`, or a function that must be true for the traced leaves at the positions `rechecked`. It only
            depends on their types and dtypes. `jax.jit` traces a new dtype, and here it is asked again.
        rechecked: Positions among the traced leaves and, after them, the donated ones.
    """

    def __init__(self, arrangement, treedef, kinds, static_keys, shardings, recheck, rechecked):
        self.arrangement = arrangement
        self.treedef = treedef
        self.kinds = kinds
        self.statics = [key.array if type(key) is ArrayKey else key for key in static_keys.keys]
        self.shardings = shardings
        self.recheck = recheck
        self.rechecked = rechecked
        key = static_keys.keys, static_keys.types
        self._key = (arrangement, treedef, kinds, key, shardings, recheck, rechecked)

    def __eq__(self, other):
        return self._key == other._key

    def __hash__(self):
        return hash(self._key)


def specialise(get_function, layers, name, options, specialisation):
    """The compiled function. It takes the tuple of traced leaves, and that of donated ones if any are.

    Args:
        get_function: Gives the function, which mustn't be kept alive by what is compiled of it.
        layers: What is around the function; what was bound to it is the first of the inputs. See `callables`.
        name: What profilers and `as_text` show.
        options: What `jitf` was told of whole inputs.
        specialisation: What to compile for.
    """
    s = specialisation
    groups = LeafGroups(s.treedef, s.kinds)
    rechecked = gatherer(s.rechecked)
    number_bound = sum(map(callable, layers))

    def flat_fun(traced, donated=()):
        leaves = [*traced, *donated]
        if s.recheck is not None and not all(map(s.recheck, rechecked(leaves))):
            raise FilterChanged
        args, kwargs = s.arrangement.restore(*groups.merge([*leaves, *s.statics]))
        fun = put_together(get_function(), layers, args[:number_bound])
        return options.pack_output(fun(*args[number_bound:], **kwargs))

    flat_fun.__name__ = flat_fun.__qualname__ = name
    return options.jit(flat_fun, s.shardings, DONATED in s.kinds)

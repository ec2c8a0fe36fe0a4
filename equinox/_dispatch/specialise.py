"""Make the compiled function for one combination of structure, kinds of leaves, and static leaves."""

import itertools

from . import trace_listeners
from .call_signature import DONATED
from .callables import rebuild
from .donation import Donating, quiet
from .leaf_groups import LeafGroups


class FilterChanged(Exception):
    """A leaf has a new dtype for which the filter answers differently: the call needs another compiled function."""


def specialise(get_function, layers, name, options, arrangement, treedef, kinds, static_keys, leaf_options, recheck):
    """Make the compiled function. It takes the tuple of traced leaves, and that of donated leaves if there are any.

    Args:
        get_function: Returns the plain function. The compiled function must not keep the plain function alive.
        layers: What is around the plain function. See `callables.Callee`.
        name: The name that profilers and `as_text` show.
        options: The `InputOptions`.
        arrangement: The order in which the inputs are flattened. The bound inputs are the first in call order.
        treedef: The structure of `(modules, others)`.
        kinds: The kind of each leaf.
        static_keys: The keys of the static leaves.
        leaf_options: A pair: the options of the traced leaves, such as shardings, and those of the donated leaves.
        recheck: `None`, or a pair: a filter whose answers depend on the dtype, and for each traced or donated leaf
            whether the filter was asked. JAX traces the function again for a new dtype. The filter is then asked again.

    Returns:
        The compiled function, and the empty set in which `checks` collects its programs that hold a check.

    Raises:
        FilterChanged: When the function is traced: `recheck` finds that the filter no longer selects a leaf.
    """
    groups = LeafGroups(treedef, kinds)
    statics = static_keys.values()
    number_bound = sum(map(callable, layers))  # each layer that binds an input is callable, the others are treedefs

    def restore(leaves):
        return arrangement.restore(*groups.merge([*leaves, *statics]))

    def flat_fun(traced, donated=()):
        leaves = [*traced, *donated]
        if recheck is not None and not all(map(recheck[0], itertools.compress(leaves, recheck[1]))):
            raise FilterChanged
        args, kwargs = restore(leaves)
        fun = rebuild(get_function(), layers, args[:number_bound])
        if trace_listeners.listeners:
            trace_listeners.tell(name, get_function(), (layers, options), fun, restore, leaves, number_bound)
        return options.pack_output(fun(*args[number_bound:], **kwargs))

    flat_fun.__name__ = flat_fun.__qualname__ = name
    donates = DONATED in kinds
    if donates and not options.warns_of_donation:
        flat_fun = quiet(flat_fun)
    compiled = options.jit(flat_fun, leaf_options, donates)
    return Donating(compiled) if donates else compiled, set()

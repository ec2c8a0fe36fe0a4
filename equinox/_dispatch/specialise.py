"""A function compiled by `jax.jit` for one combination of structure, kinds of leaves, and static leaves."""

import itertools

from .call_signature import DONATED
from .callables import put_together
from .leaf_groups import LeafGroups


class FilterChanged(Exception):
    """A leaf has another dtype, for which the filter answers otherwise: look for another compiled function."""


def specialise(get_function, layers, name, options, arrangement, treedef, kinds, static_keys, shardings, recheck):
    """The compiled function. It takes the tuple of traced leaves, and that of donated ones if any are.

    Args:
        get_function: Gives the function, which mustn't be kept alive by what is compiled of it.
        layers: What is around the function. What was bound to it is the first of the inputs. See `callables`.
        name: What profilers and `as_text` show.
        options: What `jitf` was told of whole inputs.
        arrangement: In which order the inputs are flattened.
        treedef: The structure of the inputs: modules, and others.
        kinds: For each leaf how it goes into the compiled function, or doesn't.
        static_keys: The keys of the static leaves.
        shardings: Those of the traced leaves, and those of the donated ones.
        recheck: `None`, or a filter whose answers depend on types and dtypes, and for each traced or donated leaf
            whether the filter selected it. `jax.jit` traces a new dtype, and here the filter is asked again.
    """
    groups = LeafGroups(treedef, kinds)
    statics = static_keys.values()
    number_bound = sum(map(callable, layers))

    def flat_fun(traced, donated=()):
        leaves = [*traced, *donated]
        if recheck is not None and not all(map(recheck[0], itertools.compress(leaves, recheck[1]))):
            raise FilterChanged
        args, kwargs = arrangement.restore(*groups.merge([*leaves, *statics]))
        fun = put_together(get_function(), layers, args[:number_bound])
        return options.pack_output(fun(*args[number_bound:], **kwargs))

    flat_fun.__name__ = flat_fun.__qualname__ = name
    return options.jit(flat_fun, shardings, DONATED in kinds)

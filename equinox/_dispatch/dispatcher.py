"""From the inputs of a call to the compiled function for them. The README of this folder tells how."""

import functools as ft
import weakref

import jax
from jax.tree_util import tree_flatten

from .. import _compat
from .._trees.paths import describe_leaf
from .._trees.predicates import is_array, is_array_like
from .._trees.selection import ANYTHING, DTYPE
from .arguments import Arrangement, name_of
from .cache_entry import CacheEntry
from .cache_key import StaticKeys, static_key
from .call_signature import DONATED, STATIC, TRACED
from .callables import Callee
from .identity_table import IdentityTable
from .known_modules import Known
from .leaf_groups import unpack_output
from .lowered import Lowered
from .specialise import FilterChanged, specialise

_MOST_SPECIALISATIONS = 4096  # of one function and its options; the least recently used goes
_MOST_DISPATCHERS = 64  # of one function, for as many combinations of options
_MOST_ARRANGEMENTS = 256  # of one dispatcher
_RECENT = 4  # entries that are looked at before compiled functions are looked up by a hash
_ONE_STRANGER_IN = 5  # calls with unknown modules that begin to count them: in training each call has new modules

_functions = IdentityTable()  # plain function -> what finds its dispatchers


def dispatcher_of(fun, options):
    """`(dispatcher, callee)` of anything callable.

    What is compiled belongs to the plain function in `fun`, and to the options. It goes when the function does.

    Args:
        fun: Anything callable.
        options: Hashable. Has a `selection`, and `inputs`, which is an `Options`.
    """
    callee = Callee(fun)
    function = callee.function
    try:
        find = _functions.get_or_make((function,), lambda: _finder(weakref.ref(function)))
    except TypeError:  # there are no weak references to it: what is compiled belongs to the caller
        find = _finder(lambda: function)
    return find(options, callee.layers, name_of(fun)), callee


def _finder(get_function):
    """What finds or makes the dispatcher of one function for options, layers and a name."""

    @ft.lru_cache(maxsize=_MOST_DISPATCHERS)
    def compiled(inputs_options, layers, name):
        compile_for = ft.partial(specialise, get_function, layers, name, inputs_options)
        return ft.lru_cache(maxsize=_MOST_SPECIALISATIONS)(compile_for)

    @ft.lru_cache(maxsize=_MOST_DISPATCHERS)
    def find(options, layers, name):
        return Dispatcher(options, compiled(options.inputs, layers, name))

    return find


class Dispatcher:
    """Calls compiled functions: all those of one function, one way to filter its inputs, and other options."""

    def __init__(self, options, compiled):
        self._selection = options.selection
        self._asks_again = options.selection.depends_on == ANYTHING  # at each call
        self._options = options.inputs
        self._compiled = compiled
        self._arrangements = {}
        # Arrangement -> cache entries. The arrangement itself must not hold them, because their compiled functions hold
        # it. The garbage collector can't look into a compiled function of JAX 0.4.13, and would never free the circle.
        self._recent = {}
        self._known = IdentityTable()
        self._strangers = 0  # calls with modules that aren't in the table

    def call(self, callee, args, kwargs):
        """Call the compiled function for these inputs, compiling it if there is none."""
        arrangement, values = self._arrange(callee.bound, args, kwargs)
        modules, others = arrangement.modules(values), arrangement.others(values)
        known = self._known.get(modules) if modules else None
        found = None if known is None else known.find(arrangement, others)
        if found is None:
            found = self._find(callee, args, kwargs, arrangement, modules, others, known)
        entry, arguments = found
        try:
            return unpack_output(entry.compiled(*arguments))
        except FilterChanged:
            return self._call_again(callee, args, kwargs)
        except TypeError:
            leaves, _ = tree_flatten((modules, others))
            if all(is_array_like(x) for x, kind in zip(leaves, entry.kinds) if kind != STATIC):
                raise
            return self._call_again(callee, args, kwargs)

    def lower(self, callee, args, kwargs):
        """Lower the function for these inputs."""
        _compat.require("lower")
        arrangement, leaves, treedef = self.flatten(callee.bound, args, kwargs)
        entry = self._make_entry(self._sort(callee, args, kwargs), arrangement, leaves, treedef)
        stage = entry.compiled.lower(*entry.signature.arguments(leaves))
        return Lowered(stage, entry, ft.partial(self.flatten, callee.bound))

    def clear(self):
        """Forget all that was compiled."""
        self._compiled.cache_clear()
        self._forget()

    def flatten(self, bound, args, kwargs):
        """`(arrangement, leaves, treedef)` of the inputs."""
        arrangement, values = self._arrange(bound, args, kwargs)
        return (arrangement, *tree_flatten((arrangement.modules(values), arrangement.others(values))))

    def _forget(self):
        self._arrangements.clear()
        self._recent.clear()
        self._known.clear()

    def _arrange(self, bound, args, kwargs):
        """The arrangement of the inputs, and their values."""
        values = bound + args if bound else args
        names = ()
        if kwargs:
            names = tuple(sorted(kwargs))
            values += tuple(map(kwargs.__getitem__, names))
        key = (*map(type, values), *names)
        arrangement = self._arrangements.get(key)
        if arrangement is None:
            if len(self._arrangements) >= _MOST_ARRANGEMENTS:
                self._forget()
            arrangement = self._arrangements.setdefault(key, Arrangement(values, names))
        return arrangement, values

    def _find(self, callee, args, kwargs, arrangement, modules, others, known):
        """`(entry, arguments)` of a call whose modules aren't known: by looking at all leaves."""
        watched = None if known is None else known.watch(modules)  # before they are flattened
        leaves, treedef = tree_flatten((modules, others))
        inputs = self._sort(callee, args, kwargs) if self._asks_again else None
        kinds = None if inputs is None else arrangement.kinds(inputs)
        recent = self._recent.get(arrangement, ())
        for entry in recent:
            if kinds in (None, entry.kinds) and entry.signature.matches(leaves, treedef):
                break
        else:
            entry = self._make_entry(inputs or self._sort(callee, args, kwargs), arrangement, leaves, treedef)
        if not recent or entry is not recent[0]:
            self._recent[arrangement] = (entry, *[x for x in recent if x is not entry][: _RECENT - 1])
        if modules and entry.trusts_modules and not self._asks_again:
            if watched is not None:
                known.learn(watched, entry, leaves)
            elif known is None:
                if self._strangers % _ONE_STRANGER_IN == 0:
                    self._known.set(modules, Known())
                self._strangers += 1
        return entry, entry.signature.arguments(leaves)

    def _call_again(self, callee, args, kwargs):
        """Call the compiled function that these inputs need when nothing is taken from earlier calls."""
        self._forget()
        arrangement, leaves, treedef = self.flatten(callee.bound, args, kwargs)
        inputs = self._sort(callee, args, kwargs)
        entry = self._make_entry(inputs, arrangement, leaves, treedef)
        self._recent[arrangement] = (entry,)
        try:
            return unpack_output(entry.compiled(*entry.signature.arguments(leaves)))
        except TypeError:
            self._refuse_untraceable(inputs)
            raise

    def _sort(self, callee, args, kwargs):
        """The inputs, with the kinds of their leaves.

        A `filter_tree` has the inputs in the order of the parameters, whether passed by position or by keyword. What is
        part of the function isn't asked about: its arrays are traced.
        """
        inputs = callee.inputs(args, kwargs)
        static, donated = self._options.static.among(inputs), self._options.donated.among(inputs)
        asked = [x for x in inputs if x not in static and not x.is_bound]
        asked.sort(key=lambda x: len(inputs) if x.index is None else x.index)
        answers = iter(self._selection.of(tuple(x.value for x in asked)))
        selected = {x: [next(answers) for _ in x.leaves] for x in asked}
        for x in inputs:
            kind = DONATED if x in donated else TRACED
            if x in static:
                x.kinds = [STATIC for _ in x.leaves]
            elif x.is_bound:
                x.kinds = [kind if is_array(leaf) else STATIC for leaf in x.leaves]
            else:
                # Where `lower` is given a shape and dtype to stand for an array, there is no value to hold static.
                x.kinds = [kind if s or _is_abstract(leaf) else STATIC for s, leaf in zip(selected[x], x.leaves)]
        return inputs

    def _make_entry(self, inputs, arrangement, leaves, treedef):
        """The cache entry for these inputs. Compiles nothing."""
        kinds = arrangement.kinds(inputs)
        owners = [(inputs[j], i) for j in arrangement.order for i in range(len(inputs[j].leaves))]
        static_keys = StaticKeys(
            static_key(leaf, self._options.name, ft.partial(x.path_of_leaf, i))
            for leaf, kind, (x, i) in zip(leaves, kinds, owners)
            if kind == STATIC
        )
        traced, donated = ([x for x, k in zip(owners, kinds) if k == kind] for kind in (TRACED, DONATED))
        shardings_of = self._options.input_shardings(inputs)
        shardings = tuple(tuple(shardings_of[x][i] for x, i in group) for group in (traced, donated))
        recheck = None
        if self._selection.depends_on == DTYPE and not any(map(_is_abstract, leaves)):
            recheck = self._selection.filter_fn, tuple(not x.is_bound for x, _ in traced + donated)
        compiled = self._compiled(arrangement, treedef, kinds, static_keys, shardings, recheck)
        return CacheEntry(arrangement, leaves, treedef, kinds, static_keys, compiled)

    def _refuse_untraceable(self, inputs):
        """Raise a better error than JAX's own for a leaf that is to be traced and can't be."""
        for x in inputs:
            for i, (leaf, kind) in enumerate(zip(x.leaves, x.kinds)):
                if kind != STATIC and not is_array_like(leaf):
                    raise TypeError(
                        "`{}` is asked to trace the leaf `{}`, which is no array or number but {}. Let the filter hold "
                        "it static; `filter_fn=eqx.is_array` does.".format(
                            self._options.name, x.path_of_leaf(i), describe_leaf(leaf)
                        )
                    ) from None


def _is_abstract(leaf):
    return isinstance(leaf, jax.ShapeDtypeStruct)

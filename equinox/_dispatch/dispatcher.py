"""Find the compiled function for the inputs of a call, and call it. The README of this folder is the overview."""

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
from .caches import on_clear
from .call_signature import DONATED, STATIC, TRACED
from .callables import Callee
from .checks import call_and_wait, call_failed, learn, lowerings, wait
from .donation import SameArray
from .identity_table import IdentityTable
from .known_modules import Known
from .leaf_groups import unpack_output
from .lowered import Lowered
from .specialise import FilterChanged, specialise

_MAX_SPECIALISATIONS = 4096  # compiled functions of one plain function and its options
_MAX_DISPATCHERS = 64  # dispatchers of one plain function: one for each combination of options
_MAX_ARRANGEMENTS = 256  # arrangements of one dispatcher
_MAX_RECENT = 4  # cache entries that are compared with a call before the look-up by hash
# One of five calls with unknown modules adds its modules to the table of known modules. In training each call has a new
# model, and it would cost time to add them all.
_REMEMBER_ONE_IN = 5

_functions = IdentityTable()  # plain function -> the function that finds its dispatchers


def dispatcher_of(fun, options):
    """`(dispatcher, callee)` of any callable.

    Compiled functions belong to the plain function in `fun` and to the options. They are freed with the plain function.

    Args:
        fun: Any callable.
        options: A hashable object with the attributes `selection`, a `Selection`, and `inputs`, an `InputOptions`.
    """
    callee = Callee(fun)
    function = callee.function
    try:
        find = _functions.get_or_make((function,), lambda: _finder(weakref.ref(function)))
    except TypeError:  # no weak reference to the function can be made, so the caller keeps the compiled functions
        find = _finder(lambda: function)
    return find(options, callee.layers, name_of(fun)), callee


def _finder(get_function):
    """A function that finds or makes the dispatcher of one plain function, given options, layers and a name."""

    @ft.lru_cache(maxsize=_MAX_DISPATCHERS)
    def cached_specialise(input_options, layers, name):
        # All filters share this cache: what a filter selected is in its keys, as the kinds of the leaves.
        specialise_function = ft.partial(specialise, get_function, layers, name, input_options)
        return ft.lru_cache(maxsize=_MAX_SPECIALISATIONS)(specialise_function)

    @ft.lru_cache(maxsize=_MAX_DISPATCHERS)
    def find(options, layers, name):
        return Dispatcher(options, cached_specialise(options.inputs, layers, name))

    return find


class Dispatcher:
    """Calls the compiled functions of one plain function, for one filter and one set of other options.

    Args:
        options: As for `dispatcher_of`.
        cached_specialise: `specialise` with a cache. It takes the last six arguments, from `arrangement` on.
    """

    def __init__(self, options, cached_specialise):
        self._selection = options.selection
        self._asks_at_each_call = options.selection.depends_on == ANYTHING
        self._options = options.inputs
        self._cached_specialise = cached_specialise
        self._arrangements = {}  # types of the values and names of the keyword arguments -> arrangement
        # Arrangement -> recent cache entries. An arrangement doesn't hold its entries, because their compiled functions
        # hold the arrangement. The garbage collector can't look into a compiled function of JAX 0.4.13, and would never
        # free this cycle.
        self._recent = {}
        self._known = IdentityTable()  # modules of a call -> Known
        self._unknown_calls = 0  # the number of calls whose modules weren't in `_known`
        on_clear(self, Dispatcher.clear)

    def call(self, callee, args, kwargs):
        """Call the compiled function for these inputs. Compile it first if there is none."""
        arrangement, values = self._arrange(callee.bound, args, kwargs)
        modules, others = arrangement.modules(values), arrangement.others(values)
        known = self._known.get(modules) if modules else None
        found = None if known is None else known.find(arrangement, others)
        if found is None:
            found = self._find_entry(callee, args, kwargs, arrangement, modules, others, known)
        entry, arguments = found
        number = lowerings.number
        try:
            out = entry.compiled(*arguments)
        except FilterChanged:
            return self._call_with_new_entry(callee, args, kwargs)
        except SameArray as error:
            self._refuse_same_array(callee.inputs(args, kwargs), entry, error)
        except (RuntimeError, ValueError) as error:  # JAX raises either
            call_failed(entry.checked, arguments, number, error)
            raise
        except TypeError:
            # An entry compares the types of leaves. NumPy arrays of numbers and of text have the same type, but JAX
            # can't trace text. If a leaf can't be traced, this may be the wrong entry. Else it is the function's error.
            leaves, _ = tree_flatten((modules, others))
            if all(is_array_like(x) for x, kind in zip(leaves, entry.kinds) if kind != STATIC):
                raise
            return self._call_with_new_entry(callee, args, kwargs)
        if entry.checked or lowerings.number != number:
            wait(entry.checked, arguments, number, out)
        return unpack_output(out)

    def lower(self, callee, args, kwargs):
        """Lower the function for these inputs. Returns a `Lowered`."""
        _compat.require("lower")
        arrangement, leaves, treedef = self._flatten(callee.bound, args, kwargs)
        entry = self._make_entry(self._classify(callee, args, kwargs), arrangement, leaves, treedef)
        arguments = entry.signature.arguments(leaves)
        number = lowerings.number
        stage = entry.compiled.lower(*arguments)
        learn(entry.checked, arguments, number)
        return Lowered(stage, entry, ft.partial(self._flatten, callee.bound))

    def clear(self):
        """Forget all compiled functions."""
        self._cached_specialise.cache_clear()
        self._forget()

    def _forget(self):
        self._arrangements.clear()
        self._recent.clear()
        self._known.clear()

    def _arrange(self, bound, args, kwargs):
        """`(arrangement, values)` of the inputs."""
        values = bound + args if bound else args
        names = ()
        if kwargs:
            names = tuple(sorted(kwargs))
            values += tuple(map(kwargs.__getitem__, names))
        key = (*map(type, values), *names)
        arrangement = self._arrangements.get(key)
        if arrangement is None:
            if len(self._arrangements) >= _MAX_ARRANGEMENTS:
                self._forget()
            arrangement = self._arrangements.setdefault(key, Arrangement(values, names))
        return arrangement, values

    def _flatten(self, bound, args, kwargs):
        """`(arrangement, leaves, treedef)` of the inputs."""
        arrangement, values = self._arrange(bound, args, kwargs)
        return (arrangement, *tree_flatten((arrangement.modules(values), arrangement.others(values))))

    def _find_entry(self, callee, args, kwargs, arrangement, modules, others, known):
        """`(entry, arguments)` of a call whose modules aren't known. All leaves are looked at."""
        watched = None if known is None else known.count_call(modules)  # before they are flattened
        leaves, treedef = tree_flatten((modules, others))
        inputs = self._classify(callee, args, kwargs) if self._asks_at_each_call else None
        kinds = None if inputs is None else arrangement.kinds(inputs)  # `None`: those of a matching entry are right
        recent = self._recent.get(arrangement, ())
        for entry in recent:
            if kinds in (None, entry.kinds) and entry.signature.matches(leaves, treedef):
                break
        else:
            entry = self._make_entry(inputs or self._classify(callee, args, kwargs), arrangement, leaves, treedef)
        if not recent or entry is not recent[0]:
            self._recent[arrangement] = (entry, *[x for x in recent if x is not entry][: _MAX_RECENT - 1])
        if modules and entry.trusts_modules and not self._asks_at_each_call:
            if watched is not None:
                known.learn(watched, entry, leaves)
            elif known is None:
                if self._unknown_calls % _REMEMBER_ONE_IN == 0:
                    self._known.set(modules, Known())
                self._unknown_calls += 1
        return entry, entry.signature.arguments(leaves)

    def _call_with_new_entry(self, callee, args, kwargs):
        """Ask the filter again, and call the compiled function. Nothing from earlier calls is trusted."""
        self._forget()
        arrangement, leaves, treedef = self._flatten(callee.bound, args, kwargs)
        inputs = self._classify(callee, args, kwargs)
        entry = self._make_entry(inputs, arrangement, leaves, treedef)
        self._recent[arrangement] = (entry,)
        try:
            arguments = entry.signature.arguments(leaves)
            return unpack_output(call_and_wait(entry.compiled, entry.checked, arguments))
        except SameArray as error:
            self._refuse_same_array(inputs, entry, error)
        except TypeError:
            self._refuse_untraceable(inputs)
            raise

    def _classify(self, callee, args, kwargs):
        """The inputs, with the kinds of their leaves.

        The filter is asked about each input that isn't static and isn't bound. It gets them in the order of the
        parameters, even those that are passed by keyword. Of a bound input, the arrays are traced.
        """
        inputs = callee.inputs(args, kwargs)
        static, donated = self._options.static.among(inputs), self._options.donated.among(inputs)
        filtered = [x for x in inputs if x not in static and not x.is_bound]
        filtered.sort(key=lambda x: len(inputs) if x.index is None else x.index)
        answers = iter(self._selection.of(tuple(x.value for x in filtered)))
        selected = {x: [next(answers) for _ in x.leaves] for x in filtered}
        for x in inputs:
            kind = DONATED if x in donated else TRACED
            if x in static:
                x.kinds = [STATIC for _ in x.leaves]
            elif x.is_bound:
                x.kinds = [kind if is_array(leaf) else STATIC for leaf in x.leaves]
            else:
                # A `ShapeDtypeStruct`, which `lower` takes, has no value that could be static. So it is always traced.
                x.kinds = [kind if s or _is_abstract(leaf) else STATIC for s, leaf in zip(selected[x], x.leaves)]
        return inputs

    def _make_entry(self, inputs, arrangement, leaves, treedef):
        """The cache entry for these inputs. JAX compiles nothing yet."""
        kinds = arrangement.kinds(inputs)
        owners = _owners(arrangement, inputs)
        static_keys = StaticKeys(
            static_key(leaf, self._options.name, ft.partial(x.path_of_leaf, i))
            for leaf, kind, (x, i) in zip(leaves, kinds, owners)
            if kind == STATIC
        )
        traced, donated = ([x for x, k in zip(owners, kinds) if k == kind] for kind in (TRACED, DONATED))
        leaf_options = self._options.of_leaves(inputs)
        groups = tuple(tuple(leaf_options[x][i] for x, i in group) for group in (traced, donated))
        recheck = None
        if self._selection.depends_on == DTYPE and not any(map(_is_abstract, leaves)):
            recheck = self._selection.filter_fn, tuple(not x.is_bound for x, _ in traced + donated)
        made = self._cached_specialise(arrangement, treedef, kinds, static_keys, groups, recheck)
        return CacheEntry(arrangement, leaves, treedef, kinds, static_keys, *made)

    def _refuse_same_array(self, inputs, entry, error):
        """Raise an error that names the two leaves."""
        owners = _owners(entry.arrangement, inputs)
        in_groups = [owner for kind in (TRACED, DONATED) for owner, k in zip(owners, entry.kinds) if k == kind]
        paths = [x.path_of_leaf(i) for x, i in (in_groups[position] for position in error.positions)]
        raise ValueError(
            "`{0}` is asked to donate `{2}`, but the same array is also passed as `{1}`. JAX deletes a donated array "
            "and uses its memory for the output. Pass a copy of it, such as `jnp.array({2})`.".format(
                self._options.name, *paths
            )
        ) from None

    def _refuse_untraceable(self, inputs):
        """Raise an error that names the leaf, if a leaf that isn't static can't be traced."""
        for x in inputs:
            for i, (leaf, kind) in enumerate(zip(x.leaves, x.kinds)):
                if kind != STATIC and not is_array_like(leaf):
                    raise TypeError(
                        "`{}` can't trace the leaf `{}`: expected an array or a number, got {}. Let the filter hold it "
                        "static, as `filter_fn=eqx.is_array` does.".format(
                            self._options.name, x.path_of_leaf(i), describe_leaf(leaf)
                        )
                    ) from None


def _owners(arrangement, inputs):
    """For each leaf, in the order in which the inputs are flattened, its input and its number in this input."""
    return [(inputs[j], i) for j in arrangement.order for i in range(len(inputs[j].leaves))]


def _is_abstract(leaf):
    return isinstance(leaf, jax.ShapeDtypeStruct)

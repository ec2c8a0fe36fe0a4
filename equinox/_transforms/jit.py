"""`jitf` and `filter_jit`: `jax.jit`, told leaf by leaf what to trace. One engine, two spellings.

A call flattens the inputs once, and compares the structure, the types of the leaves and the static leaves with those
of the last call, or the one before. Where they are the same, as in a training loop, the traced leaves go straight to
the function that `jax.jit` compiled for these statics. Else the statics are looked up among those met before. A model
that comes first again and again isn't flattened anew, only seen not to have changed; `call_signature.py` has that.
"""

import functools as ft
import types
import weakref
from typing import Any

import jax
from jax.tree_util import tree_flatten, tree_leaves

from .. import _compat
from .._dispatch.arguments import inputs_of, path_of_leaf, positional_names
from .._dispatch.cache_key import ArrayKey, static_key
from .._dispatch.call_signature import DONATED, KEPT, NO_CALLS, STATIC, Call
from .._dispatch.leaf_groups import Lid, box, unbox
from .._dispatch.lowered import Lowered
from .._dispatch.options import Options as InputOptions
from .._trees.paths import describe_leaf
from .._trees.predicates import is_array, is_array_like, is_jax_array
from .._trees.selection import ANYTHING, DTYPE, Selection
from .wrap import Options, Transformed, transform, transformation

_MAX_SPECIALISATIONS = 4096  # combinations of statics that one function keeps compiled; the least recently used goes


@transformation
def jitf(fun=None, *, filter_fn=None, filter_tree=None, **kwargs):
    """`jax.jit`, tracing the leaves of the inputs that are selected and holding the others static.

        @eqx.jitf(filter_fn=eqx.is_array)
        def forward(model, x): ...

    Args:
        fun: a pure function, or anything callable. If it is itself a pytree, such as a module or one of its methods,
            its arrays are traced too. Without it, the result is a decorator.
        filter_fn: a function `leaf -> bool`, called on the leaves of the inputs: true to trace the leaf.
        filter_tree: the choice as a tree of bools of the structure of the input; for several inputs a tuple of
            trees. Inputs marked by `static_argnums` or `static_argnames` have none. Inputs passed by keyword come
            in the order of the parameters.
        kwargs: as for `jax.jit`. `static_argnums`, `static_argnames`, `donate_argnums` and `donate_argnames` apply
            to whole inputs; `in_shardings` is a prefix of the tuple of positional inputs that aren't static, and
            `out_shardings` of the output.

    Returns: the compiled function. Its output may hold anything: arrays are returned as JAX arrays, other leaves are
    the very objects that it returned when it was traced. It binds as a method does, and has `lower`, `clear_cache` and
    `__wrapped__`. Equal statics (of one type and `==`; arrays by their values) never retrace; as for `jax.jit`, a
    static object must not change. Nor does the same plain function, decorated anew without further options.

    Raises:
        ValueError: not exactly one of `filter_fn` and `filter_tree`; `filter_tree` doesn't fit the inputs.
        TypeError: a traced leaf that JAX can't trace; a static one that can't be hashed, or whose value isn't known
            yet as another transformation traces it; an unknown keyword argument.
    """
    selection = Selection("jitf", filter_fn, filter_tree)
    return transform(Jitted, fun, _JitOptions(selection, kwargs, filter_fn=filter_fn, filter_tree=filter_tree))


@transformation
def filter_jit(fun=None, **kwargs):
    """`jitf` that traces JAX and NumPy arrays and holds everything else static.

    A NumPy array is a JAX array once it is traced: `filter_grad` differentiates it inside, and doesn't outside.
    """
    selection = Selection("filter_jit", is_array)
    return transform(Jitted, fun, _JitOptions(selection, kwargs))


class _JitOptions(Options):
    """Which leaves to trace, and what `jax.jit` is told. `spec` is what the user gave to say which leaves."""

    def __init__(self, selection, kwargs, **spec):
        super().__init__(selection.name, dict(kwargs, **spec))
        self.selection = selection
        self.inputs = InputOptions(selection.name, **kwargs)


class Jitted(Transformed):
    """What `jitf` and `filter_jit` return."""

    def __init__(self, fun, options):
        super().__init__(fun, options)
        selection, options = options.selection, options.inputs
        options.check(fun)
        self._names = positional_names(fun)
        self._selection = selection
        self._input_options = options
        # The arrays of a callable pytree are inputs like any other, not constants to be compiled into the code.
        leaves, treedef = tree_flatten(fun)
        self._fun_arrays = tuple(x for x in leaves if is_jax_array(x))
        if self._fun_arrays:
            lid = Lid(treedef, [not is_jax_array(x) for x in leaves])
            statics = [x for x in leaves if not is_jax_array(x)]
            self._specialised = _specialisations(lambda arrays: lid.close([*arrays, *statics]), fun, options)
        elif isinstance(fun, types.FunctionType) and options.are_defaults:
            # One made anew of the same function, as by `filter_jit(f)(x)` in a loop, finds what was compiled before.
            # The reference is weak, as what is found by the function would else keep it alive. (As in `jax.jit`, a
            # static leaf that refers to the function does.)
            function = weakref.ref(fun)
            self._specialised = _shared.setdefault(fun, _specialisations(lambda _: function(), fun, options))
        else:
            self._specialised = _specialisations(lambda _: fun, fun, options)
        self._recent = NO_CALLS

    def __call__(__self, *args, **kwargs):  # `self` may be the name of a keyword argument
        call = __self._recent[0]
        arguments = None if call.familiar is None else call.familiar.arguments(args, kwargs)
        if arguments is None:
            leaves, treedef = tree_flatten((args, kwargs))
            if call.matches(leaves, treedef):
                call.get_familiar(args, kwargs)
            else:
                call = __self._other_call(args, kwargs, leaves, treedef)
            arguments = call.arguments(leaves)
        try:
            return unbox(call.jitted(*arguments))
        except _FilterChanged:
            __self._recent = NO_CALLS
            return __self(*args, **kwargs)
        except TypeError:
            __self._refuse_untraceable(call, args, kwargs)
            raise

    def lower(__self, *args, **kwargs):
        """Trace and lower for these inputs, without running; as `jax.jit(...).lower`. Since JAX 0.2.25.

        Args: the inputs, in which `jax.ShapeDtypeStruct`s may stand for arrays.

        Returns: an object with what JAX's own has (`as_text`, ...) and a `compile()`, whose result takes the same
        inputs as the function.

        Raises: NotImplementedError: the running JAX is older.
        """
        leaves, treedef = tree_flatten((args, kwargs))
        call = __self._prepare(args, kwargs, leaves, treedef)
        return Lowered(_compat.lower(call.jitted, *call.arguments(leaves)), call)

    def clear_cache(self):
        """Forget all that was traced and compiled; of a plain function, also for others made of it without options."""
        self._specialised.cache_clear()
        self._recent = NO_CALLS

    def _other_call(self, args, kwargs, leaves, treedef):
        """The call before the last, if that is the one to go by (as where training and evaluation take turns)."""
        last, before = self._recent
        if before.matches(leaves, treedef):
            self._recent = before, last
            return before
        call = self._prepare(args, kwargs, leaves, treedef)
        if not call.may_go_stale:
            self._recent = call, last
        return call

    def _prepare(self, args, kwargs, leaves, treedef):
        """Find or make what these inputs, unlike those of the last calls, need."""
        inputs = inputs_of(self._names, args, kwargs)
        static = self._input_options.static.among(inputs)
        donated = self._input_options.donated.among(inputs)
        owners = [x for x in inputs for _ in range(x.size)]
        # Where `lower` is given a shape and dtype to stand for an array, there is no value to hold static.
        abstract = [isinstance(leaf, jax.ShapeDtypeStruct) and x not in static for leaf, x in zip(leaves, owners)]
        selected = self._selected(inputs, static)
        kinds = tuple(
            STATIC if not (picked or abstractly) else DONATED if x in donated else KEPT
            for picked, abstractly, x in zip(selected, abstract, owners)
        )
        keys = [
            static_key(leaf, self._selection.name, ft.partial(path_of_leaf, inputs, i))
            for i, (leaf, kind) in enumerate(zip(leaves, kinds))
            if kind == STATIC
        ]
        filter_fn = self._selection.filter_fn
        recheck = filter_fn if self._selection.depends_on == DTYPE and not any(abstract) else None
        jitted = self._specialised(treedef, kinds, self._shardings(inputs, static, kinds), recheck, *keys)
        if self._selection.depends_on != ANYTHING:
            ask, asked = None, []
        else:
            ask, asked = filter_fn, [i for i, x in enumerate(owners) if x not in static]
        return Call(leaves, treedef, kinds, keys, ask=ask, asked=asked, jitted=jitted, fun_arrays=self._fun_arrays)

    def _selected(self, inputs, static):
        """For each leaf of `inputs` whether it is selected.

        A `filter_tree` has the inputs in the order of the parameters, whether passed by position or by keyword.
        """
        eligible = [x for x in inputs if x not in static]
        eligible.sort(key=lambda x: len(inputs) if x.index is None else x.index)
        mask = iter(self._selection.of(tuple(x.value for x in eligible)))
        masks = {x: [next(mask) for _ in range(x.size)] for x in eligible}
        return [picked for x in inputs for picked in masks.get(x, [False] * x.size)]

    def _shardings(self, inputs, static, kinds):
        """The shardings asked for of what the compiled function takes: the kept and the donated. `None` for none."""
        if not self._input_options.has_in_shardings:
            return None
        sharded = [x for x in inputs if x.by_position and x not in static]
        asked_for = iter(self._input_options.shardings_of(tuple(x.value for x in sharded)))
        shardings = [next(asked_for) if x in sharded else None for x in inputs for _ in range(x.size)]
        kept = [sharding for sharding, kind in zip(shardings, kinds) if kind == KEPT]
        donated = [sharding for sharding, kind in zip(shardings, kinds) if kind == DONATED]
        return (*kept, *[None] * len(self._fun_arrays)), tuple(donated)

    def _refuse_untraceable(self, call, args, kwargs):
        """Raise a better error than JAX's own for a leaf that is to be traced and can't be."""
        for i, (leaf, kind) in enumerate(zip(tree_leaves((args, kwargs)), call.kinds)):
            if kind != STATIC and not is_array_like(leaf):
                path = path_of_leaf(inputs_of(self._names, args, kwargs), i)
                raise TypeError(
                    "`{}` is asked to trace the leaf `{}`, which is no array or number but {}. Let the filter hold "
                    "it static; `filter_fn=eqx.is_array` does.".format(self._selection.name, path, describe_leaf(leaf))
                ) from None


_shared: Any = weakref.WeakKeyDictionary()  # what was compiled of plain functions, however they were filtered


def _specialisations(get_fun, fun, options):
    """What is compiled of `fun`, which `get_fun` gives from its arrays, for each combination of statics."""
    name = getattr(fun, "__name__", type(fun).__name__)
    # `typed` keeps statics apart that are equal but of different types, such as `True`, `1` and `1.0`.
    remember = ft.lru_cache(maxsize=_MAX_SPECIALISATIONS, typed=True)
    return remember(ft.partial(_specialise, fun=get_fun, name=name, options=options))


class _FilterChanged(Exception):
    """A leaf changed its dtype, and the filter its mind: the call must be prepared anew."""


def _specialise(treedef, kinds, shardings, recheck, *keys, fun, name, options):
    """`fun` compiled by `jax.jit` for one combination of structure, kinds of leaves, and statics.

    The compiled function takes tuples of arrays: the kept ones, after them those of `fun` itself, and the donated.
    """
    lid = Lid(treedef, kinds)
    statics = [key.take() if type(key) is ArrayKey else key for key in keys]
    number_kept = kinds.count(KEPT)

    def flat_fun(kept, donated=()):
        fun_arrays = kept[number_kept:]
        inputs = [*kept[:number_kept], *donated]
        if recheck is not None and not all(map(recheck, inputs)):
            raise _FilterChanged
        args, kwargs = lid.close([*inputs, *statics])
        return box(options.constrain_output(fun(fun_arrays)(*args, **kwargs)))

    flat_fun.__name__ = flat_fun.__qualname__ = name  # what profilers and `as_text` show
    jit_kwargs = dict(options.jit_kwargs)
    if DONATED in kinds:
        jit_kwargs["donate_argnums"] = (1,)
    if shardings is not None:
        kept, _ = shardings
        jit_kwargs["in_shardings"] = shardings if DONATED in kinds else (kept,)
    return jax.jit(flat_fun, **jit_kwargs)

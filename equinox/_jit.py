"""`jitf` and `filter_jit`: `jax.jit`, told leaf by leaf what to trace. One engine, two spellings.

A call flattens the inputs once, and compares the structure, the types of the leaves and the static leaves with those
of the last call. Where they are the same, as in a training loop, the traced leaves go straight to the function that
`jax.jit` compiled for these statics. Where they differ, the statics are looked up among those met before.
"""

import functools as ft
import operator
import types
from typing import Any

import jax
import numpy as np
from jax import core
from jax.tree_util import tree_flatten

from . import _compat
from ._box import Lid, box, unbox
from ._filters import is_array, is_array_like, is_inexact_array
from ._inputs import inputs_of, path_of_leaf, positional_names
from ._jit_options import Options
from ._paths import describe_leaf
from ._selection import Selection

_MAX_SPECIALISATIONS = 4096  # combinations of statics that one function keeps compiled; the least recently used goes


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

    Returns: the compiled function. Its output may hold anything: arrays are returned as JAX arrays, other leaves as
    they were when it was traced. It binds as a method does, and has `lower`, `clear_cache` and `__wrapped__`. Equal
    statics (of one type and `==`; arrays by their values) never retrace.

    Raises:
        ValueError: not exactly one of `filter_fn` and `filter_tree`; `filter_tree` doesn't fit the inputs.
        TypeError: a traced leaf that JAX can't trace; a static one that can't be hashed, or whose value isn't known
            yet as another transformation traces it; an unknown keyword argument.
    """
    return _decorate(fun, Selection("jitf", filter_fn, filter_tree), kwargs)


def filter_jit(fun=None, **kwargs):
    """`jitf` that traces JAX and NumPy arrays and holds everything else static.

    A NumPy array is a JAX array once it is traced: `filter_grad` differentiates it inside, and doesn't outside.
    """
    return _decorate(fun, Selection("filter_jit", _is_jax_or_numpy_array, None), kwargs)


def _decorate(fun, selection, kwargs):
    options = Options(selection.name, **kwargs)
    if fun is None:
        return lambda fun: _Jitted(fun, selection, options)
    return _Jitted(fun, selection, options)


def _is_jax_or_numpy_array(x):
    return is_array(x) or isinstance(x, (np.ndarray, np.generic))


# Filters that answer alike for all leaves of one type need not be asked again while the types stay the same. Nor do
# those that answer alike for one type and dtype: `jax.jit` traces a new dtype anew, and there they are asked again.
_DECIDED_BY_TYPE = frozenset([is_array, _is_jax_or_numpy_array])
_DECIDED_BY_DTYPE = frozenset([is_inexact_array])

_KEPT, _DONATED, _STATIC = range(3)  # the kinds of leaves, in the order in which `Lid.close` takes them


class _Jitted:
    """What `jitf` returns."""

    def __init__(self, fun, selection, options):
        if not callable(fun):
            raise TypeError(
                "`{}` expects a function or another callable, got {}.".format(selection.name, describe_leaf(fun))
            )
        ft.update_wrapper(self, fun, updated=())
        self.__wrapped__ = fun
        options.check(fun)
        self._names = positional_names(fun)
        self._selection = selection
        self._options = options
        # The arrays of a callable pytree are inputs like any other, not constants to be compiled into the code.
        leaves, treedef = tree_flatten(fun)
        self._fun_arrays = tuple(x for x in leaves if is_array(x))
        fun_lid = Lid(treedef, [not is_array(x) for x in leaves])
        fun_statics = [x for x in leaves if not is_array(x)]
        # `typed` keeps statics apart that are equal but of different types, such as `True`, `1` and `1.0`.
        self._specialised = ft.lru_cache(maxsize=_MAX_SPECIALISATIONS, typed=True)(
            ft.partial(
                _specialise,
                fun=(lambda arrays: fun_lid.close([*arrays, *fun_statics])) if self._fun_arrays else (lambda _: fun),
                name=getattr(fun, "__name__", type(fun).__name__),
                options=options,
            )
        )
        self._last: Any = _NO_CALL

    def __call__(__self, *args, **kwargs):  # `self` may be the name of a keyword argument
        leaves, treedef = tree_flatten((args, kwargs))
        call = __self._last
        if not (call.types == list(map(type, leaves)) and call.treedef == treedef and call.fits(leaves)):
            call = __self._last = __self._prepare(args, kwargs, leaves, treedef)
        try:
            return unbox(call.run(leaves))
        except _FilterChanged:
            __self._last = _NO_CALL
            return __self(*args, **kwargs)
        except TypeError:
            __self._refuse_untraceable(call, args, kwargs, leaves)
            raise

    def __get__(self, instance, owner=None):
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self):
        return "<{} of {!r}>".format(self._selection.name, self.__wrapped__)

    def lower(__self, *args, **kwargs):
        """Trace and lower for these inputs, without running; as `jax.jit(...).lower`. Since JAX 0.2.25.

        Args: the inputs, in which `jax.ShapeDtypeStruct`s may stand for arrays.

        Returns: an object with what JAX's own has (`as_text`, ...) and a `compile()`, whose result takes the same
        inputs as the function.

        Raises: NotImplementedError: the running JAX is older.
        """
        leaves, treedef = tree_flatten((args, kwargs))
        call = __self._prepare(args, kwargs, leaves, treedef)
        return _Lowered(_compat.lower(call.jitted, *call.arguments(leaves)), call)

    def clear_cache(self):
        """Forget all that was traced and compiled."""
        self._specialised.cache_clear()
        self._last = _NO_CALL

    def _prepare(self, args, kwargs, leaves, treedef):
        """Find or make what these inputs, unlike those of the last call, need."""
        inputs = inputs_of(self._names, args, kwargs)
        static = self._options.static.among(inputs)
        donated = self._options.donated.among(inputs)
        masks = self._masks([x for x in inputs if x not in static])
        kinds = []
        for x in inputs:
            for picked in masks.get(x, [False] * x.size):
                # Where `lower` is given a shape and dtype to stand for an array, there is no value to hold static.
                if picked or (isinstance(leaves[len(kinds)], jax.ShapeDtypeStruct) and x not in static):
                    kinds.append(_DONATED if x in donated else _KEPT)
                else:
                    kinds.append(_STATIC)
        statics = tuple(x for x, kind in zip(leaves, kinds) if kind == _STATIC)
        keys = [_static_key(x, i, inputs, self._selection.name) for i, x in enumerate(leaves) if kinds[i] == _STATIC]
        filter_fn = self._selection.filter_fn
        abstract = any(isinstance(x, jax.ShapeDtypeStruct) for x in leaves)
        recheck = filter_fn if filter_fn in _DECIDED_BY_DTYPE and not abstract else None
        jitted = self._specialised(treedef, tuple(kinds), self._shardings(inputs, static, kinds), recheck, *keys)
        decided = filter_fn is None or filter_fn in _DECIDED_BY_TYPE or filter_fn in _DECIDED_BY_DTYPE
        return _Call(leaves, treedef, kinds, statics, None if decided else filter_fn, jitted, self._fun_arrays)

    def _masks(self, inputs):
        """For each input, which of its leaves are selected.

        A `filter_tree` has the inputs in the order of the parameters, whether passed by position or by keyword.
        """
        inputs = sorted(inputs, key=lambda x: len(inputs) if x.index is None else x.index)
        mask = iter(self._selection.of(tuple(x.value for x in inputs)))
        return {x: [next(mask) for _ in range(x.size)] for x in inputs}

    def _shardings(self, inputs, static, kinds):
        """The shardings asked for of what the compiled function takes: the kept and the donated. `None` for none."""
        if not self._options.has_in_shardings:
            return None
        sharded = [x for x in inputs if x.by_position and x not in static]
        given = iter(self._options.shardings_of(tuple(x.value for x in sharded)))
        leaf_shardings = [next(given) if x in sharded else None for x in inputs for _ in range(x.size)]
        kept = [sharding for sharding, kind in zip(leaf_shardings, kinds) if kind == _KEPT]
        donated = [sharding for sharding, kind in zip(leaf_shardings, kinds) if kind == _DONATED]
        return (*kept, *[None] * len(self._fun_arrays)), tuple(donated)

    def _refuse_untraceable(self, call, args, kwargs, leaves):
        """Raise a better error than JAX's own for a leaf that is to be traced and can't be."""
        for i, (leaf, kind) in enumerate(zip(leaves, call.kinds)):
            if kind != _STATIC and not is_array_like(leaf):
                path = path_of_leaf(inputs_of(self._names, args, kwargs), i)
                raise TypeError(
                    "`{}` is asked to trace the leaf `{}`, which is no array or number but {}. Let the filter hold "
                    "it static; `filter_fn=eqx.is_array` does.".format(self._selection.name, path, describe_leaf(leaf))
                ) from None


class _FilterChanged(Exception):
    """A leaf changed its dtype, and the filter its mind: the call must be prepared anew."""


def _specialise(treedef, kinds, shardings, recheck, *keys, fun, name, options):
    """`fun` compiled by `jax.jit` for one combination of structure, kinds of leaves, and statics.

    The compiled function takes tuples of arrays: the kept ones, after them those of `fun` itself, and the donated.
    """
    lid = Lid(treedef, kinds)
    statics = [key.array if type(key) is _ArrayKey else key for key in keys]
    number_kept = kinds.count(_KEPT)

    def flat_fun(kept, donated=()):
        fun_arrays = kept[number_kept:]
        inputs = [*kept[:number_kept], *donated]
        if recheck is not None and not all(map(recheck, inputs)):
            raise _FilterChanged
        args, kwargs = lid.close([*inputs, *statics])
        return box(options.constrain_output(fun(fun_arrays)(*args, **kwargs)))

    flat_fun.__name__ = flat_fun.__qualname__ = name  # what profilers and `as_text` show
    jit_kwargs = dict(options.jit_kwargs)
    if _DONATED in kinds:
        jit_kwargs["donate_argnums"] = (1,)
    if shardings is not None:
        kept, _ = shardings
        jit_kwargs["in_shardings"] = shardings if _DONATED in kinds else (kept,)
    return jax.jit(flat_fun, **jit_kwargs)


class _Call:
    """How the last call went, so that the next one like it can go the same way."""

    __slots__ = (
        "answers",
        "ask",
        "by_identity",
        "donated",
        "fun_arrays",
        "jitted",
        "kept",
        "kinds",
        "static",
        "statics",
        "treedef",
        "types",
    )

    def __init__(self, leaves, treedef, kinds, statics, ask, jitted, fun_arrays):
        self.treedef = treedef
        self.kinds = kinds
        self.statics = statics
        self.jitted = jitted
        self.fun_arrays = fun_arrays
        self.kept = _gather([i for i, kind in enumerate(kinds) if kind == _KEPT])
        self.static = _gather([i for i, kind in enumerate(kinds) if kind == _STATIC])
        self.donated = _gather([i for i, kind in enumerate(kinds) if kind == _DONATED]) if _DONATED in kinds else None
        # A filter that may look at anything is asked at each call, and must answer as before.
        self.ask = ask
        self.answers = None if ask is None else list(map(ask, leaves))
        # Static JAX arrays are compared by identity here, and by value when that fails. A NumPy array may have been
        # changed in place, so such a call is like no other.
        self.by_identity = any(map(is_array, statics))
        mutable = any(isinstance(x, np.ndarray) for x in statics)
        self.types = None if mutable else list(map(type, leaves))

    def fits(self, leaves):
        """Whether `leaves`, of the same structure and types, are to be treated as those of this call."""
        if self.ask is not None and list(map(self.ask, leaves)) != self.answers:
            return False
        statics = self.static(leaves)
        if self.by_identity:
            return all(map(operator.is_, statics, self.statics))
        return statics == self.statics  # which asks for identity first

    def arguments(self, leaves):
        """The arguments of `jitted`."""
        kept = self.kept(leaves)
        if self.fun_arrays:
            kept += self.fun_arrays
        return (kept,) if self.donated is None else (kept, self.donated(leaves))

    def run(self, leaves):
        return self.jitted(*self.arguments(leaves))


def _gather(indices):
    """A function from a list to the tuple of its items at `indices`: in C, for what each call does to its leaves."""
    if len(indices) > 1:
        return operator.itemgetter(*indices)
    return lambda items: tuple(items[i] for i in indices)  # of one index, `itemgetter` gives the bare item


class _NoCall:
    types = None  # like no list of types


_NO_CALL = _NoCall()


def _static_key(leaf, i, inputs, name):
    """What stands for a static leaf in the look-up: itself, or an array's values."""
    if isinstance(leaf, core.Tracer):
        raise TypeError(
            "`{}` holds the leaf `{}` static, but its value ({}) isn't known: a transformation around this call "
            "traces it. Let the filter trace it too; `filter_fn=eqx.is_array` does.".format(
                name, path_of_leaf(inputs, i), describe_leaf(leaf)
            )
        )
    if is_array(leaf) or isinstance(leaf, np.ndarray):
        return _ArrayKey(leaf)
    try:
        hash(leaf)
    except TypeError:
        raise TypeError(
            "`{}` holds the leaf `{}` static, so it must be hashable, got {}.".format(
                name, path_of_leaf(inputs, i), describe_leaf(leaf)
            )
        ) from None
    return leaf


class _ArrayKey:
    """A static array, compared and hashed by what it holds. A NumPy array is copied, as it may change."""

    __slots__ = ("array", "content")

    def __init__(self, array):
        values = np.asarray(array) if isinstance(array, np.ndarray) else _compat.to_numpy(array)
        self.array = array.copy() if isinstance(array, np.ndarray) else array
        self.content = (type(array), str(array.dtype), values.shape, values.tobytes())

    def __eq__(self, other):
        return type(other) is _ArrayKey and self.content == other.content

    def __hash__(self):
        return hash(self.content)


# Ahead of time


class _Lowered:
    """JAX's lowered function, whose `compile` gives one that takes the inputs of the filtered function."""

    def __init__(self, lowered, call):
        self._lowered = lowered
        self._call = call

    def __getattr__(self, name):
        return getattr(self._lowered, name)

    def compile(self, *args, **kwargs):
        return _Compiled(self._lowered.compile(*args, **kwargs), self._call)


class _Compiled:
    """JAX's compiled function, taking the inputs of the filtered function."""

    def __init__(self, compiled, call):
        self._compiled = compiled
        self._call = call

    def __getattr__(self, name):
        return getattr(self._compiled, name)

    def __call__(__self, *args, **kwargs):
        leaves, treedef = tree_flatten((args, kwargs))
        call = __self._call
        if treedef != call.treedef or not call.fits(leaves):
            raise TypeError(
                "this function was compiled ahead of time for other inputs: their structure and their static leaves "
                "must be those it was lowered with. Lower it again, or call the function itself."
            )
        return unbox(__self._compiled(*call.arguments(leaves)))

"""The keyword arguments of `jax.jit` for whole inputs: which are static or donated, and how they are sharded."""

import operator

import jax
from jax import tree_util

from .. import _compat
from .._trees.paths import first_difference
from .._trees.predicates import is_array, is_none, is_numpy
from .._trees.static import hashable_key
from .arguments import name_of, parameters_of, positional_names
from .leaf_groups import pack_output

_unset = object()


class InputOptions:
    """The keyword arguments of `jitf` and `filter_jit` for whole inputs, checked as far as possible before a call.

    Two are equal if all but their `name` are equal.

    Args:
        name: The name of the transformation, for error messages.
        keeps_numbers: Whether a Python number in the output is returned unchanged. `jax.jit` makes an array of it.
        static_argnums: As for `jax.jit`.
        static_argnames: As for `jax.jit`.
        donate_argnums: As for `jax.jit`.
        donate_argnames: As for `jax.jit`.
        in_shardings: As for `jax.jit`.
        out_shardings: As for `jax.jit`.
        **kwargs: Other keyword arguments of `jax.jit`.
    """

    def __init__(
        self,
        name,
        keeps_numbers,
        static_argnums=None,
        static_argnames=None,
        donate_argnums=None,
        donate_argnames=None,
        in_shardings=_unset,
        out_shardings=_unset,
        **kwargs,
    ):
        self.name = name
        self.static = _ChosenInputs("static", static_argnums, static_argnames)
        self.donated = _ChosenInputs("donate", donate_argnums, donate_argnames)
        self._in_shardings = _Shardings("in_shardings", in_shardings)
        self._out_shardings = _Shardings("out_shardings", out_shardings)
        self._returns_array = is_array if keeps_numbers else _jit_returns_array
        self._jit_kwargs = kwargs
        shardings = [x.name for x in (self._in_shardings, self._out_shardings) if x.are_set]
        if shardings or kwargs:
            _compat.check_options(name, jax.jit, dict(kwargs, **dict.fromkeys(shardings)))
        given = (self.static.key, self.donated.key, in_shardings, out_shardings, kwargs)
        self._key = (keeps_numbers, hashable_key(given))

    def __eq__(self, other):
        return self._key == other._key

    def __hash__(self):
        return hash(self._key)

    def check(self, fun):
        """Raise `ValueError` if `fun` lacks a parameter that is static or donated."""
        for chosen in (self.static, self.donated):
            chosen.check(fun)

    def of_leaves(self, inputs):
        """For each input, the options of its leaves, which `jit` takes. These are shardings, or `None`.

        Raises:
            ValueError: `in_shardings` doesn't fit the inputs that aren't static, or one of these was passed by keyword.
        """
        shardings = {x: [None] * len(x.leaves) for x in inputs}
        if self._in_shardings.are_set:
            static = self.static.among(inputs)
            sharded = [x for x in inputs if not x.is_bound and x not in static]
            for x in sharded:
                if not x.by_position:
                    raise ValueError(
                        "`{}` with `in_shardings` takes inputs by position, as `jax.jit` does, but `{}` was passed by "
                        "keyword.".format(self.name, x.name)
                    )
            names = [x.name for x in sharded]
            each = iter(self._in_shardings.of(self.name, tuple(x.value for x in sharded), "the inputs", names))
            shardings.update({x: [next(each) for _ in x.leaves] for x in sharded})
        return shardings

    def jit(self, fun, shardings, donates):
        """`jax.jit` of a function of a tuple of traced leaves, and of a tuple of donated ones if `donates` is true."""
        kwargs = dict(self._jit_kwargs)
        if donates:
            kwargs["donate_argnums"] = (1,)
        if self._in_shardings.are_set:
            kwargs["in_shardings"] = shardings if donates else shardings[:1]
        if self._out_shardings.are_set:
            kwargs["out_shardings"] = (tuple(self._out_shardings.prefix), None)
        return jax.jit(fun, **kwargs)

    def pack_output(self, out):
        """An output in a form that `jax.jit` can return, with one group of arrays for each of `out_shardings`."""
        if not self._out_shardings.are_set:
            return pack_output(out, self._returns_array)
        groups = self._out_shardings.of(self.name, out, "the output", by_number=True)
        return pack_output(out, self._returns_array, groups, len(self._out_shardings.prefix))


class _Shardings:
    """`in_shardings` or `out_shardings`: a tree of shardings and `None`, a prefix of the inputs or the output."""

    def __init__(self, name, shardings):
        self.name = name
        self.are_set = shardings is not _unset
        self.shardings = tuple(shardings) if name == "in_shardings" and type(shardings) is list else shardings
        self.prefix, self.structure = tree_util.tree_flatten(self.shardings, is_leaf=is_none)

    def of(self, transformation, tree, of_what, names=(), by_number=False):
        """For each leaf of `tree`, its sharding.

        Args:
            transformation: The name of the transformation, for error messages.
            tree: The tree of inputs, or the output.
            of_what: What `tree` is, for error messages.
            names: The names of the children of `tree`, for error messages.
            by_number: Whether to return the index of the sharding in `prefix` instead.
        """
        try:
            subtrees = self.structure.flatten_up_to(tree)
        except ValueError:
            difference = first_difference(tree, self.shardings, self.name, got_is_leaf=is_none, covers=_is_sharding)
            message = "`{}` expects `{}` to have the structure of {}, or of a prefix of it.".format(
                transformation, self.name, of_what
            )
            if self.name == "in_shardings" and type(self.shardings) is tuple and len(self.shardings) != len(tree):
                message += " It has {} items for {} inputs that aren't static: {}.".format(
                    len(self.shardings), len(tree), ", ".join("`{}`".format(name) for name in names) or "none"
                )
            elif difference is not None:
                message += " At `{}` expected {}, got {}.".format(*difference)
            raise ValueError(message) from None
        items = range(len(self.prefix)) if by_number else self.prefix
        return [item for item, below in zip(items, subtrees) for _ in tree_util.tree_leaves(below)]


def _is_sharding(x):
    return x is None or tree_util.all_leaves([x])


def _jit_returns_array(x):
    """Whether `jax.jit` returns an array for the leaf `x` of an output. It refuses other leaves."""
    if is_array(x) or type(x) in (bool, float, complex):
        return True
    if is_numpy(x) or isinstance(x, (str, bytes, type)):
        return False  # the oldest JAX traces text, and refuses it only when it compiles
    try:
        jax.eval_shape(lambda: x)
    except Exception:  # the kind of error depends on the leaf and on JAX
        return False
    return True


class _ChosenInputs:
    """Inputs chosen by position and by name. As in `jax.jit`, it doesn't matter how the caller passes them.

    Args:
        kind: "static" or "donate", for error messages.
        argnums: An int, a sequence of ints, or `None`.
        argnames: A string, a sequence of strings, or `None`.
    """

    def __init__(self, kind, argnums, argnames):
        self.kind = kind
        try:
            self.argnums = _sequence(argnums, int, operator.index)
            self.argnames = _sequence(argnames, str, _string)
        except TypeError:
            raise TypeError(
                "`{0}_argnums` expects an int or a sequence of ints and `{0}_argnames` a string or a sequence of "
                "strings, got {1!r} and {2!r}.".format(kind, argnums, argnames)
            ) from None
        self.key = (self.argnums, self.argnames)

    def check(self, fun):
        """Raise `ValueError` if `fun` has no such parameter. A signature that Python can't tell isn't checked."""
        if not (self.argnums or self.argnames):
            return
        parameters = parameters_of(fun)
        kinds = {p.kind for p in parameters}
        names = positional_names(fun)
        if parameters and parameters[0].VAR_POSITIONAL not in kinds:
            for i in self.argnums:
                if not -len(names) <= i < len(names):
                    raise ValueError(
                        "`{}_argnums` names input {}, but `{}` takes {} inputs by position.".format(
                            self.kind, i, name_of(fun), len(names)
                        )
                    )
        if parameters and parameters[0].VAR_KEYWORD not in kinds:
            for name in self.argnames:
                if name not in {p.name for p in parameters}:
                    raise ValueError(
                        "`{}_argnames` names the input `{}`, but `{}` has only {}.".format(
                            self.kind, name, name_of(fun), ", ".join("`{}`".format(p.name) for p in parameters)
                        )
                    )

    def among(self, inputs):
        """The set of the `inputs` that are chosen. A negative position counts from the last positional input."""
        if not (self.argnums or self.argnames):
            return frozenset()
        number = sum(x.by_position for x in inputs)
        argnums = {i if i >= 0 else i + number for i in self.argnums}
        return {x for x in inputs if not x.is_bound and (x.index in argnums or x.name in self.argnames)}


def _sequence(value, one, convert):
    """A tuple of the converted items. `None` has no items, and a value of the type `one` is one item."""
    if value is None:
        return ()
    if isinstance(value, one):
        return (convert(value),)
    return tuple(convert(x) for x in value)


def _string(x):
    if not isinstance(x, str):
        raise TypeError
    return x

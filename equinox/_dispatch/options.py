"""The keyword arguments of `jax.jit` for whole inputs: which are static or donated, and how they are sharded."""

import operator

import jax

from .. import _compat
from .._trees.paths import leaf_paths
from .._trees.predicates import is_array, is_numpy
from .._trees.static import hashable_key
from .arguments import name_of, parameters_of, positional_names
from .leaf_groups import pack_output
from .shardings import Sharded, Shardings

_unset = object()

# What `donate` may be -> whether the first input is donated too, and whether JAX may warn of donated arrays that it
# can't use. "none" is the default.
_DONATE = {
    "all": (True, False),
    "all-except-first": (False, False),
    "warn": (True, True),
    "warn-except-first": (False, True),
}


class InputOptions:
    """The keyword arguments of `jitf` and `filter_jit` for whole inputs, checked as far as possible before a call.

    Two are equal if all but their `name` are equal.

    Args:
        name: The name of the transformation, for error messages.
        keeps_numbers: Whether a Python number in the output is returned unchanged. `jax.jit` makes an array of it.
        static_argnums: As for `jax.jit`.
        static_argnames: As for `jax.jit`.
        donate: As for `filter_jit`.
        donate_argnums: As for `jax.jit`.
        donate_argnames: As for `jax.jit`.
        in_shardings: As for `filter_jit`.
        out_shardings: As for `filter_jit`.
        **kwargs: Other keyword arguments of `jax.jit`.

    Attributes:
        static: The inputs that are static.
        donated: The inputs that are donated.
        warns_of_donation: Whether JAX may warn of donated arrays that it can't use.
    """

    def __init__(
        self,
        name,
        keeps_numbers,
        static_argnums=None,
        static_argnames=None,
        donate="none",
        donate_argnums=None,
        donate_argnames=None,
        in_shardings=_unset,
        out_shardings=_unset,
        **kwargs,
    ):
        self.name = name
        self.static = _ChosenInputs("static", static_argnums, static_argnames)
        self.donated = _ChosenInputs("donate", donate_argnums, donate_argnames)
        self.warns_of_donation = True
        if donate != "none":
            self.donated, self.warns_of_donation = _every_input(name, donate, self.donated)
        self._in_shardings = self._out_shardings = None
        shardings = {}
        if in_shardings is not _unset:
            shardings["in_shardings"] = None
            by_position = tuple(in_shardings) if type(in_shardings) is list else in_shardings
            of_what = "the tuple of the inputs that aren't static"
            self._in_shardings = Shardings(name, "in_shardings", by_position, of_what)
        if out_shardings is not _unset:
            shardings["out_shardings"] = None
            self._out_shardings = Shardings(name, "out_shardings", out_shardings, "the output")
        for feature in shardings:
            _compat.require(feature)
        self._returns_array = is_array if keeps_numbers else _jit_returns_array
        self._jit_kwargs = kwargs
        if kwargs:
            _compat.check_options(name, jax.jit, dict(kwargs, **shardings))
        given = (self.static.key, self.donated.key, self.warns_of_donation, in_shardings, out_shardings, kwargs)
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
        """For each input, the `LeafOption` of each of its leaves. Here this is its item of `in_shardings`.

        Raises:
            ValueError: `in_shardings` doesn't fit the inputs that aren't static, or one of these was passed by keyword.
        """
        if self._in_shardings is None:
            return {x: [None] * len(x.leaves) for x in inputs}
        static = self.static.among(inputs)
        sharded = [x for x in inputs if not x.is_bound and x not in static]
        for x in sharded:
            if not x.by_position:
                raise ValueError(
                    "`{}` with `in_shardings` takes inputs by position, as `jax.jit` does, but `{}` was passed by "
                    "keyword.".format(self.name, x.name)
                )
        prefix = self._in_shardings.prefix
        if type(prefix) is tuple and len(prefix) != len(sharded):
            raise ValueError(
                "`{}` expects `in_shardings` to have an item for each input that isn't static. Its length is {}, and "
                "the number of these inputs is {}: {}.".format(
                    self.name,
                    len(prefix),
                    len(sharded),
                    ", ".join("`{}`".format(x.name) for x in sharded) or "none",
                )
            )
        items = iter(self._in_shardings.items(tuple(x.value for x in sharded)))
        return {
            x: [LeafOption(next(items) if x in sharded else None, path) for path in leaf_paths(x.value, x.name)]
            for x in inputs
        }

    def jit(self, fun, leaf_options, donates):
        """`jax.jit` of a function of a tuple of traced leaves, and of a tuple of donated ones if `donates` is true."""
        kwargs = dict(self._jit_kwargs)
        if donates:
            kwargs["donate_argnums"] = (1,)
        if self._out_shardings is not None:
            kwargs["out_shardings"] = (tuple(self._out_shardings.values), None)
        if self._in_shardings is None:
            return jax.jit(fun, **kwargs)
        return Sharded(
            self._in_shardings, leaf_options, lambda shardings: jax.jit(fun, in_shardings=shardings, **kwargs)
        )

    def pack_output(self, out):
        """An output in a form that `jax.jit` can return, with one group of arrays for each of `out_shardings`."""
        shardings = self._out_shardings
        if shardings is None:
            return pack_output(out, self._returns_array)
        out, items = shardings.constrained(out)
        return pack_output(out, self._returns_array, list(map(shardings.number, items)), len(shardings.values))


class LeafOption:
    """What is special about one leaf of the inputs, such as its item of `in_shardings`, and its path.

    All are equal, because the options and the structure of the inputs, which a cache compares too, determine them.
    """

    __slots__ = ("item", "path")

    def __init__(self, item, path):
        self.item = item
        self.path = path

    def get_path(self):
        return self.path

    def __eq__(self, other):
        return type(other) is LeafOption

    def __hash__(self):
        return 0


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
                        "`{}_argnums` names input {}, but the number of inputs that `{}` takes by position is "
                        "{}.".format(self.kind, i, name_of(fun), len(names))
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


class _EveryInput:
    """All inputs, or all but the first. The function itself is no input, even if it is a method of a model."""

    def __init__(self, with_first):
        self._with_first = with_first
        self.key = (_EveryInput, with_first)

    def check(self, fun):
        """Nothing to check: every function has these inputs."""

    def among(self, inputs):
        """The set of the `inputs` that are chosen."""
        return {x for x in inputs if not x.is_bound and (self._with_first or x.index != 0)}


def _every_input(name, donate, chosen):
    """What `donate` means: the donated inputs, and whether JAX may warn.

    Raises:
        ValueError: `donate` has another value, or single inputs are `chosen` too.
    """
    if not isinstance(donate, str) or donate not in _DONATE:
        allowed = ", ".join(map(repr, [*_DONATE, "none"]))
        raise ValueError("`{}` expects `donate` to be one of {}, got {!r}.".format(name, allowed, donate))
    if chosen.argnums or chosen.argnames:
        raise ValueError(
            "`{}` got `donate={!r}` and `donate_argnums` or `donate_argnames` too. `donate` is for all inputs, the "
            "others name single inputs. Leave out one of them.".format(name, donate)
        )
    with_first, warns = _DONATE[donate]
    return _EveryInput(with_first), warns


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

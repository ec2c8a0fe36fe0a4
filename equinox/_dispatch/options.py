"""What `jitf` is told of whole inputs, as `jax.jit` is: which are static, which are donated, how they are sharded."""

import operator

import jax
from jax import tree_util

from .. import _compat
from .._trees.predicates import is_none
from .arguments import parameters_of, positional_names

_unset = object()


class Options:
    """The keyword arguments of `jitf` other than the filters, checked as far as they can be before a call."""

    def __init__(
        self,
        jitf_name,
        static_argnums=None,
        static_argnames=None,
        donate_argnums=None,
        donate_argnames=None,
        in_shardings=_unset,
        out_shardings=_unset,
        **kwargs,
    ):
        self.static = _Choice("static_argnums", static_argnums, "static_argnames", static_argnames)
        self.donated = _Choice("donate_argnums", donate_argnums, "donate_argnames", donate_argnames)
        self.in_shardings = in_shardings
        self.out_shardings = out_shardings
        self.jit_kwargs = kwargs
        unset = static_argnums is static_argnames is donate_argnums is donate_argnames is None
        self.are_defaults = unset and in_shardings is out_shardings is _unset and not kwargs
        shardings = {"in_shardings": in_shardings, "out_shardings": out_shardings}
        asked = {name: None for name, value in shardings.items() if value is not _unset}
        _compat.check_options(jitf_name, jax.jit, dict(kwargs, **asked))

    def check(self, fun):
        """Raise ValueError if `fun` has no parameter that is asked for."""
        for choice in (self.static, self.donated):
            choice.check(fun)

    @property
    def has_in_shardings(self):
        return self.in_shardings is not _unset

    def shardings_of(self, values):
        """One sharding, or `None`, for each leaf of the tuple `values`, of which `in_shardings` is a prefix."""
        prefix, structure = tree_util.tree_flatten(self.in_shardings, is_leaf=is_none)
        subtrees = structure.flatten_up_to(values)
        return [sharding for sharding, below in zip(prefix, subtrees) for _ in tree_util.tree_leaves(below)]

    def constrain_output(self, out):
        """`out` with its arrays under `out_shardings`, a prefix of it, while it is being traced."""
        if self.out_shardings is _unset:
            return out
        prefix, structure = tree_util.tree_flatten(self.out_shardings, is_leaf=is_none)

        def constrain(sharding, below):
            if sharding is None:
                return below
            return tree_util.tree_map(lambda x: _compat.constrain_sharding(x, sharding), below)

        return structure.unflatten(map(constrain, prefix, structure.flatten_up_to(out)))


class _Choice:
    """Some inputs, chosen by position and by name. As in `jax.jit`, either way of passing such an input counts."""

    def __init__(self, argnums_name, argnums, argnames_name, argnames):
        self.argnums_name = argnums_name
        self.argnames_name = argnames_name
        try:
            self.argnums = _sequence(argnums, int, operator.index)
            self.argnames = _sequence(argnames, str, _string)
        except TypeError:
            raise TypeError(
                "`{}` expects an int or a sequence of ints and `{}` a string or a sequence of strings, "
                "got {!r} and {!r}.".format(argnums_name, argnames_name, argnums, argnames)
            ) from None

    def check(self, fun):
        parameters = parameters_of(fun)
        kinds = {p.kind for p in parameters}
        names = positional_names(fun)
        if parameters and parameters[0].VAR_POSITIONAL not in kinds:
            for i in self.argnums:
                if not -len(names) <= i < len(names):
                    raise ValueError(
                        "`{}` asks for input {}, but {} takes {} by position.".format(
                            self.argnums_name, i, _called(fun), len(names)
                        )
                    )
        if parameters and parameters[0].VAR_KEYWORD not in kinds:
            for name in self.argnames:
                if name not in {p.name for p in parameters}:
                    raise ValueError(
                        "`{}` asks for the input `{}`, but {} has only {}.".format(
                            self.argnames_name, name, _called(fun), ", ".join("`{}`".format(p.name) for p in parameters)
                        )
                    )

    def among(self, inputs):
        """The set of those of `inputs` that are chosen. Negative positions count from the last positional input."""
        number = sum(x.by_position for x in inputs)
        argnums = {i if i >= 0 else i + number for i in self.argnums}
        return {x for x in inputs if x.index in argnums or x.name in self.argnames}


def _sequence(value, one, convert):
    if value is None:
        return ()
    if isinstance(value, one):
        return (convert(value),)
    return tuple(convert(x) for x in value)


def _string(x):
    if not isinstance(x, str):
        raise TypeError
    return x


def _called(fun):
    return "`{}`".format(getattr(fun, "__name__", type(fun).__name__))

"""`gradf`, `value_and_grad_f` and their kin: `jax.grad`, told leaf by leaf what to differentiate. One engine."""

import operator

import jax
from jax import tree_util

from .. import _compat
from .._dispatch.arguments import inputs_of, path_of_leaf, positional_names
from .._dispatch.leaf_groups import Lid
from .._trees.paths import describe_leaf
from .._trees.predicates import is_inexact_array, is_inexact_array_like
from .._trees.selection import Selection
from .wrap import Options, Transformed, transform, transformation


@transformation
def value_and_grad_f(fun=None, *, filter_fn=None, filter_tree=None, argnums=0, has_aux=False, **kwargs):
    """`jax.value_and_grad`, differentiating the selected leaves of the inputs.

        @eqx.value_and_grad_f(filter_fn=eqx.is_inexact_array)
        def loss(model, x, y): ...

    Args:
        fun: a function that returns a scalar, or anything callable. Without it, the result is a decorator.
        filter_fn: a function `leaf -> bool`, called on the leaves of the inputs in `argnums`: true to differentiate
            with respect to the leaf.
        filter_tree: the choice as a tree of bools of the structure of the input in `argnums`; for several inputs a
            tuple of trees.
        argnums: which positional inputs to differentiate with respect to: an int, or a sequence of them in any
            order. Negative ones count from the last.
        has_aux: `fun` returns `(value, aux)`, where `aux` may hold anything.
        kwargs: as for `jax.value_and_grad`, such as `holomorphic` and `allow_int`.

    Returns: a function with the inputs of `fun` that returns `(value, grads)`, or `((value, aux), grads)` with
    `has_aux`. `grads` has the structure of the input in `argnums`, or is a tuple of such trees if that is a sequence.
    The gradient of a leaf that isn't differentiated is `None`.

    Raises:
        ValueError: not exactly one of `filter_fn` and `filter_tree`; `filter_tree` doesn't fit the inputs; `argnums`
            names an input twice, or one that isn't there.
        TypeError: a leaf is selected that can't be differentiated; an unknown keyword argument; as JAX, if the
            value is no real scalar.
    """
    selection = Selection("value_and_grad_f", filter_fn, filter_tree)
    spec = {"filter_fn": filter_fn, "filter_tree": filter_tree}
    return transform(_ValueAndGrad, fun, _GradientOptions(selection, argnums, has_aux, kwargs, **spec))


@transformation
def gradf(fun=None, *, filter_fn=None, filter_tree=None, argnums=0, has_aux=False, **kwargs):
    """`jax.grad`, differentiating the selected leaves of the inputs.

    Args and Raises: as for `value_and_grad_f`.

    Returns: a function with the inputs of `fun` that returns `grads`, or `(grads, aux)` with `has_aux`.
    """
    selection = Selection("gradf", filter_fn, filter_tree)
    spec = {"filter_fn": filter_fn, "filter_tree": filter_tree}
    return transform(_Grad, fun, _GradientOptions(selection, argnums, has_aux, kwargs, **spec))


@transformation
def filter_value_and_grad(fun=None, *, argnums=0, has_aux=False, **kwargs):
    """`value_and_grad_f` with respect to all JAX arrays of floating-point or complex dtype."""
    selection = Selection("filter_value_and_grad", is_inexact_array, None)
    return transform(_ValueAndGrad, fun, _GradientOptions(selection, argnums, has_aux, kwargs))


@transformation
def filter_grad(fun=None, *, argnums=0, has_aux=False, **kwargs):
    """`gradf` with respect to all JAX arrays of floating-point or complex dtype."""
    selection = Selection("filter_grad", is_inexact_array, None)
    return transform(_Grad, fun, _GradientOptions(selection, argnums, has_aux, kwargs))


class _GradientOptions(Options):
    """Which leaves of which inputs to differentiate with respect to, and what `jax.value_and_grad` is told.

    `spec` is what the user gave to say which leaves, if anything.
    """

    def __init__(self, selection, argnums, has_aux, kwargs, **spec):
        super().__init__(selection.name, dict(kwargs, argnums=argnums, has_aux=has_aux, **spec))
        if kwargs:
            _compat.check_options(selection.name, jax.value_and_grad, kwargs)
        self.selection = selection
        self.single, self.argnums = _check_argnums(selection.name, argnums)
        self.has_aux = has_aux
        self.kwargs = kwargs

    def positions(self, number_of_args):
        """The positions of the inputs in `argnums`, none negative."""
        for i in self.argnums:
            if not -number_of_args <= i < number_of_args:
                raise ValueError(
                    "`{}` differentiates with respect to positional input {} (`argnums`), but {} came. Pass it by "
                    "position, not by keyword.".format(self.name, i, number_of_args)
                )
        positions = [i % number_of_args for i in self.argnums]
        if len(set(positions)) < len(positions):
            raise ValueError("`{}` got an input twice in `argnums`: {}.".format(self.name, self.argnums))
        return positions


class _ValueAndGrad(Transformed):
    """What `value_and_grad_f` and `filter_value_and_grad` return."""

    def __call__(__self, *args, **kwargs):  # `self` may be the name of a keyword argument
        return _value_and_grad(__self.__wrapped__, __self._options, args, kwargs)


class _Grad(Transformed):
    """What `gradf` and `filter_grad` return."""

    def __call__(__self, *args, **kwargs):
        value, grads = _value_and_grad(__self.__wrapped__, __self._options, args, kwargs)
        return (grads, value[1]) if __self._options.has_aux else grads


def _value_and_grad(fun, options, args, kwargs):
    """`jax.value_and_grad` of `fun` with respect to the selected leaves alone."""
    where = options.positions(len(args))
    chosen = tuple(args[i] for i in where)
    leaves, treedef = tree_util.tree_flatten(chosen)
    is_held = [not selected for selected in options.selection.of(chosen)]
    held = [x for x, hold in zip(leaves, is_held) if hold]
    groups = Lid(treedef, is_held)

    def of_differentiated_leaves(diff):
        inputs = list(args)
        for i, x in zip(where, groups.close([*diff, *held])):
            inputs[i] = x
        out = fun(*inputs, **kwargs)
        return _pair(options.name, out) if options.has_aux else out

    diff = [x for x, hold in zip(leaves, is_held) if not hold]
    differentiate = jax.value_and_grad(of_differentiated_leaves, has_aux=options.has_aux, **options.kwargs)
    try:
        value, grads = differentiate(diff)
    except TypeError:
        _refuse_undifferentiable(options, fun, args, where, leaves, is_held)
        raise
    grads = groups.close([*grads, *[None] * len(held)])
    return value, grads[0] if options.single else grads


def _check_argnums(name, argnums):
    """Whether `argnums` is a single int, and `argnums` as a tuple."""
    try:
        if hasattr(argnums, "__index__"):
            return True, (operator.index(argnums),)
        return False, tuple(operator.index(i) for i in argnums)
    except TypeError:
        raise TypeError("`{}` expects `argnums` to be an int or ints, got {!r}.".format(name, argnums)) from None


def _pair(name, out):
    if not isinstance(out, (tuple, list)) or len(out) != 2:
        raise TypeError(
            "`{}` with `has_aux=True` expects the function to return a pair `(value, aux)`, got a `{}`.".format(
                name, type(out).__name__
            )
        )
    return out


def _refuse_undifferentiable(options, fun, args, where, leaves, is_held):
    """Raise a better error than JAX's own for a leaf that is selected and can't be differentiated."""
    if options.kwargs.get("allow_int"):
        return
    for i, (leaf, hold) in enumerate(zip(leaves, is_held)):
        if not hold and not is_inexact_array_like(leaf):
            inputs = inputs_of(positional_names(fun), args, {})
            path = path_of_leaf([inputs[j] for j in where], i)
            raise TypeError(
                "`{}` is asked to differentiate with respect to the leaf `{}`, which is no floating-point array but "
                "{}. Leave it out of the filter; `filter_fn=eqx.is_inexact_array` does.".format(
                    options.name, path, describe_leaf(leaf)
                )
            ) from None

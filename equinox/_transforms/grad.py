"""`gradf`, `value_and_grad_f` and their kin: `jax.grad`, told leaf by leaf what to differentiate. One engine."""

import functools as ft
import operator

import jax
from jax import tree_util

from .. import _compat
from .._dispatch.arguments import inputs_of, path_of_leaf, positional_names
from .._dispatch.leaf_groups import Lid
from .._trees.paths import describe_leaf
from .._trees.predicates import is_inexact_array, is_inexact_array_like
from .._trees.selection import Selection


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
    return _decorate(fun, Selection("value_and_grad_f", filter_fn, filter_tree), argnums, has_aux, kwargs, _both)


def gradf(fun=None, *, filter_fn=None, filter_tree=None, argnums=0, has_aux=False, **kwargs):
    """`jax.grad`, differentiating the selected leaves of the inputs.

    Args and Raises: as for `value_and_grad_f`.

    Returns: a function with the inputs of `fun` that returns `grads`, or `(grads, aux)` with `has_aux`.
    """
    selection = Selection("gradf", filter_fn, filter_tree)
    return _decorate(fun, selection, argnums, has_aux, kwargs, _grad_and_aux if has_aux else _grad_only)


def filter_value_and_grad(fun=None, *, argnums=0, has_aux=False, **kwargs):
    """`value_and_grad_f` with respect to all JAX arrays of floating-point or complex dtype."""
    selection = Selection("filter_value_and_grad", is_inexact_array, None)
    return _decorate(fun, selection, argnums, has_aux, kwargs, _both)


def filter_grad(fun=None, *, argnums=0, has_aux=False, **kwargs):
    """`gradf` with respect to all JAX arrays of floating-point or complex dtype."""
    selection = Selection("filter_grad", is_inexact_array, None)
    return _decorate(fun, selection, argnums, has_aux, kwargs, _grad_and_aux if has_aux else _grad_only)


def _both(value_and_aux, grads):
    return value_and_aux, grads


def _grad_only(value, grads):
    return grads


def _grad_and_aux(value_and_aux, grads):
    return grads, value_and_aux[1]


def _decorate(fun, selection, argnums, has_aux, kwargs, pick):
    _compat.check_options(selection.name, jax.value_and_grad, kwargs)
    single, argnums = _check_argnums(selection.name, argnums)

    def decorator(fun):
        if not callable(fun):
            raise TypeError(
                "`{}` expects a function or another callable, got {}.".format(selection.name, describe_leaf(fun))
            )

        @ft.partial(ft.update_wrapper, wrapped=fun, updated=())
        def differentiated(*args, **fun_kwargs):
            where = _positions(selection.name, argnums, len(args))
            chosen = tuple(args[i] for i in where)
            leaves, treedef = tree_util.tree_flatten(chosen)
            is_held = [not picked for picked in selection.of(chosen)]
            held = [x for x, hold in zip(leaves, is_held) if hold]
            lid = Lid(treedef, is_held)

            def of_differentiated_leaves(diff):
                inputs = list(args)
                for i, x in zip(where, lid.close([*diff, *held])):
                    inputs[i] = x
                out = fun(*inputs, **fun_kwargs)
                return _pair(selection.name, out) if has_aux else out

            diff = [x for x, hold in zip(leaves, is_held) if not hold]
            try:
                value, grads = jax.value_and_grad(of_differentiated_leaves, has_aux=has_aux, **kwargs)(diff)
            except TypeError:
                _refuse_undifferentiable(selection.name, fun, args, where, leaves, is_held, kwargs)
                raise
            grads = lid.close([*grads, *[None] * len(held)])
            return pick(value, grads[0] if single else grads)

        return differentiated

    return decorator if fun is None else decorator(fun)


def _check_argnums(name, argnums):
    """Whether `argnums` is a single int, and `argnums` as a tuple."""
    try:
        if hasattr(argnums, "__index__"):
            return True, (operator.index(argnums),)
        return False, tuple(operator.index(i) for i in argnums)
    except TypeError:
        raise TypeError("`{}` expects `argnums` to be an int or ints, got {!r}.".format(name, argnums)) from None


def _positions(name, argnums, number_of_args):
    for i in argnums:
        if not -number_of_args <= i < number_of_args:
            raise ValueError(
                "`{}` differentiates with respect to positional input {} (`argnums`), but {} came. Pass it by "
                "position, not by keyword.".format(name, i, number_of_args)
            )
    positions = [i % number_of_args for i in argnums]
    if len(set(positions)) < len(positions):
        raise ValueError("`{}` got an input twice in `argnums`: {}.".format(name, argnums))
    return positions


def _pair(name, out):
    if not isinstance(out, (tuple, list)) or len(out) != 2:
        raise TypeError(
            "`{}` with `has_aux=True` expects the function to return a pair `(value, aux)`, got a `{}`.".format(
                name, type(out).__name__
            )
        )
    return out


def _refuse_undifferentiable(name, fun, args, where, leaves, is_held, kwargs):
    """Raise a better error than JAX's own for a leaf that is selected and can't be differentiated."""
    if kwargs.get("allow_int"):
        return
    for i, (leaf, hold) in enumerate(zip(leaves, is_held)):
        if not hold and not is_inexact_array_like(leaf):
            inputs = inputs_of(positional_names(fun), args, {})
            path = path_of_leaf([inputs[j] for j in where], i)
            raise TypeError(
                "`{}` is asked to differentiate with respect to the leaf `{}`, which is no floating-point array but "
                "{}. Leave it out of the filter; `filter_fn=eqx.is_inexact_array` does.".format(
                    name, path, describe_leaf(leaf)
                )
            ) from None

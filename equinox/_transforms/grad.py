"""`gradf`, `value_and_grad_f`, `filter_grad` and `filter_value_and_grad`: `jax.grad` with a choice of leaves."""

from __future__ import annotations

import operator
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, TypeVar, Union, overload

import jax
from jax import tree_util

from .. import _compat
from .._compat.types import Concatenate, FilterSpec, Literal, P, PyTree, R
from .._dispatch.arguments import inputs_of, path_of_leaf, positional_names
from .._dispatch.leaf_groups import LeafGroups
from .._trees.paths import describe_leaf
from .._trees.predicates import is_inexact_array_like, is_inexact_jax_or_numpy
from .._trees.selection import Selection
from .wrap import Options, Transformed, split_aux, transform, transformation

X = TypeVar("X")  # the first input, with respect to which the function is differentiated
Value = TypeVar("Value")
Aux = TypeVar("Aux")
Argnums = Union[int, Sequence[int]]


@overload
def value_and_grad_f(
    fun: Callable[Concatenate[X, P], Tuple[Value, Aux]],
    *,
    filter_fn: Optional[Callable[[Any], bool]] = ...,
    filter_tree: FilterSpec = ...,
    argnums: Literal[0] = ...,
    has_aux: Literal[True],
    **kwargs: Any,
) -> Transformed[Concatenate[X, P], Tuple[Tuple[Value, Aux], X]]: ...
@overload
def value_and_grad_f(
    fun: Callable[Concatenate[X, P], Value],
    *,
    filter_fn: Optional[Callable[[Any], bool]] = ...,
    filter_tree: FilterSpec = ...,
    argnums: Literal[0] = ...,
    has_aux: Literal[False] = ...,
    **kwargs: Any,
) -> Transformed[Concatenate[X, P], Tuple[Value, X]]: ...
@overload
def value_and_grad_f(
    fun: Callable[P, Any],
    *,
    filter_fn: Optional[Callable[[Any], bool]] = ...,
    filter_tree: FilterSpec = ...,
    argnums: Argnums = ...,
    has_aux: bool = ...,
    **kwargs: Any,
) -> Transformed[P, Tuple[Any, Any]]: ...
@overload
def value_and_grad_f(
    fun: None = ...,
    *,
    filter_fn: Optional[Callable[[Any], bool]] = ...,
    filter_tree: FilterSpec = ...,
    argnums: Literal[0] = ...,
    has_aux: Literal[True],
    **kwargs: Any,
) -> Callable[
    [Callable[Concatenate[X, P], Tuple[Value, Aux]]], Transformed[Concatenate[X, P], Tuple[Tuple[Value, Aux], X]]
]: ...
@overload
def value_and_grad_f(
    fun: None = ...,
    *,
    filter_fn: Optional[Callable[[Any], bool]] = ...,
    filter_tree: FilterSpec = ...,
    argnums: Literal[0] = ...,
    has_aux: Literal[False] = ...,
    **kwargs: Any,
) -> Callable[[Callable[Concatenate[X, P], Value]], Transformed[Concatenate[X, P], Tuple[Value, X]]]: ...
@overload
def value_and_grad_f(
    fun: None = ...,
    *,
    filter_fn: Optional[Callable[[Any], bool]] = ...,
    filter_tree: FilterSpec = ...,
    argnums: Argnums = ...,
    has_aux: bool = ...,
    **kwargs: Any,
) -> Callable[[Callable[P, Any]], Transformed[P, Tuple[Any, Any]]]: ...
@transformation
def value_and_grad_f(
    fun: Optional[Callable[..., Any]] = None,
    *,
    filter_fn: Optional[Callable[[Any], bool]] = None,
    filter_tree: FilterSpec = None,
    argnums: Argnums = 0,
    has_aux: bool = False,
    **kwargs: Any,
) -> Any:
    """Wrap `jax.value_and_grad`, and differentiate with respect to the selected leaves of the inputs.

    Exactly one of `filter_fn` and `filter_tree` must be given.

    Args:
        fun: A function or another callable that returns a scalar. Without `fun`, the result is a decorator.
        filter_fn: A function `leaf -> bool`. It is called with each leaf of the inputs in `argnums`. If it returns
            true, `fun` is differentiated with respect to the leaf.
        filter_tree: A filter specification, as for `partition`: a tree of bools or functions with the structure of the
            input in `argnums`. If `argnums` names several inputs, pass a tuple or list of trees.
        argnums: The positional inputs to differentiate with respect to: an int, or a sequence of ints in any order.
            Negative ints count from the last positional input.
        has_aux: Whether `fun` returns a pair `(value, aux)`. `aux` may hold anything.
        **kwargs: As for `jax.value_and_grad`, such as `holomorphic` and `allow_int`.

    Returns:
        A function with the inputs of `fun` that returns `(value, grads)`, or `((value, aux), grads)` with `has_aux`.
        `grads` has the structure of the input in `argnums`, or is a tuple of such trees if `argnums` is a sequence. The
        gradient of a leaf that isn't selected is `None`. The result is a pytree whose child is `fun`.

    Raises:
        ValueError: Both or neither of `filter_fn` and `filter_tree` were given.
        ValueError: `filter_tree` doesn't fit the inputs.
        ValueError: `argnums` names an input twice, or an input that wasn't passed by position.
        TypeError: `fun` isn't callable.
        TypeError: `filter_fn` isn't a function, or a leaf of `filter_tree` is something other than a bool or function.
        TypeError: `argnums` isn't an int or a sequence of ints.
        TypeError: A selected leaf isn't a floating-point or complex array or number.
        TypeError: With `has_aux`, `fun` doesn't return a tuple or a list.
        ValueError: With `has_aux`, `fun` returns a tuple or a list that isn't a pair.
        TypeError: The value of `fun` isn't a real scalar. JAX raises this error.
        TypeError: The running JAX doesn't accept a keyword argument.

    Example:
        >>> loss = eqx.value_and_grad_f(lambda model, x: (model["w"] * x) ** 2, filter_fn=eqx.is_inexact_array)
        >>> value, grads = loss({"w": jnp.array(3.0), "name": "scale"}, 2.0)
        >>> float(value), float(grads["w"]), grads["name"]
        (36.0, 24.0, None)
    """
    selection = Selection("value_and_grad_f", filter_fn, filter_tree)
    spec: Dict[str, Any] = {"filter_fn": filter_fn, "filter_tree": filter_tree}
    return transform(_ValueAndGrad, fun, _GradientOptions(selection, argnums, has_aux, kwargs, **spec))


@overload
def gradf(
    fun: Callable[Concatenate[X, P], Tuple[Any, Aux]],
    *,
    filter_fn: Optional[Callable[[Any], bool]] = ...,
    filter_tree: FilterSpec = ...,
    argnums: Literal[0] = ...,
    has_aux: Literal[True],
    **kwargs: Any,
) -> Transformed[Concatenate[X, P], Tuple[X, Aux]]: ...
@overload
def gradf(
    fun: Callable[Concatenate[X, P], Any],
    *,
    filter_fn: Optional[Callable[[Any], bool]] = ...,
    filter_tree: FilterSpec = ...,
    argnums: Literal[0] = ...,
    has_aux: Literal[False] = ...,
    **kwargs: Any,
) -> Transformed[Concatenate[X, P], X]: ...
@overload
def gradf(
    fun: Callable[P, Any],
    *,
    filter_fn: Optional[Callable[[Any], bool]] = ...,
    filter_tree: FilterSpec = ...,
    argnums: Argnums = ...,
    has_aux: bool = ...,
    **kwargs: Any,
) -> Transformed[P, Any]: ...
@overload
def gradf(
    fun: None = ...,
    *,
    filter_fn: Optional[Callable[[Any], bool]] = ...,
    filter_tree: FilterSpec = ...,
    argnums: Literal[0] = ...,
    has_aux: Literal[True],
    **kwargs: Any,
) -> Callable[[Callable[Concatenate[X, P], Tuple[Any, Aux]]], Transformed[Concatenate[X, P], Tuple[X, Aux]]]: ...
@overload
def gradf(
    fun: None = ...,
    *,
    filter_fn: Optional[Callable[[Any], bool]] = ...,
    filter_tree: FilterSpec = ...,
    argnums: Literal[0] = ...,
    has_aux: Literal[False] = ...,
    **kwargs: Any,
) -> Callable[[Callable[Concatenate[X, P], Any]], Transformed[Concatenate[X, P], X]]: ...
@overload
def gradf(
    fun: None = ...,
    *,
    filter_fn: Optional[Callable[[Any], bool]] = ...,
    filter_tree: FilterSpec = ...,
    argnums: Argnums = ...,
    has_aux: bool = ...,
    **kwargs: Any,
) -> Callable[[Callable[P, Any]], Transformed[P, Any]]: ...
@transformation
def gradf(
    fun: Optional[Callable[..., Any]] = None,
    *,
    filter_fn: Optional[Callable[[Any], bool]] = None,
    filter_tree: FilterSpec = None,
    argnums: Argnums = 0,
    has_aux: bool = False,
    **kwargs: Any,
) -> Any:
    """Wrap `jax.grad`, and differentiate with respect to the selected leaves of the inputs.

    Exactly one of `filter_fn` and `filter_tree` must be given.

    Args:
        fun: A function or another callable that returns a scalar. Without `fun`, the result is a decorator.
        filter_fn: A function `leaf -> bool`. It is called with each leaf of the inputs in `argnums`. If it returns
            true, `fun` is differentiated with respect to the leaf.
        filter_tree: A filter specification, as for `partition`: a tree of bools or functions with the structure of the
            input in `argnums`. If `argnums` names several inputs, pass a tuple or list of trees.
        argnums: The positional inputs to differentiate with respect to: an int, or a sequence of ints in any order.
            Negative ints count from the last positional input.
        has_aux: Whether `fun` returns a pair `(value, aux)`. `aux` may hold anything.
        **kwargs: As for `jax.grad`, such as `holomorphic` and `allow_int`.

    Returns:
        A function with the inputs of `fun` that returns `grads`, or `(grads, aux)` with `has_aux`. `grads` has the
        structure of the input in `argnums`, or is a tuple of such trees if `argnums` is a sequence. The gradient of a
        leaf that isn't selected is `None`. The result is a pytree whose child is `fun`.

    Raises:
        ValueError: Both or neither of `filter_fn` and `filter_tree` were given.
        ValueError: `filter_tree` doesn't fit the inputs.
        ValueError: `argnums` names an input twice, or an input that wasn't passed by position.
        TypeError: `fun` isn't callable.
        TypeError: `filter_fn` isn't a function, or a leaf of `filter_tree` is something other than a bool or function.
        TypeError: `argnums` isn't an int or a sequence of ints.
        TypeError: A selected leaf isn't a floating-point or complex array or number.
        TypeError: With `has_aux`, `fun` doesn't return a tuple or a list.
        ValueError: With `has_aux`, `fun` returns a tuple or a list that isn't a pair.
        TypeError: The value of `fun` isn't a real scalar. JAX raises this error.
        TypeError: The running JAX doesn't accept a keyword argument.

    Example:
        >>> gradient = eqx.gradf(lambda a, b: a * b, argnums=(0, 1), filter_tree=[True, False])
        >>> grad_a, grad_b = gradient(jnp.array(2.0), jnp.array(3.0))
        >>> float(grad_a), grad_b
        (3.0, None)
    """
    selection = Selection("gradf", filter_fn, filter_tree)
    spec: Dict[str, Any] = {"filter_fn": filter_fn, "filter_tree": filter_tree}
    return transform(_Grad, fun, _GradientOptions(selection, argnums, has_aux, kwargs, **spec))


@overload
def filter_value_and_grad(
    fun: Callable[Concatenate[X, P], Tuple[Value, Aux]],
    *,
    argnums: Literal[0] = ...,
    has_aux: Literal[True],
    **kwargs: Any,
) -> Transformed[Concatenate[X, P], Tuple[Tuple[Value, Aux], X]]: ...
@overload
def filter_value_and_grad(
    fun: Callable[Concatenate[X, P], Value],
    *,
    argnums: Literal[0] = ...,
    has_aux: Literal[False] = ...,
    **kwargs: Any,
) -> Transformed[Concatenate[X, P], Tuple[Value, X]]: ...
@overload
def filter_value_and_grad(
    fun: Callable[P, Any],
    *,
    argnums: Argnums = ...,
    has_aux: bool = ...,
    **kwargs: Any,
) -> Transformed[P, Tuple[Any, Any]]: ...
@overload
def filter_value_and_grad(
    fun: None = ...,
    *,
    argnums: Literal[0] = ...,
    has_aux: Literal[True],
    **kwargs: Any,
) -> Callable[
    [Callable[Concatenate[X, P], Tuple[Value, Aux]]], Transformed[Concatenate[X, P], Tuple[Tuple[Value, Aux], X]]
]: ...
@overload
def filter_value_and_grad(
    fun: None = ...,
    *,
    argnums: Literal[0] = ...,
    has_aux: Literal[False] = ...,
    **kwargs: Any,
) -> Callable[[Callable[Concatenate[X, P], Value]], Transformed[Concatenate[X, P], Tuple[Value, X]]]: ...
@overload
def filter_value_and_grad(
    fun: None = ...,
    *,
    argnums: Argnums = ...,
    has_aux: bool = ...,
    **kwargs: Any,
) -> Callable[[Callable[P, Any]], Transformed[P, Tuple[Any, Any]]]: ...
@transformation
def filter_value_and_grad(
    fun: Optional[Callable[..., Any]] = None,
    *,
    argnums: Argnums = 0,
    has_aux: bool = False,
    **kwargs: Any,
) -> Any:
    """Wrap `jax.value_and_grad`, and differentiate with respect to all floating-point and complex arrays.

    These may be JAX arrays, NumPy arrays or NumPy scalars. Python numbers have the gradient `None`.

    Args:
        fun: A function or another callable that returns a scalar. Without `fun`, the result is a decorator.
        argnums: The positional inputs to differentiate with respect to: an int, or a sequence of ints in any order.
            Negative ints count from the last positional input.
        has_aux: Whether `fun` returns a pair `(value, aux)`. `aux` may hold anything.
        **kwargs: As for `jax.value_and_grad`, such as `holomorphic`.

    Returns:
        A function with the inputs of `fun` that returns `(value, grads)`, or `((value, aux), grads)` with `has_aux`.
        `grads` has the structure of the input in `argnums`, or is a tuple of such trees if `argnums` is a sequence. The
        gradient of any other leaf is `None`. The result is a pytree whose child is `fun`.

    Raises:
        ValueError: `argnums` names an input twice, or an input that wasn't passed by position.
        TypeError: `fun` isn't callable.
        TypeError: `argnums` isn't an int or a sequence of ints.
        TypeError: With `has_aux`, `fun` doesn't return a tuple or a list.
        ValueError: With `has_aux`, `fun` returns a tuple or a list that isn't a pair.
        TypeError: The value of `fun` isn't a real scalar. JAX raises this error.
        TypeError: The running JAX doesn't accept a keyword argument.

    Example:
        >>> loss = eqx.filter_value_and_grad(lambda model, x: (model["w"] * x) ** 2)
        >>> value, grads = loss({"w": np.float32(3.0), "name": "scale"}, 2.0)
        >>> float(value), float(grads["w"]), grads["name"]
        (36.0, 24.0, None)
    """
    selection = Selection("filter_value_and_grad", is_inexact_jax_or_numpy)
    return transform(_ValueAndGrad, fun, _GradientOptions(selection, argnums, has_aux, kwargs))


@overload
def filter_grad(
    fun: Callable[Concatenate[X, P], Tuple[Any, Aux]],
    *,
    argnums: Literal[0] = ...,
    has_aux: Literal[True],
    **kwargs: Any,
) -> Transformed[Concatenate[X, P], Tuple[X, Aux]]: ...
@overload
def filter_grad(
    fun: Callable[Concatenate[X, P], Any],
    *,
    argnums: Literal[0] = ...,
    has_aux: Literal[False] = ...,
    **kwargs: Any,
) -> Transformed[Concatenate[X, P], X]: ...
@overload
def filter_grad(
    fun: Callable[P, Any],
    *,
    argnums: Argnums = ...,
    has_aux: bool = ...,
    **kwargs: Any,
) -> Transformed[P, Any]: ...
@overload
def filter_grad(
    fun: None = ...,
    *,
    argnums: Literal[0] = ...,
    has_aux: Literal[True],
    **kwargs: Any,
) -> Callable[[Callable[Concatenate[X, P], Tuple[Any, Aux]]], Transformed[Concatenate[X, P], Tuple[X, Aux]]]: ...
@overload
def filter_grad(
    fun: None = ...,
    *,
    argnums: Literal[0] = ...,
    has_aux: Literal[False] = ...,
    **kwargs: Any,
) -> Callable[[Callable[Concatenate[X, P], Any]], Transformed[Concatenate[X, P], X]]: ...
@overload
def filter_grad(
    fun: None = ...,
    *,
    argnums: Argnums = ...,
    has_aux: bool = ...,
    **kwargs: Any,
) -> Callable[[Callable[P, Any]], Transformed[P, Any]]: ...
@transformation
def filter_grad(
    fun: Optional[Callable[..., Any]] = None,
    *,
    argnums: Argnums = 0,
    has_aux: bool = False,
    **kwargs: Any,
) -> Any:
    """Wrap `jax.grad`, and differentiate with respect to all floating-point and complex arrays.

    These may be JAX arrays, NumPy arrays or NumPy scalars. Python numbers have the gradient `None`.

    Args:
        fun: A function or another callable that returns a scalar. Without `fun`, the result is a decorator.
        argnums: The positional inputs to differentiate with respect to: an int, or a sequence of ints in any order.
            Negative ints count from the last positional input.
        has_aux: Whether `fun` returns a pair `(value, aux)`. `aux` may hold anything.
        **kwargs: As for `jax.grad`, such as `holomorphic`.

    Returns:
        A function with the inputs of `fun` that returns `grads`, or `(grads, aux)` with `has_aux`. `grads` has the
        structure of the input in `argnums`, or is a tuple of such trees if `argnums` is a sequence. The gradient of any
        other leaf is `None`. The result is a pytree whose child is `fun`.

    Raises:
        ValueError: `argnums` names an input twice, or an input that wasn't passed by position.
        TypeError: `fun` isn't callable.
        TypeError: `argnums` isn't an int or a sequence of ints.
        TypeError: With `has_aux`, `fun` doesn't return a tuple or a list.
        ValueError: With `has_aux`, `fun` returns a tuple or a list that isn't a pair.
        TypeError: The value of `fun` isn't a real scalar. JAX raises this error.
        TypeError: The running JAX doesn't accept a keyword argument.

    Example:
        >>> grads = eqx.filter_grad(lambda model, x: (model["w"] * x) ** 2)({"w": jnp.array(3.0), "name": "scale"}, 2.0)
        >>> float(grads["w"]), grads["name"]
        (24.0, None)
    """
    selection = Selection("filter_grad", is_inexact_jax_or_numpy)
    return transform(_Grad, fun, _GradientOptions(selection, argnums, has_aux, kwargs))


class _GradientOptions(Options):
    """Which leaves of which inputs to differentiate with respect to, and the keyword arguments of `jax.value_and_grad`.

    `spec` has the filters that the user gave, if any.
    """

    def __init__(
        self, selection: Selection, argnums: Argnums, has_aux: bool, kwargs: Dict[str, Any], **spec: Any
    ) -> None:
        super().__init__(selection.name, dict(kwargs, argnums=argnums, has_aux=has_aux, **spec))
        if kwargs:
            _compat.check_options(selection.name, jax.value_and_grad, kwargs)
        self.selection = selection
        self.single, self.argnums = _check_argnums(selection.name, argnums)
        self.has_aux = has_aux
        self.kwargs = kwargs

    def positions(self, number_of_args: int) -> List[int]:
        """The positions of the inputs in `argnums`, as non-negative ints."""
        for i in self.argnums:
            if not -number_of_args <= i < number_of_args:
                raise ValueError(
                    "`{}` differentiates with respect to positional input {} (`argnums`), but the number of positional "
                    "inputs is {}. Pass the input by position, not by keyword.".format(self.name, i, number_of_args)
                )
        positions = [i % number_of_args for i in self.argnums]
        if len(set(positions)) < len(positions):
            raise ValueError("`{}` expects different inputs in `argnums`, got {}.".format(self.name, self.argnums))
        return positions


class _ValueAndGrad(Transformed[P, R]):
    """What `value_and_grad_f` and `filter_value_and_grad` return."""

    def __call__(__self, *args: P.args, **kwargs: P.kwargs) -> R:  # `self` may be the name of a keyword argument
        return _value_and_grad(__self.__wrapped__, __self._options, args, kwargs)


class _Grad(Transformed[P, R]):
    """What `gradf` and `filter_grad` return."""

    def __call__(__self, *args: P.args, **kwargs: P.kwargs) -> Any:
        value, grads = _value_and_grad(__self.__wrapped__, __self._options, args, kwargs)
        return (grads, value[1]) if __self._options.has_aux else grads


def _value_and_grad(fun: Callable[..., Any], options: _GradientOptions, args: Any, kwargs: Any) -> Any:
    """`jax.value_and_grad` of `fun` with respect to the selected leaves only."""
    where = options.positions(len(args))
    chosen = tuple(args[i] for i in where)
    leaves, treedef = tree_util.tree_flatten(chosen)
    is_constant = [not selected for selected in options.selection.of(chosen)]
    constants = [x for x, constant in zip(leaves, is_constant) if constant]
    groups = LeafGroups(treedef, is_constant)

    def of_differentiated_leaves(diff: List[Any]) -> Any:
        inputs = list(args)
        for i, x in zip(where, groups.merge([*diff, *constants])):
            inputs[i] = x
        out = fun(*inputs, **kwargs)
        return split_aux(options.name, out) if options.has_aux else out

    diff = [x for x, constant in zip(leaves, is_constant) if not constant]
    differentiate = jax.value_and_grad(of_differentiated_leaves, has_aux=options.has_aux, **options.kwargs)
    try:
        value, grads = differentiate(diff)
    except TypeError:
        _refuse_undifferentiable(options, fun, args, where, leaves, is_constant)
        raise
    grads = groups.merge([*grads, *[None] * len(constants)])
    return value, grads[0] if options.single else grads


def _check_argnums(name: str, argnums: Any) -> Tuple[bool, Tuple[int, ...]]:
    """`(whether argnums is a single int, argnums as a tuple)`."""
    try:
        if hasattr(argnums, "__index__"):
            return True, (operator.index(argnums),)
        return False, tuple(operator.index(i) for i in argnums)
    except TypeError:
        raise TypeError(
            "`{}` expects `argnums` to be an int or a sequence of ints, got {!r}.".format(name, argnums)
        ) from None


def _refuse_undifferentiable(
    options: _GradientOptions,
    fun: Callable[..., Any],
    args: Sequence[PyTree],
    where: List[int],
    leaves: List[Any],
    is_constant: List[bool],
) -> None:
    """Raise an error that names the leaf, if `fun` can't be differentiated with respect to a selected leaf."""
    if options.kwargs.get("allow_int"):
        return
    for i, (leaf, constant) in enumerate(zip(leaves, is_constant)):
        if not constant and not is_inexact_array_like(leaf):
            inputs = inputs_of(positional_names(fun), args, {})
            path = path_of_leaf([inputs[j] for j in where], i)
            raise TypeError(
                "`{}` can't differentiate with respect to the leaf `{}`: expected a floating-point array, got {}. Let "
                "the filter leave it out, as `filter_fn=eqx.is_inexact_array` does.".format(
                    options.name, path, describe_leaf(leaf)
                )
            ) from None

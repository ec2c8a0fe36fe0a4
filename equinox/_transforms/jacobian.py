"""`filter_jacfwd`, `filter_jacrev` and `filter_hessian`: Jacobians and Hessians of functions of models."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, overload

import jax
import jax.numpy as jnp

from .. import _compat
from .._compat.types import P
from .._dispatch.leaf_groups import pack_output, separate, unpack_output
from .._trees.predicates import is_array, is_inexact_jax_or_numpy
from .wrap import Options, Transformed, split_aux, transform, transformation


class _JacobianOptions(Options):
    def __init__(self, name: str, differentiate: Callable[..., Any], has_aux: bool, kwargs: Dict[str, Any]) -> None:
        super().__init__(name, dict(kwargs, has_aux=has_aux))
        if has_aux:
            _compat.require("{}(has_aux=True)".format(name))
        if kwargs:
            _compat.check_options(name, differentiate, kwargs)
        self.has_aux = has_aux
        # JAX before 0.2.28 has no `has_aux`.
        self.kwargs = dict(kwargs, has_aux=True) if has_aux else kwargs


@overload
def filter_jacfwd(fun: Callable[P, Any], *, has_aux: bool = ..., **kwargs: Any) -> Transformed[P, Any]: ...
@overload
def filter_jacfwd(
    fun: None = ..., *, has_aux: bool = ..., **kwargs: Any
) -> Callable[[Callable[P, Any]], Transformed[P, Any]]: ...
@transformation
def filter_jacfwd(fun: Optional[Callable[..., Any]] = None, *, has_aux: bool = False, **kwargs: Any) -> Any:
    """Wrap `jax.jacfwd`: compute the Jacobian of a function column by column, in forward mode.

    The function is differentiated with respect to all floating-point and complex arrays in its first input. They may
    be JAX arrays, NumPy arrays or NumPy scalars. It costs about one call of `fun` for each number in them.

    Args:
        fun: A function or another callable. Without `fun`, the result is a decorator.
        has_aux: Whether `fun` returns a pair `(out, aux)`. `aux` may hold anything. It isn't differentiated.
        **kwargs: As for `jax.jacfwd`, such as `holomorphic`.

    Returns:
        A function with the inputs of `fun`. It returns the Jacobian, or `(jacobian, aux)` with `has_aux`. The Jacobian
        is a tree like the output. In the place of each array, it has a tree like the first input. An array in that has
        the shape of the output's array, followed by the shape of the input's array. Leaves that aren't floating-point
        or complex arrays are `None`, in both. The result is a pytree whose child is `fun`.

    Raises:
        TypeError: `fun` isn't callable.
        TypeError: The first input isn't passed by position.
        TypeError: With `has_aux`, `fun` doesn't return a tuple or a list.
        ValueError: With `has_aux`, `fun` returns a tuple or a list that isn't a pair.
        TypeError: The running JAX doesn't accept a keyword argument.
        NotImplementedError: `has_aux` is true, and the running JAX is older than 0.2.28.

    Example:
        >>> f = lambda params, x: {"out": params["w"] * x, "name": params["name"]}
        >>> jacobian = eqx.filter_jacfwd(f)({"w": jnp.array([1.0, 2.0]), "name": "scale"}, 3.0)
        >>> jacobian["out"]["w"].tolist(), jacobian["out"]["name"], jacobian["name"]
        ([[3.0, 0.0], [0.0, 3.0]], None, None)
    """
    return transform(_Jacfwd, fun, _JacobianOptions("filter_jacfwd", jax.jacfwd, has_aux, kwargs))


@overload
def filter_jacrev(fun: Callable[P, Any], *, has_aux: bool = ..., **kwargs: Any) -> Transformed[P, Any]: ...
@overload
def filter_jacrev(
    fun: None = ..., *, has_aux: bool = ..., **kwargs: Any
) -> Callable[[Callable[P, Any]], Transformed[P, Any]]: ...
@transformation
def filter_jacrev(fun: Optional[Callable[..., Any]] = None, *, has_aux: bool = False, **kwargs: Any) -> Any:
    """Wrap `jax.jacrev`: compute the Jacobian of a function row by row, in reverse mode.

    The function is differentiated with respect to all floating-point and complex arrays in its first input. They may
    be JAX arrays, NumPy arrays or NumPy scalars. It costs about one gradient of `fun` for each number in the output.

    Args:
        fun: A function or another callable. Without `fun`, the result is a decorator.
        has_aux: Whether `fun` returns a pair `(out, aux)`. `aux` may hold anything. It isn't differentiated.
        **kwargs: As for `jax.jacrev`, such as `holomorphic`.

    Returns:
        A function with the inputs of `fun`. It returns the Jacobian, or `(jacobian, aux)` with `has_aux`. The Jacobian
        is a tree like the output. In the place of each array, it has a tree like the first input. An array in that has
        the shape of the output's array, followed by the shape of the input's array. Leaves that aren't floating-point
        or complex arrays are `None`, in both. The result is a pytree whose child is `fun`.

    Raises:
        TypeError: `fun` isn't callable.
        TypeError: The first input isn't passed by position.
        TypeError: With `has_aux`, `fun` doesn't return a tuple or a list.
        ValueError: With `has_aux`, `fun` returns a tuple or a list that isn't a pair.
        TypeError: The running JAX doesn't accept a keyword argument.
        NotImplementedError: `has_aux` is true, and the running JAX is older than 0.2.28.

    Example:
        >>> f = lambda params, x: {"out": params["w"] * x, "name": params["name"]}
        >>> jacobian = eqx.filter_jacrev(f)({"w": jnp.array([1.0, 2.0]), "name": "scale"}, 3.0)
        >>> jacobian["out"]["w"].tolist(), jacobian["out"]["name"], jacobian["name"]
        ([[3.0, 0.0], [0.0, 3.0]], None, None)
    """
    return transform(_Jacrev, fun, _JacobianOptions("filter_jacrev", jax.jacrev, has_aux, kwargs))


@overload
def filter_hessian(fun: Callable[P, Any], *, has_aux: bool = ..., **kwargs: Any) -> Transformed[P, Any]: ...
@overload
def filter_hessian(
    fun: None = ..., *, has_aux: bool = ..., **kwargs: Any
) -> Callable[[Callable[P, Any]], Transformed[P, Any]]: ...
@transformation
def filter_hessian(fun: Optional[Callable[..., Any]] = None, *, has_aux: bool = False, **kwargs: Any) -> Any:
    """Wrap `jax.hessian`: compute the second derivatives of a function.

    The function is differentiated with respect to all floating-point and complex arrays in its first input. They may
    be JAX arrays, NumPy arrays or NumPy scalars. It costs about one gradient of `fun` for each number in them.

    Args:
        fun: A function or another callable. Without `fun`, the result is a decorator.
        has_aux: Whether `fun` returns a pair `(out, aux)`. `aux` may hold anything. It isn't differentiated.
        **kwargs: As for `jax.hessian`, such as `holomorphic`.

    Returns:
        A function with the inputs of `fun`. It returns the Hessian, or `(hessian, aux)` with `has_aux`. The Hessian is
        a tree like the output. In the place of each array, it has a tree like the first input, and in the place of each
        array of that, such a tree again. An innermost array has the shape of the output's array, followed by the shapes
        of both arrays of the input. Leaves that aren't floating-point or complex arrays are `None` everywhere. The
        result is a pytree whose child is `fun`.

    Raises:
        TypeError: `fun` isn't callable.
        TypeError: The first input isn't passed by position.
        TypeError: With `has_aux`, `fun` doesn't return a tuple or a list.
        ValueError: With `has_aux`, `fun` returns a tuple or a list that isn't a pair.
        TypeError: The running JAX doesn't accept a keyword argument.
        NotImplementedError: `has_aux` is true, and the running JAX is older than 0.2.28.

    Example:
        >>> f = lambda params: (params["w"] ** 3).sum()
        >>> hessian = eqx.filter_hessian(f)({"w": jnp.array([1.0, 2.0]), "name": "cube"})
        >>> hessian["w"]["w"].tolist(), hessian["w"]["name"], hessian["name"]
        ([[6.0, 0.0], [0.0, 12.0]], None, None)
    """
    return transform(_Hessian, fun, _JacobianOptions("filter_hessian", jax.hessian, has_aux, kwargs))


class _Jacfwd(Transformed[P, Any]):
    """What `filter_jacfwd` returns."""

    def __call__(__self, *args: P.args, **kwargs: P.kwargs) -> Any:  # `self` may be the name of a keyword argument
        return _jacobian(jax.jacfwd, 1, __self.__wrapped__, __self._options, args, kwargs)


class _Jacrev(Transformed[P, Any]):
    """What `filter_jacrev` returns."""

    def __call__(__self, *args: P.args, **kwargs: P.kwargs) -> Any:
        return _jacobian(jax.jacrev, 1, __self.__wrapped__, __self._options, args, kwargs)


class _Hessian(Transformed[P, Any]):
    """What `filter_hessian` returns."""

    def __call__(__self, *args: P.args, **kwargs: P.kwargs) -> Any:
        return _jacobian(_hessian, 2, __self.__wrapped__, __self._options, args, kwargs)


def _hessian(fun, **options):
    """`jax.hessian`, which has no `has_aux` before JAX 0.3.7."""
    return jax.jacfwd(jax.jacrev(fun, **options), **options)


def _jacobian(differentiate, order, fun, options, args, kwargs):
    """Derivatives of `fun` with respect to the first input, as nested as their order says."""
    if not args:
        raise TypeError(
            "`{0}` differentiates with respect to the first positional input, but none came. Pass it by position, "
            "not by keyword.".format(options.name)
        )
    inexact, merge = separate(args[0], is_inexact_jax_or_numpy)
    merge_output: Any = None
    number = 0  # of the floating-point and complex arrays in the output

    def of_inexact(inexact):
        nonlocal merge_output, number
        out = fun(merge(inexact), *args[1:], **kwargs)
        out, aux = split_aux(options.name, out) if options.has_aux else (out, None)
        out, merge_output = separate(out, is_inexact_jax_or_numpy)
        number = len(out)
        out = out or [jnp.zeros((), x.dtype) for x in inexact[:1]]  # `jax.jacrev` refuses a function without outputs
        return (out, pack_output(aux, is_array)) if options.has_aux else out

    out = differentiate(of_inexact, **options.kwargs)(inexact) if inexact else of_inexact(inexact)
    out, aux = out if options.has_aux else (out, None)
    if not inexact:  # JAX refuses to differentiate with respect to no arrays
        out = [[] for _ in out]
    jacobian = merge_output.with_nones([_nested(merge, x, order) for x in out[:number]])
    return (jacobian, unpack_output(aux)) if options.has_aux else jacobian


def _nested(merge, x, order):
    """Trees like the input, one in the other, from lists of arrays, one in the other."""
    return x if order == 0 else merge.with_nones([_nested(merge, y, order - 1) for y in x])

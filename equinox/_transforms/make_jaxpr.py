"""`filter_make_jaxpr`: the jaxpr of a function of models."""

from __future__ import annotations

from typing import Any, Callable, Hashable, Optional, Sequence, Tuple, overload

import jax

from .._compat.types import P
from .._dispatch.leaf_groups import separate
from .._trees.partition import partition
from .._trees.predicates import is_array, is_array_or_shape
from .wrap import Options, Transformed, transform, transformation

AxisEnv = Sequence[Tuple[Hashable, int]]


@overload
def filter_make_jaxpr(
    fun: Callable[P, Any], *, axis_env: Optional[AxisEnv] = ...
) -> Transformed[P, Tuple[Any, Any, Any]]: ...
@overload
def filter_make_jaxpr(
    fun: None = ..., *, axis_env: Optional[AxisEnv] = ...
) -> Callable[[Callable[P, Any]], Transformed[P, Tuple[Any, Any, Any]]]: ...
@transformation
def filter_make_jaxpr(fun: Optional[Callable[..., Any]] = None, *, axis_env: Optional[AxisEnv] = None) -> Any:
    """Wrap `jax.make_jaxpr`: show which operations a function consists of.

    Args:
        fun: A function or another callable. If it is a pytree, such as a model, its arrays are constants of the jaxpr.
            Without `fun`, the result is a decorator.
        axis_env: Names and sizes of mapped axes that `fun` uses in collectives such as `jax.lax.psum`.

    Returns:
        A function with the inputs of `fun`. It returns `(closed_jaxpr, shapes, others)`. The jaxpr takes the arrays in
        the inputs, in the order of flattening, and returns the arrays in the output. `shapes` is the output with a
        `jax.ShapeDtypeStruct` for each array and `None` for any other leaf. `others` is the output with `None` for each
        array. A `jax.ShapeDtypeStruct` may stand for an array of the inputs. Inputs that aren't arrays are passed to
        `fun` unchanged. The result is a pytree whose child is `fun`.

    Example:
        >>> double = lambda x, name: (2 * x, name)
        >>> jaxpr, shapes, others = eqx.filter_make_jaxpr(double)(jnp.ones(3), "double")
        >>> [str(equation.primitive) for equation in jaxpr.eqns]
        ['mul']
        >>> shapes[0].shape, others
        ((3,), (None, 'double'))
    """
    return transform(_Staged, fun, Options("filter_make_jaxpr", {"axis_env": axis_env}))


class _Staged(Transformed):
    """What `filter_make_jaxpr` returns."""

    def __call__(__self, *args, **kwargs):  # `self` may be the name of a keyword argument
        arrays, merge = separate((args, kwargs), is_array_or_shape)
        others = None

        def of_arrays(arrays):
            nonlocal others
            args, kwargs = merge(arrays)
            out, others = partition(__self.__wrapped__(*args, **kwargs), is_array)
            return out

        axis_env = __self._options.given["axis_env"]
        jaxpr, shapes = jax.make_jaxpr(of_arrays, axis_env=axis_env, return_shape=True)(arrays)
        return jaxpr, shapes, others

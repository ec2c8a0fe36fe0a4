"""`filter_eval_shape`: the shapes of an output, without any computation."""

from __future__ import annotations

from typing import Any, Callable

import jax

from .._compat.types import R
from .._dispatch.leaf_groups import pack_output, separate, unpack_output
from .._module.forwards_keywords import forwards_keywords
from .._trees.predicates import is_array, is_array_or_shape
from .wrap import check_callable


@forwards_keywords
def filter_eval_shape(__fun: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    """Find the shapes and dtypes of what a function returns. Nothing is computed, and no memory is used for arrays.

    Args:
        fun: A function or another callable, such as a class of modules. If it is a pytree, such as a model, its arrays
            may be shapes too.
        *args: The inputs of `fun`. Only the shape and dtype of an array count. A `jax.ShapeDtypeStruct` may stand for
            an array. Everything else is passed unchanged.
        **kwargs: More inputs, by keyword. They may have any name.

    Returns:
        What `fun` returns, with a `jax.ShapeDtypeStruct` instead of each array.

    Raises:
        TypeError: `fun` isn't callable.

    Example:
        >>> model = eqx.filter_eval_shape(eqx.nn.Linear, 2, 3, key=jax.random.PRNGKey(0))
        >>> model.weight.shape, model.out_features
        ((3, 2), 3)
        >>> eqx.filter_eval_shape(model, jnp.ones(2)).shape
        (3,)
    """
    check_callable("filter_eval_shape", __fun)
    arrays, merge = separate((__fun, args, kwargs), is_array_or_shape)

    def of_arrays(arrays):
        fun, args, kwargs = merge(arrays)
        return pack_output(fun(*args, **kwargs), is_array)

    return unpack_output(jax.eval_shape(of_arrays, arrays))

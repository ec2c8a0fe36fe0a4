"""`cast`: the floating-point arrays of a model in another dtype, as mixed precision needs it."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import tree_util

from .._compat.types import FilterSpec, T
from .._trees.partition import combine, partition
from .._trees.paths import describe_leaf
from .._trees.predicates import is_array, is_inexact_jax_or_numpy


def cast(tree: T, dtype: Any, filter_spec: FilterSpec = is_array) -> T:
    """Convert the floating-point arrays of a tree to another dtype.

    Complex arrays become complex arrays of the precision of `dtype`: complex128 for float64, complex64 for all others.
    NumPy arrays stay NumPy arrays. Integers, bools, PRNG keys, Python numbers and everything else stay as they are.

    Mixed precision keeps the parameters in float32, and computes in bfloat16. So call `cast` inside the loss, as in the
    example. The gradients then arrive in float32, because JAX differentiates the conversion too. Convert the inputs as
    well: a layer computes in the dtype of its input. Norms and softmax compute in float32 by themselves. Compute the
    loss in float32.

    With float16 small gradients become zero. So multiply the loss by a large number such as 1024, and divide the
    gradients by it before the update. bfloat16 doesn't need it.

    Args:
        tree: Any pytree, such as a model.
        dtype: A floating-point dtype, such as `jnp.bfloat16`.
        filter_spec: Which arrays are converted: a function `leaf -> bool`, or a bool, or a pytree of these whose
            structure is a prefix of that of `tree`. By default all. A selected leaf that is no floating-point or
            complex array stays as it is.

    Returns:
        A tree of the structure of `tree`.

    Raises:
        TypeError: `dtype` is no dtype.
        ValueError: `dtype` isn't floating-point.
        ValueError: The structure of `filter_spec` isn't a prefix of that of `tree`.
        TypeError: A leaf of `filter_spec` is no bool and no function.

    Example:
        >>> model = eqx.nn.MLP(2, 1, 8, 2, key=jax.random.PRNGKey(0))
        >>> def loss(model, x):
        ...     model, x = eqx.cast((model, x), jnp.bfloat16)
        ...     y = jax.vmap(model)(x)
        ...     return jnp.mean(eqx.cast(y, jnp.float32) ** 2)
        >>> grads = eqx.filter_grad(loss)(model, jnp.ones((5, 2)))
        >>> grads.layers[0].weight.dtype
        dtype('float32')
    """
    dtype = _as_floating(dtype)
    selected, others = partition(tree, filter_spec)
    return combine(tree_util.tree_map(lambda x: _cast_leaf(x, dtype), selected), others)


def _as_floating(dtype: Any) -> Any:
    try:
        if dtype is None:  # which `result_type` takes for float64
            raise TypeError
        known = jnp.result_type(dtype)
    except TypeError:
        raise TypeError(
            "`cast` expects `dtype` to be a dtype, such as `jnp.bfloat16`, got {}.".format(describe_leaf(dtype))
        ) from None
    if not jnp.issubdtype(known, jnp.floating):
        raise ValueError(
            "`cast` expects `dtype` to be floating-point, such as `jnp.bfloat16`, got {}. Complex arrays become "
            "complex arrays of the precision of `dtype`.".format(known)
        )
    return known


def _cast_leaf(x: Any, dtype: Any) -> Any:
    if not is_inexact_jax_or_numpy(x):
        return x
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        dtype = jnp.dtype("complex128" if dtype == jnp.float64 else "complex64")
    return x if x.dtype == dtype else x.astype(dtype)

"""`tree_equal`: whether trees are equal, in structure and leaf by leaf."""

from __future__ import annotations

import functools as ft
from typing import Any, List

import jax.numpy as jnp
import numpy as np
from jax import core, tree_util

from .._compat.types import PyTree
from .predicates import concrete_array_types, is_jax_array, is_numpy


def tree_equal(*pytrees: PyTree) -> bool:
    """Whether all `pytrees` are equal, in their structure and in each leaf.

    Arrays are equal if they have the same shape, dtype and values. NaN is equal to nothing, as for `==`. A JAX array is
    never equal to a NumPy array. Other leaves are equal if they have the same type and `==` is true. So `True`, `1` and
    `1.0` are all different. With one tree, or none, the answer is `True`.

    Args:
        *pytrees: Any pytrees.

    Returns:
        A `bool`. If the answer depends on the values of traced arrays, a traced scalar.

    Example:
        >>> eqx.tree_equal([jnp.ones(2), "text"], [jnp.ones(2), "text"])
        True
        >>> eqx.tree_equal(jnp.ones(2), np.ones(2, np.float32)), eqx.tree_equal(1, 1.0)
        (False, False)
    """
    if not pytrees:
        return True
    leaves, treedef = tree_util.tree_flatten(pytrees[0])
    traced: List[Any] = []
    for pytree in pytrees[1:]:
        other_leaves, other_treedef = tree_util.tree_flatten(pytree)
        if other_treedef != treedef:
            return False
        for a, b in zip(leaves, other_leaves):
            equal = _leaf_equal(a, b)
            if equal is True:
                continue
            if not isinstance(equal, core.Tracer):
                return False
            traced.append(equal)
    return ft.reduce(jnp.logical_and, traced) if traced else True


def _leaf_equal(a, b):
    """Whether two leaves are equal: a bool, or a traced scalar."""
    if is_jax_array(a):
        if type(a) is type(b) and type(a) in concrete_array_types:
            try:
                return _same_values(np.asarray(a), np.asarray(b))
            except RuntimeError:  # the array spans several processes
                pass
        if not is_jax_array(b) or a.shape != b.shape or a.dtype != b.dtype:
            return False
        equal = (a == b).all()
        return equal if isinstance(equal, core.Tracer) else bool(equal)
    if type(a) is not type(b):
        return False
    if is_numpy(a):
        return _same_values(a, b)
    return bool(a == b)


def _same_values(a, b):
    """Whether two NumPy arrays have the same shape, dtype and values."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype == object:
        return all(map(_leaf_equal, a.flat, b.flat))
    return bool(np.count_nonzero(a == b) == a.size)  # `(a == b).all()` takes five times as long for small arrays

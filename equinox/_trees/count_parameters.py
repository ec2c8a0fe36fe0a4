"""`count_parameters`: how many numbers a model has to learn."""

from __future__ import annotations

import functools as ft
import operator
from typing import Any

from jax import tree_util

from .._compat.types import FilterSpec, PyTree
from .partition import filter as filter_tree
from .predicates import is_array_or_shape, is_parameter


def size_of(array: Any) -> int:
    """The number of elements of an array, or of a `jax.ShapeDtypeStruct`."""
    return ft.reduce(operator.mul, array.shape, 1)


def count_parameters(tree: PyTree, filter_spec: FilterSpec = is_parameter) -> int:
    """Count the elements of the parameters of a model. `eqx.summary` counts them for each layer.

    An array at two places of the tree counts twice, because it is two leaves. With `eqx.nn.Shared` it is one leaf.

    Args:
        tree: Any pytree, such as a model. A `jax.ShapeDtypeStruct` counts as an array, as in the output of
            `filter_eval_shape`.
        filter_spec: Which leaves are counted: a function `leaf -> bool`, or a bool, or a pytree of these whose
            structure is a prefix of that of `tree`. By default all floating-point and complex arrays, of JAX and of
            NumPy. A selected leaf that is no array isn't counted.

    Returns:
        The number.

    Raises:
        ValueError: The structure of `filter_spec` isn't a prefix of that of `tree`.
        TypeError: A leaf of `filter_spec` is no bool and no function.

    Example:
        >>> model = eqx.nn.Linear(3, 2, key=jax.random.PRNGKey(0))
        >>> eqx.count_parameters(model), eqx.count_parameters(model, lambda x: eqx.is_array(x) and x.ndim == 2)
        (8, 6)
    """
    selected = tree_util.tree_leaves(filter_tree(tree, filter_spec))
    return sum(size_of(x) for x in selected if is_array_or_shape(x))

"""`inference_mode`: switch the layers of a model to inference, or back. `tree_inference` is its old name."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import tree_util

from .._compat.types import T
from .._module.replace import replace_unchecked
from .._trees.layout import layout_of
from .._trees.predicates import is_jax_array, is_numpy
from ._checks import as_bool

_FLAGS = ("deterministic", "inference")


def tree_inference(pytree: T, value: bool = True) -> T:
    """Set the flag `inference` or `deterministic` of each layer in a tree. `nn.Dropout` has one.

    The flag may be a field of any module, also of yours, at any depth. It may be static. A flag that is an array keeps
    its shape, so layers that `jax.vmap` stacked can still be mapped over. A field that holds no bool stays as it is. So
    does a `None`: if a flag is in the other part of a partition, it is set in that part.

    Args:
        pytree: Any pytree, such as a model, or one part of a partition of a model.
        value: The new value: `True` for inference, `False` for training.

    Returns:
        The changed tree.

    Raises:
        TypeError: `value` is no bool.

    Example:
        >>> layers = [eqx.nn.Linear(3, 3, key=jax.random.PRNGKey(0)), eqx.nn.Dropout(0.5)]
        >>> eqx.tree_inference(layers, True)[1]
        Dropout(p=0.5, deterministic=True)
    """
    return _set_all_flags(pytree, as_bool(value, "value", "tree_inference"))


def inference_mode(pytree: T, value: bool = True) -> T:
    """Set the flag `inference` or `deterministic` of each layer in a tree. This is `eqx.tree_inference`.

    Args:
        pytree: Any pytree, such as a model, or one part of a partition of a model.
        value: The new value: `True` for inference, `False` for training.

    Returns:
        The changed tree.

    Raises:
        TypeError: `value` is no bool.

    Example:
        >>> eqx.nn.inference_mode(eqx.nn.Dropout(0.5))
        Dropout(p=0.5, deterministic=True)
    """
    return _set_all_flags(pytree, as_bool(value, "value", "inference_mode"))


def _set_all_flags(tree: T, value: bool) -> T:

    def set_flags(node: Any) -> Any:
        if not _has_flag(node):
            return node
        flags = {name: _like(vars(node)[name], value) for name in _FLAGS if name in vars(node)}
        new = replace_unchecked(node, flags)
        return tree_util.tree_map(set_flags, new, is_leaf=lambda x: x is not new and _has_flag(x))

    return tree_util.tree_map(set_flags, tree, is_leaf=_has_flag)


def _has_flag(x: Any) -> bool:
    layout = layout_of(x)
    return layout is not None and not layout.names.isdisjoint(_FLAGS)


def _like(flag: Any, value: bool) -> Any:
    """`value` in the form of `flag`. Anything but a bool stays as it is."""
    if isinstance(flag, (bool, np.bool_)):
        return value
    if is_jax_array(flag) and flag.dtype == jnp.bool_:
        return jnp.full_like(flag, value)
    if is_numpy(flag) and flag.dtype == np.bool_:
        return np.full_like(flag, value)
    return flag

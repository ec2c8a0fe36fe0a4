"""`apply_updates`: add updates to a model."""

from __future__ import annotations

import jax.numpy as jnp
from jax import tree_util

from .._compat.types import PyTree, T
from .paths import describe_leaf, first_difference, leaf_paths
from .predicates import is_inexact_jax_or_numpy, is_jax_array, is_none


def apply_updates(model: T, updates: PyTree) -> T:
    """Add `updates` to `model`, leaf by leaf, as in one step of training.

    A leaf becomes `leaf + update`. Arrays of floating-point or complex dtype keep their dtype: a model of bfloat16 may
    have updates of float32. Where `updates` holds `None`, the model doesn't change.

    Args:
        model: Any pytree. It isn't changed.
        updates: A pytree of the same structure. It may have `None` for a leaf or a subtree that doesn't change. Usually
            an Optax optimiser makes it from the gradients.

    Returns:
        The updated model.

    Raises:
        ValueError: The structures differ. The message says where.
        TypeError: A leaf and its update can't be added.
        TypeError: A leaf is real and its update is complex.

    Example:
        >>> model = {"weight": jnp.ones(2, jnp.bfloat16), "steps": 3, "activation": jax.nn.relu}
        >>> model = eqx.apply_updates(model, {"weight": jnp.full(2, 0.5), "steps": 1, "activation": None})
        >>> str(model["weight"].dtype), model["weight"].tolist(), model["steps"]
        ('bfloat16', [1.5, 1.5], 4)
    """
    changes, treedef = tree_util.tree_flatten(updates, is_leaf=is_none)
    try:
        nodes = treedef.flatten_up_to(model)
    except ValueError:
        nodes = None
    if nodes is None or not tree_util.all_leaves([m for m, u in zip(nodes, changes) if u is not None]):
        raise ValueError(
            "`apply_updates` expects `updates` to have the structure of `model`, with `None` where nothing changes. "
            "At `{}` the model has {}, the updates have {}.".format(
                *first_difference(model, updates, "model", covers=is_none)
            )
        )
    return treedef.unflatten(
        [m if u is None else _add(m, u, i, updates) for i, (m, u) in enumerate(zip(nodes, changes))]
    )


def _add(leaf, update, i, updates):
    try:
        total = leaf + update
        if is_inexact_jax_or_numpy(leaf) and getattr(total, "dtype", leaf.dtype) != leaf.dtype:
            total = _as_leaf(total, leaf)
        return total
    except (TypeError, ValueError) as error:
        raise (TypeError if isinstance(error, TypeError) else ValueError)(
            "`apply_updates` can't add the update {2} to the leaf `{0}`, {1}: {3}".format(
                leaf_paths(updates, "model", is_none)[i], describe_leaf(leaf), describe_leaf(update), error
            )
        ) from None


def _as_leaf(total, leaf):
    """The sum in the dtype of the leaf. So a step of training doesn't change the dtypes in a model."""
    if jnp.iscomplexobj(total) and not jnp.iscomplexobj(leaf):
        raise TypeError("the sum is complex, and the leaf is real.")
    # JAX makes float32 of NumPy's float64, unless x64 is enabled.
    return total.astype(jnp.asarray(leaf).dtype if is_jax_array(total) else leaf.dtype)

"""`apply_updates`: one step of training."""

from jax import tree_util

from .paths import describe_leaf, first_difference, leaf_paths
from .predicates import is_none


def apply_updates(model, updates):
    """Add `updates` to `model`, leaf by leaf; where `updates` holds `None`, the model stays as it is.

    Args:
        model: any pytree.
        updates: a pytree of the same structure, but for `None` in the place of leaves or subtrees that aren't to
            change. Typically what an Optax optimiser makes of the gradients.

    Returns: the updated model. `model` itself is unchanged.

    Raises: ValueError: the structures differ. TypeError: a leaf and its update can't be added. Both say where.
    """
    changes, treedef = tree_util.tree_flatten(updates, is_leaf=is_none)
    try:
        nodes = treedef.flatten_up_to(model)
    except ValueError:
        nodes = None
    if nodes is None or not tree_util.all_leaves([m for m, u in zip(nodes, changes) if u is not None]):
        raise ValueError(
            "`apply_updates` expects `updates` to have the structure of `model`, with `None` where nothing is to "
            "change. At `{}` the model has {}, the updates have {}.".format(
                *first_difference(model, updates, "model", covers=is_none)
            )
        )
    return treedef.unflatten(
        [m if u is None else _add(m, u, i, updates) for i, (m, u) in enumerate(zip(nodes, changes))]
    )


def _add(leaf, update, i, updates):
    try:
        return leaf + update
    except TypeError as error:
        raise TypeError(
            "`apply_updates` can't add to the leaf `{}`, {}, the update {}: {}".format(
                leaf_paths(updates, "model", is_none)[i], describe_leaf(leaf), describe_leaf(update), error
            )
        ) from None

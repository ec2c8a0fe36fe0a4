"""`apply_updates`: one step of training."""

from jax import tree_util

from ._filters import _is_none
from ._paths import first_difference


def apply_updates(model, updates):
    """Add `updates` to `model`, leaf by leaf; where `updates` holds `None`, the model stays as it is.

    Args:
        model: any pytree.
        updates: a pytree of the same structure, but for `None` in the place of leaves or subtrees that aren't to
            change. Typically what an Optax optimiser makes of the gradients.

    Returns: the updated model. `model` itself is unchanged.

    Raises: ValueError: the structures differ; says where.
    """
    flat, treedef = tree_util.tree_flatten(updates, is_leaf=_is_none)
    try:
        nodes = treedef.flatten_up_to(model)
    except ValueError:
        nodes = None
    if nodes is None or any(u is not None and m is None for m, u in zip(nodes, flat)):
        difference = first_difference(model, updates, "model") or ("model", "its static data", "other static data")
        raise ValueError(
            "`apply_updates` expects `updates` to have the structure of `model`, with `None` where nothing is to "
            "change. At `{}` the model has {}, the updates have {}.".format(*difference)
        )
    return treedef.unflatten([m if u is None else m + u for m, u in zip(nodes, flat)])

"""`freeze` and `unfreeze`: mark the leaves of a model that aren't trained."""

from __future__ import annotations

from typing import Any, Callable

from jax import tree_util

from .._compat.types import T
from .._module.flattening import set_marks
from .._trees.at import check_where, tree_at
from .._trees.layout import layout_of
from .._trees.paths import describe_leaf, leaf_paths
from .._trees.prefix import is_function
from .._trees.trainable import places_of_leaves


def _everything(tree):
    return tree


def freeze(tree: T, where: Callable[[T], Any] = _everything) -> T:
    """Mark leaves of a model as not trained. `trainable` reads the marks. `unfreeze` removes them.

    The marks are in the structure of the module that is nearest to the leaf. So `tree_at`, `tree_map`, `partition`,
    `replace`, copies, pickles and every transformation keep them. They are also kept if the module becomes a part of
    another model. A leaf that replaces a frozen one is frozen. So is a subtree that replaces it, except for leaves that
    have a nearer mark.

    The marks change no computation: `filter_grad` and `jax.grad` differentiate frozen leaves, too. Pass `trainable` as
    the filter, as in the example. A frozen leaf then has the gradient `None`. `Optimizer` gives it no weight decay and
    no state.

    Args:
        tree: A pytree with modules. It isn't changed.
        where: As in `tree_at`: a function that gets a tree like `tree` and returns a node of it, or a tuple or list of
            nodes. All leaves of these nodes are marked. `select` makes such a function. By default it is the whole
            tree.

    Returns:
        A tree with the same leaves.

    Raises:
        ValueError: A leaf to mark is in no module.
        ValueError: `where` returned no leaf, or something that is no node of the tree.
        TypeError: `where` is no function, or it used the value of a leaf.
        TypeError: `tree` is a function.

    Example:
        >>> mlp = eqx.nn.MLP(3, 2, width_size=8, depth=1, key=jax.random.PRNGKey(0))
        >>> mlp = eqx.unfreeze(eqx.freeze(mlp), lambda mlp: mlp.layers[-1])
        >>> grads = eqx.gradf(lambda mlp, x: mlp(x).sum(), filter_fn=eqx.trainable)(mlp, jnp.ones(3))
        >>> [path for path, _ in eqx.named_leaves(grads)]
        ['.layers[1].weight', '.layers[1].bias']

        >>> mlp = eqx.nn.MLP(3, 2, width_size=8, depth=1, key=jax.random.PRNGKey(0))
        >>> mlp = eqx.freeze(mlp, eqx.select(mlp, "*.bias"))
        >>> eqx.trainable(mlp).layers[0].bias
        False
    """
    return _mark(tree, where, False, "freeze")


def unfreeze(tree: T, where: Callable[[T], Any] = _everything) -> T:
    """Mark leaves of a model as trained, also those whose field has `field(trainable=False)`. It undoes `freeze`.

    Args:
        tree: A pytree with modules. It isn't changed.
        where: As in `freeze`. By default it is the whole tree.

    Returns:
        A tree with the same leaves. If nothing else was frozen, it has the structure from before `freeze`.

    Raises:
        ValueError: A leaf to mark is in no module.
        ValueError: `where` returned no leaf, or something that is no node of the tree.
        TypeError: `where` is no function, or it used the value of a leaf.
        TypeError: `tree` is a function.

    Example:
        >>> linear = eqx.freeze(eqx.nn.Linear(3, 2, key=jax.random.PRNGKey(0)))
        >>> linear = eqx.unfreeze(linear, lambda linear: linear.bias)
        >>> eqx.trainable(linear).weight, eqx.trainable(linear).bias
        (False, True)
    """
    return _mark(tree, where, True, "unfreeze")


def _mark(tree, where, is_trained, name):
    if is_function(tree):
        raise TypeError(
            "`{}` expects the tree first, and then `where`. Got {} as `tree`.".format(name, describe_leaf(tree))
        )
    check_where(name, where)
    leaves, treedef = tree_util.tree_flatten(tree)
    nothing = treedef.unflatten([False] * len(leaves))
    selected = tree_at(where, nothing, replace_fn=lambda node: tree_util.tree_map(lambda _: True, node))
    selected = tree_util.tree_leaves(selected)
    if not any(selected):
        raise ValueError("`{}` expects `where` to return nodes with leaves, but they have none.".format(name))
    new = treedef.unflatten(leaves)  # its modules are new, so their marks can be set
    owners = {}
    for i, place in enumerate(places_of_leaves(new)):
        if not selected[i]:
            continue
        layout = layout_of(place.owner)
        if layout is not None:
            # Equal choices must make equal structures. So a leaf has a mark of its own only if its class and the nodes
            # above it say something else.
            place.marks.pop(place.path, None)
            place.marks.update(mark for mark in layout.marks if mark[0] == place.path)
            if place.is_trained != is_trained:
                place.marks[place.path] = is_trained
            owners[id(place.owner)] = place
        elif place.owner is None or place.is_trained != is_trained:
            raise ValueError(
                "`{}` can't mark the leaf `{}`: it is in no module, and a mark is part of the structure of the nearest "
                "module. It is {}. Keep the leaf in a module, or give `filter` and `Optimizer` a tree of bools instead "
                "of `trainable`.".format(name, leaf_paths(tree, "tree")[i], describe_leaf(leaves[i]))
            )
    for place in owners.values():
        set_marks(place.owner, place.marks)
    return new

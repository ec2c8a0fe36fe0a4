"""`trainable`: which leaves of a tree are trained.

The leaves that aren't trained are marked. The marks of a module are part of its structure. They are pairs
`(path, bool)`: what is at the path, and below it, is trained or not. A path begins at the module, such as `.layers[0]`.
The nearest mark at or above a leaf decides. `field(trainable=False)` marks a field in every instance of a class.
`freeze` and `unfreeze` mark leaves of one instance. A class that is no module may have the attribute `__marks__`.
"""

from __future__ import annotations

from jax import tree_util

from .._compat import named_children
from .._compat.types import PyTree
from .layout import layout_of
from .predicates import is_parameter


def trainable(tree: PyTree) -> PyTree:
    """Say for each leaf of a tree whether it is trained.

    A leaf is trained if it is a floating-point or complex array that isn't frozen. Arrays of NumPy count, and so does a
    `jax.ShapeDtypeStruct`. A leaf is frozen if its field has `field(trainable=False)`, or by `freeze`.

    Pass this function itself where a filter is wanted: `gradf(loss, filter_fn=eqx.trainable)`, or
    `partition(model, eqx.trainable)`. Another function is asked about one leaf after another. This one is asked about
    the whole input, because a frozen leaf is marked in the module that holds it.

    Args:
        tree: Any pytree.

    Returns:
        A tree of the structure of `tree`, with a bool for each leaf.

    Example:
        >>> mlp = eqx.nn.MLP(3, 2, width_size=8, depth=1, key=jax.random.PRNGKey(0))
        >>> mlp = eqx.freeze(mlp, lambda mlp: mlp.layers[0])
        >>> [path for path, _ in eqx.named_leaves(eqx.filter(mlp, eqx.trainable))]
        ['.layers[1].weight', '.layers[1].bias']
        >>> grads = eqx.gradf(lambda mlp, x: mlp(x).sum(), filter_fn=eqx.trainable)(mlp, jnp.ones(3))
        >>> grads.layers[0].weight, grads.layers[1].bias.shape
        (None, (2,))
    """
    leaves, treedef = tree_util.tree_flatten(tree)
    return treedef.unflatten(trainable_leaves(leaves, treedef))


def trainable_leaves(leaves, treedef):
    """The answers of `trainable` as a list."""
    numbered = treedef.unflatten(range(len(leaves)))  # without marks below the leaves, which `is_leaf` may have chosen
    if not _has_marks(numbered):
        return list(map(is_parameter, leaves))
    return [place.is_trained and is_parameter(x) for x, place in zip(leaves, places_of_leaves(numbered))]


class Place:
    """Where a leaf is in a tree, as its marks see it.

    Attributes:
        path: The path of the leaf from the nearest node that may have marks.
        owner: That node. `None` if there is none.
        marks: The marks of `owner`, as a dictionary that all leaves of `owner` share.
        inherits: Whether the leaf would be trained without a mark at `path`.
    """

    __slots__ = ("inherits", "marks", "owner", "path")

    def __init__(self, path, owner, marks, inherits):
        self.path = path
        self.owner = owner
        self.marks = marks
        self.inherits = inherits

    @property
    def is_trained(self):
        """Whether the leaf is trained, if it is an array that can be."""
        return self.marks.get(self.path, self.inherits)


def places_of_leaves(tree):
    """The `Place` of each leaf of `tree`."""
    places, pending = [], [(tree, Place("", None, {}, True))]
    while pending:  # a stack: a tree may be deeper than Python's limit of recursion
        node, place = pending.pop()
        children = named_children(node)
        if children is None:
            places.append(place)
            continue
        marks = _marks_of(node)
        if marks is not None:
            place = Place("", node, dict(marks), place.is_trained)
        is_trained = place.is_trained
        for name, child in reversed(children):
            pending.append((child, Place(place.path + name, place.owner, place.marks, is_trained)))
    return places


def _marks_of(node):
    """The marks of `node`. `None` if the node can't have any."""
    layout = layout_of(node)
    if layout is None:
        return getattr(type(node), "__marks__", None)
    return node.__dict__.get("__marks__", layout.marks)


def _has_marks(tree):
    found = []

    def look(node):
        if _marks_of(node):
            found.append(node)
        return bool(found)

    tree_util.tree_flatten(tree, is_leaf=look)
    return bool(found)

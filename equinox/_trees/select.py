"""`select`: find nodes of a tree by type, by the pattern of their paths, or by a function."""

from __future__ import annotations

import difflib
from typing import Any, Callable, FrozenSet, Tuple, Union

from jax import tree_util

from .._compat import named_children
from .._compat.types import PyTree
from .layout import layout_of
from .paths import describe_leaf, path_matches


class Selected(Tuple[str, ...]):
    """The paths of the nodes that `select` found.

    It is also a function that finds the nodes at these paths in a tree. So it can be the `where` of `tree_at`.
    """

    _above: FrozenSet[str]  # the paths of the nodes that lead to the selected ones

    def __call__(self, tree: PyTree) -> Tuple[Any, ...]:
        """Return a tuple of the nodes of `tree` at these paths.

        Raises:
            ValueError: `tree` has no node at one of the paths.
        """
        if any(self) and tree_util.all_leaves([tree]):
            raise ValueError(
                "A leaf has no node `{}`: {}. What `select` returns picks the nodes of a whole tree, as the `where` of "
                "`tree_at` and `freeze`. It is no filter. As a filter pass `eqx.trainable`, and pick the leaves by "
                "`eqx.unfreeze(eqx.freeze(tree), where)`.".format(next(filter(None, self)), describe_leaf(tree))
            )
        missing, found, pending = dict.fromkeys(self), [], [("", tree)]
        while pending:
            path, node = pending.pop()
            if path in missing:
                del missing[path]
                found.append(node)
            elif path in self._above:
                pending.extend(reversed(_named_values(path, node)))
        if missing:
            raise ValueError(
                "The tree has no node `{}`. It was selected in a tree of another structure. Call `select` with the "
                "tree that you pass to `tree_at`.".format(next(iter(missing)))
            )
        return tuple(found)


def select(tree: PyTree, by: Union[str, type, Tuple[type, ...], Callable[[Any], bool]]) -> Selected:
    """Find the paths of nodes by type, by the pattern of their paths, or by a function. `tree_at` changes these nodes.

    A node is a leaf, a subtree or `None`. The nodes inside a selected node are not searched.

    Args:
        tree: Any pytree.
        by: What selects a node: a type, or a tuple of types; or a pattern of paths; or a function `node -> bool`. A
            path is what follows the name of the tree in Python, as in `model.layers[0].weight`. In a pattern `*` stands
            for any text and `?` for any character. Every other character stands for itself. The pattern `*.weight`
            selects all weights, and `.layers[*].weight` those of the layers.

    Returns:
        A tuple of the paths, in the order of flattening. Pass it to `tree_at` as `where`.

    Raises:
        ValueError: Nothing is selected. The message shows near paths, or the types in the tree.
        TypeError: `by` is something else.

    Example:
        >>> mlp = eqx.nn.MLP(3, 2, width_size=8, depth=1, key=jax.random.PRNGKey(0))
        >>> eqx.select(mlp, "*.weight")
        ('.layers[0].weight', '.layers[1].weight')
        >>> mlp = eqx.tree_at(eqx.select(mlp, eqx.nn.Linear), mlp, replace_fn=lambda layer: eqx.nn.Identity())
        >>> mlp.layers
        (Identity(), Identity())
    """
    is_selected = _predicate(by)
    found, above, seen = [], set(), []
    pending: Any = [(("", tree), None)]
    while pending:
        named, parent = pending.pop()
        if is_selected(*named):
            found.append(named[0])
            while parent is not None and parent[0][0] not in above:
                above.add(parent[0][0])
                parent = parent[1]
        else:
            seen.append(named)
            pending.extend((child, (named, parent)) for child in reversed(_named_values(*named)))
    if not found:
        raise ValueError(_nothing(by, seen))
    selected = Selected(found)
    selected._above = frozenset(above)
    return selected


def _predicate(by):
    """The function `(path, node) -> bool` that `by` means."""
    if isinstance(by, str):
        return lambda path, node: path_matches(path, by)
    if _is_types(by):
        return lambda path, node: isinstance(node, by)
    if callable(by):
        return lambda path, node: bool(by(node))
    raise TypeError(
        "`select` expects `by` to be a type, a tuple of types, a pattern of paths or a function from a node to a bool, "
        "got {}.".format(describe_leaf(by))
    )


def _is_types(by):
    return isinstance(by, type) or (isinstance(by, tuple) and len(by) > 0 and all(isinstance(x, type) for x in by))


def _named_values(path, node):
    """The children of `node` with their paths. The static value of a field, whose child is `None`, stands for itself.

    So the `None` of a static field isn't taken for a node. If `tree_at` gets such a value, it says that it is static.
    """
    children = named_children(node) or ()
    values = {} if layout_of(node) is None else vars(node)
    return [(path + name, values.get(name[1:], child)) for name, child in children]


def _nothing(by, seen):
    """The message if none of the nodes in `seen`, which are `(path, node)`, is selected."""
    if isinstance(by, str):
        paths = [path for path, _ in seen if path]
        return "`select` found no node whose whole path matches {!r}. Near paths: {}.".format(by, _near(by, paths))
    types = list(dict.fromkeys(type(node).__name__ for _, node in seen))
    if _is_types(by):
        names = [cls.__name__ for cls in (by if isinstance(by, tuple) else (by,))]
        return "`select` found no node of type {}. The tree has nodes of the types {}.".format(
            " or ".join("`{}`".format(name) for name in names), _near(names[0], types)
        )
    return "`select` found no node for which `by` is true. Nodes that it was called with: {}. Their types: {}.".format(
        len(seen), _near("", types)
    )


def _near(name, names):
    """The names that are most like `name`, in the order of `names`, or the first ones, in words."""
    close = difflib.get_close_matches(name, names, 4, 0.4) or names[:4]
    near = [x for x in names if x in close]
    more = len(names) - len(near)
    return (", ".join("`{}`".format(x) for x in near) or "none") + (" and {} more".format(more) if more else "")

"""`tree_at`: a copy of a tree with some of its nodes replaced."""

from __future__ import annotations

import functools as ft
import operator
from typing import Any, Callable, Optional, overload

from jax import tree_util

from .._compat import named_children
from .._compat.types import IsLeaf, T
from .layout import layout_of
from .paths import describe_leaf, leaf_paths

_unset: Any = object()


@overload
def tree_at(where: Callable[[T], Any], pytree: T, replace: Any, *, is_leaf: Optional[IsLeaf] = ...) -> T: ...
@overload
def tree_at(
    where: Callable[[T], Any], pytree: T, *, replace_fn: Callable[[Any], Any], is_leaf: Optional[IsLeaf] = ...
) -> T: ...
def tree_at(
    where: Callable[[T], Any],
    pytree: T,
    replace: Any = _unset,
    replace_fn: Callable[[Any], Any] = _unset,
    is_leaf: Optional[IsLeaf] = None,
) -> T:
    """Copy a tree with some of its nodes replaced. It is for trees what `.at` is for arrays.

    Args:
        where: A function that gets a tree like `pytree` and returns the node to replace, or a tuple or list of nodes.
            A node is a leaf, a subtree or `None`. `where` must pick nodes by the structure of the tree alone. It is
            called several times: first with placeholders for the leaves, then with the leaves, to check that it picks
            the same nodes. `select` makes such a function from a type, or from the pattern of paths.
        pytree: The tree to copy. It isn't changed.
        replace: The new node. For several nodes, a tuple or list with one new node for each.
        replace_fn: A function from the old node to the new node. It is used instead of `replace`.
        is_leaf: As in `jax.tree_util.tree_flatten`: what else in `pytree` counts as a leaf.

    Returns:
        The new tree.

    Raises:
        ValueError: Both of `replace` and `replace_fn` were given, or none.
        ValueError: The number of replacements isn't the number of nodes.
        ValueError: `where` returned something that is no node of the tree, such as the value of a static field.
        ValueError: `where` returned a node twice, or a node inside another one.
        ValueError: `where` returned other nodes when it was called with the leaves.
        TypeError: `where` or `replace_fn` is no function.
        TypeError: `where` returned several nodes, and `replace` is no tuple or list.
        TypeError: `where` used the value of a leaf.
        AttributeError: `where` used an attribute of a leaf.

    Example:
        >>> linear = eqx.nn.Linear(3, 2, key=jax.random.PRNGKey(0))
        >>> eqx.tree_at(lambda linear: linear.bias, linear, jnp.ones(2)).bias.tolist()
        [1.0, 1.0]
        >>> eqx.tree_at(lambda linear: (linear.weight, linear.bias), linear, replace_fn=jnp.shape).weight
        (2, 3)
    """
    if (replace is _unset) == (replace_fn is _unset):
        raise ValueError(
            "`tree_at` expects exactly one of `replace` and `replace_fn`, got {}.".format(
                "neither" if replace is _unset else "both"
            )
        )
    check_where("tree_at", where)
    if replace_fn is not _unset and not callable(replace_fn):
        raise TypeError("`tree_at` expects `replace_fn` to be a function, got {}.".format(describe_leaf(replace_fn)))
    pick = _Pick(where, pytree, is_leaf)
    if any(map(_lacks_identity, pick.nodes)):
        # Pick again, with each `None` and `()` as a leaf. Then each has its own placeholder.
        pick = _Pick(where, pytree, lambda x: _lacks_identity(x) or (is_leaf is not None and is_leaf(x)))
    leaves, marks, treedef, places = pick.locate()
    pick.check(where, leaves, marks, treedef, places)
    if replace_fn is not _unset:
        replacements = [replace_fn(leaves[i]) for i in places]
    elif pick.several:
        replacements = _as_many(replace, pick.nodes)
    else:
        replacements = [replace]
    for i, replacement in zip(places, replacements):
        leaves[i] = replacement
    return treedef.unflatten(leaves)


def check_where(function, where):
    """Raise an error that names the public `function` if `where` can't be a function that picks nodes."""
    if not callable(where) or isinstance(where, type):
        raise TypeError(
            "`{}` expects `where` to be a function, got {}. `eqx.select(tree, by)` makes one from a pattern of paths "
            "or a class.".format(function, describe_leaf(where))
        )


class _Placeholder:
    """Stands for a leaf while `where` picks nodes. It has an identity and a path. It has no value."""

    __slots__ = ("index", "source")

    def __init__(self, index, source):
        self.index = index
        self.source = source

    @property
    def path(self):
        return self.source.paths[self.index]

    def __repr__(self):
        return "<the leaf {}>".format(self.path)

    def __getattr__(self, name):
        raise AttributeError(_PLACEHOLDER_USED.format(self.path) + " (It asked for `.{}`.)".format(name))

    def _refuse(self, *args, **kwargs):
        raise TypeError(_PLACEHOLDER_USED.format(self.path))


_BINARY = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and or xor".split()
_UNARY = "neg pos abs invert round bool int float complex index array".split()
_OTHERS = "eq ne lt le gt ge call len iter contains getitem setitem".split()
for _name in [*_BINARY, *("r" + name for name in _BINARY), *_UNARY, *_OTHERS]:
    setattr(_Placeholder, "__{}__".format(_name), _Placeholder._refuse)

_PLACEHOLDER_USED = (
    "`where` used the leaf `{}`. It must pick nodes by the structure of the tree alone: it is called with placeholders "
    "for the leaves, which have no value, shape or attribute."
)


_LEAVES_MATTER = (
    "`where` returned {} when it was called with placeholders for the leaves, and something else when it was called "
    "with the leaves. It must pick nodes by the structure of the tree alone. It can't ask whether a leaf is an array, "
    "has an attribute or can be called, or whether the node that it returns is `None`. Pick the node by its place."
)


class _Source:
    """The tree whose leaves the placeholders stand for. It works out the paths of the leaves when they are needed."""

    def __init__(self, pytree, is_leaf):
        self.pytree = pytree
        self.is_leaf = is_leaf
        self._paths = None

    @property
    def paths(self):
        if self._paths is None:
            self._paths = leaf_paths(self.pytree, "tree", self.is_leaf)
        return self._paths


class _Pick:
    """The nodes that `where` picks, in a copy of `pytree` with placeholders for its leaves."""

    def __init__(self, where, pytree, is_leaf):
        self.pytree = pytree
        self.leaves, self.treedef = tree_util.tree_flatten(pytree, is_leaf=is_leaf)
        source = _Source(pytree, is_leaf)
        self.placeholders = [_Placeholder(i, source) for i in range(len(self.leaves))]
        self.marked = self.treedef.unflatten(self.placeholders)
        picked = where(self.marked)
        self.picked = picked
        self.several = isinstance(picked, (tuple, list)) and not _holds(self.marked, picked)
        self.nodes = list(picked) if self.several else [picked]

    def locate(self):
        """Find the picked nodes. `pytree` is flattened so that each picked node is a leaf.

        Returns:
            The leaves, the placeholders in their places, the structure, and the indices of the picked nodes.
        """
        if all(type(node) is _Placeholder for node in self.nodes):
            marks, treedef, leaves = self.placeholders, self.treedef, self.leaves
            places = [node.index for node in self.nodes]
        else:
            ids = set(map(id, self.nodes))
            # For one node, `is_picked` is a function in C.
            is_picked = ft.partial(operator.is_, self.nodes[0]) if len(ids) == 1 else lambda x: id(x) in ids
            marks, treedef = tree_util.tree_flatten(self.marked, is_leaf=is_picked)
            found = {}
            for i, mark in enumerate(marks):
                if id(mark) in ids:
                    found.setdefault(id(mark), []).append(i)
            places = [self._only(node, found.get(id(node), ())) for node in self.nodes]
            leaves = treedef.flatten_up_to(self.pytree)
        if len(set(places)) < len(places):
            twice = next(node for i, node in enumerate(self.nodes) if places[i] in places[:i])
            raise ValueError("`where` returned the node `{}` twice.".format(self._path(twice)))
        return leaves, marks, treedef, places

    def check(self, where, leaves, marks, treedef, places):
        """Raise an error if `where` picks other nodes in trees that hold the leaves themselves."""
        for tree in _trials(leaves, marks, places):
            expected = [tree[i] for i in places]
            got = where(treedef.unflatten(tree))
            if not self.several:
                got = [got]
            if not (
                isinstance(got, (tuple, list)) and len(got) == len(expected) and all(map(operator.is_, got, expected))
            ):
                paths = ", ".join("`{}`".format(self._path(node)) for node in self.nodes)
                raise ValueError(_LEAVES_MATTER.format(paths or "no node"))

    def _only(self, node, places):
        if len(places) == 1:
            return places[0]
        if not _holds(self.marked, node):
            # A tuple with static items is no node of the tree. So it looked like a tuple of several nodes.
            static = _static_fields(self.marked, self.picked) or _static_fields(self.marked, node)
            if static:
                raise ValueError(_describe_static(static))
            raise ValueError(
                "`where` returned {}, which is no node of the tree. It must return unchanged nodes of the tree that it "
                "gets, or a tuple or list of them.".format(describe_leaf(node))
            )
        if not places:
            outer = next(other for other in self.nodes if other is not node and _holds(other, node))
            raise ValueError(
                "`where` returned the node `{}`, and `{}` which lies inside it.".format(
                    self._path(outer), self._path(node)
                )
            )
        raise ValueError(
            "`where` returned a `{}` that is in the tree {} times, the first at `{}`. It isn't known which of them "
            "to replace. Pick the node above it.".format(type(node).__name__, len(places), self._path(node))
        )

    def _path(self, node):
        if type(node) is _Placeholder:
            return node.path
        is_node = ft.partial(operator.is_, node)
        marks = tree_util.tree_flatten(self.marked, is_leaf=is_node)[0]
        return leaf_paths(self.marked, "tree", is_node)[list(map(is_node, marks)).index(True)]


def _trials(leaves, marks, places):
    """The lists of leaves with which `where` must pick the nodes at `places` again.

    Usually this is one list: the leaves themselves. But if a picked object is at several places, as `False` may be, its
    identity doesn't tell which place was picked. Then there are two lists. In the first, placeholders (`marks`) replace
    that object at the places that weren't picked. In the second, they replace everything that was picked. So a `where`
    that depends on the value at one of the places fails on one of the lists.
    """
    ids, picked = list(map(id, leaves)), {id(leaves[i]) for i in places}
    if len(picked) == len(places) == sum(map(picked.__contains__, ids)):
        return [leaves]
    places = set(places)
    triples = list(enumerate(zip(leaves, marks)))
    return [
        [mark if id(leaf) in picked and i not in places else leaf for i, (leaf, mark) in triples],
        [mark if i in places else leaf for i, (leaf, mark) in triples],
    ]


def _holds(tree, node):
    """Whether the object `node` itself, not an equal one, is a node of `tree`."""
    is_node = ft.partial(operator.is_, node)
    return any(map(is_node, tree_util.tree_flatten(tree, is_leaf=is_node)[0]))


def _static_fields(tree, value):
    """Find the fields of the modules in `tree` that hold `value`: a static value, or a tuple with static items.

    Returns:
        For each place the path of the module, the name of the field, and an index or an empty string.
    """
    pending, found = [("tree", tree)], []
    while pending:
        path, node = pending.pop()
        if layout_of(node) is not None:
            for name, field in vars(node).items():
                items = enumerate(field) if type(field) is tuple else ()
                found += [(path, name, "[{}]".format(i)) for i, item in items if item is value]
                if field is value:
                    found.append((path, name, ""))
        pending.extend((path + name, child) for name, child in reversed(named_children(node) or ()))
    return found


def _describe_static(places):
    """The message about the static fields at `places`: what they are, and how to change them."""
    owner, field, _ = places[0]
    change = "eqx.replace({}, {}=...)".format("tree" if owner == "tree" else "module", field)
    if owner != "tree":
        change = "eqx.tree_at(lambda tree: {}, tree, replace_fn=lambda module: {})".format(owner, change)
    return (
        "`where` returned {}, which is static or has static items. It belongs to the structure of the tree, so it is "
        "no node. Change it with `{}`.".format(" or ".join("`{}.{}{}`".format(*place) for place in places), change)
    )


def _lacks_identity(node):
    """Whether `node` is `None` or `()`. Python has only one of each, so identity doesn't tell their places apart."""
    return node is None or (type(node) is tuple and not node)


def _as_many(replace, nodes):
    """Check that `replace` has one replacement for each node, and return it."""
    message = (
        "`tree_at` expects `replace` to be a tuple or list with one replacement for each node that `where` returned, "
        "{} in all, got {}."
    )
    if not isinstance(replace, (tuple, list)):
        raise TypeError(message.format(len(nodes), describe_leaf(replace)))
    if len(replace) != len(nodes):
        got = "a `{}` of length {}".format(type(replace).__name__, len(replace))
        raise ValueError(message.format(len(nodes), got))
    return replace

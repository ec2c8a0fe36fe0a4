"""`tree_at`: a copy of a tree with some of its nodes replaced."""

import functools as ft
import itertools
import operator

from jax import tree_util

from .paths import describe_leaf, leaf_paths

_unset = object()


def tree_at(where, pytree, replace=_unset, replace_fn=_unset, is_leaf=None):
    """A copy of `pytree` with some of its nodes replaced; like `.at` of an array, for trees.

        tree_at(lambda mlp: mlp.layers[-1].weight, mlp, new_weight)
        tree_at(lambda mlp: (mlp.layers[0].bias, mlp.layers[1]), mlp, (None, new_layer))
        tree_at(lambda linear: linear.bias, linear, replace_fn=jnp.zeros_like)

    Args:
        where: given a tree of the structure of `pytree`, returns the node to replace, or a tuple or list of nodes:
            leaves, subtrees, or `None`s. It is called with placeholders for the leaves, so it can't use their values;
            and twice if it returns a `None`.
        pytree: the tree to copy.
        replace: what to put there; for several nodes a tuple or list as long.
        replace_fn: a function from the old node to what to put there, instead of `replace`.
        is_leaf: as in `jax.tree_util.tree_flatten`: what else in `pytree` counts as a leaf.

    Returns: the new tree. `pytree` is unchanged.

    Raises:
        ValueError: not exactly one of `replace` and `replace_fn`; not as many replacements as nodes; a node that is
            not in the tree, is returned twice, or lies inside another.
        TypeError: `where` used the value of a leaf.
    """
    if (replace is _unset) == (replace_fn is _unset):
        raise ValueError(
            "`tree_at` expects exactly one of `replace` and `replace_fn`, got {}.".format(
                "neither" if replace is _unset else "both"
            )
        )
    pick = _Pick(where, pytree, is_leaf)
    if any(map(_lacks_identity, pick.nodes)):
        pick = _pick_by_placeholders(pick, where, pytree, is_leaf)
    leaves, treedef, places = pick.locate()
    if replace_fn is not _unset:
        replacements = [replace_fn(leaves[i]) for i in places]
    elif pick.several:
        replacements = _as_many(replace, pick.nodes)
    else:
        replacements = [replace]
    for i, replacement in zip(places, replacements):
        leaves[i] = replacement
    return treedef.unflatten(leaves)


class _Placeholder:
    """Stands for a leaf while `where` looks at the tree. Has an identity, and no value."""

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
    "`where` looked into the leaf `{}`. It must pick nodes by the structure of the tree alone, as it is called with "
    "placeholders for the leaves: they have no value, shape or attribute."
)


class _Source:
    """The tree whose leaves placeholders stand for."""

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
        self.marked = self.treedef.unflatten([_Placeholder(i, source) for i in range(len(self.leaves))])
        picked = where(self.marked)
        self.several = isinstance(picked, (tuple, list)) and not _holds(self.marked, picked)
        self.nodes = list(picked) if self.several else [picked]

    def locate(self):
        """`pytree` flattened no deeper than the picked nodes: leaves, treedef, and the indices of the nodes in them."""
        if all(type(node) is _Placeholder for node in self.nodes):
            leaves, treedef, places = self.leaves, self.treedef, [node.index for node in self.nodes]
        else:
            ids = set(map(id, self.nodes))
            # Of one node it is asked in C.
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
        return leaves, treedef, places

    def _only(self, node, places):
        if len(places) == 1:
            return places[0]
        if not _holds(self.marked, node):
            raise ValueError(
                "`where` returned {}, which is no node of the tree. It must return nodes of the tree that it is given, "
                "untouched, or a tuple or list of them; a static field isn't one.".format(describe_leaf(node))
            )
        if not places:
            outer = next(other for other in self.nodes if other is not node and _holds(other, node))
            raise ValueError(
                "`where` returned the node `{}`, and `{}` which lies inside it.".format(
                    self._path(outer), self._path(node)
                )
            )
        raise ValueError(
            "`where` returned a `{}` that the tree holds {} times, the first at `{}`: which is meant can't be told. "
            "Pick the node above it.".format(type(node).__name__, len(places), self._path(node))
        )

    def _path(self, node):
        if type(node) is _Placeholder:
            return node.path
        is_node = ft.partial(operator.is_, node)
        marks = tree_util.tree_flatten(self.marked, is_leaf=is_node)[0]
        return leaf_paths(self.marked, "tree", is_node)[list(map(is_node, marks)).index(True)]


def _holds(tree, node):
    """Whether `tree` has this very object among its nodes."""
    is_node = ft.partial(operator.is_, node)
    return any(map(is_node, tree_util.tree_flatten(tree, is_leaf=is_node)[0]))


def _lacks_identity(node):
    """Whether all objects equal to `node` are one, so that it can't be found in a tree by looking for it."""
    return node is None or (type(node) is tuple and not node)


def _pick_by_placeholders(pick, where, pytree, is_leaf):
    """Pick again, where each `None` and `()` counts as a leaf, and so has a placeholder like any other."""
    again = _Pick(where, pytree, lambda x: _lacks_identity(x) or (is_leaf is not None and is_leaf(x)))
    if again.several and not again.nodes and not pick.several and pick.nodes[0] is not None:
        return again  # a `()` of its own: no node at all
    for old, new in itertools.zip_longest(pick.nodes, again.nodes, fillvalue=_unset):
        moved = _lacks_identity(old) and type(new) is _Placeholder and not _lacks_identity(again.leaves[new.index])
        if moved or old is _unset or new is _unset:
            raise ValueError(
                "`where` returned a node that is `None` or `()`, and then, given a tree with a placeholder there, "
                "another. It can't look whether a node is `None` to return it: pick it by its place."
            )
    return again


def _as_many(replace, nodes):
    """The replacements for several nodes, one for each."""
    if not isinstance(replace, (tuple, list)) or len(replace) != len(nodes):
        came = "{} of them".format(len(replace)) if isinstance(replace, (tuple, list)) else describe_leaf(replace)
        raise ValueError(
            "`where` returned {} nodes, so `replace` must be a tuple or list of as many replacements, got {}.".format(
                len(nodes), came
            )
        )
    return replace

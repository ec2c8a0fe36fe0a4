"""Edit and compare pytrees: `tree_at` and `tree_equal`."""

import functools as ft
import operator

import jax.numpy as jnp
import numpy as np
from jax import core, tree_util

from . import _compat
from ._filters import is_array
from ._paths import describe_leaf, leaf_paths

_unset = object()
_is_none = ft.partial(operator.is_, None)


def tree_at(where, pytree, replace=_unset, replace_fn=_unset, is_leaf=None):
    """A copy of `pytree` with some of its nodes replaced; like `.at` of an array, for trees.

        tree_at(lambda mlp: mlp.layers[-1].weight, mlp, new_weight)
        tree_at(lambda mlp: (mlp.layers[0].bias, mlp.layers[1]), mlp, (None, new_layer))
        tree_at(lambda linear: linear.bias, linear, replace_fn=jnp.zeros_like)

    Args:
        where: given a tree of the structure of `pytree`, returns the node to replace, or a tuple or list of nodes:
            leaves, subtrees, or `None`s. It is called with placeholders for the leaves, so it can't use their values.
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
    leaves, treedef = tree_util.tree_flatten(pytree, is_leaf=is_leaf)
    marked, nodes, several = _pick(where, pytree, leaves, treedef, is_leaf)
    if any(node is None for node in nodes):
        # A `None` has no identity by which to find it. Counted as a leaf, it gets a placeholder like any other.
        is_leaf_or_none = _is_none if is_leaf is None else lambda x: x is None or is_leaf(x)
        leaves, treedef = tree_util.tree_flatten(pytree, is_leaf=is_leaf_or_none)
        marked, nodes, several = _pick(where, pytree, leaves, treedef, is_leaf_or_none)
    _refuse_repeats(nodes, marked)
    if replace is not _unset:
        replacements = _replacements(replace, nodes, several)
    if all(type(node) is _Placeholder for node in nodes):
        positions = [node.index for node in nodes]
    else:
        leaves, treedef, positions = _flatten_to(nodes, marked, pytree)
    if replace is _unset:
        replacements = [replace_fn(leaves[i]) for i in positions]
    leaves = list(leaves)
    for i, replacement in zip(positions, replacements):
        leaves[i] = replacement
    return treedef.unflatten(leaves)


class _Placeholder:
    """Stands for a leaf while `where` looks at the tree. Has an identity, and no value."""

    __slots__ = ("index", "tree")

    def __init__(self, index, tree):
        self.index = index
        self.tree = tree

    def _refuse(self, *args):
        raise TypeError(_PLACEHOLDER_USED.format(self._path()))

    def __getattr__(self, name):
        raise AttributeError(_PLACEHOLDER_USED.format(self._path()) + " (It asked for `.{}`.)".format(name))

    def _path(self):
        return leaf_paths(*self.tree)[self.index]

    __bool__ = __len__ = __iter__ = __getitem__ = __contains__ = __call__ = _refuse
    __int__ = __float__ = __complex__ = __index__ = __array__ = __abs__ = __neg__ = __pos__ = __invert__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __sub__ = __mul__ = __truediv__ = __floordiv__ = __mod__ = __pow__ = __matmul__ = _refuse
    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __rpow__ = __rmatmul__ = _refuse
    __hash__ = object.__hash__


_PLACEHOLDER_USED = (
    "`where` looked into the leaf `{}`. It must pick nodes by the structure of the tree alone, as it is called with "
    "placeholders for the leaves: they have no value, shape or attribute."
)


def _pick(where, pytree, leaves, treedef, is_leaf):
    """The tree with placeholders for leaves; the nodes `where` picks in it; whether it returned several."""
    tree = (pytree, "tree", is_leaf)
    marked = treedef.unflatten([_Placeholder(i, tree) for i in range(len(leaves))])
    picked = where(marked)
    if type(picked) in (tuple, list) and (not picked or not _occurrences(picked, marked)):
        return marked, list(picked), True
    return marked, [picked], False


def _occurrences(node, marked):
    """At which places `marked` holds this very object, as indices into its leaves when cut off there."""
    flat = tree_util.tree_flatten(marked, is_leaf=ft.partial(operator.is_, node))[0]
    return [i for i, x in enumerate(flat) if x is node]


def _refuse_repeats(nodes, marked):
    seen = set()
    for node in nodes:
        if id(node) in seen:
            raise ValueError("`where` returned the node `{}` twice.".format(_path_of(node, marked)))
        seen.add(id(node))


def _path_of(node, marked):
    if type(node) is _Placeholder:
        return node._path()
    paths = leaf_paths(marked, "tree", ft.partial(operator.is_, node))
    return paths[_occurrences(node, marked)[0]]


def _flatten_to(nodes, marked, pytree):
    """`pytree` flattened no deeper than the picked `nodes` of `marked`, and where they are: leaves, treedef, indices."""
    for node in nodes:
        if not _occurrences(node, marked):
            raise ValueError(
                "`where` returned {}, which is no node of the tree. It must return nodes of the tree that it is given, "
                "untouched; a static field isn't one.".format(describe_leaf(node))
            )
    wanted = {id(node) for node in nodes}
    flat, treedef = tree_util.tree_flatten(marked, is_leaf=lambda x: id(x) in wanted)
    positions = []
    for node in nodes:
        at = [i for i, x in enumerate(flat) if x is node]
        if len(at) == 0:
            raise ValueError(
                "`where` returned the node `{}` and another that it lies inside.".format(_path_of(node, marked))
            )
        if len(at) > 1:
            raise ValueError(
                "`where` returned a `{}` that the tree holds {} times, the first at `{}`: "
                "which is meant can't be told. Pick the node above it.".format(
                    type(node).__name__, len(at), _path_of(node, marked)
                )
            )
        positions.append(at[0])
    return treedef.flatten_up_to(pytree), treedef, positions


def _replacements(replace, nodes, several):
    if not several:
        return [replace]
    if not isinstance(replace, (tuple, list)) or len(replace) != len(nodes):
        came = "{} of them".format(len(replace)) if isinstance(replace, (tuple, list)) else "a " + type(replace).__name__
        raise ValueError(
            "`where` returned {} nodes, so `replace` must be a tuple or list of as many replacements; "
            "got {}.".format(len(nodes), came)
        )
    return list(replace)


def tree_equal(*pytrees):
    """Whether all `pytrees` are equal: in structure, and leaf by leaf.

    Arrays are equal if they agree in shape, dtype and every value; as for `==`, NaN is equal to nothing. A JAX array
    and a NumPy array are never equal. Other leaves are equal if they have the same type and `==` says so: `True`, `1`
    and `1.0` are three different things. One tree, or none, is equal.

    Returns: a `bool`; or, while tracing, where all depends on the values of traced arrays, a traced scalar.
    """
    if not pytrees:
        return True
    leaves, treedef = tree_util.tree_flatten(pytrees[0])
    traced = []
    for pytree in pytrees[1:]:
        other_leaves, other_treedef = tree_util.tree_flatten(pytree)
        if other_treedef != treedef:
            return False
        for a, b in zip(leaves, other_leaves):
            equal = _leaf_equal(a, b)
            if isinstance(equal, core.Tracer):
                traced.append(equal)
            elif not equal:
                return False
    return ft.reduce(jnp.logical_and, traced) if traced else True


def _leaf_equal(a, b):
    if is_array(a):
        if not is_array(b) or a.shape != b.shape or a.dtype != b.dtype:
            return False
        if not isinstance(a, core.Tracer) and not isinstance(b, core.Tracer):
            values, other_values = _compat.to_numpy(a), _compat.to_numpy(b)
            if values is not None and other_values is not None:
                return bool((values == other_values).all())
        return (a == b).all()
    if type(a) is not type(b):
        return False
    if isinstance(a, (np.ndarray, np.generic)):
        return a.shape == b.shape and a.dtype == b.dtype and bool(np.all(a == b))
    return bool(a == b)

"""Random pytrees for hypothesis, and oracles for trees that don't use `jax.tree_util`."""

import collections
import contextlib
import sys
from typing import Any

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest

import equinox as eqx


class Pair(eqx.Module):
    first: Any
    second: Any
    name: str = eqx.field(static=True, default="pair")

    def __call__(self, x):
        return self.first


Point = collections.namedtuple("Point", ["x", "y"])

# They are made once, because arrays are slow to make. Some are equal, but all are different objects.
JAX_ARRAYS = [
    jnp.arange(3.0),
    jnp.arange(3.0),
    jnp.ones((2, 3), jnp.bfloat16),
    jnp.array(True),
    jnp.array(2),
    jnp.zeros((0,), jnp.complex64),
    jrandom.PRNGKey(0),
]
NUMPY_ARRAYS = [np.arange(3.0, dtype=np.float32), np.array(["a", "b"]), np.array([1, None], object), np.float32(1)]

jax_arrays = st.sampled_from(JAX_ARRAYS)
leaves = st.one_of(
    jax_arrays,
    st.sampled_from(NUMPY_ARRAYS),
    st.integers(),
    st.booleans(),
    st.floats(allow_nan=False),
    st.text(max_size=2),
    st.sampled_from([jax.nn.relu, len, int, object()]),
)


def trees(leaves=leaves, max_leaves=12):
    """Random pytrees of JAX's containers and of modules. A tree may also be a leaf or `None`."""
    return st.recursive(
        st.one_of(leaves, leaves, st.none()),
        lambda below: st.one_of(
            st.lists(below, max_size=4),
            st.lists(below, max_size=4).map(tuple),
            st.dictionaries(st.sampled_from("abcd"), below, max_size=3),
            st.builds(Point, below, below),
            st.builds(Pair, below, below, st.sampled_from(["pair", "couple"])),
            st.dictionaries(st.sampled_from("abcd"), below, max_size=3).map(collections.OrderedDict),
        ),
        max_leaves=max_leaves,
    )


def children(node):
    """Return `[(path, child), ...]` in JAX's order, or `None` for a leaf."""
    if node is None:
        return []
    if isinstance(node, collections.OrderedDict):
        return [("[{!r}]".format(key), node[key]) for key in node]
    if isinstance(node, dict):
        return [("[{!r}]".format(key), node[key]) for key in sorted(node)]
    if isinstance(node, Point):
        return [(".x", node.x), (".y", node.y)]
    if isinstance(node, (list, tuple)):
        return [("[{}]".format(i), child) for i, child in enumerate(node)]
    if isinstance(node, Pair):
        return [(".first", node.first), (".second", node.second)]
    return None


def rebuild(node, new_children):
    """Make a node like `node` with other children."""
    if isinstance(node, collections.OrderedDict):
        return collections.OrderedDict(zip(node, new_children))
    if isinstance(node, dict):
        return dict(zip(sorted(node), new_children))
    if isinstance(node, Point):
        return Point(*new_children)
    if isinstance(node, (list, tuple)):
        return type(node)(new_children)
    if isinstance(node, Pair):
        return Pair(new_children[0], new_children[1], node.name)
    assert node is None
    return None


def map_tree(function, tree):
    """Apply `function` to each leaf of `tree`."""
    below = children(tree)
    return function(tree) if below is None else rebuild(tree, [map_tree(function, child) for _, child in below])


def draw_prefix(draw, tree, values):
    """A prefix of `tree` that ends at random nodes, with one of `values`, a strategy, at each of them."""
    below = children(tree)
    if below is None or draw(st.booleans()):
        return draw(values)
    return rebuild(tree, [draw_prefix(draw, child, values) for _, child in below])


def nodes(tree, path=""):
    """Return all nodes and leaves of `tree` with their paths, each node before its children."""
    found = [(path, tree)]
    for name, child in children(tree) or []:
        found += nodes(child, path + name)
    return found


def flat(tree):
    """Return the leaves of `tree` in JAX's order."""
    return [x for _, x in nodes(tree) if children(x) is None]


def arrays_of(tree):
    """Return the arrays among the leaves of `tree`."""
    return [x for x in flat(tree) if eqx.is_array(x)]


def statics_of(tree):
    """Copy `tree` with `None` instead of each array."""
    return map_tree(lambda x: None if eqx.is_array(x) else x, tree)


def with_arrays(tree, arrays):
    """Copy `tree` with other arrays."""
    arrays = list(arrays)
    return map_tree(lambda x: arrays.pop(0) if eqx.is_array(x) else x, tree)


def doubled(tree):
    """Copy `tree` with twice each array."""
    return map_tree(lambda x: x + x if eqx.is_array(x) else x, tree)


def replace_at(tree, path, new, at=""):
    """Copy `tree` with `new` at `path`."""
    if at == path:
        return new
    below = children(tree)
    return tree if below is None else rebuild(tree, [replace_at(x, path, new, at + name) for name, x in below])


def same(a, b):
    """Whether two trees have the same structure and the same objects as leaves."""
    below, other = children(a), children(b)
    if below is None or other is None:
        return a is b or (type(a) is type(b) and isinstance(a, (int, float, str)) and a == b)
    if type(a) is not type(b) or getattr(a, "name", None) != getattr(b, "name", None) or len(below) != len(other):
        return False
    return all(name == n and same(x, y) for (name, x), (n, y) in zip(below, other))


# Ways to nest trees deeper than the limit of recursion of Python.
each_container = pytest.mark.parametrize("wrap", [lambda x: [x, 1], lambda x: Pair(x, 1)], ids=["lists", "modules"])


def nest(depth, wrap, leaf):
    """Return `wrap(wrap(...wrap(leaf)))`."""
    for _ in range(depth):
        leaf = wrap(leaf)
    return leaf


def path_of_nested(depth, wrap):
    """Return the path of the leaf in such a tree."""
    return depth * ("[0]" if isinstance(wrap(0), list) else ".first")


@contextlib.contextmanager
def recursion_limit_for(depth):
    """Let JAX flatten trees of this depth, and no deeper ones.

    Since JAX 0.4.14 its C++ observes Python's limit of recursion. Python code that recurses through such a tree takes
    several frames for each level, and fails.
    """
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 400)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)

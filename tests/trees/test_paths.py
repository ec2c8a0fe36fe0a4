"""The paths of leaves, and the description of trees in error messages. The oracles are JAX's paths, and a table."""

import collections
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import tree_util
from random_trees import (
    Pair,
    Point,
    children,
    each_container,
    nest,
    nodes,
    path_of_nested,
    recursion_limit_for,
    replace_at,
    trees,
)
from unusual_repr import FailingRepr, MultilineRepr

import equinox as eqx
from equinox._trees.paths import describe_leaf, first_difference, leaf_paths, short_repr


class Custom:
    """A node that is registered without names for its children."""

    def __init__(self, *children):
        self.children = children


tree_util.register_pytree_node(Custom, lambda node: (node.children, None), lambda _, children: Custom(*children))


class Functions(eqx.Module):
    several: Any = eqx.field(static=callable)
    one: Any = eqx.field(static=callable)
    last: Any = eqx.field(static=callable)


class Unregistered(dict):
    """A class that JAX doesn't know, so it is a leaf. Its keys can't be sorted."""


class Block(eqx.Module):
    weight: Any
    name: str = eqx.field(static=True, default="block")
    bias: Any = None


TREES = {
    "leaf": (1, [""]),
    "None": (None, []),
    "list": ([1, [2, 3], []], ["[0]", "[1][0]", "[1][1]"]),
    "tuple": ((1, (2,)), ["[0]", "[1][0]"]),
    "dict": ({"b": 1, "a": {"c": 2}}, ["['a']['c']", "['b']"]),
    "dict of numbers": ({2: 1, 1: 2}, ["[1]", "[2]"]),
    "OrderedDict": (collections.OrderedDict([("b", 1), ("a", 2)]), ["['b']", "['a']"]),
    "defaultdict": (collections.defaultdict(list, {"a": [2], "b": 1}), ["['a'][0]", "['b']"]),
    "namedtuple": (Point(1, [2]), [".x", ".y[0]"]),
    "module": (Block(1, "name", 2), [".weight", ".bias"]),
    "module with None": (Block({"a": 1}), [".weight['a']"]),
    "nested": (Pair([Block(1), Point(2, None)], {"z": (3,)}), [".first[0].weight", ".first[1].x", ".second['z'][0]"]),
    "no names": (Custom(1, [2]), ["[<flat index 0>]", "[<flat index 1>][0]"]),
    "unregistered": ([Unregistered({"a": 1, 2: 3})], ["[0]"]),
    "arrays": ([jnp.ones(2), np.ones(2)], ["[0]", "[1]"]),
}


@pytest.mark.parametrize("name", TREES)
def test_paths_of_known_trees(name):
    """Each tree of the table has these paths, below any root."""
    tree, paths = TREES[name]
    assert leaf_paths(tree) == paths
    assert leaf_paths(tree, "model") == ["model" + path for path in paths]


@given(trees())
def test_paths_of_any_tree(tree):
    """The paths are those of the oracle. Each path, evaluated, gives its leaf."""
    paths = leaf_paths(tree, "tree")
    assert paths == ["tree" + path for path, node in nodes(tree) if children(node) is None]
    for path, leaf in zip(paths, tree_util.tree_leaves(tree)):
        assert eval(path, {"tree": tree}) is leaf


@given(trees())
def test_paths_are_those_of_jax(tree):
    """The paths are those of JAX, since 0.4.6."""
    if not hasattr(tree_util, "tree_flatten_with_path"):
        pytest.skip("this JAX has no `tree_flatten_with_path`")
    with_path, _ = tree_util.tree_flatten_with_path(tree)
    assert leaf_paths(tree) == [tree_util.keystr(path) for path, _ in with_path]


def test_paths_with_is_leaf():
    """`is_leaf` makes leaves of nodes, as in JAX."""
    tree = {"a": [1, 2], "b": (None, 3)}
    assert leaf_paths(tree, "", lambda x: isinstance(x, list)) == ["['a']", "['b'][1]"]
    assert leaf_paths(tree, "", lambda x: x is None) == ["['a'][0]", "['a'][1]", "['b'][0]", "['b'][1]"]
    assert leaf_paths(tree, "t", lambda x: True) == ["t"]


def test_paths_of_an_unfinished_module():
    """A module that is flattened in its own `__init__` has the fields that are set so far."""
    found = []

    class Unfinished(eqx.Module):
        first: Any
        second: Any

        def __init__(self):
            self.second = [1, 2]
            found.extend(leaf_paths(self))
            self.first = 0

    Unfinished()
    assert found == [".second[0]", ".second[1]"]


@given(trees(), trees(), st.data())
def test_first_difference(a, b, data):
    """A difference is found if JAX says that the structures differ. Its path leads to a node in both trees."""
    path = data.draw(st.sampled_from([path for path, _ in nodes(a)]))
    for left, right in ((a, b), (a, replace_at(a, path, b))):
        difference = first_difference(left, right, "")
        assert (difference is None) == (tree_util.tree_structure(left) == tree_util.tree_structure(right))
        if difference is not None:
            assert difference[0] in [path for path, _ in nodes(left)]
            assert difference[0] in [path for path, _ in nodes(right)]
            assert difference[1] != difference[2]


DIFFERENCES = {
    "leaf and node": (1, [1], ("", "a leaf (`int` 1)", "a `list`")),
    "node and leaf": ([[1]], ["a"], ("[0]", "a `list`", "a leaf (`str` 'a')")),
    "None and leaf": ([None], [jnp.ones((2, 3))], ("[0]", "`None`", "a leaf (`Array` float32[2,3])")),
    "leaf and None": ([1], [None], ("[0]", "a leaf (`int` 1)", "`None`")),
    "types": ({"a": (1,)}, {"a": [1]}, ("['a']", "a `tuple`", "a `list`")),
    "lengths": ((1,), (), ("", "a `tuple` with `[0]`", "a `tuple` with no children")),
    "keys": ({"a": 1}, {"b": 1, "c": 2}, ("", "a `dict` with `['a']`", "a `dict` with `['b']`, `['c']`")),
    "static": (
        [Block(1)],
        [Block(1, "other")],
        ("[0]", "a `Block` with `name='block'`", "a `Block` with `name='other'`"),
    ),
    "static type": (Block(1, True), Block(1, 1), ("", "a `Block` with `name=True`", "a `Block` with `name=1`")),
    "functions": (
        Functions((1, None, len, 2), abs, len),
        Functions((1, None, sum, 3), abs, sum),
        (
            "",
            "a `Functions` with `several=(None, None, <built-in function len>,...`, `last=<built-in function len>`",
            "a `Functions` with `several=(None, None, <built-in function sum>,...`, `last=<built-in function sum>`",
        ),
    ),
    "places of functions": (
        [Functions((len, 1), abs, 1)],
        [Functions((1, len), abs, 2)],
        (
            "[0]",
            "a `Functions` with `several=(<built-in function len>, None)`",
            "a `Functions` with `several=(None, <built-in function len>)`",
        ),
    ),
    "factory": (
        collections.defaultdict(list, a=1),
        collections.defaultdict(int, a=1),
        ("", "a `defaultdict`", "a `defaultdict` whose static data differ"),
    ),
    "first of several": ([1, [2], [3]], [1, (2,), (3,)], ("[1]", "a `list`", "a `tuple`")),
    "from the left": ([[1, [2]], 3], [[1, 2], [3]], ("[0][1]", "a `list`", "a leaf (`int` 2)")),
    "none": ({"a": [1, None]}, {"a": ["b", None]}, None),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_words_of_a_difference(name):
    """The message describes both sides."""
    left, right, expected = DIFFERENCES[name]
    assert first_difference(left, right) == expected


def test_difference_with_leaves_and_covers():
    """`is_leaf` and `got_is_leaf` make leaves of nodes. A node that `covers` accepts matches any subtree."""
    is_list = lambda x: isinstance(x, list)  # noqa: E731
    assert first_difference([1], [1, 2], is_leaf=is_list) == ("", "a leaf (`list` [1])", "a `list`")
    assert first_difference([1], [1, 2], got_is_leaf=is_list) == ("", "a `list`", "a leaf (`list` [1, 2])")
    assert first_difference({"a": [1]}, {"a": [1, 2]}, "", is_list, is_list) is None
    is_none = lambda x: x is None  # noqa: E731
    assert first_difference([[1, 2], (3,)], [None, (4,)], covers=is_none) is None
    assert first_difference([[1, 2], (3,)], [None, [4]], "m", covers=is_none) == ("m[1]", "a `tuple`", "a `list`")


LEAVES = {
    "int": (5, "`int` 5"),
    "text": ("a", "`str` 'a'"),
    "long": ("a" * 50, "`str` '" + "a" * 36 + "..."),
    "jax array": (jnp.ones((2, 3), jnp.bfloat16), "`Array` bfloat16[2,3]"),
    "numpy array": (np.ones(()), "`ndarray` float64[]"),
    "shape": (jax.ShapeDtypeStruct((2,), jnp.float32), "`ShapeDtypeStruct` float32[2]"),
    "numpy class": (np.float32, "`type` <class 'numpy.float32'>"),
    "tall": (MultilineRepr(), "`MultilineRepr` MultilineRepr( 1, 2 )"),
}


@pytest.mark.parametrize("name", LEAVES)
def test_words_of_a_leaf(name):
    """A leaf is described in a few words, on one line."""
    leaf, words = LEAVES[name]
    assert describe_leaf(leaf) == words


def test_words_of_a_leaf_with_a_broken_repr():
    """An object whose `repr` fails doesn't break the message."""
    assert describe_leaf(FailingRepr()).startswith("`FailingRepr` <")
    assert len(short_repr(FailingRepr(), 20)) <= 20


def test_words_of_a_tracer():
    """Inside a transformation arrays are described without their values."""
    seen = []
    jax.jit(lambda x: seen.append(describe_leaf(x)) or x)(jnp.ones(2))
    assert seen[0].endswith("Tracer` float32[2]")


@each_container
def test_deep_trees(wrap):
    """Trees may be deeper than Python's limit of recursion."""
    with recursion_limit_for(1100):
        path = path_of_nested(1100, wrap)
        assert leaf_paths(nest(1100, wrap, "leaf"))[0] == path
        assert first_difference(nest(1100, wrap, "leaf"), nest(1100, wrap, "other")) is None
        assert first_difference(nest(1100, wrap, "leaf"), nest(1100, wrap, None))[0] == path


def test_a_bound_method_names_its_module():
    """The path of a leaf in a bound method goes through `__self__`."""

    class Named(eqx.Module):
        weight: Any

        def method(self):
            pass

    assert leaf_paths({"f": Named([1]).method}, "tree") == ["tree['f'].__self__.weight[0]"]


def test_a_long_repr_is_cut_after_a_word():
    """Without a space in the second half it is cut to the width. A short one stays."""
    assert short_repr([100, 200, 300], 15) == "[100, 200, 300]"
    assert short_repr([100, 200, 300], 14) == "[100, 200,..."
    assert short_repr([100, "x" * 20], 14) == "[100, 'xxxx..."

"""The laws of `filter` and `partition`."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import tree_util
from random_trees import (
    Pair,
    children,
    each_container,
    flat,
    map_tree,
    nest,
    path_of_nested,
    rebuild,
    recursion_limit_for,
    same,
    trees,
)

import equinox as eqx

pytestmark = pytest.mark.filters


def is_text(x):
    return isinstance(x, str)


filter_functions = st.sampled_from([eqx.is_array, eqx.is_inexact_array_like, is_text, callable, lambda x: True])


@given(trees(), filter_functions)
def test_partition_and_filter(tree, function):
    """Each leaf is in one of the two trees, and `None` is in the other. `filter` returns one of them.

    `combine` restores the tree.
    """
    selected, others = eqx.partition(tree, function)
    assert same(selected, map_tree(lambda x: x if function(x) else None, tree))
    assert same(others, map_tree(lambda x: None if function(x) else x, tree))
    assert same(eqx.filter(tree, function), selected)
    assert same(eqx.filter(tree, function, inverse=True), others)
    assert same(eqx.combine(selected, others), tree)
    assert same(eqx.combine(others, selected), tree)


@given(trees(), filter_functions)
def test_filter_is_idempotent(tree, function):
    """Filtering the selected leaves again selects all of them. Filtering the other leaves selects none."""
    selected, others = eqx.partition(tree, function)
    assert same(eqx.filter(selected, function), selected)
    assert flat(eqx.filter(others, function)) == []


@given(trees(), filter_functions)
def test_tree_of_bools(tree, function):
    """A tree of bools, of NumPy's bools or of functions selects the same leaves as the function."""
    expected = eqx.filter(tree, function)
    assert same(eqx.filter(tree, map_tree(lambda x: bool(function(x)), tree)), expected)
    assert same(eqx.filter(tree, map_tree(lambda x: np.bool_(function(x)), tree)), expected)
    assert same(eqx.filter(tree, map_tree(lambda x: function, tree)), expected)


@given(trees(), st.data())
def test_prefix(tree, data):
    """Each leaf of a prefix decides for all leaves below it."""

    def prefix_and_expected(tree):
        below = children(tree)
        if below is not None and data.draw(st.booleans()):
            pairs = [prefix_and_expected(child) for _, child in below]
            return rebuild(tree, [p for p, _ in pairs]), rebuild(tree, [e for _, e in pairs])
        spec = data.draw(st.sampled_from([True, False, is_text, eqx.is_array]))
        keep = spec if callable(spec) else lambda x: spec
        return spec, map_tree(lambda x: x if keep(x) else None, tree)

    spec, expected = prefix_and_expected(tree)
    selected, others = eqx.partition(tree, spec)
    assert same(selected, expected)
    assert same(eqx.combine(selected, others), tree)


def test_bare_bool():
    """A single bool is a prefix of every tree."""
    tree = {"a": [1, None], "b": "x"}
    assert eqx.filter(tree, True) == tree
    assert eqx.filter(tree, False) == {"a": [None, None], "b": None}


def test_replace():
    """`replace` may be anything, even a tree. It replaces each leaf that isn't kept."""
    assert eqx.filter([1, "a"], is_text, replace=0) == [0, "a"]
    assert eqx.filter([1, "a"], is_text, inverse=True, replace=(2, 3)) == [1, (2, 3)]
    assert eqx.partition({"a": 1, "b": "x"}, is_text, replace=...) == ({"a": ..., "b": "x"}, {"a": 1, "b": ...})


def test_filter_is_leaf():
    """`is_leaf` makes leaves of nodes, also of `None`. The filter selects such a node as a whole."""
    tree = {"a": [1, 2], "b": (3, None)}
    is_list = lambda x: isinstance(x, list)  # noqa: E731
    assert eqx.filter(tree, is_list, is_leaf=is_list) == {"a": [1, 2], "b": (None, None)}
    assert eqx.partition(tree, {"a": False, "b": True}, is_leaf=is_list) == (
        {"a": None, "b": (3, None)},
        {"a": [1, 2], "b": (None, None)},
    )
    assert eqx.filter(tree, lambda x: x is None, replace=0, is_leaf=lambda x: x is None) == {
        "a": [0, 0],
        "b": (0, None),
    }
    assert eqx.filter(tree, {"a": [True, False], "b": (True, True)}, replace=0, is_leaf=lambda x: x is None) == {
        "a": [1, 0],
        "b": (3, None),
    }


def test_truth_of_answers():
    """A filter may return anything that is true or false."""
    assert eqx.filter([1, 0, "a", ""], lambda x: x) == [1, None, "a", None]
    assert eqx.filter([1.0, 2.0], lambda x: jnp.array(x) > 1) == [None, 2.0]


def test_partition_of_traced_arrays(run):
    """Only the floating-point arrays are scaled. The result is the same eagerly, under `jit` and under `vmap`."""

    def function(x, n):
        tree = Pair({"x": x, "n": n, "text": "a"}, [None, x + 1])
        selected, others = eqx.partition(tree, eqx.is_inexact_array)
        assert tree_util.tree_structure(others) == tree_util.tree_structure(
            Pair({"x": None, "n": 1, "text": 1}, [None, None])
        )
        result = eqx.combine(tree_util.tree_map(lambda x: 2 * x, selected), others)
        assert result.first["text"] == "a"
        return result.first["x"], result.first["n"], result.second[1]

    x, n, y = run(function, jnp.arange(3.0), jnp.arange(3))
    np.testing.assert_array_equal(x, [0, 2, 4])
    np.testing.assert_array_equal(n, [0, 1, 2])
    np.testing.assert_array_equal(y, [2, 4, 6])


@each_container
def test_deep_trees(wrap):
    """Trees may be deeper than Python's limit of recursion. This holds for the error message too."""
    with recursion_limit_for(1100):
        tree = nest(1100, wrap, "leaf")
        selected, others = eqx.partition(tree, is_text)
        assert tree_util.tree_leaves(selected) == ["leaf"]
        assert len(tree_util.tree_leaves(eqx.combine(selected, others))) == 1101
        prefix = tree_util.tree_map(lambda x: x == 1, wrap(0))
        assert tree_util.tree_leaves(eqx.filter(tree, prefix)) == [1]
        assert tree_util.tree_leaves(eqx.filter(tree, prefix, inverse=True)) == ["leaf"] + 1099 * [1]
        path = path_of_nested(1100, wrap)
        with pytest.raises(ValueError) as caught:
            eqx.filter(tree, nest(1100, wrap, [True]))
        assert "At `tree{}` expected a leaf (`str` 'leaf'), got a `list`".format(path) in str(caught.value)
        with pytest.raises(ValueError) as caught:
            eqx.combine(tree, nest(1100, wrap, [True]))
        assert "At `tree{}` expected a leaf".format(path) in str(caught.value)


def test_weights_from_numpy_are_arrays():
    """A model with NumPy arrays as weights, as loaded from a file, is split like one with JAX arrays."""
    of_numpy = Pair(np.ones((2, 2), np.float32), [np.arange(3), np.float32(2), "name", np.array(["text"])])
    of_jax = tree_util.tree_map(lambda x: jnp.asarray(x) if eqx.is_array(x) else x, of_numpy)
    for split in (lambda x: eqx.partition(x, eqx.is_array), lambda x: (eqx.filter(x, eqx.is_array),)):
        for left, right in zip(split(of_numpy), split(of_jax)):
            assert tree_util.tree_structure(left) == tree_util.tree_structure(right)
    assert flat(eqx.partition(of_numpy, eqx.is_array)[1])[0] == "name"
    assert len(flat(eqx.partition(of_numpy, eqx.is_array)[0])) == 3

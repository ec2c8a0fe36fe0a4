"""The laws of `combine`, and its errors for trees that don't fit."""

import re

import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_trees import Pair, flat, map_tree, nodes, replace_at, same, trees

import equinox as eqx

pytestmark = pytest.mark.filters


def fill(tree, values):
    """Copy `tree` with other leaves."""
    values = iter(values)
    return map_tree(lambda _: next(values), tree)


@given(trees(st.integers()), trees(st.integers()), st.data())
def test_combine_any(a, b, data):
    """Two trees either fit and no leaf is lost, or the error names a place."""
    paths = [path for path, _ in nodes(a)]
    for other in (b, replace_at(map_tree(lambda x: None, a), data.draw(st.sampled_from(paths)), b)):
        try:
            combined = eqx.combine(a, other)
        except ValueError as error:
            assert re.search("At `tree(.*?)` expected", str(error)).group(1) in paths
        else:
            assert len(flat(a)) <= len(flat(combined)) <= len(flat(a)) + len(flat(other))


@given(trees(st.integers()), st.integers(1, 4), st.data())
def test_combine_takes_the_first(tree, number, data):
    """Each place gets the first leaf that isn't `None`, for any number of trees."""
    size = len(flat(tree))
    values = [
        data.draw(st.lists(st.one_of(st.none(), st.text(max_size=1)), min_size=size, max_size=size))
        for _ in range(number)
    ]
    first = [next((x for x in column if x is not None), None) for column in zip(*values)]
    assert same(eqx.combine(*(fill(tree, x) for x in values)), fill(tree, first))


def test_combine_keeps_what_is_false():
    """Only `None` is left out. Arrays are never compared."""
    array = jnp.zeros(3)
    assert eqx.combine([0, False, "", None], [1, 1, 1, 1]) == [0, False, "", 1]
    assert eqx.combine([array, None], [array, array]) == [array, array]


def test_combine_is_leaf():
    """`is_leaf` makes leaves of nodes. Such a node is taken as a whole."""
    is_list = lambda x: isinstance(x, list)  # noqa: E731
    assert eqx.combine({"a": [1, None], "b": None}, {"a": [2], "b": [3]}, is_leaf=is_list) == {"a": [1, None], "b": [3]}


COMBINE_MISMATCHES = {
    "none for a subtree": (
        [1, [2, 3]],
        [1, None],
        r"number 0 and number 1 differ. At `tree\[1\]` expected a `list`, got `None`",
    ),
    "after a none": ((None, [1]), (1, (1,)), r"At `tree\[1\]` expected a `list`, got a `tuple`"),
    "static data": (
        [Pair(1, 2)],
        [Pair(1, 2, "couple")],
        r"At `tree\[0\]` expected a `Pair` with `name='pair'`, got a `Pair` with `name='couple'`",
    ),
    "keys": (
        {"a": 1},
        {"a": 1, "b": None},
        r"At `tree` expected a `dict` with `\['a'\]`, got a `dict` with `\['a'\]`, `\['b'\]`",
    ),
}


@pytest.mark.parametrize("name", COMBINE_MISMATCHES)
def test_combine_mismatch_names_the_place(name):
    """Trees of different structures are an error. It names the place and the tree."""
    left, right, message = COMBINE_MISMATCHES[name]
    with pytest.raises(ValueError, match="`combine` expects trees of the same structure.*" + message):
        eqx.combine(left, right)
    with pytest.raises(ValueError, match="number 0 and number 2 differ"):
        eqx.combine(left, left, right)


def test_combine_mismatch_with_is_leaf():
    """Nodes that `is_leaf` makes leaves of may differ. The error names a place that may not differ."""
    is_list = lambda x: isinstance(x, list)  # noqa: E731
    with pytest.raises(ValueError, match=r"At `tree\['b'\]` expected a leaf \(`int` 1\), got a `tuple`"):
        eqx.combine({"a": [1, 2], "b": 1}, {"a": [3], "b": (1,)}, is_leaf=is_list)


def test_combine_nothing():
    """To combine no trees is an error."""
    with pytest.raises(ValueError, match="`combine` expects at least one tree, got none"):
        eqx.combine()

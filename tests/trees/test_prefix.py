"""The value that a prefix has for each leaf of a tree. `None` is a value too. See also `test_filter_specs`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import tree_util
from random_trees import Pair, children, flat, rebuild, trees

from equinox._trees.prefix import values_of_leaves


def is_value(x):
    return x is None or isinstance(x, int)


def values(prefix, tree):
    leaves, treedef = tree_util.tree_flatten(tree)
    return values_of_leaves(prefix, leaves, treedef, is_value, "prefix", "an int")


@given(trees(st.text(max_size=2)), st.data())
def test_a_value_or_a_function_holds_for_all_leaves_below_it(tree, data):
    """A prefix is made by hand from a random tree: some nodes are replaced by a value or a function.

    All leaves below get its value.
    """
    expected = []

    def cut(node):
        below = children(node)
        value = data.draw(st.one_of(st.none(), st.integers(0, 9), st.just(len)))
        if below is None or data.draw(st.booleans()):
            expected.extend([len(x) if value is len else value for x in flat(node)])
            return value
        return rebuild(node, [cut(child) for _, child in below])

    assert values(cut(tree), tree) == expected


def test_what_is_no_prefix_gives_nothing():
    """The result is `None` if the structures don't fit."""
    for prefix, tree in [((1,), (1, 2)), ([1, 2], (1, 2)), ({"a": 1}, {"b": 1}), (Pair(1, (2,)), Pair(1, 2))]:
        assert values(prefix, tree) is None


def test_a_leaf_that_is_no_value_is_named():
    """The error names the path, what was expected and what came."""
    with pytest.raises(TypeError, match=r"`prefix\['a'\]\[1\]` must be an int, got `str` 'x'"):
        values({"a": (1, "x")}, {"a": (1, 2)})

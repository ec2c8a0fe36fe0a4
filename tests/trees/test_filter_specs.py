"""What a `filter_spec` may be, and the errors for one that doesn't fit the tree."""

import re
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import tree_util
from random_trees import NUMPY_ARRAYS, Pair, Point, flat, map_tree, nodes, replace_at, same, trees

import equinox as eqx
from equinox._trees.predicates import is_jax_array

pytestmark = pytest.mark.filters


def test_module_as_spec_is_a_tree():
    """A module of bools is a spec like any tree, although it can be called. It may be a part of another spec."""
    model = Pair(jnp.ones(2), Pair("a", 1))
    spec = tree_util.tree_map(lambda _: False, model)
    assert callable(spec)
    assert flat(eqx.filter(model, spec)) == []
    spec = eqx.tree_at(lambda m: m.second.first, spec, True)
    assert flat(eqx.filter(model, spec)) == ["a"]
    assert flat(eqx.filter([model, 2], [spec, False])) == ["a"]
    assert flat(eqx.filter(model, Pair(False, True))) == ["a", 1]


class Chooser(eqx.Module):
    chosen: Any = 1

    def __call__(self, leaf):
        return leaf == self.chosen

    def chooses(self, leaf):
        return leaf == self.chosen


class Plain:
    def chooses(self, leaf):
        return leaf == 2


def test_bound_method_as_spec_is_a_function():
    """A bound method is a function from a leaf to a bool, although it is a pytree."""
    chooser = Chooser(2)
    for spec in (chooser.chooses, chooser.__call__, Plain().chooses, [2].__contains__):
        assert eqx.filter({"a": 1, "b": [2]}, spec) == {"a": None, "b": [2]}
        assert eqx.filter([[1, 2], [1, 2], 2], [spec, True, spec]) == [[None, 2], [1, 2], 2]


def test_bound_method_as_tree():
    """A bound method is a pytree. It can be split by a function, or by a tree of the same structure."""
    method = Pair(jnp.ones(2), "a").__call__
    selected, others = eqx.partition(method, eqx.is_array)
    assert tree_util.tree_leaves(others) == ["a"]
    assert eqx.combine(selected, others)(0) is method.__self__.first
    spec = tree_util.tree_map(eqx.is_array, method)
    assert tree_util.tree_leaves(eqx.filter(method, spec, inverse=True)) == ["a"]


@pytest.mark.parametrize("wrap", [eqx.filter_jit, tree_util.Partial])
def test_wrapped_function_as_spec(wrap):
    """A `Partial` and what a transformation returns are functions, although they are pytrees."""
    spec = wrap(lambda leaf: leaf == 2)
    assert eqx.filter({"a": 1, "b": [2]}, spec) == {"a": None, "b": [2]}
    assert eqx.filter([[1, 2], [1, 2], 2], [spec, True, spec]) == [[None, 2], [1, 2], 2]


@pytest.mark.parametrize("wrap", [lambda model: model.__call__, eqx.filter_grad, tree_util.Partial])
def test_tree_like_a_function_as_part_of_a_spec(wrap):
    """`tree_map` makes a tree of bools or functions of such a function. It is a tree, although it can be called."""
    function = wrap(Chooser(jnp.ones(2)))
    spec = tree_util.tree_map(eqx.is_array, function)
    for tree in (spec, tree_util.tree_map(lambda _: eqx.is_array, function)):
        selected, others = eqx.partition([function, [1, 2]], [tree, False])
        assert tree_util.tree_structure([function, [None, None]]) == tree_util.tree_structure(selected)
        assert tree_util.tree_leaves(others) == [1, 2]
    assert eqx.jitf(lambda f, x: x[0] + 1, filter_tree=(spec, True))(function, [1, 2]) == 2


def test_callable_node_as_spec():
    """A callable pytree is a tree. If it doesn't have the structure of `tree`, this is an error."""
    with pytest.raises(ValueError, match="`filter_spec` must have the structure of `tree`"):
        eqx.filter([1, 2], Chooser())


def test_none_in_spec():
    """`None` in a spec fits `None` in the tree, and nothing else. This is the same on every JAX."""
    tree = {"a": None, "b": 1, "c": [[], None]}
    assert eqx.filter(tree, {"a": None, "b": True, "c": [[], None]}) == tree
    assert eqx.filter(tree, {"a": None, "b": True, "c": None}) == tree
    for spec in ({"a": None, "b": None, "c": True}, {"a": True, "b": None, "c": None}):
        with pytest.raises(
            TypeError, match=r"`filter_spec\['b'\]` must be a bool or a function .* got `NoneType` None"
        ):
            eqx.filter(tree, spec)
    with pytest.raises(TypeError, match=r"`filter_spec` must be a bool or a function .* got `NoneType` None"):
        eqx.partition(tree, None)


MISMATCHES = {
    "fewer items": ([1, 2], [True], r"At `tree` expected a `list` with `\[0\]`, `\[1\]`, got a `list` with `\[0\]`"),
    "another type": (
        {"a": [1, (2,)]},
        {"a": [True, [True]]},
        r"At `tree\['a'\]\[1\]` expected a `tuple`, got a `list`",
    ),
    "other keys": (
        {"a": {"b": 1}},
        {"a": {"c": True}},
        r"At `tree\['a'\]` expected a `dict` with `\['b'\]`, got .*'c'",
    ),
    "deeper": (
        [1, {"a": 2}],
        [True, {"a": [True]}],
        r"At `tree\[1\]\['a'\]` expected a leaf \(`int` 2\), got a `list`",
    ),
    "static data": (
        Pair(1, Pair(2, 3)),
        Pair(True, Pair(True, True, "couple")),
        r"At `tree.second` expected a `Pair` with `name='pair'`, got a `Pair` with `name='couple'`",
    ),
    "after a prefix": (  # a leaf of the spec fits any subtree
        [[1, 2], {"a": 1}, None, Point(1, (2,))],
        [True, len, True, Point(False, ())],
        r"At `tree\[3\].y` expected a `tuple` with `\[0\]`, got a `tuple` with no children",
    ),
    "after a bound method": (
        [[1, 2], (3,)],
        [Chooser().chooses, [True]],
        r"At `tree\[1\]` expected a `tuple`, got a `list`",
    ),
    "node where there is None": ([1, None], [True, [True]], r"At `tree\[1\]` expected `None`, got a `list`"),
    "array": (
        (jnp.ones(2), [1]),
        ([True], True),
        r"At `tree\[0\]` expected a leaf \(`\w+` float32\[2\]\), got a `list`",
    ),
}


@pytest.mark.parametrize("name", MISMATCHES)
def test_mismatch_names_the_place(name):
    """A spec that is no prefix of the tree is an error. It names the place where they differ."""
    tree, spec, message = MISMATCHES[name]
    for function in (eqx.filter, eqx.partition):
        with pytest.raises(ValueError, match="`filter_spec` must have the structure .*" + message):
            function(tree, spec)


def test_mismatch_below_is_leaf():
    """A spec can't be deeper than the tree that `is_leaf` defines."""
    is_list = lambda x: isinstance(x, list)  # noqa: E731
    with pytest.raises(ValueError, match=r"At `tree\['a'\]` expected a leaf \(`list` \[1, 2\]\), got a `list`"):
        eqx.filter({"a": [1, 2], "b": 1}, {"a": [True, False], "b": True}, is_leaf=is_list)


@pytest.mark.parametrize(
    "leaf", [1, "yes", 0.0, np.ones(2), NUMPY_ARRAYS[0], np.array(True), jnp.array(True), object()]
)
def test_wrong_spec_leaf(leaf):
    """A spec holds only bools and functions. The error names any other leaf."""
    name = "Array" if is_jax_array(leaf) else type(leaf).__name__
    with pytest.raises(TypeError, match=r"`filter_spec\['a'\]\[1\]` must be a bool or a function .* `{}`".format(name)):
        eqx.filter({"a": [1, 2]}, {"a": [True, leaf]})
    with pytest.raises(TypeError, match=r"`filter_spec\[2\]` must be a bool or a function"):
        eqx.filter([None, 1, 2], [None, True, leaf])
    with pytest.raises(TypeError, match=r"`filter_spec\[1\]` must be a bool or a function"):
        eqx.partition([1, [2, 3]], [True, leaf])
    with pytest.raises(TypeError, match=r"`filter_spec\[0\]` must be a bool or a function"):
        eqx.filter([[], 1], [leaf, True])  # this is an error although the subtree has no leaves
    with pytest.raises(TypeError, match=r"`filter_spec` must be a bool or a function"):
        eqx.filter([1, 2], leaf)


@given(trees(), trees(st.booleans()), st.data())
def test_any_spec(tree, other, data):
    """A random spec either fits, or the error names a place in the tree or in the spec."""
    paths = [path for path, _ in nodes(tree)]
    for spec in (other, replace_at(map_tree(lambda x: True, tree), data.draw(st.sampled_from(paths)), other)):
        try:
            selected, others = eqx.partition(tree, spec)
        except ValueError as error:
            assert re.search("At `tree(.*?)` expected", str(error)).group(1) in paths
        except TypeError as error:
            path = re.match(r"`filter_spec(.*?)` must be a bool .* got `NoneType` None", str(error)).group(1)
            assert (path, None) in nodes(spec)
        else:
            assert same(eqx.combine(selected, others), tree)

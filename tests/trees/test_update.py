"""`apply_updates`: one step of training, against adding by hand."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import tree_util
from random_trees import (
    Pair,
    Point,
    children,
    deep,
    each_wrap,
    map_tree,
    nodes,
    path_down,
    rebuild,
    replace_at,
    room_for,
    same,
    trees,
)

import equinox as eqx


@pytest.mark.none_gradients
@given(trees(st.integers()), st.data())
def test_adds_leaf_by_leaf(model, data):
    """Each leaf gets what is added to it; where there is `None`, for a leaf or a subtree, all stays as it was."""

    def updates_and_expected(model):
        if data.draw(st.integers(0, 4)) == 0:
            return None, model
        below = children(model)
        if below is None:
            update = data.draw(st.integers())
            return update, model + update
        pairs = [updates_and_expected(child) for _, child in below]
        return rebuild(model, [u for u, _ in pairs]), rebuild(model, [e for _, e in pairs])

    updates, expected = updates_and_expected(model)
    assert same(eqx.apply_updates(model, updates), expected)


@pytest.mark.none_gradients
@given(trees())
def test_none_changes_nothing(model):
    """Without updates the model comes back, whatever its leaves."""
    assert same(eqx.apply_updates(model, map_tree(lambda x: None, model)), model)
    assert same(eqx.apply_updates(model, None), model)


def test_kinds_of_leaves():
    """The sum is what `+` makes of it."""
    x = jnp.arange(3.0)
    new = eqx.apply_updates([x, np.ones(2), 1, 1.5, "a", x], [x, jnp.ones(2), 2, 2, "b", None])
    assert isinstance(new[1], jnp.ndarray)
    np.testing.assert_array_equal(new[0], [0, 2, 4])
    np.testing.assert_array_equal(new[1], [2, 2])
    assert new[2:5] == [3, 3.5, "ab"]
    assert new[5] is x
    assert eqx.apply_updates(jnp.ones(2, jnp.bfloat16), jnp.ones(2, jnp.bfloat16)).dtype == jnp.bfloat16
    assert eqx.apply_updates(1, 2) == 3


def test_model_is_not_changed():
    """The model stays as it is, also where it holds what can be changed in place."""
    array = np.ones(2)
    model = {"a": [array]}
    new = eqx.apply_updates(model, {"a": [np.ones(2)]})
    np.testing.assert_array_equal(new["a"][0], [2, 2])
    np.testing.assert_array_equal(array, [1, 1])
    assert model["a"][0] is array
    assert new["a"] is not model["a"]


MISMATCHES = {
    "fewer items": (
        [1, 2],
        [1],
        r"`model` the model has a `list` with `\[0\]`, `\[1\]`, the updates have a `list` with `\[",
    ),
    "another type": ({"a": (1,)}, {"a": [1]}, r"`model\['a'\]` the model has a `tuple`, the updates have a `list`"),
    "other keys": (Pair({"a": 1}, 2), Pair({"b": 1}, 2), r"`model.first` the model has a `dict` with `\['a'\]`"),
    "deeper": (Pair(1, 2), Pair([1], 2), r"`model.first` the model has a leaf \(`int` 1\), the updates have a `list`"),
    "leaf above a subtree": (
        [jnp.ones(2), [1, 2]],
        [None, 1],
        r"`model\[1\]` the model has a `list`, .* a leaf \(`int` 1\)",
    ),
    "array above a list": (
        [1, [2, 3]],
        [1, np.ones(2)],
        r"`model\[1\]` .* a `list`, .* a leaf \(`ndarray` float64\[2\]\)",
    ),
    "leaf where there is None": ([1, None], [1, 2], r"`model\[1\]` the model has `None`, the updates have a leaf"),
    "node where there is None": ([1, None], [1, ()], r"`model\[1\]` the model has `None`, the updates have a `tuple`"),
    "static data": (
        [Pair(1, 2)],
        [Pair(1, 2, "b")],
        r"`model\[0\]` the model has a `Pair`, .* a `Pair` whose static data",
    ),
    "after a None": (
        [[1, 2], {"a": 1}, Point(1, (2,)), 3],
        [None, None, Point(None, [2]), 3],
        r"`model\[2\].y` the model has a `tuple`, the updates have a `list`",
    ),
}


@pytest.mark.parametrize("name", MISMATCHES)
def test_mismatch_names_the_place(name):
    """Updates of another structure are an error, which names where: nothing is broadcast over a subtree."""
    model, updates, message = MISMATCHES[name]
    with pytest.raises(ValueError, match="`apply_updates` expects .* At " + message):
        eqx.apply_updates(model, updates)


@given(trees(st.integers()), trees(st.integers()), st.data())
def test_any_updates(model, other, data):
    """Updates either fit or are an error that names a place in the model."""
    paths = [path for path, _ in nodes(model)]
    for updates in (other, replace_at(model, data.draw(st.sampled_from(paths)), other)):
        try:
            new = eqx.apply_updates(model, updates)
        except ValueError as error:
            assert re.search("At `model(.*?)` the model has", str(error)).group(1) in paths
        else:
            assert tree_util.tree_structure(new) == tree_util.tree_structure(model)


def test_on_traced_arrays(run):
    """Eagerly, under `jit` and under `vmap`."""

    def function(x, u):
        new = eqx.apply_updates(Pair(x, {"text": "a", "y": x}), Pair(u, {"text": None, "y": None}))
        assert new.second["text"] == "a"
        return new.first, new.second["y"]

    first, second = run(function, jnp.arange(3.0), jnp.ones(3))
    np.testing.assert_array_equal(first, [1, 2, 3])
    np.testing.assert_array_equal(second, [0, 1, 2])


class Linear(eqx.Module):
    weight: jnp.ndarray
    bias: jnp.ndarray
    frozen: jnp.ndarray
    name: str

    def __call__(self, x):
        return x @ self.weight + self.bias + self.frozen


X = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5], [-1.0, 1.0]], np.float32)
Y = np.array([1.0, -2.0, 0.5, 3.0], np.float32)


def train(optimiser, steps):
    """Train the weight and the bias, by JAX's own gradient of the part that is to be trained."""

    @jax.jit
    def step(part, rest, state):
        gradients = jax.grad(lambda part: jnp.mean((eqx.combine(part, rest)(X) - Y) ** 2))(part)
        updates, state = optimiser.update(gradients, state)
        return eqx.apply_updates(part, updates), state

    model = Linear(jnp.zeros(2), jnp.array(0.0), jnp.array(0.5), "linear")
    arrays, others = eqx.partition(model, eqx.is_array)
    part, rest = eqx.partition(arrays, Linear(True, True, False, None))
    state = optimiser.init(part)
    for _ in range(steps):
        part, state = step(part, rest, state)
    return eqx.combine(part, rest, others)


@pytest.mark.none_gradients
def test_training_with_sgd():
    """Gradient descent by Optax, against the formula in NumPy; what isn't trained stays the same object."""
    weight, bias = np.zeros(2), 0.0
    for _ in range(20):
        error = X @ weight + bias + 0.5 - Y
        weight, bias = weight - 0.1 * 2 * error @ X / 4, bias - 0.1 * 2 * error.mean()
    model = train(optax.sgd(0.1), 20)
    np.testing.assert_allclose(model.weight, weight, rtol=1e-4)
    np.testing.assert_allclose(model.bias, bias, rtol=1e-4)
    assert float(model.frozen) == 0.5
    assert model.name == "linear"


@pytest.mark.none_gradients
def test_training_with_adam():
    """An optimiser with a state of its own comes to the same end as solving the equations."""
    model = train(optax.adam(0.1), 400)
    solution, *_ = np.linalg.lstsq(np.c_[X, np.ones(4)], Y - 0.5, rcond=None)
    np.testing.assert_allclose(np.append(model.weight, model.bias), solution, atol=1e-2)


@each_wrap
def test_deep_trees(wrap):
    """Trees deeper than Python's recursion are no harder; nor is the message about one."""
    with room_for(1100):
        tree = deep(1100, wrap, 1)
        assert tree_util.tree_leaves(eqx.apply_updates(tree, tree)) == [2] * 1101
        with pytest.raises(ValueError) as caught:
            eqx.apply_updates(tree, deep(1100, wrap, [1]))
        path = "model" + path_down(1100, wrap)
        assert "At `{}` the model has a leaf (`int` 1), the updates have a `list`".format(path) in str(caught.value)


@pytest.mark.parametrize("leaf, update", [("text", 1), (jnp.ones(3), jnp.ones(2))], ids=["string", "shapes"])
def test_what_cannot_be_added_is_named(leaf, update):
    with pytest.raises(TypeError, match=r"`apply_updates` can't add to the leaf `model\['a'\]\[1\]`"):
        eqx.apply_updates({"a": [1, leaf], "b": 2}, {"a": [1, update], "b": None})

"""`apply_updates`, against additions by hand."""

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
    each_container,
    map_tree,
    nest,
    nodes,
    path_of_nested,
    rebuild,
    recursion_limit_for,
    replace_at,
    same,
    trees,
)

import equinox as eqx


@pytest.mark.none_gradients
@given(trees(st.integers()), st.data())
def test_adds_leaf_by_leaf(model, data):
    """Each leaf becomes its sum with the update. If the update of a leaf or subtree is `None`, it doesn't change."""

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
    """If all updates are `None`, the model is returned with the same leaves."""
    assert same(eqx.apply_updates(model, map_tree(lambda x: None, model)), model)
    assert same(eqx.apply_updates(model, None), model)


def test_kinds_of_leaves():
    """The sum is what `+` returns."""
    x = jnp.arange(3.0)
    new = eqx.apply_updates([x, np.ones(2), 1, 1.5, "a", x], [x, jnp.ones(2), 2, 2, "b", None])
    assert isinstance(new[1], jnp.ndarray)
    np.testing.assert_array_equal(new[0], [0, 2, 4])
    np.testing.assert_array_equal(new[1], [2, 2])
    assert new[2:5] == [3, 3.5, "ab"]
    assert new[5] is x
    assert eqx.apply_updates(jnp.ones(2, jnp.bfloat16), jnp.ones(2, jnp.bfloat16)).dtype == jnp.bfloat16
    assert eqx.apply_updates(1, 2) == 3


FLOATING = [jnp.bfloat16, jnp.float16, jnp.float32]


@pytest.mark.parametrize("update", [*FLOATING, jnp.int32, bool, np.float64], ids=lambda x: np.dtype(x).name)
@pytest.mark.parametrize("leaf", [*FLOATING, jnp.complex64], ids=lambda x: np.dtype(x).name)
def test_inexact_arrays_keep_their_dtype(leaf, update):
    """A floating-point or complex array keeps its dtype. The sum is rounded once, from the wider dtype."""
    x, u = np.array([1.0, 2.0, -3.0]), np.array([1.0, 0.0, 1.0])
    for make_update in (jnp.array, np.array):
        u_array = make_update(u.astype(update))
        for make_leaf in (jnp.array, np.array):
            if make_leaf is make_update is np.array and jnp.bfloat16 in (leaf, update):
                continue  # NumPy can't add bfloat16 to some dtypes
            new = eqx.apply_updates({"w": make_leaf(x.astype(np.float32), leaf)}, {"w": u_array})["w"]
            assert new.dtype == leaf
            assert isinstance(new, jnp.ndarray if jnp.array in (make_leaf, make_update) else np.ndarray)
            np.testing.assert_array_equal(
                np.asarray(new).astype(np.complex64 if leaf == jnp.complex64 else np.float32), x + u
            )
    new = eqx.apply_updates(jnp.ones((), leaf), 0.5)
    assert new.dtype == leaf and new == 1.5


def test_update_of_higher_precision_is_rounded_once():
    """The update isn't rounded before it is added."""
    tiny = 2.0**-8  # half the distance from 1 to the next bfloat16
    model, update = jnp.ones(2, jnp.bfloat16), jnp.array([1 + tiny + 2.0**-20, 1 + tiny - 2.0**-20])
    new = eqx.apply_updates(model, update)
    np.testing.assert_array_equal(
        np.asarray(new, np.float32), np.asarray((model + update).astype(jnp.bfloat16), np.float32)
    )


def test_numpy_keeps_its_dtype():
    """NumPy arrays and scalars keep their dtype if JAX has it. They don't become JAX arrays by themselves."""
    for leaf in (np.ones(2, np.float32), np.float32(1), np.float16(1), np.complex64(1), np.float64(1)):
        new = eqx.apply_updates([leaf], [np.asarray(leaf, np.complex128 if np.iscomplexobj(leaf) else np.float64)])[0]
        assert new.dtype == leaf.dtype and isinstance(new, (np.ndarray, np.generic))
        np.testing.assert_array_equal(new, 2 * leaf)
    assert eqx.apply_updates(np.ones(2), jnp.ones(2)).dtype == jnp.float32  # without x64, JAX has no float64


def test_everything_else_is_the_sum():
    """For integers, bools and Python numbers, the result is what `+` returns."""
    new = eqx.apply_updates([jnp.arange(2), np.arange(2), 1, 1.5, True], [0.5, 0.5, 0.5, jnp.ones(2, jnp.bfloat16), 1])
    assert [getattr(x, "dtype", type(x)) for x in new] == [jnp.float32, np.float64, float, jnp.bfloat16, int]


def test_dtype_is_kept_inside_jit_and_a_step_is_not_compiled_again():
    """A step with a model of bfloat16 and updates of float32 is compiled once."""
    traces = []

    @jax.jit
    def step(model, update):
        traces.append(1)
        return eqx.apply_updates(model, update)

    model, update = (
        {"w": jnp.ones(2, jnp.bfloat16), "b": jnp.ones(2)},
        {"w": jnp.ones(2), "b": jnp.ones(2, jnp.bfloat16)},
    )
    for _ in range(3):
        model = step(model, update)
    assert len(traces) == 1
    assert model["w"].dtype == jnp.bfloat16 and model["w"].tolist() == [4.0, 4.0] == model["b"].tolist()


def test_model_is_not_changed():
    """The model doesn't change, even if it holds NumPy arrays and lists."""
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
        r"`model\[0\]` the model has a `Pair` with `name='pair'`, .* a `Pair` with `name='b'`",
    ),
    "after a None": (
        [[1, 2], {"a": 1}, Point(1, (2,)), 3],
        [None, None, Point(None, [2]), 3],
        r"`model\[2\].y` the model has a `tuple`, the updates have a `list`",
    ),
}


@pytest.mark.parametrize("name", MISMATCHES)
def test_mismatch_names_the_place(name):
    """Updates of another structure are an error. It names the place. Nothing is broadcast over a subtree."""
    model, updates, message = MISMATCHES[name]
    with pytest.raises(ValueError, match="`apply_updates` expects .* At " + message):
        eqx.apply_updates(model, updates)


@given(trees(st.integers()), trees(st.integers()), st.data())
def test_any_updates(model, other, data):
    """Random updates either fit, or the error names a place in the model."""
    paths = [path for path, _ in nodes(model)]
    for updates in (other, replace_at(model, data.draw(st.sampled_from(paths)), other)):
        try:
            new = eqx.apply_updates(model, updates)
        except ValueError as error:
            assert re.search("At `model(.*?)` the model has", str(error)).group(1) in paths
        else:
            assert tree_util.tree_structure(new) == tree_util.tree_structure(model)


def test_on_traced_arrays(run):
    """The result is the same eagerly, under `jit` and under `vmap`."""

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
    """Train the weight and the bias with JAX's own gradient of these parts."""

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
    """Optax's gradient descent gives what the formula in NumPy gives. What isn't trained stays the same object."""
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
    """Adam, which has a state, finds the solution of the linear equations."""
    model = train(optax.adam(0.1), 400)
    solution, *_ = np.linalg.lstsq(np.c_[X, np.ones(4)], Y - 0.5, rcond=None)
    np.testing.assert_allclose(np.append(model.weight, model.bias), solution, atol=1e-2)


@each_container
def test_deep_trees(wrap):
    """Trees may be deeper than Python's limit of recursion. This holds for the error message too."""
    with recursion_limit_for(1100):
        tree = nest(1100, wrap, 1)
        assert tree_util.tree_leaves(eqx.apply_updates(tree, tree)) == [2] * 1101
        with pytest.raises(ValueError) as caught:
            eqx.apply_updates(tree, nest(1100, wrap, [1]))
        path = "model" + path_of_nested(1100, wrap)
        assert "At `{}` the model has a leaf (`int` 1), the updates have a `list`".format(path) in str(caught.value)


CANNOT_BE_ADDED = {
    "string": ("text", 1, TypeError, "can only concatenate"),
    "shapes": (jnp.ones(3), jnp.ones(2), (TypeError, ValueError), "[Ii]ncompatible shapes"),
    "shapes of NumPy": (np.ones(3), np.ones(2), ValueError, "broadcast"),
    "complex update": (jnp.ones(2), jnp.ones(2) * 1j, TypeError, "the sum is complex, and the leaf is real"),
    "complex number": (np.ones(2, np.float32), 1j, TypeError, "the sum is complex, and the leaf is real"),
    "no gradient": (jnp.arange(2), np.zeros(2, jax.dtypes.float0), TypeError, "float0"),
    "function": (jax.nn.relu, jnp.ones(2), TypeError, ""),
}


@pytest.mark.parametrize("name", CANNOT_BE_ADDED)
def test_what_cannot_be_added_is_named(name):
    """The error has the path of the leaf, the leaf and the update."""
    leaf, update, error, message = CANNOT_BE_ADDED[name]
    with pytest.raises(error, match=r"can't add the update .* to the leaf `model\['a'\]\[1\]`.*" + message):
        eqx.apply_updates({"a": [1, leaf], "b": 2}, {"a": [1, update], "b": None})

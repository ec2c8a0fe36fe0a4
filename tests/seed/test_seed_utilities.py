"""The fourth part of the seed's text: `apply_updates`, `tree_at` and `tree_equal`."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import tree_util

import equinox as eqx


class Layer(eqx.Module):
    linear: Any
    flag: Any = True


class Model(eqx.Module):
    layers: Any
    extra: Any = None


@pytest.fixture
def model():
    return Model([Layer(eqx.nn.Linear(2, 2, key=jax.random.PRNGKey(i))) for i in range(2)], "extra")


def last_weight(model):
    return model.layers[-1].linear.weight


def weight_and_bias(model):
    return model.layers[0].linear.weight, model.layers[0].linear.bias


# apply_updates


def test_signatures():
    """The signatures of the three begin as in the text. `tree_equal` has more options, as keywords."""
    assert list(inspect.signature(eqx.apply_updates).parameters) == ["model", "updates"]
    at = inspect.signature(eqx.tree_at).parameters
    assert list(at)[:4] == ["where", "pytree", "replace", "replace_fn"]
    assert {at[name].kind for name in list(at)[:4]} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
    assert at["replace"].default is at["replace_fn"].default is not inspect.Parameter.empty
    first, *added = inspect.signature(eqx.tree_equal).parameters.values()
    assert first.kind is inspect.Parameter.VAR_POSITIONAL
    assert all(x.kind is inspect.Parameter.KEYWORD_ONLY and x.default is not x.empty for x in added)


def test_apply_updates_adds():
    """`apply_updates` gives the same as `tree_map(lambda m, u: m + u, model, updates)`, for any leaves."""
    model = {"a": jnp.arange(3.0), "b": (1, 2.0, [np.arange(2)]), "c": "text"}
    updates = {"a": jnp.ones(3), "b": (10, 0.5, [np.ones(2, int)]), "c": " and text"}
    expected = tree_util.tree_map(lambda m, u: m + u, model, updates)
    assert eqx.tree_equal(eqx.apply_updates(model, updates), expected)


def test_apply_updates_makes_no_update_where_there_is_none(model):
    """If an update is `None`, nothing changes there: at a leaf or at a whole subtree."""
    nothing = tree_util.tree_map(lambda _: None, model)
    updates = eqx.tree_at(weight_and_bias, nothing, (jnp.ones((2, 2)), None))
    updated = eqx.apply_updates(model, updates)
    np.testing.assert_allclose(updated.layers[0].linear.weight, model.layers[0].linear.weight + 1)
    assert updated.layers[0].linear.bias is model.layers[0].linear.bias
    assert updated.layers[1].linear.weight is last_weight(model)
    assert updated.layers[0].flag is True
    assert eqx.apply_updates(model, None) is model
    assert eqx.apply_updates([model, 1], [None, 2]) == [model, 3]


def test_apply_updates_mutates_nothing():
    """The updated model is returned. `model` is not changed in place."""
    array, inner = np.zeros(2), [1.0]
    model = {"array": array, "inner": inner}
    updated = eqx.apply_updates(model, {"array": np.ones(2), "inner": [1.0]})
    assert updated["inner"] == [2.0] and inner == [1.0]
    assert updated["array"].tolist() == [1, 1] and array.tolist() == [0, 0]
    assert model["array"] is array and model["inner"] is inner


@pytest.mark.parametrize("updates", [{"a": 1}, {"a": 1, "b": [2, 3]}, [1, 2], {"a": 1, "b": 2}], ids=str)
def test_updates_must_have_the_structure_of_the_model(updates):
    """`updates` must be a pytree with the same structure as `model`."""
    with pytest.raises(ValueError, match="`updates` to have the structure of `model`"):
        eqx.apply_updates({"a": 1, "b": [2]}, updates)


@pytest.mark.parametrize("optimiser", [optax.sgd(0.5), optax.adam(0.5)], ids=["sgd", "adam"])
def test_updates_come_from_an_optimiser(optimiser):
    """Usually an optimiser, such as Optax's `sgd` or `adam`, makes `updates` from the gradients."""
    model = {"weight": jnp.array([1.0, 2.0]), "flag": True}

    def loss(model):
        return jnp.sum(model["weight"] ** 2)

    gradient = eqx.gradf(loss, filter_fn=eqx.is_inexact_array)(model)
    state = optimiser.init(eqx.filter(model, eqx.is_inexact_array))
    updates, _ = optimiser.update(gradient, state)
    updated = eqx.apply_updates(model, updates)
    weight, plain_gradient = model["weight"], 2 * model["weight"]
    plain_updates, _ = optimiser.update(plain_gradient, optimiser.init(weight))
    np.testing.assert_allclose(updated["weight"], weight + plain_updates, rtol=1e-6)
    assert updated["flag"] is True


# tree_at


def test_tree_at_is_like_at_of_arrays():
    """`tree_at` returns a changed tree, as `.at` does for arrays. The old tree isn't changed."""
    tree, array = [0.0, 1.0, 2.0], jnp.arange(3.0)
    assert eqx.tree_at(lambda tree: tree[1], tree, 5.0) == array.at[1].set(5.0).tolist()
    assert tree == [0.0, 1.0, 2.0]


def test_tree_at_replaces_a_leaf(model):
    """`where` returns the leaf to replace, by attributes and indices. `replace` is the new leaf."""
    modified = eqx.tree_at(last_weight, model, "new")
    assert last_weight(modified) == "new"
    assert modified.layers[1].linear.bias is model.layers[1].linear.bias
    assert modified.layers[0].linear.weight is model.layers[0].linear.weight
    assert last_weight(model) is not last_weight(modified)


def test_tree_at_replaces_a_tuple_of_leaves(model):
    """`where` may return a tuple of leaves. Then `replace` is a tuple of the same length."""
    modified = eqx.tree_at(weight_and_bias, model, ("first", "second"))
    assert weight_and_bias(modified) == ("first", "second")
    swapped = eqx.tree_at(lambda tree: (tree["b"], tree["a"]), {"a": 1, "b": 2}, replace=(3, 4))
    assert swapped == {"a": 4, "b": 3}
    assert eqx.tree_at(lambda tree: (tree[0],), [1, 2], replace=(3,)) == [3, 2]


@pytest.mark.parametrize("replace", [(1,), (1, 2, 3), ()], ids=len)
def test_tree_at_refuses_another_length(model, replace):
    """If `replace` has another length than what `where` returns, it is a `ValueError`."""
    with pytest.raises(ValueError, match="2"):
        eqx.tree_at(weight_and_bias, model, replace)


@pytest.mark.parametrize("replace", [4, None], ids=str)
def test_tree_at_refuses_one_element_for_several(model, replace):
    """If `where` returns a tuple and `replace` is no sequence, it is a `TypeError`."""
    with pytest.raises(TypeError, match="`replace`"):
        eqx.tree_at(weight_and_bias, model, replace=replace)


def test_tree_at_replace_fn(model):
    """`replace_fn` is called on every leaf that is replaced. Its result is the new leaf."""
    seen = []

    def replace_fn(leaf):
        seen.append(leaf)
        return len(seen)

    modified = eqx.tree_at(weight_and_bias, model, replace_fn=replace_fn)
    assert weight_and_bias(modified) == (1, 2)
    assert [a is b for a, b in zip(seen, weight_and_bias(model))] == [True, True]
    doubled = eqx.tree_at(last_weight, model, replace_fn=lambda weight: 2 * weight)
    np.testing.assert_allclose(last_weight(doubled), 2 * last_weight(model))


def test_tree_at_takes_one_of_replace_and_replace_fn(model):
    """Exactly one of `replace` and `replace_fn` is needed. `None` is a replacement."""
    for arguments in ({}, {"replace": 1, "replace_fn": abs}, {"replace": None, "replace_fn": None}):
        with pytest.raises(ValueError, match="exactly one of `replace` and `replace_fn`"):
            eqx.tree_at(last_weight, model, **arguments)
    assert last_weight(eqx.tree_at(last_weight, model, None)) is None


def some_loss(model, x):
    return jnp.sum(model.layers[1].linear(model.layers[0].linear(x)))


def test_tree_at_specifies_what_to_train(model):
    """`tree_at` can specify the weights of a model to train, or not to train."""
    trainable = tree_util.tree_map(lambda _: False, model)
    trainable = eqx.tree_at(last_weight, trainable, replace=True)
    gradient = eqx.gradf(some_loss, filter_tree=trainable)(model, jnp.ones(2))
    hidden = model.layers[0].linear(jnp.ones(2))
    np.testing.assert_allclose(last_weight(gradient), jnp.stack([hidden, hidden]), rtol=1e-5)
    assert len(tree_util.tree_leaves(gradient)) == 1


def test_the_example_of_what_to_train_as_it_is_printed(model):
    """The printed example passes `model` instead of the tree of bools. The error names a leaf that is no bool."""
    trainable = eqx.tree_at(last_weight, model, replace=True)
    with pytest.raises(TypeError, match=r"filter_tree.*layers\[0\]\.linear\.weight"):
        eqx.gradf(some_loss, filter_tree=trainable)(model, jnp.ones(2))


# tree_equal


def test_tree_equal_takes_any_number_of_trees(model):
    """`tree_equal` is true if all trees are equal."""
    same = tree_util.tree_map(lambda x: x, model)
    other = eqx.tree_at(last_weight, model, replace_fn=lambda weight: weight + 1)
    assert eqx.tree_equal() is True
    assert eqx.tree_equal(model) is True
    assert eqx.tree_equal(model, same) is True
    assert eqx.tree_equal(model, same, same, model) is True
    for trees in [(model, other), (model, same, other), (other, model, same), (model, other, same)]:
        assert eqx.tree_equal(*trees) is False


ARRAYS = {
    "plain": np.array([1, 2], np.float32),
    "another shape": np.array([[1, 2]], np.float32),
    "another length": np.array([1, 2, 3], np.float32),
    "another dtype": np.array([1, 2], np.int32),
    "another value": np.array([1, 3], np.float32),
}


@pytest.mark.parametrize("convert", [np.array, jnp.asarray], ids=["numpy", "jax"])
@pytest.mark.parametrize("name", ARRAYS)
def test_tree_equal_of_arrays(name, convert):
    """All arrays must have the same shape, dtype and values."""
    assert eqx.tree_equal([convert(ARRAYS["plain"])], [convert(ARRAYS[name])]) is (name == "plain")


def test_jax_and_numpy_arrays_are_not_equal():
    """JAX arrays and NumPy arrays are not considered equal."""
    array = ARRAYS["plain"]
    assert eqx.tree_equal(jnp.asarray(array), array) is False
    assert eqx.tree_equal({"a": [array]}, {"a": [jnp.asarray(array)]}) is False
    assert eqx.tree_equal(array[0], jnp.asarray(array)[0]) is False


@pytest.mark.parametrize(
    "other", [[1, 2], (1, [2]), {"a": 1}, (1, 2, 3), (1, None), (1, "2"), (2, 1), Layer(1, 2)], ids=str
)
def test_tree_equal_compares_structure_and_other_leaves(other):
    """Equal trees have the same structure and equal leaves of any kind."""
    assert eqx.tree_equal((1, 2), other) is False
    assert eqx.tree_equal(other, tree_util.tree_map(lambda x: x, other)) is True

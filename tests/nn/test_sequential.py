"""`Sequential` calls its layers in order and splits its key."""

import copy
import functools as ft
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from modules import Unhashable

import equinox as eqx
from equinox.nn import Dropout, Identity, Linear, Sequential


def assert_close(got, expected, rtol=1e-4):
    np.testing.assert_allclose(np.asarray(got), np.asarray(expected), rtol=rtol, atol=1e-5)


class Recorder(eqx.Module):
    """A layer that takes a key and records it."""

    keys: list = eqx.field(default_factory=list)

    def __call__(self, x, *, key):
        self.keys.append(key)
        return x


def test_sequential_composes(run, getkey, draw):
    """The layers are called in their order.

    They may be modules, plain functions, JAX's functions or built-in functions.
    """
    first, second = Linear(2, 4, key=getkey()), Linear(4, 3, key=getkey())
    model = Sequential([first, jax.nn.relu, jnp.tanh, second, abs, lambda x: x + 1])
    x = draw(2)
    assert_close(run(model.__call__, x), jnp.abs(second(jnp.tanh(jax.nn.relu(first(x))))) + 1)
    assert_close(model(x, key=getkey()), model(x))


def test_sequential_of_nothing(getkey):
    """Without layers it is the identity."""
    x = object()
    assert Sequential([])(x) is x
    assert Sequential(())(x, key=getkey()) is x


def test_sequential_as_a_sequence(getkey):
    """It has a length, and can be iterated over, indexed and sliced. The layers are a tuple."""
    layers = [Linear(2, 4, key=getkey()), jax.nn.relu, Identity()]
    for model in (Sequential(layers), Sequential(tuple(layers)), Sequential(x for x in layers)):
        assert type(model.layers) is tuple
        assert len(model) == 3
        assert all(a is b for a, b in zip(model, layers))
        assert model[0] is layers[0]
        assert model[-1] is layers[-1]
        assert type(model[1:]) is Sequential
        assert list(model[1:]) == layers[1:]
        assert list(model[5:]) == []
        assert list(Sequential([])[:]) == []
        with pytest.raises(IndexError, match="`Sequential` has 3 layers, so it has no layer"):
            model[3]


def test_keys_are_split(getkey):
    """Each layer that takes a key gets its own. The same key gives the same keys."""
    model = Sequential([Recorder(), Identity(), Recorder(), Sequential([Recorder(), Recorder()])])
    key = getkey()
    model(1.0, key=key)
    recorders = [model[0], model[2], *model[3]]
    keys = [np.asarray(r.keys[0]) for r in recorders] + [np.asarray(key)]
    assert all(not np.array_equal(a, b) for i, a in enumerate(keys) for b in keys[:i])
    model(1.0, key=key)
    assert all(np.array_equal(*r.keys) for r in recorders)


def test_typed_keys():
    """Keys made by `jax.random.key` are split too, if JAX has them."""
    key = getattr(jrandom, "key", jrandom.PRNGKey)(0)
    model = Sequential([Dropout(0.5), Dropout(0.5)])
    assert jax.eval_shape(lambda key: model(jnp.ones(100), key=key), key).shape == (100,)


def takes_keyword(x, *, key=None):
    return key is not None


def takes_kwargs(x, **kwargs):
    return "key" in kwargs


def takes_either_way(x, key=None):
    return key is not None


def takes_none(x, seed=None):
    return seed is not None


def takes_varargs(*args):
    return len(args) != 1


def takes_only_key(key):
    return key is not True


@pytest.mark.parametrize(
    "layer,expected",
    [
        (takes_keyword, True),
        (takes_kwargs, True),
        (takes_either_way, True),
        (ft.partial(takes_keyword), True),
        (jax.jit(takes_keyword), True),
        (eqx.filter_jit(takes_keyword), True),
        (Sequential([takes_keyword]), True),
        (Sequential([takes_keyword]).__call__, True),
        (takes_none, False),
        (takes_varargs, False),
        (takes_only_key, False),
        (ft.partial(takes_keyword, key=None), True),  # the call overrides this default
    ],
)
def test_who_gets_a_key(layer, expected, getkey):
    """A layer gets `key=` if its signature has this name, also if it is wrapped.

    If the call has no key, no layer gets one.
    """
    assert bool(Sequential([layer])(True, key=getkey())) is expected
    assert bool(Sequential([layer])(True)) is False


def test_functions_without_signature(getkey):
    """`int` has no signature that Python can read. It gets no key."""
    assert Sequential([int, dict.fromkeys("ab").get, bool])("1", key=getkey()) is False


def test_activations_of_jax_get_none(getkey):
    """JAX's activations have many kinds of wrappers. None of them gets a key."""
    names = ["celu", "elu", "gelu", "log_softmax", "relu", "sigmoid", "softmax", "softplus", "swish"]
    activations = [getattr(jax.nn, name) for name in names] + [jnp.tanh, jnp.sin, jnp.abs, jnp.negative]
    x = jax.ShapeDtypeStruct((3,), jnp.float32)
    assert jax.eval_shape(lambda x, key: Sequential(activations)(x, key=key), x, getkey()).shape == (3,)


def test_dropout_in_sequential(getkey):
    """A `Dropout` inside works with a key, and needs one. `tree_at` switches it off."""
    model = Sequential([Identity(), Dropout(0.5), jnp.sin])
    x = jnp.ones(100)
    y = eqx.filter_jit(lambda model, x, key: model(x, key=key))(model, x, getkey())
    dropped = np.asarray(y) == 0
    assert 0 < dropped.sum() < 100
    assert_close(np.asarray(y)[~dropped], np.sin(2.0))
    with pytest.raises(ValueError, match="`Dropout` needs a PRNG key"):
        model(x)
    inference = eqx.tree_at(lambda m: m[1].deterministic, model, True)
    assert_close(inference(x), np.sin(np.ones(100)))


def test_sequential_is_a_pytree(getkey):
    """Its leaves are the arrays of the layers. It is differentiated like any tree."""
    model = Sequential([Linear(2, 4, key=getkey()), jnp.tanh, Linear(4, 3, key=getkey())])
    assert len(jax.tree_util.tree_leaves(eqx.filter(model, eqx.is_array))) == 4
    grads = eqx.gradf(lambda model, x: jnp.sum(model(x)), filter_fn=eqx.is_inexact_array)(model, jnp.ones(2))
    assert_close(grads[2].bias, np.ones(3))
    assert grads[1] is jnp.tanh
    bare = eqx.filter(grads, False)  # it can be sliced although it can't be called
    assert list(bare[1:]) == [jnp.tanh, bare[2]]
    assert jax.tree_util.tree_structure(grads[1:]) == jax.tree_util.tree_structure(model[1:])


def test_wrong_layers(getkey):
    """What isn't iterable is refused. An item that can't be called is refused, with its position."""
    linear = Linear(2, 4, key=getkey())
    with pytest.raises(TypeError, match=r"`Sequential` expects `layers\[1\]` to be a function, .* got 'relu'"):
        Sequential([linear, "relu"])
    with pytest.raises(TypeError, match=r"`layers\[2\]` .* got an array of shape \(3,\)"):
        Sequential([linear, linear, jnp.ones(3)])
    with pytest.raises(TypeError, match=r"`layers` to be a list or tuple .* `Sequential\(\[layer, ...\]\)`"):
        Sequential(linear)
    with pytest.raises(TypeError, match="`Sequential` expects `key` to be a PRNG key.* got 3"):
        Sequential([linear])(jnp.ones(2), key=3)

    def broken():
        yield linear
        raise TypeError("from the generator itself")

    with pytest.raises(TypeError, match="from the generator itself"):
        Sequential(broken())


def test_layer_without_leaves_is_data(getkey):
    """`Identity` is a node without leaves. So `tree_at` can replace it by another layer."""
    model = Sequential([Identity(), jnp.tanh])
    assert eqx.tree_at(lambda m: m[0], model, Linear(2, 2, key=getkey()))[0].weight.shape == (2, 2)


@pytest.mark.parametrize(
    "index", [slice(1, None), slice(None, None, -2), slice(0, 0), slice(None), slice(0, 1)], ids=str
)
def test_slice_keeps_what_is_structure(index, getkey):
    """A layer of a slice is structure or data as it was in the model. This also holds for a tree of gradients."""
    model = Sequential([jnp.tanh, Linear(2, 2, key=getkey()), abs, Unhashable()])
    leaves = [0, 2, 0, 1]  # of each layer
    functions = jax.tree_util.tree_map(lambda _: len, model)
    for tree in (model, functions, eqx.filter(model, False)):
        assert type(tree[index]) is Sequential and tree[index].layers == tree.layers[index]
    assert len(jax.tree_util.tree_leaves(model[index])) == sum(leaves[index])
    assert jax.tree_util.tree_leaves(functions[index]) == [len] * sum(leaves[index])
    assert jax.tree_util.tree_structure(functions[index]) == jax.tree_util.tree_structure(model[index])


def test_slice_of_an_unfinished_sequential():
    """An `__init__` may slice `self` after it has set the layers."""

    class Two(Sequential):
        head: Any
        rest: Any

        def __init__(self, layers):
            super().__init__(layers)
            self.head = self[:1]
            self.rest = self[1:]

    model = Two([jnp.tanh, abs])
    assert list(model.head) == [jnp.tanh] and list(model.rest) == [abs]


def test_sequential_survives_copying(getkey):
    """Copies and pickles of a `Sequential` are equal to it, if its functions can be pickled."""
    model = Sequential([Linear(2, 4, key=getkey()), jax.nn.relu, Dropout(), Identity()])
    for other in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert eqx.tree_equal(model, other)

"""`LoRA`: a frozen layer with a trainable change of low rank."""

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest

import equinox as eqx
from equinox.nn import Conv2d, Embedding, Identity, Linear, LoRA, Stacked

X = jnp.array([1.0, -2.0, 0.5])
CASES = {  # how a layer is made, and an input
    Linear: (lambda key: Linear(3, 4, key=key), X),
    Conv2d: (lambda key: Conv2d(3, 4, (1, 2), key=key), jnp.outer(X, jnp.arange(6.0)).reshape(3, 2, 3)),
    Embedding: (lambda key: Embedding(4, 3, key=key), jnp.array(1)),
}


def trained(layer, key, alpha=None):
    """A `LoRA` whose `lora_b` isn't zero."""
    lora = LoRA(layer, 2, alpha=alpha, key=key)
    return eqx.tree_at(lambda lora: lora.lora_b, lora, jrandom.normal(key, lora.lora_b.shape))


@pytest.fixture(params=CASES, ids=lambda layer: layer.__name__)
def layer(request, getkey):
    return CASES[request.param][0](getkey())


@pytest.fixture
def x(layer):
    return CASES[type(layer)][1]


def test_starts_as_the_layer(layer, x, getkey):
    """A new `LoRA` gives what its layer gives."""
    np.testing.assert_array_equal(LoRA(layer, 2, key=getkey())(x), layer(x))


@pytest.mark.parametrize("alpha", [None, 6.0])
def test_formula_and_merge(layer, x, alpha, getkey):
    """The weight is that of the paper. The merged layer has it, and is a layer of the same class."""
    lora = trained(layer, getkey(), alpha)
    a, b = np.asarray(lora.lora_a), np.asarray(lora.lora_b)
    scale = 1.0 if alpha is None else alpha / 2
    expected = np.asarray(layer.weight) + scale * (b @ a).reshape(layer.weight.shape)
    merged = lora.merge()
    assert type(merged) is type(layer)
    np.testing.assert_allclose(merged.weight, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.jit(lora.__call__)(x), merged(x), rtol=1e-5, atol=1e-6)


def test_only_the_change_has_a_gradient(layer, x, getkey):
    """The wrapped layer is frozen. The two factors have the gradients of the formula."""
    lora = trained(layer, getkey())
    grads = jax.grad(lambda lora: jnp.sum(lora(x) ** 2))(lora)
    assert not any(np.any(leaf) for leaf in jax.tree_util.tree_leaves(grads.layer))

    def by_hand(factors):
        change = (factors[1] @ factors[0]).reshape(layer.weight.shape)
        return jnp.sum(eqx.tree_at(lambda layer: layer.weight, layer, layer.weight + change)(x) ** 2)

    expected = jax.grad(by_hand)((lora.lora_a, lora.lora_b))
    np.testing.assert_allclose(grads.lora_a, expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(grads.lora_b, expected[1], rtol=1e-4, atol=1e-5)


def test_batch_ensemble_and_bfloat16(getkey):
    """`vmap` maps over inputs and over layers. The output has the dtype of the input."""
    lora = trained(Linear(3, 4, key=getkey()), getkey())
    xs = jnp.stack([X, 2 * X])
    np.testing.assert_allclose(jax.vmap(lora)(xs)[1], lora(2 * X), rtol=1e-5)
    assert lora(X.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    keys = jrandom.split(getkey(), 2)
    many = jax.vmap(lambda key: trained(Linear(3, 4, key=key), key))(keys)
    got = jax.vmap(lambda lora, x: lora(x))(many, xs)
    np.testing.assert_allclose(got[0], trained(Linear(3, 4, key=keys[0]), keys[0])(X), rtol=1e-5, atol=1e-6)


def test_the_layers_of_a_stacked(getkey):
    """`filter_vmap` gives each layer of a `Stacked` its own change. `merge` merges all, with and without `vmap`."""
    stacked = Stacked(lambda key: Linear(3, 3, key=key), 3, key=getkey())
    layers = eqx.filter_vmap(trained)(stacked.layers, jrandom.split(getkey(), 3))
    changed = eqx.tree_at(lambda stacked: stacked.layers, stacked, layers)
    merged = eqx.tree_at(lambda stacked: stacked.layers, stacked, eqx.filter_vmap(lambda lora: lora.merge())(layers))
    expected = X
    for lora in changed:
        expected = lora.merge()(expected)
    np.testing.assert_allclose(changed(X), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(merged(X), expected, rtol=1e-4, atol=1e-5)
    assert jax.tree_util.tree_structure(merged) == jax.tree_util.tree_structure(stacked)
    np.testing.assert_allclose(layers.merge().weight, merged.layers.weight, rtol=1e-5, atol=1e-6)


def test_float64(layer, x, x64, getkey):
    """A float64 layer computes with the precision of float64."""
    lora = eqx.cast(trained(layer, getkey()), jnp.float64)
    x = eqx.cast(x, jnp.float64)
    assert lora(x).dtype == jnp.float64
    change = np.asarray(lora.lora_b) @ np.asarray(lora.lora_a)
    changed = eqx.tree_at(
        lambda layer: layer.weight, lora.layer, lora.layer.weight + change.reshape(layer.weight.shape)
    )
    np.testing.assert_allclose(lora(x), changed(x), rtol=1e-12)


def test_shapes_without_computation():
    """`filter_eval_shape` gives the shapes of the construction and of the call."""
    key = jrandom.PRNGKey(0)
    lora = eqx.filter_eval_shape(lambda key: LoRA(Linear(3, 4, key=key), 2, key=key), key)
    assert (lora.lora_a.shape, lora.lora_b.shape) == ((2, 3), (4, 2))
    assert eqx.filter_eval_shape(lambda lora, x: lora(x), lora, X).shape == (4,)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda layer, key: LoRA(layer, 0, key=key), ValueError, "`rank` to be at least 1"),
        (lambda layer, key: LoRA(layer, 2, key=None), TypeError, "`key` to be a PRNG key"),
        (lambda layer, key: LoRA(layer, 2, alpha="1", key=key), TypeError, "`alpha` to be a number"),
        (lambda layer, key: LoRA(layer, 2, weight_name="bias", key=key), ValueError, "at least two axes, got shape"),
        (lambda layer, key: LoRA(Identity(), 2, key=key), ValueError, "`weight_name` to be the name of a field"),
        (lambda layer, key: LoRA(3, 2, key=key), TypeError, "`layer` to be a function"),
    ],
    ids=["rank", "key", "alpha", "vector", "name", "layer"],
)
def test_wrong_arguments(make, error, message, getkey):
    """What is wrong is named."""
    with pytest.raises(error, match="`LoRA` expects .*" + message):
        make(Linear(3, 4, key=getkey()), getkey())

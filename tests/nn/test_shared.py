"""`Shared`: one parameter at two places is one leaf."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import equinox as eqx
from equinox.nn import Linear, Shared


def first_weight(layers):
    return layers[0].weight


def second_weight(layers):
    return layers[1].weight


def second_both(layers):
    return layers[1].weight, layers[1].bias


def first_both(layers):
    return layers[0].weight, layers[0].bias


X = jnp.array([1.0, -2.0])


@pytest.fixture
def layers(getkey):
    return [Linear(2, 2, key=getkey()), Linear(2, 2, key=getkey())]


@pytest.mark.parametrize(
    "where, get, leaves",
    [
        (second_weight, first_weight, 3),
        (second_both, first_both, 2),
        ("[1].weight", "[0].weight", 3),
        ("[1].*", "[0].*", 2),
        (lambda layers: (layers[1].weight,), "[0].weight", 3),
        ("[1].weight", lambda layers: (layers[0].weight,), 3),
    ],
    ids=["node", "nodes", "pattern", "pattern of several", "get is a pattern", "where is a pattern"],
)
def test_gradients_are_summed(layers, where, get, leaves):
    """Each shared parameter is one leaf. Its gradient is the sum of the gradients at both places."""
    shared = Shared(layers, where, get)
    assert len(jax.tree_util.tree_leaves(shared)) == leaves

    def loss(layers):
        return jnp.sum(layers[1](layers[0](X)) ** 2)

    got = jax.jit(jax.grad(lambda shared: loss(shared())))(shared).pytree
    whole = shared()
    np.testing.assert_array_equal(whole[1].weight, layers[0].weight)
    apart = jax.grad(loss)(whole)
    np.testing.assert_allclose(got[0].weight, apart[0].weight + apart[1].weight, rtol=1e-5, atol=1e-6)
    bias = apart[0].bias + apart[1].bias if leaves == 2 else apart[0].bias
    np.testing.assert_allclose(got[0].bias, bias, rtol=1e-5, atol=1e-6)


def test_an_update_changes_both(layers):
    """After an update, both places have the same new value."""
    shared = Shared(layers, second_weight, lambda layers: layers[0].weight.T)
    shared = eqx.tree_at(lambda s: s.pytree[0].weight, shared, jnp.array([[1.0, 2.0], [3.0, 4.0]]))
    np.testing.assert_array_equal(shared()[1].weight, [[1.0, 3.0], [2.0, 4.0]])


@pytest.mark.parametrize("where, get", [(second_weight, first_weight), ("[1].weight", "[0].weight")])
def test_pickle(layers, where, get):
    """A model with a shared weight has the same structure and values after pickling. It still shares the weight."""
    shared = Shared(layers, where, get)
    new = pickle.loads(pickle.dumps(shared))
    assert eqx.tree_equal(new, shared)
    new = eqx.tree_at(lambda s: s.pytree[0].weight, new, jnp.eye(2))
    np.testing.assert_array_equal(new()[1].weight, np.eye(2))


def test_vmap_and_plain_layers_inside(layers):
    """A `Shared` is made and called under `vmap`."""
    many = jax.vmap(lambda w: Shared([w, w], lambda x: x[1], lambda x: 2 * x[0]))(jnp.arange(3.0))
    np.testing.assert_array_equal(jax.vmap(lambda shared: shared()[1])(many), [0.0, 2.0, 4.0])


@pytest.mark.parametrize(
    "where, get, error, message",
    [
        (3, first_weight, TypeError, "`Shared` expects `where` to be a pattern of paths or a function"),
        (second_weight, 3, TypeError, "`Shared` expects `get` to be a pattern of paths or a function"),
        (
            lambda layers: layers[1].bias,
            first_weight,
            ValueError,
            r"an array float32\[2\], as at `where`, got .*\[2,2\]",
        ),
        (second_both, first_weight, ValueError, r"`get\(pytree\)` to be a `tuple`, as at `where`, got a leaf"),
        (lambda layers: 3, first_weight, ValueError, "no node"),
        ("[1].weigh", first_weight, ValueError, r"no node whose whole path matches .*Near paths: .*weight"),
        ("[1].weight", "*.weight", ValueError, r"as at `where`, got a `tuple` with `\[0\]`, `\["),
    ],
    ids=["where", "get", "shape", "number", "no node", "no path", "two for one"],
)
def test_wrong_arguments(layers, where, get, error, message):
    """What is wrong is named."""
    with pytest.raises(error, match=message):
        Shared(layers, where, get)

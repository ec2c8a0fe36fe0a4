"""`MLP` is `Linear`s with activations between them."""

import copy
import functools as ft
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import equinox as eqx
from equinox.nn import MLP, Linear, PReLU, Sequential


def assert_close(got, expected, rtol=1e-4):
    np.testing.assert_allclose(np.asarray(got), np.asarray(expected), rtol=rtol, atol=1e-5)


def doubles(mlp):
    return [(np.asarray(m.weight, np.float64), np.asarray(m.bias, np.float64)) for m in mlp.layers]


def numpy_mlp(parameters, x):
    """Do the forward pass in NumPy, in double precision, with relu between the layers and tanh after the last."""
    for i, (weight, bias) in enumerate(parameters):
        x = weight @ x + bias
        x = np.tanh(x) if i == len(parameters) - 1 else np.maximum(x, 0)
    return x


@pytest.mark.parametrize("depth", [0, 2])
def test_mlp_same_as_the_formula(depth, run, getkey, draw):
    """The values are those of the formula in NumPy."""
    mlp = MLP(2, 3, 4, depth, final_activation=jnp.tanh, key=getkey())
    x = draw(2)
    assert_close(run(mlp.__call__, x), numpy_mlp(doubles(mlp), np.asarray(x, np.float64)))


@pytest.mark.parametrize("depth", [0, 2])
def test_mlp_gradients(depth, getkey, draw):
    """The gradients are the finite differences of the formula in NumPy."""
    mlp = MLP(2, 3, 4, depth, final_activation=jnp.tanh, key=getkey())
    x, parameters = draw(2), doubles(mlp)
    grads = eqx.filter_jit(eqx.filter_grad(lambda mlp, x: jnp.sum(mlp(x))))(mlp, x)
    for layer, (weight, bias) in zip(grads.layers, parameters):
        for gradient, values in [(layer.weight, weight), (layer.bias, bias)]:
            expected = np.zeros_like(values)
            for i in np.ndindex(*values.shape):
                original, sums = values[i], []
                for step in (1e-6, -1e-6):
                    values[i] = original + step
                    sums.append(numpy_mlp(parameters, np.asarray(x, np.float64)).sum())
                values[i] = original
                expected[i] = (sums[0] - sums[1]) / 2e-6
            assert_close(gradient, expected, rtol=1e-3)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_mlp_structure(depth, getkey):
    """There are `depth` hidden layers of width `width_size` and one more `Linear`, in a tuple. The sizes are static."""
    mlp = MLP(2, 3, 4, depth, key=getkey())
    assert type(mlp.layers) is tuple
    assert all(type(layer) is Linear for layer in mlp.layers)
    sizes = [2] + [4] * depth + [3]
    assert [layer.weight.shape for layer in mlp.layers] == list(zip(sizes[1:], sizes[:-1]))
    assert (mlp.in_size, mlp.out_size, mlp.width_size, mlp.depth) == (2, 3, 4, depth)
    leaves = jax.tree_util.tree_leaves(mlp)
    assert len(leaves) == 2 * (depth + 1) and all(map(eqx.is_array, leaves))  # the activations are no leaves
    assert mlp.activation is jax.nn.relu
    assert mlp(jnp.ones(2)).shape == (3,)


def test_mlp_layers_differ(getkey):
    """No two layers start with the same numbers. The key alone decides about all of them."""
    key = getkey()
    mlp = MLP(4, 4, 4, 2, key=key)
    starts = [np.asarray(layer.weight).ravel() for layer in mlp.layers]
    assert all(not np.array_equal(a, b) for i, a in enumerate(starts) for b in starts[:i])
    assert eqx.tree_equal(mlp, MLP(4, 4, 4, 2, key=key))
    assert not eqx.tree_equal(mlp, MLP(4, 4, 4, 2, key=getkey()))


def test_mlp_is_a_sequential_of_its_parts(run, getkey, draw):
    """The activation comes after each layer except the last. After the last comes the final activation."""
    mlp = MLP(2, 3, 4, 2, jnp.tanh, jax.nn.softplus, key=getkey())
    a, b, c = mlp.layers
    x = draw(2)
    assert_close(run(mlp.__call__, x), Sequential([a, jnp.tanh, b, jnp.tanh, c, jax.nn.softplus])(x))
    assert_close(mlp(x, key=getkey()), mlp(x))


def test_mlp_ends_with_the_identity(getkey):
    """By default nothing comes after the last layer, so the output may be negative."""
    mlp = MLP(2, 3, 4, 0, key=getkey())
    assert_close(mlp(jnp.ones(2)), mlp.layers[0](jnp.ones(2)))
    negative = eqx.tree_at(lambda m: m.layers[0].bias, mlp, jnp.full(3, -10.0))
    assert (np.asarray(negative(jnp.ones(2))) < 0).all()


class Scale(eqx.Module):
    """An activation with a parameter and a flag."""

    factor: jnp.ndarray
    flipped: bool = False

    def __call__(self, x):
        return jnp.where(self.flipped, -1, 1) * jnp.tanh(self.factor * x)


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("activation", [Scale(jnp.array(1.5)), jnp.tanh], ids=["layer", "function"])
def test_mlp_scanned(activation, depth, getkey):
    """With `scan` values and gradients are those without, also if the activation has parameters."""
    key, x = getkey(), jnp.ones(2)
    plain, scanned = (MLP(2, 3, 4, depth, activation, scan=scan, key=key) for scan in (False, True))
    assert [len(mlp.layers) for mlp in (plain, scanned)] == [depth + 1, min(depth + 1, 3)]

    @eqx.filter_jit
    @ft.partial(eqx.filter_value_and_grad, has_aux=True)
    def outcome(mlp):
        return jnp.sum(mlp(x) ** 2), mlp(x)

    (_, y), grads = outcome(plain)
    (_, scanned_y), scanned_grads = outcome(scanned)
    assert_close(scanned_y, y)
    if depth == 3:
        middle = jax.tree_util.tree_map(lambda *leaves: jnp.stack(leaves), *grads.layers[1:-1])
        grads = eqx.replace(grads, layers=(grads.layers[0], middle, grads.layers[-1]))
    pairs = list(zip(jax.tree_util.tree_leaves(scanned_grads), jax.tree_util.tree_leaves(grads)))
    assert len(pairs) == 2 * len(scanned.layers) + (activation is not jnp.tanh)
    for got, expected in pairs:
        assert_close(got, expected)


def test_mlp_scanned_compiles_one_hidden_layer(getkey):
    """The jaxpr doesn't grow with the depth."""
    sizes = [len(str(jax.make_jaxpr(MLP(2, 3, 4, n, scan=True, key=getkey()).__call__)(jnp.ones(2)))) for n in (4, 8)]
    assert sizes[0] == sizes[1]


def test_mlp_activation_with_parameters(getkey):
    """An activation may be a module. Each hidden layer has its own parameters, and they begin with the same numbers."""
    mlp = MLP(2, 3, 4, 2, PReLU(0.5, num_parameters=4), key=getkey())
    assert mlp.activation.negative_slope.tolist() == [[0.5] * 4] * 2
    slopes = jnp.array([[0.0] * 4, [3.0] * 4])
    mlp = eqx.tree_at(lambda m: m.activation.negative_slope, mlp, slopes)
    x, (a, b, c) = jnp.ones(2), mlp.layers
    layers = [a, jax.nn.relu, b, eqx.replace(PReLU(), negative_slope=jnp.array([3.0])), c]
    assert_close(mlp(x), Sequential(layers)(x))
    message = r"`MLP` with `depth=2` expects `activation.negative_slope` to have .* got shape \(1,\)"
    with pytest.raises(ValueError, match=message):
        eqx.replace(mlp, activation=PReLU())(x)


@pytest.mark.parametrize("scan", [False, True])
def test_mlp_activation_with_a_flag(scan, getkey):
    """A flag in an activation is that of all hidden layers, also if `jax.jit` makes an array of it."""
    mlp = MLP(2, 3, 4, 2, Scale(jnp.array(1.5), flipped=True), scan=scan, key=getkey())
    assert mlp.activation.flipped is True
    assert_close(jax.jit(lambda mlp, x: mlp(x))(mlp, jnp.ones(2)), mlp(jnp.ones(2)))


def test_mlp_survives_copying(getkey):
    """Copies and pickles of an MLP are equal to it and compute the same."""
    mlp = MLP(2, 3, 4, 2, key=getkey())
    x = jnp.ones(2)
    for other in (copy.copy(mlp), copy.deepcopy(mlp), pickle.loads(pickle.dumps(mlp))):
        assert eqx.tree_equal(mlp, other)
        assert jax.tree_util.tree_structure(mlp) == jax.tree_util.tree_structure(other)
        assert other.activation is jax.nn.relu
        assert other.final_activation is mlp.final_activation
        assert np.array_equal(mlp(x), other(x))


def test_mlp_learns(getkey, draw):
    """The training loop of the README lowers the loss."""

    @ft.partial(eqx.jitf, filter_fn=eqx.is_array)
    @ft.partial(eqx.value_and_grad_f, filter_fn=eqx.is_inexact_array)
    def loss(model, x, y):
        return jnp.mean((y - jax.vmap(model)(x)) ** 2)

    mlp = MLP(2, 3, 4, 1, activation=jnp.tanh, key=getkey())
    x, y = draw(16, 2), draw(16, 3)
    losses = []
    for _ in range(30):
        value, grads = loss(mlp, x, y)
        losses.append(float(value))
        mlp = eqx.apply_updates(mlp, jax.tree_util.tree_map(lambda g: -0.1 * g, grads))
    assert losses[-1] < losses[0]


def test_mlp_shows_itself(getkey):
    """Its `repr` names the activations."""
    text = repr(MLP(2, 3, 4, 1, key=getkey()))
    assert "activation=relu" in text
    assert "final_activation=identity" in text


def test_mlp_wrong_arguments(getkey):
    """Sizes are integers of at least 1, and the depth is at least 0. Activations can be called. `key` is required."""
    good = {"in_size": 2, "out_size": 3, "width_size": 4, "depth": 1}
    for name in ("in_size", "out_size", "width_size"):
        with pytest.raises(ValueError, match="`MLP` expects `{}` to be at least 1, got 0".format(name)):
            MLP(**dict(good, **{name: 0}), key=getkey())
    with pytest.raises(ValueError, match="`MLP` expects `depth` to be at least 0, got -1"):
        MLP(**dict(good, depth=-1), key=getkey())
    for name in good:
        with pytest.raises(TypeError, match="`MLP` expects `{}` to be an integer of at least .*, got 1.5".format(name)):
            MLP(**dict(good, **{name: 1.5}), key=getkey())
    for name in ("activation", "final_activation"):
        with pytest.raises(TypeError, match="`MLP` expects `{}` to be a function, .* got 'relu'".format(name)):
            MLP(**good, **{name: "relu"}, key=getkey())
    with pytest.raises(TypeError, match="key"):
        MLP(**good)
    with pytest.raises(TypeError, match="`MLP` expects `key` to be a PRNG key.* got None"):
        MLP(**good, key=None)


def test_mlp_wrong_shape(run, getkey):
    """The first layer refuses a batch, and its error mentions `vmap`."""
    with pytest.raises(ValueError, match=r"one example of shape \(2,\), got \(7, 2\). Batch with `jax.vmap"):
        run(MLP(2, 3, 4, 1, key=getkey()).__call__, jnp.ones((7, 2)))

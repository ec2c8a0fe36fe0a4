"""`reinitialise`: new parameters for a whole model."""

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest

import equinox as eqx
from equinox.nn import MLP, Conv2d, Linear, LoRA, Sequential, Stacked, WeightNorm, reinitialise

INIT = jax.nn.initializers
KEY = jrandom.PRNGKey(0)


def normal(key, shape, dtype):
    return jrandom.normal(key, shape, dtype)


def first_size(key, shape, dtype):
    """It tells in which layout it sees a weight."""
    return jnp.full(shape, shape[0], dtype)


@pytest.fixture
def model(getkey):
    return Sequential([Linear(3, 2, key=getkey()), jnp.tanh, Linear(2, 4, bias=False, key=getkey())])


def test_changes_what_the_pattern_selects(model):
    """Only the selected parameters change. Shapes and dtypes stay. A missing bias stays missing."""
    new = reinitialise(model, {"*.bias": INIT.ones}, KEY)
    np.testing.assert_array_equal(new[0].bias, [1.0, 1.0])
    assert new[0].weight is model[0].weight
    assert new[2].bias is None
    half = reinitialise(eqx.cast(model, jnp.float16), {"*.weight": INIT.zeros}, KEY)
    assert (half[2].weight.dtype, half[2].weight.shape) == (jnp.float16, (4, 2))


def test_weights_are_shown_in_the_layout_of_jax(model):
    """The initialiser of a weight sees `(input, output)`, the first size of which is the input."""
    new = reinitialise(model, {"*.weight": first_size}, KEY)
    np.testing.assert_array_equal(new[0].weight, np.full((2, 3), 3.0))
    np.testing.assert_array_equal(new[2].weight, np.full((4, 2), 2.0))


def test_kernels_are_shown_in_the_layout_of_jax(getkey):
    """The initialiser of the weight of a convolution sees `(*kernel, input, output)`."""
    shapes = []

    def init(key, shape, dtype):
        shapes.append(shape)
        return jnp.arange(np.prod(shape), dtype=dtype).reshape(shape)

    conv = reinitialise(Conv2d(4, 6, (3, 2), groups=2, key=getkey()), {".weight": init}, KEY)
    assert shapes == [(3, 2, 2, 6)]
    np.testing.assert_array_equal(conv.weight, np.arange(72).reshape(3, 2, 2, 6).transpose(3, 2, 0, 1))


def test_each_parameter_has_its_own_key_that_stays(getkey):
    """Values differ between parameters. They depend on the path and the key, not on the other parameters."""
    layers = [Linear(2, 2, key=getkey()) for _ in range(2)]
    longer, shorter = (reinitialise(Sequential(x), {"*.weight": normal}, KEY) for x in (layers, layers[:1]))
    np.testing.assert_array_equal(longer[0].weight, shorter[0].weight)
    assert not np.array_equal(longer[0].weight, longer[1].weight)
    other = reinitialise(Sequential(layers), {"*.weight": normal}, jrandom.PRNGKey(1))
    assert not np.array_equal(longer[0].weight, other[0].weight)


def test_the_last_pattern_counts(model):
    """A later pattern replaces an earlier one."""
    new = reinitialise(model, {"*.weight": INIT.ones, ".layers[0].*": INIT.zeros}, KEY)
    assert [float(x.sum()) for x in (new[0].weight, new[0].bias, new[2].weight)] == [0.0, 0.0, 8.0]


def test_layers_of_a_stack_and_of_an_ensemble():
    """Each layer of a stack, and each model of an ensemble, gets its own values in the layout of one layer."""
    stacked = Stacked(lambda key: Linear(3, 3, key=key), 4, key=KEY)
    new = reinitialise(stacked, {"*.weight": normal}, KEY).layers.weight
    assert new.shape == (4, 3, 3)
    assert len({float(x) for x in new[:, 0, 0]}) == 4
    np.testing.assert_array_equal(reinitialise(stacked, {"*.bias": first_size}, KEY).layers.bias, np.full((4, 3), 3.0))
    keys = jrandom.split(KEY, 2)
    many = eqx.filter_vmap(lambda key: Linear(3, 2, key=key))(keys)
    weights = eqx.filter_vmap(lambda model, key: reinitialise(model, {"*.weight": first_size}, key))(many, keys).weight
    np.testing.assert_array_equal(weights, np.full((2, 2, 3), 3.0))


@pytest.mark.parametrize("scan", [False, True])
def test_stacks_in_an_mlp(scan):
    """The initialiser sees one layer: also if the hidden layers are stacked, and in an activation with parameters."""
    seen = []

    def init(key, shape, dtype):
        seen.append(shape)
        return jrandom.normal(key, shape, dtype)

    mlp = MLP(5, 2, 3, 4, Linear(3, 3, key=KEY), scan=scan, key=KEY)
    new = reinitialise(mlp, {"*.weight": init, "*.bias": init}, KEY)
    assert set(seen) == {(5, 3), (3, 3), (3, 2), (3,), (2,)}
    assert [x.shape for x in jax.tree_util.tree_leaves(new)] == [x.shape for x in jax.tree_util.tree_leaves(mlp)]
    hidden = new.layers[1].weight if scan else jnp.stack([layer.weight for layer in new.layers[1:-1]])
    assert len(np.unique(hidden)) == 27
    assert len(np.unique(new.activation.weight)) == 36


def test_layouts_in_a_stack(getkey):
    """The weight of each layer of a stack is shown in the layout of JAX."""
    blocks = Stacked(lambda key: MLP(3, 3, 2, 1, key=key), 4, key=getkey())
    new = reinitialise(blocks, {"*.weight": first_size}, KEY)
    np.testing.assert_array_equal(new.layers.layers[0].weight, np.full((4, 2, 3), 3.0))
    np.testing.assert_array_equal(new.layers.layers[1].weight, np.full((4, 3, 2), 2.0))
    mlp = MLP(3, 3, 2, 4, scan=True, key=getkey())
    mlp = eqx.tree_at(lambda mlp: mlp.layers[1].weight, mlp, jnp.ones((3, 2, 5)))
    new = reinitialise(mlp, {"*.weight": first_size}, KEY)
    np.testing.assert_array_equal(new.layers[1].weight, np.full((3, 2, 5), 5.0))


def test_the_length_of_weight_norm_follows_the_weight(getkey):
    """The effective weight is the drawn one: also inside `Stacked`, another wrapper or a model, and on each axis."""

    def check(wrap, weight_of):
        wrapped = reinitialise(wrap(Linear(3, 3, key=getkey())), {"*.weight": normal}, KEY)
        drawn = weight_of(wrapped)
        np.testing.assert_allclose(jax.vmap(wrapped)(jnp.eye(3)).T, drawn, rtol=1e-4, atol=1e-5)

    check(lambda linear: WeightNorm(without_bias(linear)), lambda w: w.layer.weight)
    check(lambda linear: WeightNorm(without_bias(linear), axis=None), lambda w: w.layer.weight)
    check(lambda linear: WeightNorm(LoRA(without_bias(linear), 1, key=KEY), axis=1), lambda w: w.layer.layer.weight)
    check(lambda linear: LoRA(WeightNorm(without_bias(linear)), 1, key=KEY), lambda w: w.layer.layer.weight)
    check(lambda linear: Sequential([WeightNorm(without_bias(linear))]), lambda w: w[0].layer.weight)
    many = Stacked(lambda key: WeightNorm(Linear(3, 3, key=key)), 2, key=getkey())
    new = reinitialise(many, {"*.weight": normal}, KEY)
    np.testing.assert_allclose(new.layers.g[..., 0], np.linalg.norm(new.layers.layer.weight, axis=2), rtol=1e-5)
    assert reinitialise(many, {"*.bias": normal}, KEY).layers.g is many.layers.g
    later = reinitialise(many, {"*.weight": normal, "*.g": INIT.ones}, KEY)
    np.testing.assert_array_equal(later.layers.g, np.ones((2, 3, 1)))


def without_bias(linear):
    return eqx.tree_at(lambda linear: linear.bias, linear, None)


@pytest.mark.parametrize(
    "initialisers, error, message",
    [
        ({"*.wieght": normal}, ValueError, r"no node whose whole path matches '\*.wieght'. Near paths: .*weight"),
        ({Linear: normal}, TypeError, r"but `.layers\[0\]` is `Linear`"),
        ({"*": normal}, TypeError, "but the whole model is `Sequential`"),
        ({"*.bias": INIT.he_normal()}, ValueError, r"The initialiser of `.layers\[0\].bias` can't make an array"),
        ({"*.weight": 3}, TypeError, r"`initialisers\['\*.weight'\]` to be a function"),
        ([normal], TypeError, "`initialisers` to be a dictionary"),
        ({"*.weight": lambda key, shape, dtype: jnp.ones(1)}, ValueError, r"The initialiser of `.layers\[0\].weight`"),
    ],
    ids=["nothing", "layer", "root", "failure", "no function", "no dictionary", "shape"],
)
def test_wrong_arguments(model, initialisers, error, message):
    """What is wrong is named."""
    with pytest.raises(error, match=message):
        reinitialise(model, initialisers, KEY)


def test_missing_key(model):
    """A missing key is named."""
    with pytest.raises(TypeError, match="`reinitialise` expects `key` to be a PRNG key"):
        reinitialise(model, {"*.weight": normal}, None)

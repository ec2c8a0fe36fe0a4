"""`Stacked` gives what a loop over its layers gives."""

import pickle

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from jaxprs import all_kinds, jaxpr_kinds

import equinox as eqx
from equinox.nn import (
    GRU,
    Conv1d,
    Dropout,
    Identity,
    Lambda,
    LayerNorm,
    Linear,
    LoRA,
    MultiheadAttention,
    Sequential,
    Stacked,
)

DEPTH = 3


class Block(eqx.Module):
    """A residual block with a function, a flag and a mask."""

    linear: Linear
    dropout: Dropout
    activation: object = eqx.field(static=True)

    def __init__(self, key):
        self.linear = Linear(2, 2, key=key)
        self.dropout = Dropout(0.5)
        self.activation = jnp.tanh

    def __call__(self, x, *, key=None, mask=1.0):
        return x + mask * self.dropout(self.activation(self.linear(x)), key=key)


def loop(layers, x, key=None, **kwargs):
    """The oracle."""
    keys = [None] * len(layers) if key is None else jrandom.split(key, len(layers))
    for layer, k in zip(layers, keys):
        x = layer(x, key=k, **kwargs)
    return x


def assert_close(got, expected):
    got, expected = (jax.tree_util.tree_leaves(x) for x in (got, expected))
    assert len(got) == len(expected)
    for a, b in zip(got, expected):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def stacked():
    return Stacked(Block, DEPTH, key=jrandom.PRNGKey(0))


X = jnp.array([0.5, -1.0])


def test_layers_are_made_with_the_split_key(stacked):
    """Layer `i` is what `make_layer` makes of key `i`. The list of layers makes the stack again."""
    layers = [Block(key) for key in jrandom.split(jrandom.PRNGKey(0), DEPTH)]
    assert len(stacked) == DEPTH
    for layer, expected in zip(stacked, layers):
        assert_close(layer.linear, expected.linear)
    assert eqx.tree_equal(Stacked.from_layers(list(stacked)), stacked)


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit, eqx.filter_jit], ids=["plain", "jit", "filter_jit"])
def test_values_with_keys_and_arguments(stacked, transform):
    """The values are those of the loop, with a key for each layer and an argument for all."""
    mask = jnp.array([1.0, 2.0])
    call = transform(lambda s, x, key, mask: s(x, key=key, mask=mask))
    for key in jrandom.split(jrandom.PRNGKey(1), 5):
        assert_close(call(stacked, X, key, mask), loop(list(stacked), X, key, mask=mask))


@pytest.mark.parametrize("options", [{}, {"unroll": 2}, {"checkpoint": True}], ids=["plain", "unroll", "checkpoint"])
def test_gradients(stacked, options):
    """The gradients of all layers, of the input and of an argument are those of the loop."""
    layers = list(eqx.tree_inference(stacked, True))
    made = Stacked.from_layers(layers, **options)

    def loss(model, x, mask):
        y = model(x, mask=mask) if isinstance(model, Stacked) else loop(model, x, mask=mask)
        return jnp.sum(y**2)

    mask = jnp.array([1.0, 2.0])
    got = eqx.filter_jit(eqx.filter_grad(lambda args: loss(*args)))((made, X, mask))
    expected = eqx.filter_grad(lambda args: loss(*args))((layers, X, mask))
    assert_close(list(got[0]), expected[0])
    assert_close(got[1:], expected[1:])
    jaxpr = str(jax.make_jaxpr(jax.grad(lambda x: made(x).sum()))(X))
    assert ("remat" in jaxpr or "checkpoint" in jaxpr) == bool(made.checkpoint)
    scans = [x for x in jax.make_jaxpr(made)(X).jaxpr.eqns if x.primitive.name == "scan"]
    assert [x.params["unroll"] for x in scans] == [options.get("unroll", 1)]


def test_policy_of_checkpoint(stacked):
    """A policy says what is kept. What isn't kept is computed once more."""
    layers = list(eqx.tree_inference(stacked, True))
    try:
        policies = [jax.checkpoint_policies.everything_saveable, jax.checkpoint_policies.nothing_saveable]
    except AttributeError:
        pytest.skip("JAX older than 0.2.21 has no policies of jax.checkpoint")
    times = []
    for policy in policies:
        made = Stacked.from_layers(layers, checkpoint=policy)
        grad = jax.grad(lambda x, made=made: made(x).sum())
        assert_close(grad(X), jax.grad(lambda x: loop(layers, x).sum())(X))
        times.append(all_kinds(grad, X).count("tanh"))
    assert times[0] < times[1]


def test_batch_and_ensemble(stacked):
    """`vmap` maps over inputs, and over stacks."""
    model = eqx.tree_inference(stacked, True)
    xs = jnp.stack([X, 2 * X])
    assert_close(jax.vmap(model)(xs), jnp.stack([loop(list(model), x) for x in xs]))
    keys = jrandom.split(jrandom.PRNGKey(2), 2)
    ensemble = eqx.filter_vmap(lambda key: Stacked(Block, DEPTH, key=key))(keys)
    got = eqx.filter_vmap(lambda model, x: eqx.tree_inference(model, True)(x))(ensemble, xs)
    each = [eqx.tree_inference(Stacked(Block, DEPTH, key=key), True) for key in keys]
    assert_close(got, jnp.stack([loop(list(model), x) for model, x in zip(each, xs)]))


def test_slices_and_indices(stacked):
    """A slice is a shorter stack. A negative index counts from the end. Another index is refused."""
    model = eqx.tree_inference(stacked, True)
    assert len(model[1:]) == DEPTH - 1
    assert_close(model[1:](X), loop(list(model)[1:], X))
    assert_close(model[::-1](X), loop(list(model)[::-1], X))
    assert_close(model[3:](X), X)
    assert_close(model[-1].linear, model[DEPTH - 1].linear)
    for wrong in (DEPTH, -DEPTH - 1):
        with pytest.raises(IndexError, match="`Stacked` has 3 layers, so it has no layer {}".format(wrong)):
            model[wrong]


def test_replace_one_layer(stacked):
    """One layer is changed, and no other."""
    new = eqx.tree_at(lambda layer: layer.linear.bias, stacked[1], jnp.ones(2))
    changed = stacked.replace_layer(-2, new)
    assert_close(list(changed), [stacked[0], new, stacked[2]])
    with pytest.raises(ValueError, match=r"`layer.linear.weight` to be an array float32\[2,2\], got .*\[3,2\]"):
        stacked.replace_layer(0, eqx.tree_at(lambda layer: layer.linear.weight, new, jnp.ones((3, 2))))


def test_dtype_of_the_input(stacked):
    """bfloat16 in, bfloat16 out."""
    assert eqx.tree_inference(stacked, True)(X.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_float64(x64):
    """float64 in, float64 out, with the precision of float64."""
    model = Stacked(lambda key: Linear(2, 2, key=key), DEPTH, key=jrandom.PRNGKey(0))
    y = np.array([0.5, -1.0])
    assert model(y).dtype == jnp.float64
    for weight, bias in zip(np.asarray(model.layers.weight), np.asarray(model.layers.bias)):
        y = weight @ y + bias
    np.testing.assert_allclose(model(np.array([0.5, -1.0])), y, rtol=1e-12)


def test_shapes_without_computation():
    """`filter_eval_shape` gives the shapes of the construction and of the call."""
    model = eqx.filter_eval_shape(lambda key: Stacked(Block, DEPTH, key=key), jrandom.PRNGKey(0))
    assert [x.shape for x in jax.tree_util.tree_leaves(model.layers.linear)] == [(DEPTH, 2, 2), (DEPTH, 2)]
    y = eqx.filter_eval_shape(lambda model, x, key: model(x, key=key), model, X, jrandom.PRNGKey(0))
    assert (y.shape, y.dtype) == ((2,), jnp.float32)


def recurrent(key):
    return Sequential([GRU(2, 2, key=key), Lambda(lambda outputs_and_last: outputs_and_last[0])])


class SelfAttention(eqx.Module):
    attention: MultiheadAttention

    def __init__(self, key):
        self.attention = MultiheadAttention(1, 2, key=key)

    def __call__(self, x, *, key=None):
        return x + self.attention(x, x, x, is_causal=True)


FAMILIES = {  # each takes and returns an array of shape (2, 2)
    "GRU": recurrent,
    "Conv1d": lambda key: Conv1d(2, 2, 3, padding=1, key=key),
    "LayerNorm": lambda key: LayerNorm((2, 2)),
    "MultiheadAttention": SelfAttention,
    "LoRA": lambda key: LoRA(Conv1d(2, 2, 1, key=key), 1, key=key),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_families_of_layers(name):
    """Layers of each family, with the gradients of their parameters."""
    check_gradients(Stacked(FAMILIES[name], DEPTH, key=jrandom.PRNGKey(0)), jnp.array([[0.5, -1.0], [2.0, 0.3]]))


def check_gradients(model, x):
    """Values and gradients of a `Stacked` are those of a loop over its layers."""

    def value_and_grad(call):
        def loss(args):
            return jnp.sum(call(*args) ** 2)

        return eqx.filter_jit(eqx.filter_value_and_grad(loss))

    value, (of_model, of_x) = value_and_grad(lambda model, x: model(x))((model, x))
    expected, (of_layers, of_x_expected) = value_and_grad(loop)((list(model), x))
    assert_close((value, of_x), (expected, of_x_expected))
    assert_close(list(of_model), of_layers)


def test_the_program_is_the_same_whatever_the_depth():
    """The operations of value and gradient don't depend on the depth."""

    def operations(depth):
        model = eqx.tree_inference(Stacked(Block, depth, key=jrandom.PRNGKey(0)), True)
        arrays, rest = eqx.partition(model, eqx.is_array)

        def loss(arrays, x):
            return jnp.sum(eqx.combine(arrays, rest)(x))

        return jaxpr_kinds(loss, arrays, X), jaxpr_kinds(jax.grad(loss), arrays, X)

    assert operations(2) == operations(20)


def test_second_call_compiles_nothing():
    """A call outside of `jit` traces its layers once."""
    traced = []

    def count(x):
        traced.append(x)
        return x + 1

    model = Stacked(lambda key: Lambda(count), 4, key=jrandom.PRNGKey(0))
    assert float(model(0.0)) == 4
    times = len(traced)
    assert float(model(1.0)) == 5
    assert len(traced) == times


def test_pickle(stacked):
    """A stack survives pickling."""
    assert eqx.tree_equal(pickle.loads(pickle.dumps(stacked)), stacked)


# Errors


def test_layers_that_differ():
    """The error names the path, what is there and what was expected."""
    key = jrandom.PRNGKey(0)
    with pytest.raises(ValueError, match=r"`layers\[1\]` to be a `Linear`.*, got a `Linear`.*in_features=3"):
        Stacked.from_layers([Linear(2, 2, key=key), Linear(3, 2, key=key)])
    with pytest.raises(ValueError, match=r"expects `layers\[1\]` to be a `Linear`, got a `Identity`"):
        Stacked.from_layers([Linear(2, 2, key=key), Identity()])
    with pytest.raises(ValueError, match="at least one layer"):
        Stacked.from_layers([])


def test_several_models_without_vmap():
    """The error says to map over the models."""
    models = eqx.filter_vmap(lambda key: Stacked(Block, DEPTH, key=key))(jrandom.split(jrandom.PRNGKey(0), 2))
    message = r"`depth=3` expects `layers.linear.weight` to have .*, got shape \(2, 3, 2, 2\).*Map over the layer"
    with pytest.raises(ValueError, match=message):
        models(X)


def test_layer_that_returns_another_shape():
    """The error says that each layer must take what the layer before returned."""
    model = Stacked(lambda key: Linear(2, 3, key=key), 2, key=jrandom.PRNGKey(0))
    with pytest.raises(ValueError, match=r"expects `output` to be an array float32\[2\], got an array float32\[3\]"):
        model(X)


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"depth": 0}, ValueError, "`depth` to be at least 1"),
        ({"unroll": 0.5}, TypeError, "`unroll` to be an integer"),
        ({"checkpoint": 1}, TypeError, "`checkpoint` to be a function"),
        ({"make_layer": 3}, TypeError, "`make_layer` to be a function"),
        ({"make_layer": lambda key: key}, TypeError, r"`make_layer\(key\)` to be a function"),
        ({"key": None}, TypeError, "`key` to be a PRNG key"),
    ],
    ids=["depth", "unroll", "checkpoint", "make_layer", "layer", "key"],
)
def test_wrong_arguments(change, error, message):
    """What is wrong is named."""
    given = dict({"make_layer": Block, "depth": 2, "key": jrandom.PRNGKey(0)}, **change)
    with pytest.raises(error, match="`Stacked` expects " + message):
        Stacked(given.pop("make_layer"), given.pop("depth"), **given)

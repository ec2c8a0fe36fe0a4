"""The last part of the seed's text: its small library of neural networks."""

import functools as ft
import inspect

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from jax import tree_util
from rnn_oracle import assert_close, cells, numpy_step, to_state

import equinox as eqx

KEY = jrandom.PRNGKey(0)
OTHER_KEY = jrandom.PRNGKey(1)
KEYWORD = inspect.Parameter.KEYWORD_ONLY
REQUIRED = inspect.Parameter.empty


def parameters(function):
    """Describe the parameters of a function: names and defaults. A star comes before the keyword-only ones."""
    found = []
    for p in inspect.signature(function).parameters.values():
        if p.name != "self":
            found.append((("*" if p.kind is KEYWORD else "") + p.name, p.default))
    return found


SIGNATURES = {
    eqx.nn.Linear: [("in_features", REQUIRED), ("out_features", REQUIRED), ("bias", True), ("*key", REQUIRED)],
    eqx.nn.Dropout: [("p", 0.5), ("deterministic", False)],
    eqx.nn.GRUCell: [("input_size", REQUIRED), ("hidden_size", REQUIRED), ("bias", True), ("*key", REQUIRED)],
    eqx.nn.LSTMCell: [("input_size", REQUIRED), ("hidden_size", REQUIRED), ("bias", True), ("*key", REQUIRED)],
    eqx.nn.Sequential: [("layers", REQUIRED)],
    eqx.nn.MLP: [(name, REQUIRED) for name in ("in_size", "out_size", "width_size", "depth")]
    + [("activation", jax.nn.relu), ("final_activation", ...), ("*key", REQUIRED)],
}
CALLS = {
    eqx.nn.Linear: [("input", REQUIRED)],
    eqx.nn.Identity: [("input", REQUIRED)],
    eqx.nn.Dropout: [("input", REQUIRED), ("*key", None), ("*deterministic", None)],
    eqx.nn.GRUCell: [("input", REQUIRED), ("hidden", REQUIRED)],
    eqx.nn.LSTMCell: [("input", REQUIRED), ("hidden", REQUIRED)],
    eqx.nn.Sequential: [("input", REQUIRED), ("*key", None)],
    eqx.nn.MLP: [("input", REQUIRED)],
}


@pytest.mark.parametrize("layer", SIGNATURES, ids=lambda layer: layer.__name__)
def test_signatures(layer):
    """The constructor of each layer has the arguments of the text, in order and with the same defaults."""
    check_parameters(parameters(layer), SIGNATURES[layer])


@pytest.mark.parametrize("layer", CALLS, ids=lambda layer: layer.__name__)
def test_signatures_of_calls(layer):
    """Each layer is called with the arguments of the text."""
    check_parameters(parameters(layer.__call__), CALLS[layer])


def check_parameters(found, expected):
    """Each call that the text allows means the same. More arguments may follow if they have defaults."""
    positional = [name for name, _ in expected if not name.startswith("*")]
    assert [name for name, _ in found[: len(positional)]] == positional
    found = dict(found)
    for name, default in expected:
        assert found.pop(name) == default or default is ...
    assert REQUIRED not in found.values()


# Initial weights

MADE_WITH_A_KEY = [
    ft.partial(eqx.nn.Linear, 2, 3),
    ft.partial(eqx.nn.GRUCell, 2, 2),
    ft.partial(eqx.nn.LSTMCell, 2, 2),
    ft.partial(eqx.nn.MLP, 2, 3, 3, 1),
]


@pytest.mark.parametrize("make", MADE_WITH_A_KEY, ids=lambda make: make.func.__name__)
def test_the_key_generates_the_initial_weights(make):
    """The `key` arguments are used to generate the random initial weights."""
    first, again, other = (make(key=key) for key in (KEY, KEY, OTHER_KEY))
    assert eqx.tree_equal(first, again)
    for a, b in zip(*(tree_util.tree_leaves(eqx.filter(model, eqx.is_array)) for model in (first, other))):
        assert a.shape == b.shape and np.all(np.asarray(a) != np.asarray(b))
    with pytest.raises(TypeError, match="key"):
        make()


# Linear and Identity


@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias):
    """`Linear` is an affine map, or a linear one without `bias`."""
    linear = eqx.nn.Linear(2, 3, bias, key=KEY)
    x = np.array([1.0, -2.0], np.float32)
    expected = np.asarray(linear.weight) @ x + (np.asarray(linear.bias) if bias else 0)
    np.testing.assert_allclose(linear(x), expected, rtol=1e-5)
    assert linear.weight.shape == (3, 2)
    assert linear.bias.shape == (3,) if bias else linear.bias is None


def test_identity():
    """`Identity` returns its input and ignores its other arguments."""
    x = jnp.ones(2)
    for identity in (eqx.nn.Identity(), eqx.nn.Identity(1, "two", three=3)):
        assert identity(x) is x


# Dropout

ONES = jnp.ones(64)


def is_identity(dropout, **kwargs):
    """Whether the layer returns an input of ones unchanged. Otherwise it drops some elements and scales the others."""
    out = np.asarray(dropout(ONES, key=KEY, **kwargs))
    if np.all(out == 1):
        return True
    assert set(out.tolist()) == {0.0, 2.0}
    return False


def test_dropout_is_random():
    """The key of the call generates the randomness of stochastic layers like `Dropout`."""
    first, again, other = (np.asarray(eqx.nn.Dropout()(ONES, key=key)) for key in (KEY, KEY, OTHER_KEY))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    with pytest.raises(ValueError, match="key"):
        eqx.nn.Dropout()(ONES)


def test_dropout_probability():
    """`p` is the probability that an element is dropped. The others are scaled to keep the expected value."""
    for p, kept in [(0.0, 1.0), (0.25, 4 / 3), (0.75, 4.0)]:
        out = np.asarray(eqx.nn.Dropout(p)(jnp.ones(1000), key=KEY))
        np.testing.assert_allclose(out[out != 0], kept, rtol=1e-5)
        assert abs(np.mean(out == 0) - p) < 0.08


@pytest.mark.parametrize("at_init", [True, False])
@pytest.mark.parametrize("at_call", [True, False, None])
def test_dropout_deterministic(at_init, at_call):
    """`deterministic` makes the layer the identity. That of the call overrides that of the layer."""
    expected = at_init if at_call is None else at_call
    assert is_identity(eqx.nn.Dropout(deterministic=at_init), deterministic=at_call) is expected
    if expected:  # nothing is random then, so no key is needed
        assert eqx.nn.Dropout(deterministic=at_init)(ONES, deterministic=at_call) is ONES


def test_dropout_deterministic_by_tree_at():
    """Because models are pytrees, `tree_at` can change the flag of the layer, also inside a model."""
    for flag in (True, False):
        dropout = eqx.tree_at(lambda layer: layer.deterministic, eqx.nn.Dropout(deterministic=not flag), flag)
        assert dropout.deterministic is flag
        assert is_identity(dropout) is flag
    model = eqx.nn.Sequential([eqx.nn.Identity(), eqx.nn.Dropout()])
    inference = eqx.tree_at(lambda model: model.layers[1].deterministic, model, True)
    assert not is_identity(model)
    assert inference(ONES) is ONES


# GRUCell and LSTMCell


@cells
@pytest.mark.parametrize("bias", [True, False])
def test_cells(cell_type, bias):
    """A cell is one step of a recurrent network, with PyTorch's formulas."""
    cell = cell_type(2, 2, bias, key=KEY)
    x, h, c = (np.linspace(start, 1, size) for start, size in [(-1, 2), (-0.5, 2), (0.5, 2)])
    out = cell(jnp.asarray(x), tree_util.tree_map(jnp.asarray, to_state(cell_type, h, c)))
    new_h, new_c = numpy_step(cell, x, h, c)
    for got, expected in zip(out if cell_type is eqx.nn.LSTMCell else [out], [new_h, new_c]):
        assert_close(got, expected)
    assert (cell.bias_ih is None) is not bias


# Sequential and MLP


def test_sequential():
    """`Sequential` calls its layers one after another."""
    linear = eqx.nn.Linear(2, 3, key=KEY)
    x = jnp.array([1.0, -2.0])
    out = eqx.nn.Sequential([linear, jnp.abs, lambda x: x + 1])(x)
    np.testing.assert_allclose(out, abs(np.asarray(linear(x))) + 1, rtol=1e-6)


def test_sequential_passes_keys_on():
    """The key of the call is split, so each layer has its own randomness."""
    model = eqx.nn.Sequential([eqx.nn.Dropout(), jnp.abs, eqx.nn.Dropout()])
    out = np.asarray(model(ONES, key=KEY))
    assert set(out.tolist()) == {0.0, 4.0}
    assert 0.1 < np.mean(out != 0) < 0.4  # both layers keep a quarter; with the same key they would keep a half
    assert np.array_equal(out, model(ONES, key=KEY))
    with pytest.raises(ValueError, match="key"):
        model(ONES)


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation": jnp.tanh},
        {"final_activation": jnp.exp},
        {"activation": jnp.sin, "final_activation": jnp.tanh},
    ],
    ids=lambda options: " and ".join(options) or "defaults",
)
def test_mlp(depth, options):
    """`activation` comes after each hidden layer, and `final_activation` after the last.

    The defaults are `relu` and the identity.
    """
    mlp = eqx.nn.MLP(2, 3, width_size=3, depth=depth, key=KEY, **options)
    x = np.array([1.0, -2.0], np.float32)
    expected = x
    for i, layer in enumerate(mlp.layers):
        expected = np.asarray(layer.weight) @ expected + np.asarray(layer.bias)
        if i < depth:
            expected = np.asarray(options.get("activation", lambda x: np.maximum(x, 0))(expected))
    expected = options.get("final_activation", lambda x: x)(expected)
    np.testing.assert_allclose(mlp(x), expected, rtol=1e-4, atol=1e-6)
    assert [layer.weight.shape for layer in mlp.layers] == [(3, 2), (3, 3), (3, 3)] if depth else [(3, 2)]


def test_layers_are_modules():
    """The layers are modules. They hold arrays and little else."""
    for cls in CALLS:
        assert issubclass(cls, eqx.Module)
    mlp = eqx.nn.MLP(2, 3, 3, 1, key=KEY)
    gradient = eqx.gradf(lambda mlp: mlp(jnp.ones(2)).sum(), filter_fn=eqx.is_inexact_array)(mlp)
    assert len(tree_util.tree_leaves(gradient)) == 4
    assert gradient.layers[1].bias.tolist() == [1.0] * 3

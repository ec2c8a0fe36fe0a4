"""`Stacked` keeps the states of its layers together, one for each."""

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest

import equinox as eqx
from equinox.nn import BatchNorm, Sequential, Stacked, StatefulLayer, StateIndex

DEPTH = 3


class Counter(StatefulLayer):
    """Add the number of the calls before, times a scale."""

    count: StateIndex
    scale: object

    def __init__(self, key):
        self.count = StateIndex(0.0)
        self.scale = jrandom.normal(key, ())

    def __call__(self, x, state, *, key=None):
        count = state.get(self.count)
        return x + self.scale * (count + 1), state.set(self.count, count + 1)


def counters_of_a_list():
    return Stacked.from_layers([Counter(key) for key in jrandom.split(jrandom.PRNGKey(0), DEPTH)])


def counters():
    return Stacked(Counter, DEPTH, key=jrandom.PRNGKey(0))


@pytest.mark.parametrize("make", [counters, counters_of_a_list])
def test_each_layer_has_its_state(make):
    """The state of all layers is updated at each call, alone and in a `Sequential`."""
    model, state = eqx.nn.make_with_state(lambda: Sequential([make(), jnp.abs]))()
    total = float(jnp.sum(model[0].layers.scale))
    call = eqx.filter_jit(lambda model, x, state: model(x, state))
    for i in range(1, 3):
        y, state = call(model, jnp.array(0.0), state)
        np.testing.assert_allclose(y, abs(i * total), rtol=1e-5)
    np.testing.assert_array_equal(state.get(model[0].layers.count), [2.0] * DEPTH)


def test_state_is_of_one_layer():
    """`list` gives layers with states of their own."""
    layers, state = eqx.nn.make_with_state(lambda: list(counters()))()
    y, state = layers[1](0.0, state)
    assert [float(state.get(layer.count)) for layer in layers] == [0.0, 1.0, 0.0]


def test_batch_norm():
    """`BatchNorm` under `vmap` updates the statistics of its layer, as in a list."""
    make = eqx.nn.make_with_state
    model, state = make(lambda: Stacked(lambda key: BatchNorm(2, "batch"), DEPTH, key=jrandom.PRNGKey(0)))()
    each, states = make(lambda: Sequential([BatchNorm(2, "batch") for _ in range(DEPTH)]))()
    xs = jrandom.normal(jrandom.PRNGKey(1), (4, 2)) + 3

    def call(model, state):
        return jax.vmap(model, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(xs, state)

    (got, state), (expected, states) = call(model, state), call(each, states)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    running = state.get(model.layers.running)
    for i, norm in enumerate(each):
        for name, value in states.get(norm.running).items():
            np.testing.assert_allclose(running[name][i], value, rtol=1e-5, atol=1e-6)


def test_one_layer_with_the_state_of_all():
    """The error names the value, and says to call the `Stacked`."""
    make = eqx.nn.make_with_state(lambda: Stacked(lambda key: BatchNorm(2, "batch"), DEPTH, key=jrandom.PRNGKey(0)))
    model, state = make()
    message = r"`model.layers.running\['mean'\]` in the state to have shape \(2,\), got \(3, 2\).* `Stacked` keeps"
    with pytest.raises(ValueError, match=message):
        jax.vmap(model[1], axis_name="batch", in_axes=(0, None), out_axes=(0, None))(jnp.ones((4, 2)), state)


def test_missing_state():
    """The error shows how to make the state."""
    with pytest.raises(ValueError, match="`Stacked` needs a state, because its layers, each a `Counter`"):
        counters()(0.0)

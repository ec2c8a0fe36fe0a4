"""Layers that `jax.vmap` stacked must be called under `jax.vmap`. Another call is refused with this advice."""

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest

from equinox.nn import MLP, Dropout, GRUCell, Linear, LSTMCell, Sequential

MAKE = {
    "Linear": lambda key: Linear(2, 3, key=key),
    "Linear without bias": lambda key: Linear(2, 3, bias=False, key=key),
    "MLP": lambda key: MLP(2, 3, 4, 1, key=key),
    "Sequential": lambda key: Sequential([jnp.tanh, Linear(2, 3, key=key)]),
    "GRUCell": lambda key: GRUCell(2, 3, key=key),
    "LSTMCell": lambda key: LSTMCell(2, 3, key=key),
}
INPUTS = {"GRUCell": (jnp.ones(2), jnp.ones(3)), "LSTMCell": (jnp.ones(2), (jnp.ones(3), jnp.ones(3)))}
FAULTS = {
    "Linear": r"`Linear` has stacked weights: `weight` has shape \(8, 3, 2\), expected \(3, 2\)",
    "Linear without bias": r"`Linear` has stacked weights: `weight` has shape \(8, 3, 2\), expected \(3, 2\)",
    "MLP": r"`Linear` has stacked weights: `weight` has shape \(8, 4, 2\), expected \(4, 2\)",
    "Sequential": r"`Linear` has stacked weights: `weight` has shape \(8, 3, 2\), expected \(3, 2\)",
    "GRUCell": r"`GRUCell` has stacked weights: `weight_hh` has shape \(8, 9, 3\), expected \(9, 3\)",
    "LSTMCell": r"`LSTMCell` has stacked weights: `weight_hh` has shape \(8, 12, 3\), expected \(12, 3\)",
}


@pytest.mark.parametrize("name", MAKE)
def test_stack_is_mapped_over(name, getkey):
    """A stack under `vmap` gives what each layer gives alone.

    A call without `vmap` is refused, for one example and for a batch.
    """
    inputs = INPUTS.get(name, (jnp.ones(2),))
    layers = jax.jit(jax.vmap(MAKE[name]))(jrandom.split(getkey(), 8))
    one = jax.tree_util.tree_map(lambda x: np.asarray(x)[1], layers)
    outputs, expected = jax.jit(lambda: (jax.vmap(lambda layer: layer(*inputs))(layers), one(*inputs)))()
    for got, y in zip(jax.tree_util.tree_leaves(outputs), jax.tree_util.tree_leaves(expected)):
        np.testing.assert_allclose(got[1], y, rtol=1e-5, atol=1e-6)
    batch = jax.tree_util.tree_map(lambda x: jnp.stack([x] * 8), inputs)
    for wrong in (inputs, batch):
        for call in (lambda layer, inputs: layer(*inputs), jax.jit(lambda layer, inputs: layer(*inputs))):
            with pytest.raises(
                ValueError, match=FAULTS[name] + r".* Map over the layer too: `jax.vmap\(lambda layer, x:"
            ):
                call(layers, wrong)


def test_stack_of_stacks(getkey):
    """The error for a stack with two more axes names its shape."""
    layers = jax.vmap(jax.vmap(lambda key: Linear(2, 3, key=key)))(jrandom.split(getkey(), 4).reshape(2, 2, -1))
    with pytest.raises(ValueError, match=r"`weight` has shape \(2, 2, 3, 2\), expected \(3, 2\)"):
        layers(jnp.ones(2))


def test_flags_and_rates_of_a_stack(getkey):
    """A stacked `Dropout` uses the flag and the probability of each layer. A call without `vmap` is refused."""

    def call(dropout, x, key):
        return dropout(x, key=key)

    layers = jax.vmap(Dropout)(jnp.array([0.5, 0.75, 0.5]), jnp.array([False, False, True]))
    x, keys = jnp.ones((3, 64)), jrandom.split(getkey(), 3)
    y = np.asarray(jax.vmap(call)(layers, x, keys))
    assert [set(row.tolist()) for row in y] == [{0.0, 2.0}, {0.0, 4.0}, {1.0}]
    assert jax.vmap(lambda _: Dropout(0.5))(jnp.arange(3)).deterministic.tolist() == [False] * 3
    for apply in (call, jax.jit(call)):
        with pytest.raises(ValueError, match=r"`deterministic` to be one value.*shape \(3,\).* Map over the layer"):
            apply(layers, x, keys[0])
    with pytest.raises(ValueError, match="`p` to be one value"):
        jax.vmap(Dropout, in_axes=(0, None))(jnp.array([0.1, 0.2]), False)(x, key=keys[0], deterministic=False)

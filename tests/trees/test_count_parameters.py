"""`count_parameters`, against sums by hand."""

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from modules import make_net

import equinox as eqx


def test_counts_inexact_arrays():
    """The elements of floating-point and complex arrays count, of JAX and of NumPy, and nothing else."""
    tree = {
        "float": jnp.ones((3, 2)),
        "complex": np.ones(5, np.complex64),
        "scalar": jnp.ones(()),
        "empty": jnp.ones((0, 7)),
        "integer": jnp.arange(11),
        "key": jrandom.PRNGKey(0),
        "number": 1.0,
        "text": np.array(["a"]),
        "function": jax.nn.relu,
    }
    assert eqx.count_parameters(tree) == 6 + 5 + 1
    assert eqx.count_parameters(make_net()) == 4 + 2 + 2
    assert eqx.count_parameters(None) == 0


def test_shapes_count_as_arrays():
    """A model of shapes has as many parameters as the model."""

    def make():
        return eqx.nn.MLP(3, 2, 8, 2, key=jrandom.PRNGKey(0))

    assert eqx.count_parameters(eqx.filter_eval_shape(make)) == eqx.count_parameters(make()) == 32 + 72 + 18


def test_filter_spec():
    """`filter_spec` says which leaves count. A leaf that is no array never counts."""
    tree = [jnp.ones(2), jnp.arange(3), 4.0]
    assert eqx.count_parameters(tree, eqx.is_array) == 5
    assert eqx.count_parameters(tree, [False, True, True]) == 3
    assert eqx.count_parameters(tree, True) == 5
    with pytest.raises(ValueError):
        eqx.count_parameters(tree, [True])


def test_traced_arrays_count():
    """The number is known while a function is traced."""
    assert jax.jit(lambda x: jnp.zeros(eqx.count_parameters([x])))(jnp.ones((2, 3))).shape == (6,)

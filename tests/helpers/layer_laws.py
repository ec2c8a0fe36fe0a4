"""Laws of every layer, and the random inputs of their tests."""

import jax
import jax.random as jrandom
import numpy as np
import pytest


def randoms(*shape, seed=0):
    """Draw numbers from the normal distribution."""
    return np.random.RandomState(seed).normal(size=shape).astype(np.float32)


def check_under_transformations(make, xs, stacked):
    """`vmap` and `jit` give what a loop gives. An ensemble is its members.

    Args:
        make: A function from `key` to a layer.
        xs: Examples. There are three of them.
        stacked: A pattern for the error of an ensemble that is called without `vmap`.
    """
    layer = make(key=jrandom.PRNGKey(0))
    np.testing.assert_allclose(jax.jit(jax.vmap(layer))(xs), [layer(x) for x in xs], rtol=1e-4, atol=1e-5)
    keys = jrandom.split(jrandom.PRNGKey(0), 3)
    ensemble = jax.vmap(lambda key: make(key=key))(keys)
    ys = jax.vmap(lambda layer, x: layer(x))(ensemble, xs)
    np.testing.assert_allclose(ys[1], make(key=keys[1])(xs[1]), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=stacked):
        ensemble(xs[0])

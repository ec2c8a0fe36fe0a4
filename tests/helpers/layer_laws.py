"""Laws of every layer, and the random inputs of their tests."""

import functools as ft

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest

import equinox as eqx

# The public names of `eqx.nn` that are no layers.
NO_LAYERS = {
    "State",
    "StateIndex",
    "StatefulLayer",
    "delete_init_state",
    "dot_product_attention",
    "inference_mode",
    "make_with_state",
    "reinitialise",
    "torch_names",
}


def randoms(*shape, seed=0):
    """Draw numbers from the normal distribution."""
    return np.random.RandomState(seed).normal(size=shape).astype(np.float32)


def drawn(make, *args, **options):
    """`make(*args, **options)`, with parameters that NumPy draws. JAX would compile a program for each shape."""
    rng = np.random.RandomState(0)
    like = eqx.filter_eval_shape(ft.partial(make, *args, **options), key=jrandom.PRNGKey(0))
    return jax.tree_util.tree_map(
        lambda x: jnp.asarray(rng.uniform(-1, 1, x.shape), x.dtype) if isinstance(x, jax.ShapeDtypeStruct) else x, like
    )


def check_under_transformations(make, xs, stacked):
    """`vmap` and `jit` give what a loop gives. An ensemble is its members.

    Args:
        make: A function from `key` to a layer.
        xs: Examples. There are three of them.
        stacked: A pattern for the error of an ensemble that is called without `vmap`.
    """
    layer = drawn(make)
    np.testing.assert_allclose(jax.jit(jax.vmap(layer))(xs), [layer(x) for x in xs], rtol=1e-4, atol=1e-5)
    keys = jrandom.split(jrandom.PRNGKey(0), 3)
    ensemble = jax.jit(jax.vmap(lambda key: make(key=key)))(keys)
    ys = jax.jit(jax.vmap(lambda layer, x: layer(x)))(ensemble, xs)
    np.testing.assert_allclose(ys[1], make(key=keys[1])(xs[1]), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=stacked):
        ensemble(xs[0])

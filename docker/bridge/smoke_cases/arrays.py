"""Arrays: their types, operations on them, and random numbers."""

import copy
import io
import pickle

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax

try:
    from jax.experimental import enable_x64
except ImportError:  # later releases have jax.enable_x64
    enable_x64 = None

from . import VERSION, case, eq, raises


@case
def numpy_ops():
    x = jnp.arange(6.0).reshape(2, 3)
    eq(x @ x.T, [[5, 14], [14, 50]])
    eq(jnp.where(x > 2, x, -x).sum(0), [3, 3, 3])
    eq(x.at[0, 1].set(9.0)[0], [0, 9, 2])
    eq(x.at[:, 1].add(1.0)[:, 1], [2, 5])
    eq(jnp.concatenate([x, x], axis=1).shape, (2, 6))
    eq(jnp.stack([x, x]).mean(), 2.5)
    eq(jnp.cumsum(x, axis=1)[1], [3, 7, 12])
    eq(jnp.sort(jnp.array([3, 1, 2])), [1, 2, 3])
    eq(jnp.argmax(x), 5)
    eq(jnp.einsum("ij,kj->ik", x, x), x @ x.T)
    eq(x[jnp.array([1, 0])][:, ::-1], [[5, 4, 3], [2, 1, 0]])
    eq(jnp.pad(x, ((0, 0), (1, 1))).shape, (2, 5))
    eq(jnp.split(x, 3, axis=1)[2], [[2], [5]])
    eq(jnp.take_along_axis(x, jnp.array([[2], [0]]), 1), [[2], [3]])
    eq(lax.rsqrt(4.0), 0.5)
    eq(lax.stop_gradient(x), x)
    eq(lax.dynamic_slice(x, (1, 1), (1, 2)), [[4, 5]])
    eq(jnp.linspace(0, 1, 5)[1], 0.25)
    eq(jnp.finfo(jnp.float32).eps, np.finfo(np.float32).eps)
    eq(jnp.isnan(x / 0).any(), True)
    eq(lax.reduce(x, 0.0, lax.add, (0, 1)), 15)
    eq(jnp.zeros((0, 3)).shape, (0, 3))
    assert jnp.ones(2, jnp.bfloat16).dtype == jnp.bfloat16
    eq((jnp.ones(2, jnp.complex64) * 1j).imag, [1, 1])


@case
def array_object():
    x = jnp.arange(3.0)
    assert isinstance(x, jnp.ndarray)
    # 0.2.18 returns True for a NumPy array too
    assert not isinstance(np.ones(2), jnp.ndarray) or VERSION < (0, 2, 20)
    assert x.dtype == jnp.float32 and x.shape == (3,) and x.ndim == 1 and x.size == 3
    assert float(x[1]) == 1.0 and int(x[2]) == 2 and bool(x[1]) and len(x) == 3
    assert x.tolist() == [0.0, 1.0, 2.0] and x[2].item() == 2.0
    eq(list(x), [0, 1, 2])
    eq(np.asarray(x), np.arange(3.0))
    eq(x + np.ones(3), [1, 2, 3])
    eq(2 - x, [2, 1, 0])
    assert "0., 1., 2." in repr(x)
    assert raises(TypeError, hash, x)
    x.block_until_ready()
    jax.device_get(jax.device_put(x))
    eq(jax.device_put(x, jax.devices()[0]), x)
    assert x.astype(jnp.int32).dtype == jnp.int32
    assert x.aval.weak_type is False and jnp.multiply(1.0, 2.0).aval.weak_type is True


@case
def array_pickle_save():
    x = jnp.arange(3.0)
    eq(pickle.loads(pickle.dumps(x)), x)
    f = io.BytesIO()
    jnp.save(f, x)
    f.seek(0)
    eq(jnp.load(f), x)
    eq(copy.deepcopy(x), x)


@case
def deleted_array():
    x = jnp.arange(3.0) + 1
    assert not x.is_deleted()
    x.delete()
    assert x.is_deleted()
    raises(RuntimeError, np.asarray, x)


@case
def random():
    key = jr.PRNGKey(42)
    assert key.shape == (2,) and key.dtype == jnp.uint32
    eq(key, [0, 42])
    # threefry, the same numbers in every JAX release with this default
    eq(
        jr.split(jr.PRNGKey(0))[0],
        [4146024105, 967050713]
        if not getattr(jax.config, "jax_threefry_partitionable", False)
        else [1797259609, 2579123966],
    )
    k1, k2 = jr.split(key)
    assert jr.normal(k1, (1000,)).std() > 0.9
    u = jr.uniform(k2, (100,), minval=-1, maxval=1)
    assert u.min() >= -1 and u.max() < 1
    jr.bernoulli(key, 0.5, (3,)), jr.randint(key, (3,), 0, 5), jr.permutation(key, 5)
    jr.categorical(key, jnp.zeros(3)), jr.truncated_normal(key, -2, 2, (3,))
    jr.choice(key, 5, (2,)), jr.fold_in(key, 1)
    if hasattr(jr, "gamma"):
        assert jr.gamma(key, 2.0, (3,)).shape == (3,)


@case
def x64_and_dtypes():
    assert (jnp.ones(2, jnp.int8) + 1).dtype == jnp.int8  # weak types
    assert (jnp.ones(2, jnp.float16) * jnp.ones(2, jnp.float32)).dtype == jnp.float32
    assert jnp.result_type(jnp.int32, jnp.float32) == jnp.float32
    assert jnp.array(1.0).dtype == jnp.float32 and jnp.array(1).dtype == jnp.int32
    with jax.enable_x64(True) if enable_x64 is None else enable_x64():
        assert jnp.array(1.0).dtype == jnp.float64
        eq(jax.jit(lambda x: x / 3)(1.0), 1 / 3, 1e-15)
    assert jnp.array(1.0).dtype == jnp.float32

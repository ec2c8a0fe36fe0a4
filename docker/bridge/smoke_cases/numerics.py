"""Activations, convolutions, linear algebra, Fourier transforms."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax

from . import VERSION, case, eq


@case
def nn():
    x = jnp.array([-1.0, 0.0, 2.0])
    eq(jax.nn.relu(x), [0, 0, 2])
    eq(jax.nn.softmax(x).sum(), 1)
    eq(jax.nn.sigmoid(0.0), 0.5)
    eq(jax.nn.gelu(x)[1], 0)
    eq(jax.nn.softplus(0.0), np.log(2))
    eq(jax.nn.silu(0.0), 0)
    eq(jax.nn.elu(0.0), 0)
    eq(jax.nn.selu(0.0), 0)
    eq(jax.nn.log_softmax(x), np.asarray(x) - np.log(np.exp(x).sum()))
    eq(jax.nn.one_hot(jnp.array([1, 0]), 2), [[0, 1], [1, 0]])
    eq(jax.nn.logsumexp(x), np.log(np.exp(x).sum()))
    eq(jax.grad(lambda v: jax.nn.relu(v))(2.0), 1)
    init = jax.nn.initializers.glorot_uniform()(jr.PRNGKey(0), (3, 4))
    assert init.shape == (3, 4)
    jax.nn.initializers.normal()(jr.PRNGKey(0), (2,))


@case
def conv_pool():
    x = jnp.arange(16.0).reshape(1, 1, 4, 4)
    w = jnp.ones((1, 1, 2, 2))
    eq(lax.conv_general_dilated(x, w, (1, 1), "VALID")[0, 0, 0, 0], 10)

    def strided(x, w):
        return lax.conv_general_dilated(x, w, (2, 2), [(1, 1), (1, 1)], rhs_dilation=(1, 1)).sum()

    eq(jax.grad(strided, 1)(x, w).shape, w.shape)

    def max_pool(x):
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    eq(max_pool(x)[0, 0], [[5, 7], [13, 15]])
    eq(lax.reduce_window(x, 0.0, lax.add, (1, 1, 2, 2), (1, 1, 1, 1), [(0, 0)] * 4)[0, 0, 0, 0], 10)
    eq(jax.grad(lambda x: max_pool(x).sum())(x).sum(), 4)
    eq(jax.vmap(lambda x: lax.conv_general_dilated(x[None], w, (1, 1), "SAME")[0])(x).shape, (1, 1, 4, 4))


@case
def linalg_fft():
    a = jnp.array([[4.0, 1.0], [1.0, 3.0]])
    factor = jnp.linalg.cholesky(a)
    eq(factor @ factor.T, a)
    q, r = jnp.linalg.qr(a)
    eq(q @ r, a)
    eq(q.T @ q, np.eye(2))
    w, v = jnp.linalg.eigh(a)
    eq(v @ jnp.diag(w) @ v.T, a, 1e-4)
    solution = jax.scipy.linalg.solve_triangular(factor, jnp.ones(2), lower=True)
    eq(solution, np.linalg.solve(np.asarray(factor), np.ones(2)))
    eq(jnp.abs(jnp.fft.fft(jnp.arange(4.0))), np.abs(np.fft.fft(np.arange(4.0))))
    eq(jnp.fft.irfft(jnp.fft.rfft(jnp.arange(4.0))), np.arange(4.0), 1e-4)
    eq(jnp.linalg.norm(a), np.linalg.norm(np.asarray(a)))


@case
def svd():
    # A separate case, so that it can run first, before another case initialises LAPACK.
    for a in (np.array([[4.0, 1.0], [1.0, 3.0], [0.0, 2.0]]), np.ones((2, 3, 4)), np.eye(3) * (1 + 1j)):
        u, s, vt = map(np.asarray, jnp.linalg.svd(jnp.asarray(a), full_matrices=False))
        eq(s, np.linalg.svd(a)[1], 1e-4)
        eq((u * s[..., None, :]) @ vt, a, 1e-4)
        eq(jnp.linalg.svd(jnp.asarray(a), compute_uv=False), s, 1e-4)


@case
def linalg_lapack():
    a = jnp.array([[4.0, 1.0], [1.0, 3.0]])
    eq(jnp.linalg.solve(a, jnp.ones(2)), np.linalg.solve(np.asarray(a), np.ones(2)))
    eq(jnp.linalg.inv(a) @ a, np.eye(2))
    eq(jnp.linalg.det(a), 11, 1e-4)
    if VERSION >= (0, 3, 14):  # the bridge has no eigvals below this release
        values = jax.jit(jnp.linalg.eigvals)(jnp.array([[1.0, 2.0], [-2.0, 1.0]]))
        eq(sorted(values.imag), [-2, 2], 1e-4)
    eq(jax.vmap(jnp.linalg.inv)(jnp.stack([a, 2 * a]))[1], jnp.linalg.inv(a) / 2)

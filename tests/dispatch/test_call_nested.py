"""A model that comes again and again inside other transformations, from several threads, and ahead of the device."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from looking import OFTEN, X, Y
from modules import Affine
from tracing import Model, model

import equinox as eqx
import equinox._dispatch.known_modules
from equinox.nn import MLP


def test_a_familiar_model_in_other_transformations():
    m = model()
    f = eqx.filter_jit(lambda m, x: (m.weight * x).sum())
    xs = jnp.arange(3.0)
    for _ in range(OFTEN):
        assert f(m, 2.0) == 6.0
        np.testing.assert_allclose(jax.vmap(lambda x: f(m, x))(xs), [0.0, 3.0, 6.0])
        assert jax.grad(lambda x: f(m, x))(1.0) == 3.0
        assert eqx.filter_grad(f)(m, 2.0).weight.tolist() == [2.0, 2.0]
        assert jax.jit(lambda x: f(m, x))(2.0) == 6.0
        assert lax.scan(lambda c, x: (c + f(m, x), None), 0.0, xs)[0] == 9.0
        assert jax.grad(jax.checkpoint(lambda x: f(m, x)))(1.0) == 3.0


def test_a_model_of_traced_arrays_is_familiar_while_it_is_traced():
    """Called with time and again in one trace; and the next trace has other arrays."""
    f = eqx.filter_jit(lambda m, x: m.weight * x)

    def fun(w):
        m = Model(w, "name")
        total = 0.0
        for i in range(OFTEN):
            total = total + f(m, float(i)).sum()
        return total

    for w in (X, Y, X):
        for transformed in (fun, jax.jit(fun)):
            np.testing.assert_allclose(transformed(w), 28 * np.asarray(w).sum())
        np.testing.assert_allclose(jax.vmap(fun)(w[:, None]), 28 * np.asarray(w))
        for transformed in (jax.grad(fun), jax.jit(jax.grad(fun)), jax.grad(jax.jit(fun))):
            np.testing.assert_allclose(transformed(w), [28.0, 28.0])
    if hasattr(jax, "checking_leaks"):
        with jax.checking_leaks():
            np.testing.assert_allclose(jax.jit(fun)(X), 28 * 7.0)


def test_threads_know_each_its_own_models():
    """Eight threads, each with two models that take turns, and one that all share, through one function."""
    f = eqx.filter_jit(lambda m, x: m.weight[0] * x + m.bias)
    shared = Affine([jnp.array(100.0)], jnp.array(1.0))
    wrong, start = [], threading.Barrier(8)

    def work(i):
        mine = [Affine([jnp.array(float(i + j))], jnp.array(1.0)) for j in range(2)]
        start.wait()
        for k in range(60):
            m = mine[k // 10 % 2]
            if k % 20 == 19:
                m.weight[0] = m.weight[0] + 1
            for each in (m, m, shared) if k % 3 else (m,):
                if f(each, 2.0) != each.weight[0] * 2.0 + 1:
                    wrong.append((i, k))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# The host goes ahead


def test_the_host_does_not_wait_for_the_device():
    """A call returns before its result is there, whenever that of `jax.jit` does."""
    mlp = MLP(64, 64, 64, 1, key=jax.random.PRNGKey(0))

    def fun(m, x):
        return lax.fori_loop(0, 300, lambda _, x: jax.vmap(m)(x), x)

    if not hasattr(X, "is_ready"):
        pytest.skip("an array says whether it is ready since JAX 0.4.1 or so, this is " + jax.__version__)
    x = jnp.ones((64, 64))

    def returns_early(f, *args):
        f(*args).block_until_ready()
        return any(not f(*args).is_ready() for _ in range(20))

    arrays, rest = eqx.partition(mlp, eqx.is_array)
    if not returns_early(jax.jit(lambda arrays, x: fun(eqx.combine(arrays, rest), x)), arrays, x):
        pytest.skip("this backend has the host wait for the device, with JAX " + jax.__version__)
    assert returns_early(eqx.filter_jit(fun), mlp, x)


# What another thread may do while one is in the midst of a call


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_change_while_a_model_becomes_known_is_seen(monkeypatch, when):
    """Right before it is first watched, or right after."""
    m = Affine([X], None)
    f = eqx.filter_jit(lambda m: m.weight[0])
    take = equinox._dispatch.known_modules.watch

    def watch(modules):
        if when == "before":
            m.weight[0] = Y
        watched = take(modules)
        m.weight[0] = Y
        return watched

    monkeypatch.setattr("equinox._dispatch.known_modules.watch", watch)
    for _ in range(OFTEN):
        f(m)
    assert f(m).tolist() == Y.tolist() == m.weight[0].tolist()


def test_a_model_that_is_forgotten_in_the_midst_of_a_call_is_still_called(monkeypatch):
    m = Affine([X], None)
    f = eqx.filter_jit(lambda m: m.weight[0])
    for _ in range(OFTEN):
        f(m)
    is_unchanged = equinox._dispatch.known_modules.Watched.is_unchanged

    def is_unchanged_and_forgotten(self):
        answer = is_unchanged(self)
        f.clear_cache()
        return answer

    monkeypatch.setattr("equinox._dispatch.known_modules.Watched.is_unchanged", is_unchanged_and_forgotten)
    for _ in range(2):
        assert f(m).tolist() == X.tolist()

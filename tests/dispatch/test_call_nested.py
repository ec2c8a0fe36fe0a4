"""Known models inside other transformations, in several threads, and before the device is done."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from modules import Affine
from tracing import Model, model
from tree_contents import MANY_CALLS, X, Y

import equinox as eqx
import equinox._dispatch.known_modules
from equinox.nn import MLP


def test_a_known_model_in_other_transformations():
    m = model()
    f = eqx.filter_jit(lambda m, x: (m.weight * x).sum())
    xs = jnp.arange(3.0)
    for _ in range(MANY_CALLS):
        assert f(m, 2.0) == 6.0
        np.testing.assert_allclose(jax.vmap(lambda x: f(m, x))(xs), [0.0, 3.0, 6.0])
        assert jax.grad(lambda x: f(m, x))(1.0) == 3.0
        assert eqx.filter_grad(f)(m, 2.0).weight.tolist() == [2.0, 2.0]
        assert jax.jit(lambda x: f(m, x))(2.0) == 6.0
        assert lax.scan(lambda c, x: (c + f(m, x), None), 0.0, xs)[0] == 9.0
        assert jax.grad(jax.checkpoint(lambda x: f(m, x)))(1.0) == 3.0


def test_a_model_of_tracers_is_known_only_in_its_own_trace():
    """It is passed many times in one trace. The next trace has other tracers."""
    f = eqx.filter_jit(lambda m, x: m.weight * x)

    def fun(w):
        m = Model(w, "name")
        total = 0.0
        for i in range(MANY_CALLS):
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


def test_threads_do_not_mix_up_their_models():
    """Eight threads call one function. Each passes two models of its own in turn, and one that all threads share."""
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


# Asynchronous dispatch


def test_the_host_does_not_wait_for_the_device():
    """A call returns before its result is computed, if a call of `jax.jit` does."""
    mlp = MLP(64, 64, 64, 1, key=jax.random.PRNGKey(0))

    def fun(m, x):
        return lax.fori_loop(0, 300, lambda _, x: jax.vmap(m)(x), x)

    if not hasattr(X, "is_ready"):
        pytest.skip("arrays have `is_ready` since about JAX 0.4.1, this is " + jax.__version__)
    x = jnp.ones((64, 64))

    def returns_early(f, *args):
        f(*args).block_until_ready()
        return any(not f(*args).is_ready() for _ in range(20))

    arrays, rest = eqx.partition(mlp, eqx.is_array)
    if not returns_early(jax.jit(lambda arrays, x: fun(eqx.combine(arrays, rest), x)), arrays, x):
        pytest.skip("on this backend `jax.jit` waits for the result, with JAX " + jax.__version__)
    assert returns_early(eqx.filter_jit(fun), mlp, x)


# Changes by another thread during a call


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_change_while_a_model_becomes_known_is_seen(monkeypatch, when):
    """The change comes right before the model is first watched, or right after."""
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
    for _ in range(MANY_CALLS):
        f(m)
    assert f(m).tolist() == Y.tolist() == m.weight[0].tolist()


def test_clear_cache_during_a_call_does_not_break_the_call(monkeypatch):
    m = Affine([X], None)
    f = eqx.filter_jit(lambda m: m.weight[0])
    for _ in range(MANY_CALLS):
        f(m)
    is_unchanged = equinox._dispatch.known_modules.Watched.is_unchanged

    def is_unchanged_then_clear(self):
        answer = is_unchanged(self)
        f.clear_cache()
        return answer

    monkeypatch.setattr("equinox._dispatch.known_modules.Watched.is_unchanged", is_unchanged_then_clear)
    for _ in range(2):
        assert f(m).tolist() == X.tolist()

"""`jitf` traces once for each structure, shape, dtype and static value: as often as `jax.jit`."""

import copy
import functools as ft
import threading
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, tree_util
from modules import Affine, affine
from tracing import Model, TraceRecorder, model

import equinox as eqx


@pytest.mark.parametrize(
    "filter_fn", [eqx.is_array, eqx.is_inexact_array, lambda x: eqx.is_array(x)], ids=["by type", "by dtype", "any"]
)
def test_each_difference_traces_once(filter_fn):
    seen = TraceRecorder(lambda *args, **kwargs: None)
    f = eqx.jitf(seen, filter_fn=filter_fn)
    one = jnp.ones(2)
    calls = [
        lambda: f(one, 1),
        lambda: f(one, 2),
        lambda: f(one, "s"),
        lambda: f(jnp.ones(3), 1),
        lambda: f(one.astype(jnp.float16), 1),
        lambda: f([one], 1),
        lambda: f(one, n=1),
        lambda: f(one, m=1),
        lambda: f(one, None),
        lambda: f(Model(one, "a"), 1),
        lambda: f(Model(one, "b"), 1),
        lambda: f(Model(one, "a", size=4), 1),
    ]
    for i, call in enumerate(calls):
        call()
        assert seen.traces == i + 1
        call()
        assert seen.traces == i + 1
    for call in calls[::-1] + calls:
        call()
    assert seen.traces == len(calls)


@pytest.mark.filters
def test_a_changed_dtype_may_change_what_is_traced():
    seen = TraceRecorder()
    f = eqx.jitf(seen, filter_fn=eqx.is_inexact_array)
    f(jnp.array([1.0]))
    assert seen.kinds == ["traced"]
    f(jnp.array([1]))  # same type and structure, no longer inexact
    assert seen.kinds != ["traced"]
    f(jnp.array([2.0]))
    f(jnp.array([1]))
    kinds = [f.__wrapped__.kinds]
    f(jnp.array([5]))
    assert kinds and seen.kinds != ["traced"]


@pytest.mark.filters
def test_a_filter_may_look_at_values():
    seen = TraceRecorder(lambda *xs: None)
    f = eqx.jitf(seen, filter_fn=lambda x: x > 0)
    f(1, -1)
    assert seen.kinds == ["traced", "int"]
    f(-1, 1)
    assert seen.kinds == ["int", "traced"]
    f(2, -1)
    f(3, -1)
    assert seen.kinds == ["int", "traced"] and seen.traces == 2
    f(-2, -1)  # only what was traced has changed
    assert seen.kinds == ["int", "int"] and seen.traces == 3


@pytest.mark.filters
def test_a_filter_is_not_asked_about_static_inputs():
    f = eqx.jitf(lambda x, mode: x * 2, filter_fn=lambda x: x.ndim > 0, static_argnums=1)
    assert f(jnp.ones(2), "train").tolist() == f(jnp.ones(2), "train").tolist() == [2.0, 2.0]


def test_two_kinds_of_call_in_turn_are_both_remembered(monkeypatch):
    seen = TraceRecorder(lambda x, train: x)
    f = eqx.filter_jit(seen)
    for _ in range(3):
        f(jnp.ones(2), True)
        f(jnp.ones(2), False)
    assert seen.traces == 2
    with monkeypatch.context() as patch:
        # Only a new kind of call needs it.
        patch.setattr("equinox._dispatch.dispatcher.Dispatcher._make_entry", None)
        f(jnp.ones(2), True)
        f(jnp.ones(2), False)
    assert f(jnp.ones(2), "third").tolist() == [1.0, 1.0]


def test_threads_share_a_compiled_function():
    f = eqx.filter_jit(lambda x, n: x * n)
    wrong = []

    def work(n):
        for i in range(30):
            if f(jnp.array(float(i)), n) != i * n:
                wrong.append((i, n))

    threads = [threading.Thread(target=work, args=(n,)) for n in (1, 2, 3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_clear_cache_forgets_all_traces():
    seen = TraceRecorder(lambda x: x)
    f = eqx.filter_jit(seen)
    f(jnp.ones(2))
    f.clear_cache()
    f(jnp.ones(2))
    assert seen.traces == 2


# As often as `jax.jit`

X, Y = jnp.arange(2.0), jnp.ones(2)

# Sequences of calls. All leaves are traced.
CALLS = {
    "other values": [lambda f: f(X), lambda f: f(Y), lambda f: f(-X)],
    "other shapes": [lambda f: f(X), lambda f: f(X[:1]), lambda f: f(X), lambda f: f(X[None])],
    "other dtypes": [lambda f: f(X), lambda f: f(X.astype(jnp.float16)), lambda f: f(X > 0), lambda f: f(X)],
    "weak types": [lambda f: f(1.0), lambda f: f(jnp.float32(1)), lambda f: f(2.0), lambda f: f(jnp.asarray(3.0))],
    "numbers": [lambda f: f(1), lambda f: f(2), lambda f: f(1.0), lambda f: f(True), lambda f: f(1j), lambda f: f(3)],
    "NumPy and JAX": [lambda f: f(X), lambda f: f(np.ones(2, np.float32)), lambda f: f(Y), lambda f: f(np.int8(1))],
    "structures": [
        lambda f: f([X]),
        lambda f: f((X,)),
        lambda f: f([X, None]),
        lambda f: f({"a": X}),
        lambda f: f([Y]),
    ],
    "keywords": [
        lambda f: f(a=X, b=Y),
        lambda f: f(b=Y, a=X),
        lambda f: f(X, b=Y),
        lambda f: f(X, Y),
        lambda f: f(Y, Y),
    ],
    "modules": [
        lambda f: f(Affine(X, Y)),
        lambda f: f(Affine(Y, X)),
        lambda f: f(Affine(X, None)),
        lambda f: f(affine()),
    ],
    "static fields": [lambda f, i=i: f(Model(X, Y, size=i)) for i in (1, 2, 1, 3, 2)],
    "keys": [lambda f: f(jax.random.PRNGKey(0)), lambda f: f(jax.random.PRNGKey(1))],
}

WRAPPED = {
    "jit": (jax.jit, ft.partial(eqx.jitf, filter_fn=eqx.is_array_like)),
    "jit of jit": (
        lambda f: jax.jit(jax.jit(f)),
        lambda f: eqx.jitf(eqx.filter_jit(f), filter_fn=eqx.is_array_like),
    ),
}


def counts(f, seen, calls):
    """After each of the calls, how often `seen` was traced inside `f`."""
    traces = []
    for call in calls:
        call(f)
        traces.append(seen.traces)
    return traces


@pytest.mark.parametrize("wrapped", WRAPPED)
@pytest.mark.parametrize("name", CALLS)
def test_it_traces_as_often_as_jax(name, wrapped):
    """If all leaves are traced, `jitf` has traced as often as `jax.jit` after each call."""
    plain, filtered = [TraceRecorder(lambda a, b=None: a), TraceRecorder(lambda a, b=None: a)]
    for_plain, for_filtered = WRAPPED[wrapped]
    assert counts(for_filtered(filtered), filtered, CALLS[name]) == counts(for_plain(plain), plain, CALLS[name])


NESTED = {
    "jit of grad": (lambda f: jax.jit(jax.grad(f)), lambda f: eqx.filter_jit(eqx.filter_grad(f))),
    "grad of jit": (lambda f: jax.grad(jax.jit(f)), lambda f: eqx.filter_grad(eqx.filter_jit(f))),
    "jit of grad of jit": (
        lambda f: jax.jit(jax.grad(jax.jit(f))),
        lambda f: eqx.filter_jit(eqx.filter_grad(eqx.filter_jit(f))),
    ),
    "grad of grad": (lambda f: jax.grad(jax.grad(f)), lambda f: eqx.filter_grad(eqx.filter_grad(f))),
    "jit of value and grad": (
        lambda f: jax.jit(jax.value_and_grad(f)),
        lambda f: eqx.filter_jit(eqx.filter_value_and_grad(f)),
    ),
    "vmap of jit": (lambda f: jax.vmap(jax.jit(f)), lambda f: jax.vmap(eqx.filter_jit(f))),
    "jit of vmap": (lambda f: jax.jit(jax.vmap(f)), lambda f: eqx.filter_jit(jax.vmap(f))),
    "jit in a scan": (
        lambda f: jax.jit(lambda x: lax.scan(lambda c, _: (jax.jit(f)(c), None), x, None, length=3)[0]),
        lambda f: eqx.filter_jit(lambda x: lax.scan(lambda c, _: (eqx.filter_jit(f)(c), None), x, None, length=3)[0]),
    ),
    "jit of checkpoint": (lambda f: jax.jit(jax.checkpoint(f)), lambda f: eqx.filter_jit(jax.checkpoint(f))),
}


@pytest.mark.parametrize("name", NESTED)
def test_nested_it_traces_as_often_as_jax(name):
    """Inside and around other transformations, with new values, and with a new shape under `vmap`."""
    plain, filtered = [TraceRecorder(lambda x: (x**3).sum()), TraceRecorder(lambda x: (x**3).sum())]
    for_plain, for_filtered = NESTED[name]
    inputs = [X, Y, X[:1]] if name.endswith("vmap") or name.startswith("vmap") else [X[0], X[1], X[1]]
    calls = [lambda f, x=x: f(x) for x in inputs]
    assert counts(for_filtered(filtered), filtered, calls) == counts(for_plain(plain), plain, calls)


# Modules and methods


def test_a_jitted_method_is_traced_once_for_similar_instances():
    """It belongs to the class. Another instance is traced only if its structure, shapes or statics are new."""
    seen = TraceRecorder(lambda self, x: self.weight * x)

    class Watched(eqx.Module):
        weight: Any
        mode: Any = eqx.field(static=True)

        @eqx.filter_jit
        def method(self, x):
            return seen(self, x)

    for i, (weight, mode, traces) in enumerate(
        [(X, "a", 1), (Y, "a", 1), (X, "b", 2), (Y, "a", 2), (X[:1], "a", 3), (Y, "b", 3), (X, "a", 3)]
    ):
        assert Watched(weight, mode).method(float(i) * X[:1]).shape == weight.shape
        assert seen.traces == traces


def test_a_training_step_is_traced_once():
    """The model that a step returns has the dtypes and weak types of the model that it takes."""
    seen = TraceRecorder(lambda m, x: ((m.weight * x - 1.0) ** 2).sum())

    @eqx.filter_jit
    def step(m, x):
        grads = eqx.filter_grad(seen)(m, x)
        return eqx.apply_updates(m, tree_util.tree_map(lambda g: -0.1 * g, grads))

    m = model()
    for i in range(4):
        m = step(m, jnp.full(2, 1.0 * i))
    assert seen.traces == 1


def test_a_rebuilt_model_is_not_traced_again():
    """The model is constructed, copied, mapped, changed by `tree_at`, and partitioned and combined."""
    seen = TraceRecorder(lambda m: m.weight)
    f = eqx.filter_jit(seen)
    m = model()
    rebuilt = [
        Model(m.weight, "".join(["na", "me"]), size=3),
        copy.copy(m),
        tree_util.tree_map(lambda x: x, m),
        eqx.tree_at(lambda m: m.weight, m, -m.weight),
        eqx.combine(*eqx.partition(m, eqx.is_array)),
    ]
    for other in [m] + rebuilt:
        f(other)
    assert seen.traces == 1

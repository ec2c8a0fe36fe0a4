"""Functions that are filtered again share what was compiled for them, also those that a loop makes at each step."""

import functools as ft
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree_util
from modules import Affine
from tracing import TraceRecorder

import equinox as eqx

X, Y = jnp.arange(2.0), jnp.ones(2)


@pytest.mark.parametrize(
    "again", [eqx.filter_jit, eqx.jitf(filter_fn=eqx.is_array), eqx.jitf(filter_fn=eqx.is_inexact_array)]
)
def test_a_plain_function_filtered_again_is_not_traced_again(again):
    """`jax.jit(f)` in a loop does the same."""
    ours, jaxs = [], []

    def f(x):
        ours.append(x)
        return x

    def g(x):
        jaxs.append(x)
        return x

    for x in (X, Y, X[:1]):
        again(f)(x)
        jax.jit(g)(x)
    assert len(ours) == len(jaxs) == 2


def test_filters_with_the_same_effect_share_a_trace():
    """What counts is which leaves are selected, and the options. `filter_jit` and `jitf` differ in their output."""
    traced = []

    def f(x, n=1):
        traced.append(type(x).__name__ if isinstance(x, int) else "tracer")
        return x

    for _ in range(2):
        eqx.filter_jit(f)(1)
        eqx.jitf(f, filter_fn=eqx.is_array)(1)
        eqx.jitf(f, filter_fn=eqx.is_array_like)(1)
        eqx.jitf(f, filter_fn=lambda x: True)(1)
        eqx.filter_jit(f, static_argnames="n")(1)
    assert traced == ["int", "int", "tracer", "int"]


def test_clear_cache_forgets_what_was_shared():
    seen = []

    def f(x):
        seen.append(x)
        return x

    eqx.filter_jit(f)(X)
    eqx.filter_jit(f).clear_cache()
    eqx.filter_jit(f)(X)
    assert len(seen) == 2


class Counted(eqx.Module):
    """A model that counts how often it is traced."""

    weight: Any
    seen: Any = eqx.field(static=True)

    def __call__(self, x):
        return self.method(x)

    def method(self, x):
        self.seen(x)
        return (self.weight * x).sum()


def plain_loss(weight, x):
    seen_by_plain_loss(x)
    return (weight * x).sum()


seen_by_plain_loss = TraceRecorder()

EXACT = {"filter_fn": eqx.is_array}

# Functions that a loop makes at each step, each time from a new model.
MADE_IN_A_LOOP = {
    "model": lambda m: m,
    "method": lambda m: m.method,
    "partial method": lambda m: tree_util.Partial(m.method),
    "partial of a function": lambda m: tree_util.Partial(plain_loss, m.weight),
    "gradient of a method": lambda m: eqx.filter_grad(m.method),
    "gradient of a model": lambda m: eqx.filter_grad(m),
    "gradient of a partial": lambda m: eqx.filter_grad(tree_util.Partial(plain_loss, m.weight)),
    "jit of a model": lambda m: eqx.filter_jit(m),
    "jit of a gradient of a jit": lambda m: eqx.filter_jit(eqx.filter_grad(eqx.filter_jit(m))),
}

JITS = {
    "filter_jit": eqx.filter_jit,
    "jitf": ft.partial(eqx.jitf, **EXACT),
    "with options": ft.partial(eqx.filter_jit, donate_argnums=(), inline=False),
    "by an unnamed filter": lambda f: eqx.jitf(f, filter_fn=lambda x: eqx.is_array(x)),
}


@pytest.mark.parametrize("jit", JITS)
@pytest.mark.parametrize("name", MADE_IN_A_LOOP)
def test_what_is_made_in_a_loop_is_compiled_once(name, jit):
    """A model, its method, or a transformation of it is jitted at each step."""
    if jit == "with options" and "inline" not in inspect.signature(jax.jit).parameters:
        pytest.skip("jax.jit takes inline since 0.2.25 or so, this is " + jax.__version__)
    seen, make = TraceRecorder(), MADE_IN_A_LOOP[name]
    models = [Counted(jnp.full(2, float(i)), seen) for i in range(4)]
    expected = [make(m)(X[1]) for m in models]
    before = seen.traces + seen_by_plain_loss.traces
    got = [JITS[jit](make(m))(X[1]) for m in models]
    assert got == expected and seen.traces + seen_by_plain_loss.traces <= before + 1


def test_a_jitted_gradient_that_is_made_in_a_loop_is_compiled_once():
    seen_by_plain_loss.traces = 0
    for i in range(4):
        gradient = eqx.filter_jit(eqx.filter_grad(plain_loss, argnums=1))(jnp.full(2, float(i)), X[1])
        assert gradient == 2.0 * i
    assert seen_by_plain_loss.traces == 1


def test_a_wrapper_that_tree_map_returns_is_not_traced_again():
    seen = TraceRecorder(lambda x: x)

    class EqualToAll:
        """A callable that is equal to everything, and has no hash."""

        def __eq__(self, other):
            return True

        __hash__ = None

        def __call__(self, x):
            return seen(x)

    for fun in (lambda x: seen(x), ft.partial(seen), EqualToAll()):
        traces = seen.traces
        f = eqx.filter_jit(fun)
        for _ in range(3):
            f = tree_util.tree_map(lambda x: x, f)
            f(X)
        assert seen.traces == traces + 1


def test_each_function_option_and_class_is_compiled_separately():
    class Other(Counted):
        def method(self, x):
            return -super().method(x)

    seen = TraceRecorder()
    first, other = Counted(X, seen), Other(X, seen)
    for _ in range(2):
        assert eqx.filter_jit(first)(1.0) == -eqx.filter_jit(other)(1.0) == first.weight.sum()
        assert eqx.filter_jit(eqx.filter_grad(first))(X[1]) == 1.0
        assert eqx.filter_jit(eqx.filter_value_and_grad(first))(X[1]) == (1.0, 1.0)
        assert eqx.filter_jit(first.method)(1.0) == 1.0
    assert seen.traces == 5


def test_arrays_of_a_function_are_traced_by_every_filter():
    """NumPy arrays too, so that changes in place are seen. They don't count as inputs."""
    weight = np.array([1.0, 2.0], np.float32)
    m = Affine(weight, 1)
    for f in (
        eqx.filter_jit(m),
        eqx.jitf(m, filter_fn=lambda x: False),
        eqx.jitf(m, filter_tree=True),
        eqx.jitf(m, filter_fn=eqx.is_inexact_array, static_argnums=0),
    ):
        for value in (1.0, 5.0, 1.0):
            for _ in range(8):
                weight[0] = value
                assert f(2.0).tolist() == [2 * value + 1, 5.0]

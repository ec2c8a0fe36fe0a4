"""`assert_max_traces` counts the traces of a function, and refuses more than are allowed."""

import copy
import functools as ft
import pickle
from unittest import mock

import jax
import jax.numpy as jnp
import pytest
from modules import Affine
from tracing import Model

import equinox as eqx

X = jnp.arange(3.0)
assert_max_traces, get_num_traces = eqx.debug.assert_max_traces, eqx.debug.get_num_traces


@assert_max_traces(max_traces=None)
def in_this_module(x):
    return x


@pytest.mark.parametrize("jit", [jax.jit, eqx.filter_jit], ids=["jit", "filter_jit"])
def test_a_trace_too_many_is_refused(jit):
    f = jit(assert_max_traces(lambda x, y: x * y, max_traces=2))
    for y in (X, -X, 2.0, X):
        f(X, y)
    with pytest.raises(RuntimeError) as error:
        f(X[1:], X)
    assert str(error.value) == (
        "This is trace 3 of `<lambda>`, but `assert_max_traces` allows 2. Trace 3 differs from trace 1:\n"
        "  x: f32[3] -> f32[2]"
    )
    assert get_num_traces(f) == 3 and f(X, 2 * X).tolist() == (2 * X * X).tolist()


def test_nothing_is_allowed_or_everything():
    with pytest.raises(RuntimeError, match="This is trace 1 of `<lambda>`, but `assert_max_traces` allows 0.$"):
        assert_max_traces(lambda x: x, max_traces=0)(X)
    f = assert_max_traces(lambda x: x, max_traces=None)
    for _ in range(5):
        f([X, {}, "static"])
    assert get_num_traces(f) == 5


def test_the_same_inputs_are_said_to_be_the_same():
    f = assert_max_traces(lambda x: x, max_traces=1)
    f([X, {"unhashable"}])
    with pytest.raises(RuntimeError, match="Trace 2 has the same inputs as trace 1: the compiled functions were cl"):
        f([2 * X, {"unhashable"}])


def test_a_static_part_of_the_function_is_named():
    """The function is a model, or takes one."""
    limited = [assert_max_traces(m, max_traces=1) for m in (Affine(X, 1.0), Affine(X, 2.0))]
    step = eqx.filter_jit(assert_max_traces(lambda f, x: f(x), max_traces=1))
    assert step(limited[0], X).tolist() == (X * X + 1.0).tolist()
    with pytest.raises(
        RuntimeError, match="Trace 2 differs from trace 1:\n  f: a `_Limited` -> a `_Limited` .other static data"
    ):
        step(limited[1], X)
    f = assert_max_traces(lambda m, x: m(x), max_traces=1)
    f(Model(X, "a"), X)
    with pytest.raises(
        RuntimeError, match=r"\n  m.size: 3 -> 4 \(int, static\)\n  m.name: 'a' -> 'b' \(str, static\)$"
    ):
        f(Model(X, "b", 4), X)


def test_each_function_has_a_count():
    """A decorator that is used twice, and two wrappers of one function."""
    decorator = assert_max_traces(max_traces=1)
    f, g = decorator(abs), decorator(abs)
    f(X)
    g(X)
    assert (get_num_traces(f), get_num_traces(g)) == (1, 1)
    jitted = [eqx.filter_jit(assert_max_traces(lambda x: x, max_traces=1)) for _ in range(2)]
    assert [h(X).tolist() for h in jitted] == [X.tolist()] * 2


def test_copies_share_the_count():
    """JAX makes copies of a pytree."""
    f = assert_max_traces(Affine(X, X), max_traces=None)
    for copied in (f, copy.copy(f), jax.tree_util.tree_map(lambda x: x, f), copy.deepcopy(f)):
        copied(X)
    assert get_num_traces(f) == 4
    assert get_num_traces(pickle.loads(pickle.dumps(f))) == 0
    assert pickle.loads(pickle.dumps(in_this_module)) is in_this_module
    assert len(jax.tree_util.tree_leaves(f)) == 2


def test_a_count_is_found_in_what_was_made_of_it():
    class Net:
        @eqx.filter_jit
        @assert_max_traces(max_traces=2)
        def method(self, x):
            return x

    net, f = Net(), assert_max_traces(lambda x: x.sum(), max_traces=None)
    net.method(X)
    assert get_num_traces(net.method) == get_num_traces(Net.method) == 1
    for made in (eqx.filter_jit(eqx.filter_grad(f)), jax.jit(f), ft.partial(f), eqx.filter_vmap(f)):
        before = get_num_traces(f)
        made(jnp.ones((2, 2)))
        assert get_num_traces(made) == get_num_traces(f) == before + 1


def test_bad_input_is_refused():
    for wrong, kind in (("1", TypeError), (1.0, TypeError), (-1, ValueError)):
        with pytest.raises(kind, match="`assert_max_traces` expects `max_traces` to be a"):
            assert_max_traces(abs, max_traces=wrong)
    with pytest.raises(TypeError, match="`assert_max_traces` expects a function"):
        assert_max_traces(3, max_traces=1)
    circular = lambda x: x  # noqa: E731
    circular.__wrapped__ = ft.partial(circular)
    for wrong in (abs, eqx.filter_jit(abs), 3, circular, mock.Mock()):
        with pytest.raises(ValueError, match="`get_num_traces` expects a function made by `assert_max_traces`, got"):
            get_num_traces(wrong)

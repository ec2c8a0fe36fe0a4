"""A model that is passed again and again isn't flattened again, and the results stay the same.

The results are compared with those of the unfiltered function. The number of traces is compared with that of a filtered
function that gets a copy of the model at each call, and so knows no model.
"""

import copy
import gc
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree_util
from modules import Affine, Nested, affine
from tracing import Model, TraceRecorder, is_deleted, model
from tree_contents import MANY_CALLS, X, Y, big_model, contents_of, same_contents

import equinox as eqx


@pytest.fixture
def flattened(monkeypatch):
    """A list of the modules that filtered functions flatten during the test."""
    seen = []

    def tree_flatten(tree):
        seen.extend(tree[0])
        return tree_util.tree_flatten(tree)

    monkeypatch.setattr("equinox._dispatch.dispatcher.tree_flatten", tree_flatten)
    return seen


def is_flattened(flattened, f, *args, **kwargs):
    """Whether the call of `f` with these inputs flattens a module."""
    del flattened[:]
    f(*args, **kwargs)
    return len(flattened) > 0


# Known models are not flattened


@pytest.mark.parametrize("spec", [{}, {"static_argnums": 1}, {"donate_argnums": 1}], ids=str)
def test_a_model_that_is_passed_often_is_not_flattened(flattened, spec):
    m, f = big_model(), eqx.filter_jit(lambda m, n=None: contents_of(m), **spec)
    for _ in range(MANY_CALLS):
        f(m)
    assert not is_flattened(flattened, f, m)
    assert is_flattened(flattened, f, m, 1)  # another kind of call
    for _ in range(MANY_CALLS):
        f(m, 1)
    assert not is_flattened(flattened, f, m, 1)
    assert is_flattened(flattened, f, big_model(), 1)
    assert not is_flattened(flattened, f, m, 1)  # a call with another model doesn't make it unknown


WITH_MODELS = {
    "first": lambda f, m, n: f(m, X),
    "second": lambda f, m, n: f(X, m),
    "by keyword": lambda f, m, n: f(X, model=m),
    "two": lambda f, m, n: f(m, n),
    "twice": lambda f, m, n: f(m, m),
    "among others": lambda f, m, n: f(1, m, "s", n, x=X, y=n),
}


@pytest.mark.parametrize("name", WITH_MODELS)
def test_models_in_any_position_are_not_flattened(flattened, name):
    """Models that are passed in turn aren't flattened either."""
    call, m, n, other = WITH_MODELS[name], big_model(), affine(), big_model()
    f = eqx.filter_jit(lambda *args, **kwargs: contents_of([args, kwargs]))
    for _ in range(MANY_CALLS):
        for first in (m, other):
            assert same_contents(call(f, first, n), call(lambda *args, **kwargs: contents_of([args, kwargs]), first, n))
    assert not is_flattened(flattened, lambda: (call(f, m, n), call(f, other, n)))
    assert is_flattened(flattened, lambda: call(f, copy.copy(m), n))


def test_the_model_that_is_called_is_not_flattened(flattened):
    """The function is the model or its method. The wrapper is kept, or made at each call."""
    m = Nested(affine(), {"a": [1, X]})
    for fun in (m, m.__call__):
        kept = eqx.filter_jit(fun)
        for call in (kept, lambda x, fun=fun: eqx.filter_jit(fun)(x)):
            for _ in range(MANY_CALLS):
                call(X)
            assert not is_flattened(flattened, call, X)


@pytest.mark.parametrize("by", [lambda: eqx.is_array, lambda: eqx.is_inexact_array], ids=["type", "dtype"])
def test_a_filter_on_types_or_dtypes_flattens_no_known_model(flattened, by):
    m, f = big_model(), eqx.jitf(contents_of, filter_fn=by())
    for _ in range(MANY_CALLS):
        f(m)
    assert not is_flattened(flattened, f, m)


def test_a_filter_that_may_look_at_anything_is_asked_about_each_leaf_at_each_call():
    asked = []
    f = eqx.jitf(contents_of, filter_fn=lambda x: asked.append(x) or eqx.is_array(x))
    m = big_model()
    for _ in range(MANY_CALLS):
        f(m)
    del asked[:]
    f(m)
    assert [id(x) for x in asked] == [id(x) for x in tree_util.tree_leaves(m)]
    selects_arrays = [True]
    f = eqx.jitf(
        lambda m: isinstance(m.weight, jax.core.Tracer), filter_fn=lambda x: eqx.is_array(x) and selects_arrays[0]
    )
    m = model()
    for answer in [True] * MANY_CALLS + [False, True, False]:
        selects_arrays[0] = answer
        assert f(m) == answer


# Other models


def test_each_model_gives_its_own_result():
    f = eqx.filter_jit(contents_of)
    m = big_model()
    others = [
        m,
        copy.copy(m),
        copy.deepcopy(m),
        tree_util.tree_map(lambda x: x, m),
        eqx.tree_at(lambda m: m.first.weight[0], m, Y),
        eqx.tree_at(lambda m: m.first.weight[0], m, X[:1]),
        eqx.tree_at(lambda m: m.first.weight[0], m, X > 3),
        eqx.tree_at(lambda m: m.first.bias[1], m, True),
        Nested(m.first, m.rest, name="other"),
        Nested(m.first, m.rest),
        m.first,
        [m],
    ]
    for other in others + others[::-1]:
        for _ in range(MANY_CALLS):
            assert same_contents(f(other), contents_of(other))
    for _ in range(3):
        for other in others:
            assert same_contents(f(other), contents_of(other))


def test_a_new_model_at_the_address_of_a_freed_one():
    """What was known of the freed model isn't used for the new one."""
    f = eqx.filter_jit(lambda m: m.weight + m.bias)
    for i in range(1000):
        m = Affine(np.float32(i), np.float32(1))
        for _ in range(1 + i % 7):
            assert f(m) == i + 1
        del m


# Other inputs


def test_the_other_inputs_may_change():
    m = affine()
    seen, plain = (
        TraceRecorder(lambda m, *args, **kwargs: contents_of([m.weight, args, kwargs])),
        TraceRecorder(lambda *args, **kwargs: None),
    )
    f, knows_none = eqx.filter_jit(seen), eqx.filter_jit(plain)
    calls = [
        ((m,), {}),
        ((m, X), {}),
        ((m, np.array([1.0, 2.0], np.float32)), {}),
        ((m, np.float32(1)), {}),
        ((m, 1.0), {}),
        ((m, 1), {}),
        ((m, True), {}),
        ((m, "s"), {}),
        ((m, None), {}),
        ((m, X[:1]), {}),
        ((m, X > 3), {}),
        ((m, [X]), {}),
        ((m, m), {}),
        ((m, X, Y), {}),
        ((m, X), {"y": Y}),
        ((m,), {"y": Y, "x": X}),
        ((m,), {"y": Y, "x": 2}),
        ((m,), {"y": Y, "x": 2.0}),
        ((m,), {"m2": m}),
    ]
    for often in (1, MANY_CALLS):
        for args, kwargs in calls + calls[::-1]:
            for _ in range(often):
                assert same_contents(f(*args, **kwargs), contents_of([m.weight, args[1:], kwargs]))
                knows_none(copy.copy(m), *args[1:], **kwargs)
    assert seen.traces == plain.traces


def test_default_arguments_are_those_of_the_function():
    m = affine()
    f = eqx.filter_jit(lambda m, x=2.0, *, y=3.0: m.weight * x + y)
    for _ in range(2):
        for args, kwargs, expected in [((), {}, [5, 7]), ((1.0,), {}, [4, 5]), ((), {"y": 0.0}, [2, 4])]:
            for _ in range(MANY_CALLS):
                assert f(m, *args, **kwargs).tolist() == expected


def test_a_model_may_be_passed_by_keyword_or_left_out():
    m = model()
    f = eqx.filter_jit(lambda m=None, x=1.0: "none" if m is None else m.weight * x)
    for _ in range(2):
        for _ in range(MANY_CALLS):
            assert f(m).tolist() == f(m=m).tolist() == f(x=1.0, m=m).tolist() == [1.0, 2.0]
        for _ in range(MANY_CALLS):
            assert f(m).tolist() == [1.0, 2.0]
        assert f() == f(None) == f(x=2.0) == "none"


def test_after_a_model_is_freed_no_other_input_is_taken_for_it():
    f = eqx.filter_jit(lambda m: "none" if m is None else m if isinstance(m, str) else m.weight + 0)
    for other in (None, "s", object, model()):
        m = model()
        for _ in range(MANY_CALLS):
            f(m)
        del m
        gc.collect()
        expected = [1.0, 2.0] if isinstance(other, Model) else "none" if other is None else other
        out = f(other) if other is not object else object
        assert (out.tolist() if eqx.is_array(out) else out) == expected


def error_of(fun, *args):
    try:
        fun(*args)
    except Exception as error:
        return type(error)
    return None


@pytest.mark.parametrize("donated", [1, 0, (0, 1)], ids=str)
@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable:UserWarning")
def test_donated_inputs_are_deleted_at_each_call(donated):
    """No other input is deleted, as with `jax.jit`. The same model is donated again, with new arrays in it."""
    f = eqx.filter_jit(lambda m, x: (m.weight[0] + 1, x + 1), donate_argnums=donated)
    m, donates = Model([jnp.ones(2)], "name"), is_deleted_by_donation()
    for i in range(MANY_CALLS):
        weight, x = jnp.full(2, float(i)), jnp.full(2, 2.0 * i)
        if donated != 1:
            m.weight[0] = weight
        out = f(m, x)
        assert out[1].tolist() == [2.0 * i + 1] * 2
        assert is_deleted(x) == (donates and donated != 0)
        assert is_deleted(m.weight[0]) == (donates and donated != 1)


@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable:UserWarning")
def test_a_donated_model_that_jax_could_not_use_may_be_passed_again():
    """No output has the shape and dtype of the donated array, so JAX can't reuse its memory."""
    f = jax.jit(lambda w, x: x > w[0], donate_argnums=0)
    g = eqx.filter_jit(lambda m, x: x > m.weight[0], donate_argnums=0)
    for _ in range(MANY_CALLS):
        m, w, x = Model(jnp.ones(2), "name"), jnp.ones(2), jnp.ones(3)
        for _ in range(MANY_CALLS):
            error = error_of(f, w, x)
            assert error_of(g, m, x) is error
            if error is None:
                assert g(m, x).tolist() == f(w, x).tolist()


def is_deleted_by_donation():
    x = jnp.ones(2)
    jax.jit(lambda x: x + 1, donate_argnums=0)(x)
    return is_deleted(x)


def test_a_known_model_with_deleted_arrays_is_refused_as_by_jax():
    """The call raises the error that `jax.jit` raises for a deleted array."""
    m, f = model(), eqx.filter_jit(lambda m: m.weight + 1)
    for _ in range(MANY_CALLS):
        f(m)
    m.weight.delete()
    assert error_of(f, m) is error_of(jax.jit(lambda w: w + 1), m.weight) is not None


def test_the_arrays_of_a_callable_model_are_inputs_too():
    class Applies(eqx.Module):
        by: Any

        def __call__(self, m, x):
            return m.weight * self.by + x

    f, m = eqx.filter_jit(Applies(jnp.array(10.0))), model()
    for x in [X, 1.0, Y, 1]:
        for _ in range(MANY_CALLS):
            np.testing.assert_allclose(f(m, x), np.array([10.0, 20.0]) + np.asarray(x))


def test_shardings_still_apply():
    if "in_shardings" not in inspect.signature(jax.jit).parameters:
        pytest.skip("jax.jit takes in_shardings since 0.4.4, this is " + jax.__version__)
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[-1])
    f = eqx.filter_jit(lambda m, x: m(x), in_shardings=sharding)
    m = model()
    for x in [X, np.asarray(Y), X]:
        for _ in range(MANY_CALLS):
            out = f(m, x)
            assert out.tolist() == m(x).tolist() and out.sharding.device_set == {jax.devices()[-1]}


def test_clear_cache_and_lower_use_nothing_that_is_known():
    seen = TraceRecorder(lambda m: m.weight[0] * 2)
    f, m = eqx.filter_jit(seen), Model([jnp.array([1.0, 2.0])], "name")
    for _ in range(MANY_CALLS):
        f(m)
    f.clear_cache()
    assert f(m).tolist() == [2.0, 4.0] and seen.traces == 2
    if hasattr(jax.jit(lambda x: x), "lower"):
        m.weight[0] = Y
        assert f.lower(m).compile()(m).tolist() == [10.0, 12.0]


def test_a_failed_call_does_not_change_later_calls():
    def fun(m, x):
        if x == "fail":
            raise KeyError("on purpose")
        return m.weight * 1

    f, m = eqx.filter_jit(fun), model()
    for _ in range(MANY_CALLS):
        f(m, "s")
        with pytest.raises(KeyError):
            f(m, "fail")
    for _ in range(MANY_CALLS):
        assert f(m, "s").tolist() == [1.0, 2.0]
    with pytest.raises(TypeError, match="must be hashable"):
        f(m, [set()])
    assert f(m, "s").tolist() == [1.0, 2.0]

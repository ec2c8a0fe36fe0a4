"""`Partial`: a function with some of its arguments given, as a module."""

import copy
import functools as ft
import inspect
import pickle

import jax
import jax.numpy as jnp
import pytest
from jax import tree_util
from modules import affine

import equinox as eqx


def show(*args, **keywords):
    return args, keywords


def weighted(x, y, *, scale=1.0):
    return scale * x * y


@pytest.mark.parametrize("given", [((), {}), ((1,), {}), ((1, 2), {"a": 3}), ((), {"a": 3, "b": 4})])
@pytest.mark.parametrize("added", [((), {}), ((5,), {}), ((5, 6), {"c": 7}), ((), {"a": 8})])
def test_a_call_is_that_of_functools(given, added):
    partial = eqx.Partial(show, *given[0], **given[1])
    assert partial(*added[0], **added[1]) == ft.partial(show, *given[0], **given[1])(*added[0], **added[1])


def test_a_keyword_may_have_any_name():
    keywords = {"func": 1, "self": 2, "args": 3, "keywords": 4}
    assert eqx.Partial(show, **keywords)() == eqx.Partial(show)(**keywords) == ((), keywords)


def test_signatures():
    assert str(inspect.signature(eqx.Partial(weighted, 1.0, scale=2))) == "(y, *, scale=2)"
    assert list(inspect.signature(eqx.Partial).parameters) == ["func", "args", "keywords"]


def test_the_children_are_the_arguments_and_the_data_of_the_function():
    partial = eqx.Partial(weighted, jnp.array(2.0), scale=3.0)
    assert tree_util.tree_leaves(partial) == [2.0, 3.0]
    assert tree_util.tree_leaves(eqx.Partial(affine(), 1.0))[1:] == [3.0, 1.0]
    assert eqx.tree_at(lambda p: p.keywords["scale"], partial, 5.0)(1.0) == 10.0


def test_transformations_take_it_as_data_and_as_a_function():
    partial = eqx.Partial(weighted, jnp.array(2.0), scale=3.0)
    assert jax.jit(lambda partial, y: partial(y))(partial, 4.0) == 24.0
    assert eqx.filter_jit(partial)(4.0) == 24.0
    assert jax.grad(lambda partial: partial(4.0))(partial).args[0] == 12.0
    assert jax.vmap(partial)(jnp.arange(2.0)).tolist() == [0.0, 6.0]


def test_another_argument_of_the_same_kind_compiles_nothing():
    traces = []

    def count(x, y):
        traces.append(1)
        return x + y

    compiled = eqx.filter_jit(lambda partial, y: partial(y))
    assert [float(compiled(eqx.Partial(count, jnp.array(x)), 1.0)) for x in (1.0, 2.0)] == [2.0, 3.0]
    assert len(traces) == 1


def test_copies_and_pickles():
    partial = eqx.Partial(weighted, jnp.array(2.0), scale=3.0)
    for again in (copy.deepcopy(partial), pickle.loads(pickle.dumps(partial)), tree_util.tree_map(jnp.array, partial)):
        assert again(4.0) == 24.0
    relu = eqx.Partial(jax.nn.relu)
    assert pickle.loads(pickle.dumps(relu)).func is jax.nn.relu


@pytest.mark.parametrize("wrong", [3, None, jnp.ones(2)], ids=["number", "None", "array"])
def test_what_is_no_function_is_refused(wrong):
    with pytest.raises(TypeError, match="`Partial` expects a function or another callable, got"):
        eqx.Partial(wrong, 1)


def test_a_function_is_needed():
    with pytest.raises(TypeError, match="^`Partial.__init__` got wrong arguments: missing a required argument: 'func'"):
        eqx.Partial()


def test_a_function_without_a_signature():
    assert eqx.filter_jit(eqx.Partial(max, 3))(2) == 3
    assert eqx.filter_jit(lambda partial: partial(2))(eqx.Partial(max, 3)) == 3

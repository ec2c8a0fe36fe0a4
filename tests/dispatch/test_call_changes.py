"""A filtered function sees every change in a known model: no result is stale.

A module is frozen. The lists, dictionaries and other nodes in it may change.
"""

import functools as ft

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from jax import tree_util
from modules import Affine
from random_trees import Pair
from test_known_modules import CHANGES, changeable, changes, watched_trees
from tracing import TraceRecorder
from tree_contents import MANY_CALLS, X, Y, big_model, contents_of, same_contents

import equinox as eqx

EDITS = {
    "another shape": lambda m: m.first.weight.__setitem__(0, X[:1]),
    "another dtype": lambda m: m.first.weight.__setitem__(0, X.astype(jnp.int32)),
    "NumPy": lambda m: m.first.weight.__setitem__(0, np.array([7.0, 8.0], np.float32)),
    "the same again": lambda m: m.first.weight.__setitem__(0, m.first.weight[0]),
    "arrays swapped": lambda m: m.first.weight.reverse(),
    "appended": lambda m: m.first.weight.append(X),
    "removed": lambda m: m.first.weight.pop(),
    "cleared": lambda m: m.first.weight.clear(),
    "text for an array": lambda m: m.first.weight.__setitem__(0, "s"),
    "an array for text": lambda m: m.first.bias.__setitem__(1, X),
    "True for 1": lambda m: m.first.bias.__setitem__(1, True),
    "1.0 for 1": lambda m: m.first.bias.__setitem__(1, 1.0),
    "None for 1": lambda m: m.first.bias.__setitem__(1, None),
    "moved to the start of the list after": lambda m: m.rest["b"][1].insert(0, m.rest["b"][0].pop()),
    "moved to the end of the list after": lambda m: m.rest["b"][1].append(m.rest["b"][0].pop()),
    "moved to the start of the list before": lambda m: m.rest["b"][0].insert(0, m.rest["b"][1].pop()),
    "moved to the end of the list before": lambda m: m.rest["b"][0].append(m.rest["b"][1].pop()),
    "lists swapped": lambda m: m.rest["b"].reverse(),
    "in a list in a tuple": lambda m: m.rest["a"][1].__setitem__(1, "t"),
    "a value": lambda m: m.rest.__setitem__("a", 2),
    "a new key": lambda m: m.rest.__setitem__("z", 2),
    "a key removed": lambda m: m.rest.pop("a"),
    "a key renamed": lambda m: m.rest["c"].__setitem__("o", m.rest["c"].pop("m")),
    "keys in another order": lambda m: m.rest.__setitem__("b", m.rest.pop("b")),
}

FILTERED = {
    "filter_jit": lambda f: eqx.filter_jit(f),
    "is_array": ft.partial(eqx.jitf, filter_fn=eqx.is_array),
    "is_inexact_array": ft.partial(eqx.jitf, filter_fn=eqx.is_inexact_array),
    "any": ft.partial(eqx.jitf, filter_fn=lambda x: eqx.is_array(x)),
    "static": ft.partial(eqx.filter_jit, static_argnums=0),
    "static by name": ft.partial(eqx.filter_jit, static_argnames="m"),
    "in a jit": lambda f: eqx.filter_jit(eqx.filter_jit(f)),
    "in a jit of a lambda": lambda f: eqx.filter_jit(lambda m, *x: eqx.filter_jit(f)(m, *x)),
}


@pytest.mark.parametrize("filtered", FILTERED)
def test_each_change_in_a_known_model_is_seen(filtered):
    """It is seen after one call and after many, with each kind of filter."""

    def fun(m):
        return contents_of(m)

    f = FILTERED[filtered](fun)
    for name, do in EDITS.items():
        for calls in (1, MANY_CALLS):
            m = big_model()
            for _ in range(calls):
                f(m)
            do(m)
            for _ in range(MANY_CALLS):
                assert same_contents(f(m), fun(m)), name


@settings(max_examples=25)
@given(watched_trees, st.lists(st.tuples(changes, st.sampled_from([1, MANY_CALLS])), max_size=4))
def test_calls_and_changes_in_any_order(tree, events):
    """The results are those of the function. It is traced as often as by a filtered function that knows no model."""
    seen, plain = TraceRecorder(contents_of), TraceRecorder(contents_of)
    f, knows_none = eqx.filter_jit(seen), eqx.filter_jit(plain)
    m = Pair(tree, [tree])
    for (change, i, j, x, *where), calls in [((CHANGES[0], 0, 0, 1, 0, 0), MANY_CALLS), *events]:
        some = changeable(m)
        change(some[i % len(some)], some[j % len(some)], x, *where)
        for _ in range(calls):
            assert same_contents(f(m), contents_of(m))
            knows_none(tree_util.tree_map(lambda x: x, m))
    assert seen.traces == plain.traces


def test_a_changed_model_may_be_changed_back():
    m, f = big_model(), eqx.filter_jit(contents_of)
    weight = m.first.weight[0]
    for new in [weight, Y, weight, "s", weight, None, weight]:
        m.first.weight[0] = new
        for _ in range(MANY_CALLS):
            assert same_contents(f(m), contents_of(m))


def test_a_filter_tree_is_checked_against_the_changed_model():
    mask = Affine([True, False], False)
    f = eqx.jitf(lambda m: [isinstance(x, jax.core.Tracer) for x in m.weight] + m.weight, filter_tree=mask)
    m = Affine([X], 1)
    with pytest.raises(ValueError, match="expects `filter_tree` to have the structure of the input"):
        f(m)
    for a, b in [(X, Y), (Y, X), (X, X)]:
        m.weight[:] = [a, b]
        for _ in range(MANY_CALLS):
            traced, static, *arrays = f(m)
            assert (traced, static) == (True, False)
            assert [x.tolist() for x in arrays] == [a.tolist(), b.tolist()]
    m.weight.append(X)
    with pytest.raises(ValueError, match="expects `filter_tree` to have the structure of the input"):
        f(m)

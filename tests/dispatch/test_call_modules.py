"""Unusual models that are passed again and again: with computed attributes, unfinished, deep, copied."""

import copy
import functools as ft
import pickle
from typing import Any

import numpy as np
import pytest
from jax import tree_util
from modules import Affine, affine
from random_trees import nest, recursion_limit_for
from test_known_modules import Custom
from tree_contents import MANY_CALLS, X, Y, big_model, contents_of, same_contents

import equinox as eqx


class WithGetattr(eqx.Module):
    inner: Any
    scale: Any = 2.0

    def __getattr__(self, name):
        return getattr(self.inner, name)


class WithGetattribute(eqx.Module):
    inner: Any
    scale: Any = 2.0
    bias = 1.0

    def __getattribute__(self, name):
        return 3.0 if name == "scale" else object.__getattribute__(self, name)


class WithProperties(eqx.Module):
    inner: Any
    scale: Any = 2.0

    @property
    def weight(self):
        return self.inner.weight * self.scale

    @ft.partial(property)
    def bias(self):
        return self.inner.bias


class WithClassAttribute(eqx.Module):
    inner: Any
    scale: Any = eqx.field(static=True, default=2.0)
    bias = 1.0


@pytest.mark.parametrize("cls", [WithGetattr, WithGetattribute, WithProperties, WithClassAttribute])
def test_computed_attributes(cls):
    """The result is right, however the class computes its attributes."""

    def fun(m):
        return [m.inner.weight * m.scale, m.bias, str(m.scale)]

    f = eqx.filter_jit(fun)
    for m in [cls(affine()), cls(Affine(Y, 1.0)), cls(affine(), 5.0), cls(affine())]:
        for _ in range(MANY_CALLS):
            out, expected = f(m), fun(m)
            assert [np.asarray(x).tolist() for x in out] == [np.asarray(x).tolist() for x in expected]


def test_a_cached_property_is_not_taken_for_a_field():
    class Caches(eqx.Module):
        weight: Any

        @property
        def double(self):
            if "_double" not in vars(self):
                vars(self)["_double"] = self.weight * 2
            return vars(self)["_double"]

    f = eqx.filter_jit(lambda m: m.double)
    m = Caches(X)
    for _ in range(MANY_CALLS):
        assert f(m).tolist() == [6.0, 8.0]
    vars(m)["_double"] = Y
    for _ in range(MANY_CALLS):
        assert f(m).tolist() == [6.0, 8.0]  # computed while tracing: what was cached outside is no field


def test_a_module_may_be_passed_during_its_init():
    """It is passed many times in `__init__`, with some fields missing, and in `__check_init__`."""
    f = eqx.filter_jit(lambda m: [sorted(vars(m)), *[vars(m)[name] for name in sorted(vars(m))]])
    wrong = []

    def check(self):
        for _ in range(MANY_CALLS):
            out = f(self)
            if out != [sorted(vars(self)), *[vars(self)[name] for name in sorted(vars(self))]]:
                wrong.append(out)

    class Partly(eqx.Module):
        a: Any
        b: Any
        c: Any
        d: Any = 1
        n: Any = eqx.field(static=True, default=1)

        def __init__(self):
            check(self)
            self.a = 1
            check(self)
            del self.a
            self.b = 1  # the same value, under another name
            check(self)
            self.a, self.n = [self.b, 2], 1.0
            check(self)
            self.a.reverse()
            check(self)
            self.c = 1
            check(self)

        def __check_init__(self):
            check(self)

    check(Partly())
    assert wrong == []


def test_a_field_may_change_in_init_after_many_calls():
    """The calls in `__init__` don't make the old field known."""
    f = eqx.filter_jit(lambda m: m.a)

    class Early(eqx.Module):
        a: Any

        def __init__(self):
            self.a = X
            for _ in range(MANY_CALLS):
                f(self)
            self.a = Y

    m = Early()
    for _ in range(MANY_CALLS):
        assert f(m).tolist() == Y.tolist()


def test_a_module_whose_init_failed():
    leaked = []

    class Fails(eqx.Module):
        a: Any
        b: Any

        def __init__(self):
            self.a = 1
            leaked.append(self)
            for _ in range(MANY_CALLS):
                assert f(self) == ["a"]
            raise KeyError("on purpose")

    f = eqx.filter_jit(lambda m: sorted(vars(m)))
    with pytest.raises(KeyError):
        Fails()
    for _ in range(MANY_CALLS):
        assert f(leaked[0]) == ["a"]


class Holds(eqx.Module):
    box: Any

    def content(self):
        return self.box["b"]


def test_custom_nodes_are_flattened_at_each_call():
    """Only JAX can tell what is in a custom node or in a bound method."""
    custom, m = Custom([X]), Holds({"b": X})
    holder = Affine(custom, [m.content])
    f = eqx.filter_jit(lambda h: (h.weight.child[0], h.bias[0]()))
    for weight, child in [(X, X), (X, Y), (Y, Y), (Y, X[:1]), (X, X)]:
        m.box["b"] = weight
        custom.child[0] = child
        for _ in range(MANY_CALLS):
            out = f(holder)
            assert out[0].tolist() == child.tolist() and out[1].tolist() == weight.tolist()


def test_a_module_whose_only_child_is_none():
    """It is so if the only field that isn't static holds a function. `None` is no function that the module wraps."""
    layer = eqx.nn.Lambda(abs)
    assert tree_util.tree_leaves(layer) == [] and eqx.filter_jit(layer)(-X).tolist() == X.tolist()


def test_a_bound_method_may_be_the_first_input():
    m = Holds({"b": X})
    f = eqx.filter_jit(lambda method: method())
    for weight in [X, Y, X[:1]]:
        m.box["b"] = weight
        method = m.content
        for _ in range(MANY_CALLS):
            assert f(method).tolist() == f(m.content).tolist() == weight.tolist()


def test_a_model_a_thousand_levels_deep():
    bottom = [X]
    m = nest(1000, lambda x: Affine(x, None), bottom)
    f = eqx.filter_jit(lambda m: tree_util.tree_leaves(m)[0] * 1)
    with recursion_limit_for(2100):
        for x in [X, Y, X[:1]]:
            bottom[0] = x
            for _ in range(MANY_CALLS):
                assert f(m).tolist() == x.tolist()


def test_copies_and_pickles_of_a_known_model_hold_nothing_extra():
    m, f = big_model(), eqx.filter_jit(contents_of)
    before = pickle.dumps(m.rest["a"]), list(vars(m)), pickle.dumps(affine())
    for _ in range(MANY_CALLS):
        f(m)
    assert (pickle.dumps(m.rest["a"]), list(vars(m)), pickle.dumps(affine())) == before
    for other in (copy.copy(m), copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        assert vars(other).keys() == vars(m).keys() and same_contents(contents_of(other), contents_of(m))
        for _ in range(MANY_CALLS):
            assert same_contents(f(other), contents_of(other)) and same_contents(f(m), contents_of(m))


def test_models_with_the_id_of_a_freed_model_are_told_apart():
    """Each model often gets the `id` of the one before it."""
    f = eqx.filter_jit(lambda m: m.weight)
    for i in range(4 * MANY_CALLS):
        assert f(Affine(np.float32(i), None)) == i

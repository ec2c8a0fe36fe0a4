"""Models of all kinds that come again and again: of classes with ways of their own, unfinished, deep, copied."""

import copy
import functools as ft
import pickle
from typing import Any

import numpy as np
import pytest
from jax import tree_util
from looking import OFTEN, X, Y, alike, look, whole
from modules import Affine, affine
from random_trees import deep, room_for
from test_known_modules import Custom

import equinox as eqx


class Asks(eqx.Module):
    inner: Any
    scale: Any = 2.0

    def __getattr__(self, name):
        return getattr(self.inner, name)


class Watched(eqx.Module):
    inner: Any
    scale: Any = 2.0
    bias = 1.0

    def __getattribute__(self, name):
        return 3.0 if name == "scale" else object.__getattribute__(self, name)


class Computed(eqx.Module):
    inner: Any
    scale: Any = 2.0

    @property
    def weight(self):
        return self.inner.weight * self.scale

    @ft.partial(property)
    def bias(self):
        return self.inner.bias


class Class(eqx.Module):
    inner: Any
    scale: Any = eqx.field(static=True, default=2.0)
    bias = 1.0


@pytest.mark.parametrize("cls", [Asks, Watched, Computed, Class])
def test_attributes_of_ones_own(cls):
    """However a class computes its attributes, what is in its fields counts."""

    def fun(m):
        return [m.inner.weight * m.scale, m.bias, str(m.scale)]

    f = eqx.filter_jit(fun)
    for m in [cls(affine()), cls(Affine(Y, 1.0)), cls(affine(), 5.0), cls(affine())]:
        for _ in range(OFTEN):
            out, expected = f(m), fun(m)
            assert [np.asarray(x).tolist() for x in out] == [np.asarray(x).tolist() for x in expected]


def test_a_cached_property_may_appear():
    class Caches(eqx.Module):
        weight: Any

        @property
        def double(self):
            if "_double" not in vars(self):
                vars(self)["_double"] = self.weight * 2
            return vars(self)["_double"]

    f = eqx.filter_jit(lambda m: m.double)
    m = Caches(X)
    for _ in range(OFTEN):
        assert f(m).tolist() == [6.0, 8.0]
    vars(m)["_double"] = Y
    for _ in range(OFTEN):
        assert f(m).tolist() == [6.0, 8.0]  # not what was computed outside: that is no field


def test_a_module_may_be_called_upon_while_it_is_made():
    """Time and again in its `__init__`, complete or not, and then as any other."""
    f = eqx.filter_jit(lambda m: [sorted(vars(m)), *[vars(m)[name] for name in sorted(vars(m))]])
    wrong = []

    def check(self):
        for _ in range(OFTEN):
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


def test_a_module_that_came_often_before_it_was_complete():
    """It may have been changed since."""
    f = eqx.filter_jit(lambda m: m.a)

    class Early(eqx.Module):
        a: Any

        def __init__(self):
            self.a = X
            for _ in range(OFTEN):
                f(self)
            self.a = Y

    m = Early()
    for _ in range(OFTEN):
        assert f(m).tolist() == Y.tolist()


def test_a_module_whose_init_failed():
    leaked = []

    class Fails(eqx.Module):
        a: Any
        b: Any

        def __init__(self):
            self.a = 1
            leaked.append(self)
            for _ in range(OFTEN):
                assert f(self) == ["a"]
            raise KeyError("on purpose")

    f = eqx.filter_jit(lambda m: sorted(vars(m)))
    with pytest.raises(KeyError):
        Fails()
    for _ in range(OFTEN):
        assert f(leaked[0]) == ["a"]


class Holds(eqx.Module):
    box: Any

    def content(self):
        return self.box["b"]


def test_nodes_of_ones_own_are_looked_into_at_each_call():
    """Nobody but JAX knows what is in them."""
    custom, m = Custom([X]), Holds({"b": X})
    holder = Affine(custom, [m.content])
    f = eqx.filter_jit(lambda h: (h.weight.child[0], h.bias[0]()))
    for weight, child in [(X, X), (X, Y), (Y, Y), (Y, X[:1]), (X, X)]:
        m.box["b"] = weight
        custom.child[0] = child
        for _ in range(OFTEN):
            out = f(holder)
            assert out[0].tolist() == child.tolist() and out[1].tolist() == weight.tolist()


def test_a_bound_method_may_be_the_first_input():
    m = Holds({"b": X})
    f = eqx.filter_jit(lambda method: method())
    for weight in [X, Y, X[:1]]:
        m.box["b"] = weight
        method = m.content
        for _ in range(OFTEN):
            assert f(method).tolist() == f(m.content).tolist() == weight.tolist()


def test_a_model_a_thousand_levels_deep():
    bottom = [X]
    m = deep(1000, lambda x: Affine(x, None), bottom)
    f = eqx.filter_jit(lambda m: tree_util.tree_leaves(m)[0] * 1)
    with room_for(2100):
        for x in [X, Y, X[:1]]:
            bottom[0] = x
            for _ in range(OFTEN):
                assert f(m).tolist() == x.tolist()


def test_copies_and_pickles_of_a_familiar_model_carry_nothing():
    m, f = whole(), eqx.filter_jit(look)
    before = pickle.dumps(m.rest["a"]), list(vars(m)), pickle.dumps(affine())
    for _ in range(OFTEN):
        f(m)
    assert (pickle.dumps(m.rest["a"]), list(vars(m)), pickle.dumps(affine())) == before
    for other in (copy.copy(m), copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        assert vars(other).keys() == vars(m).keys() and alike(look(other), look(m))
        for _ in range(OFTEN):
            assert alike(f(other), look(other)) and alike(f(m), look(m))


def test_models_that_come_and_go_are_not_taken_for_one():
    """Each in the place of the last one, with its `id`."""
    f = eqx.filter_jit(lambda m: m.weight)
    for i in range(4 * OFTEN):
        assert f(Affine(np.float32(i), None)) == i

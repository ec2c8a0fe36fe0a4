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
from test_snapshot import Custom

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

    f = eqx.jitf(fun, filter_fn=eqx.is_array)
    m = cls(affine())
    for do in [
        lambda: object.__setattr__(m.inner, "weight", Y),
        lambda: object.__setattr__(m, "scale", 5.0),
        lambda: object.__setattr__(m, "inner", affine()),
        lambda: object.__delattr__(m, "scale"),
        lambda: object.__setattr__(m, "scale", 6.0),
    ]:
        for _ in range(OFTEN):
            out, expected = f(m), fun(m)
            assert [np.asarray(x).tolist() for x in out] == [np.asarray(x).tolist() for x in expected]
        do()


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
    assert m.double.tolist() == [6.0, 8.0]
    object.__setattr__(m, "weight", Y)
    for _ in range(OFTEN):
        assert f(m).tolist() == [10.0, 12.0]  # not what was computed outside: that is no field


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

    m = Partly()
    check(m)
    object.__setattr__(m, "b", 7)
    check(m)
    object.__setattr__(m, "n", 7)
    check(m)
    assert wrong == []


def test_a_module_that_was_familiar_before_it_was_complete():
    """Its dictionary is replaced when it is; and is watched where it is then."""
    f = eqx.filter_jit(lambda m: m.a)

    class Early(eqx.Module):
        a: Any

        def __init__(self):
            self.a = X
            for _ in range(OFTEN):
                f(self)

    m = Early()
    object.__setattr__(m, "a", Y)
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
    for do in [lambda m: None, lambda m: object.__setattr__(m, "b", 1), lambda m: object.__delattr__(m, "a")]:
        do(leaked[0])
        for _ in range(OFTEN):
            assert f(leaked[0]) == sorted(vars(leaked[0]))


def test_a_module_made_without_init():
    m, f = object.__new__(Affine), eqx.filter_jit(look)
    for do in [
        lambda: None,
        lambda: object.__setattr__(m, "bias", X),
        lambda: object.__setattr__(m, "weight", Y),
        lambda: object.__delattr__(m, "bias"),
    ]:
        do()
        for _ in range(OFTEN):
            assert alike(f(m), look(m))


def test_nodes_of_ones_own_are_looked_into_at_each_call():
    """Nobody but JAX knows what is in them; nor may a model with one be known for long."""
    custom, m = Custom([X]), affine()
    holder = Affine(custom, [m.__call__])
    f = eqx.filter_jit(lambda h: (h.weight.child[0], h.bias[0](1.0)))
    for weight, child in [(X, X), (X, Y), (Y, Y), (Y, X[:1]), (X, X)]:
        object.__setattr__(m, "weight", weight)
        custom.child[0] = child
        for _ in range(OFTEN):
            out = f(holder)
            assert out[0].tolist() == child.tolist() and out[1].tolist() == (weight + 3).tolist()


def test_a_bound_method_may_be_the_first_input():
    m = affine()
    f = eqx.filter_jit(lambda method, x: method(x))
    for weight in [X, Y, X[:1]]:
        object.__setattr__(m, "weight", weight)
        method = m.scaled
        for _ in range(OFTEN):
            assert f(method, 1.0).tolist() == f(m.scaled, 1.0).tolist() == method(1.0).tolist()


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
        object.__setattr__(other, "name", "copy")
        for _ in range(OFTEN):
            assert alike(f(other), look(other)) and alike(f(m), look(m))


def test_models_that_come_and_go_are_not_taken_for_one():
    """Each in the place of the last one, with its `id`: none is worth watching."""
    f = eqx.filter_jit(lambda m: m.weight)
    for _ in range(4 * OFTEN):
        f(Affine(X, None))
    assert f._recent[0].familiar is None

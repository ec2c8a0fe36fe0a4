"""Copies, pickles, equality, hashes, weak references and partials of modules."""

import copy
import dataclasses
import functools as ft
import gc
import pickle
import weakref
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree_util
from modules import Affine, affine

import equinox as eqx


def _copies():
    return [copy.copy, copy.deepcopy] + [
        ft.partial(lambda protocol, x: pickle.loads(pickle.dumps(x, protocol)), p)
        for p in range(2, pickle.HIGHEST_PROTOCOL + 1)
    ]


def by_pickle(x):
    return pickle.loads(pickle.dumps(x))


class Model(eqx.Module):
    inner: Any
    activation: Any
    bias: Any
    n: Any = eqx.field(static=True)


@pytest.mark.parametrize("duplicate", _copies())
def test_copies_and_pickles_are_equal_to_the_original(duplicate):
    m = Model([affine(), {"k": jnp.arange(3)}], jax.nn.relu, np.arange(2), n=(jnp.tanh, 3))
    again = duplicate(m)
    assert again is not m and again == m
    assert type(again.inner[0].weight) is type(m.inner[0].weight)
    assert again.activation is jax.nn.relu and again.n[0] is jnp.tanh
    assert tree_util.tree_structure(again) == tree_util.tree_structure(m)
    with pytest.raises(AttributeError):
        again.bias = 1


def test_deepcopy_is_deep_and_copy_is_not():
    values = np.ones(2)
    m = Affine(values, 1)
    assert copy.copy(m).weight is values and copy.deepcopy(m).weight is not values


def test_equality_is_tree_equality():
    assert affine() == affine() and not (affine() != affine())
    assert affine() != Affine(jnp.array([1.0, 2.0]), jnp.array(4.0))
    assert affine() != Affine(np.array([1.0, 2.0], np.float32), jnp.array(3.0))
    assert affine() != 3 and affine() is not None
    assert (affine() == affine()) is True

    class Other(eqx.Module):
        weight: Any
        bias: Any

    assert Affine(1, 2) != Other(1, 2)


def test_a_module_has_a_hash_if_it_holds_no_arrays():
    assert hash(Affine(1, "a")) == hash(Affine(1, "a"))
    assert len({Affine(1, "a"), Affine(1, "a"), Affine(2, "a")}) == 2
    for weight in (jnp.ones(2), np.ones(2)):
        with pytest.raises(TypeError, match=r"unhashable: `Affine` holds arrays.*eqx.filter_jit\(model\)"):
            hash(Affine(weight, 1))


def test_weak_references_and_partials():
    m = affine()
    ref = weakref.ref(m)
    assert ref() is m
    partial = ft.partial(m, jnp.array(1.0))
    assert partial().tolist() == [4.0, 5.0]
    assert jax.jit(tree_util.Partial(m.scaled, factor=3.0))(1.0).tolist() == [12.0, 15.0]
    assert eqx.filter_jit(partial)().tolist() == [4.0, 5.0]
    del m, partial
    gc.collect()
    assert ref() is None


def test_copies_keep_which_values_are_shared():
    shared = {"b": [1], "a": 2}
    m = Affine(shared, shared)
    shallow, deep, pickled = copy.copy(m), copy.deepcopy(m), pickle.loads(pickle.dumps(m))
    assert shallow.weight is shared
    for again in (deep, pickled):
        assert again.weight is not shared and again.weight is again.bias and list(again.weight) == ["b", "a"]
    assert copy.copy(Affine({1: 2, "a": 3}, None)).weight == {1: 2, "a": 3}  # JAX couldn't sort these keys


def test_a_copy_of_a_filtered_function_is_the_function_itself():
    f = eqx.filter_jit(lambda x: x)
    assert copy.copy(f) is f and copy.deepcopy(Affine(f, 1)).weight is f


# Bound methods


def plus(self, x):
    return x + self.weight


class Base(eqx.Module):
    weight: Any

    def scaled(self, x):
        return ("base", self.weight, x)

    def __private(self, x):
        return ("private of base", self.weight, x)

    def base_private(self):
        return self.__private


class Methods(Base):
    kept: Any = None

    def scaled(self, x):
        return ("own", self.weight, x)

    def parents(self):
        return super().scaled

    def __private(self, x):
        return ("private", self.weight, x)

    def own_private(self):
        return self.__private

    @jax.jit
    def jitted(self, x):
        return self.weight + x

    @eqx.filter_jit
    def filter_jitted(self, x):
        return self.weight + x

    @ft.partial(jax.vmap, in_axes=(None, 0))
    def mapped(self, x):
        return self.weight + x

    anonymous = lambda self, x: self.weight - x  # noqa: E731
    borrowed = plus
    jitted_borrowed = jax.jit(plus)
    by_another_name = scaled

    def __call__(self, x):
        return ("call", self.weight, x)


METHODS = {
    "__call__": lambda m: m.__call__,
    "anonymous": lambda m: m.anonymous,
    "borrowed": lambda m: m.borrowed,
    "by another name": lambda m: m.by_another_name,
    "filter_jitted": lambda m: m.filter_jitted,
    "jitted": lambda m: m.jitted,
    "jitted_borrowed": lambda m: m.jitted_borrowed,
    "mapped": lambda m: m.mapped,
    "of the base": lambda m: Base(m.weight).scaled,
    "of the parent": lambda m: m.parents(),
    "private": lambda m: m.own_private(),
    "private of the parent": lambda m: m.base_private(),
    "scaled": lambda m: m.scaled,
}


@pytest.mark.parametrize("duplicate", [copy.deepcopy, by_pickle])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_copied_method_is_the_same_function_on_the_copied_object(method, duplicate):
    bound = METHODS[method](Methods(np.arange(2.0)))
    for again in (duplicate(bound), duplicate(Methods(1, bound)).kept, duplicate(eqx.filter_jit(bound)).__wrapped__):
        assert type(again) is type(bound) and again.__func__ is bound.__func__
        assert again.__self__ is not bound.__self__ and again.__self__ == bound.__self__
        assert [x.tolist() for x in tree_util.tree_leaves(again)] == [[0.0, 1.0]]
    assert str(again(np.ones(2))) == str(bound(np.ones(2)))


def test_a_copy_of_a_bound_method_is_the_method_itself():
    bound = affine().scaled
    assert copy.copy(bound) is bound


@pytest.mark.parametrize("duplicate", [copy.deepcopy, by_pickle])
def test_a_copied_method_is_bound_to_the_copied_module(duplicate):
    m = Methods(1)
    holder = Affine(m, [m.scaled, m.jitted, m.scaled])
    again = duplicate(holder)
    assert [method.__self__ is again.weight for method in again.bias] == [True] * 3


@pytest.mark.parametrize("duplicate", [copy.deepcopy, by_pickle])
def test_a_method_that_is_bound_to_another_object_survives(duplicate):
    placed = tree_util.tree_map(lambda _: 3, affine().scaled, is_leaf=lambda x: isinstance(x, Affine))
    again = duplicate(placed)
    assert again.__self__ == 3 and again.__func__ is Affine.scaled


def test_a_pickled_method_may_move_to_a_base_class_and_must_exist(monkeypatch):
    pickled = pickle.dumps(Methods(1).scaled)
    monkeypatch.delattr(Methods, "scaled")
    assert pickle.loads(pickled)(2) == ("base", 1, 2)
    monkeypatch.delattr(Base, "scaled")
    with pytest.raises(AttributeError, match="method `scaled` of `Methods`, but the class has no such method"):
        pickle.loads(pickled)


# `__getstate__` and `__setstate__`


class Counted(eqx.Module):
    """A module that leaves its cache out of copies and pickles, and makes it again."""

    weight: Any
    cache: Any = None
    name: str = eqx.field(static=True, default="counted")

    def __getstate__(self):
        return {"weight": [self.weight], "name": self.name}

    def __setstate__(self, state):
        (self.weight,) = state["weight"]
        self.cache = "made by __setstate__"
        self.name = state["name"]


class Cleared(eqx.Module):
    """A module that changes the state that `super()` returns."""

    weight: Any
    cache: Any = None
    converted: Any = eqx.field(converter=lambda x: x + 1, default=1)

    def __getstate__(self):
        state = super().__getstate__()
        del state["cache"]
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        self.cache = "made by __setstate__"


class Forgetful(eqx.Module):
    weight: Any

    def __getstate__(self):
        return {}

    def __setstate__(self, state):
        pass


class Stateless(eqx.Module):
    weight: Any = 1

    def __getstate__(self):
        return None

    def __setstate__(self, state):
        raise AssertionError("not to be called, as there is no state")


class Tupled(eqx.Module):
    weight: Any

    def __getstate__(self):
        return ("weight", self.weight)


class Mixin:
    def __setstate__(self, state):
        for name, value in state.items():
            setattr(self, name, value)


class Mixed(Mixin, eqx.Module):
    weight: Any


@pytest.mark.parametrize("duplicate", _copies())
def test_getstate_and_setstate_may_be_written_by_hand(duplicate):
    again = duplicate(Counted([jax.nn.relu], "cache", "other"))
    assert (again.weight, again.cache, again.name) == ([jax.nn.relu], "made by __setstate__", "other")
    again = duplicate(Cleared(2, "cache"))
    assert (again.weight, again.cache, again.converted) == (2, "made by __setstate__", 2)
    assert duplicate(Mixed(3)) == Mixed(3)
    assert duplicate(Stateless(3)).weight == 1
    for m in (again, duplicate(Mixed(3))):
        with pytest.raises(dataclasses.FrozenInstanceError):
            m.weight = 1


@pytest.mark.parametrize("duplicate", _copies())
def test_a_state_that_leaves_the_module_incomplete_is_refused(duplicate):
    with pytest.raises(ValueError, match="missing fields `weight`"):
        duplicate(Forgetful(1))
    with pytest.raises(TypeError, match="`Tupled.__setstate__` expects the fields as a dictionary, got.*tuple"):
        duplicate(Tupled(1))


def test_the_state_of_a_frozen_module_cannot_be_set():
    m = affine()
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot set the state of a `Affine`"):
        m.__setstate__({"weight": 1})
    assert m == affine()


def test_converters_and_checks_do_not_run_again():
    calls = []

    class Checked(eqx.Module):
        x: Any = eqx.field(converter=lambda x: calls.append("converter") or x)

        def __check_init__(self):
            calls.append("check")

    m = Checked(1)
    del calls[:]
    assert copy.copy(m) == copy.deepcopy(m) == m and calls == []


def test_a_module_may_be_copied_while_it_is_made():
    class Twin(eqx.Module):
        a: Any
        twins: Any
        b: Any = 5

        def __init__(self):
            self.a = [1]
            self.twins = (copy.copy(self), copy.deepcopy(self))

    shallow, deep = Twin().twins
    assert shallow.a == deep.a == [1] and not hasattr(shallow, "twins") and shallow.a is not deep.a


# Classes that changed after the pickle was made


def changed(fields, **members):
    """Define the class `Changing` with other fields."""
    namespace = {"__annotations__": fields, "__module__": __name__, "__qualname__": "Changing"}
    return type(eqx.Module)("Changing", (eqx.Module,), dict(namespace, **members))


Changing = changed({"a": int, "b": int})


@pytest.fixture
def old_pickle(monkeypatch):
    monkeypatch.setitem(globals(), "Changing", changed({"a": int, "b": int}))
    return pickle.dumps(Changing(1, 2))


def test_new_fields_get_their_defaults(old_pickle, monkeypatch):
    members = {"c": 3, "d": eqx.field(default_factory=list), "e": eqx.field(static=True, default=5, converter=str)}
    new = changed({"a": int, "b": int, "c": int, "d": Any, "e": Any}, **members)
    monkeypatch.setitem(globals(), "Changing", new)
    assert pickle.loads(old_pickle) == new(1, 2, 3, [], 5)
    assert pickle.loads(old_pickle).e == "5"


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"a": int, "b": int, "c": int, "d": int}, "missing fields `c`, `d`"),
        ({"a": int}, "unknown fields `b`"),
        ({}, "unknown fields `a`, `b`"),
        ({"b": int, "c": int}, "unknown fields `a`; missing fields `c`"),
    ],
)
def test_missing_and_unknown_fields_are_named(fields, message, old_pickle, monkeypatch):
    monkeypatch.setitem(globals(), "Changing", changed(fields))
    with pytest.raises(
        ValueError, match="`Changing` doesn't fit its class: {}. .*Give a new field a default".format(message)
    ):
        pickle.loads(old_pickle)


def test_setstate_may_take_the_fields_of_an_older_class(old_pickle, monkeypatch):
    def take_old(self, state):
        self.both = state["a"], state["b"]

    new = changed({"both": Any}, __setstate__=take_old)
    monkeypatch.setitem(globals(), "Changing", new)
    assert pickle.loads(old_pickle) == new((1, 2))


def test_a_field_that_is_static_now_is_checked(monkeypatch):
    monkeypatch.setitem(globals(), "Changing", changed({"a": Any}))
    pickled = pickle.dumps(Changing([1]))
    monkeypatch.setitem(globals(), "Changing", changed({"a": Any}, a=eqx.field(static=True)))
    with pytest.raises(TypeError, match="static field `Changing.a` must be hashable"):
        pickle.loads(pickled)


# Generic modules

T = TypeVar("T")


class Box(eqx.Module, Generic[T]):
    content: T


class MixedBox(Mixin, Box[T]):
    pass


@pytest.mark.parametrize("duplicate", _copies())
def test_a_copy_of_a_generic_module_keeps_its_type_arguments(duplicate):
    m = Box[int](1)
    again = duplicate(m)
    assert again.__orig_class__ == m.__orig_class__ == Box[int] and again == m and type(again) is Box
    assert duplicate(MixedBox[int](1)).__orig_class__ == MixedBox[int]
    assert not hasattr(duplicate(Box(1)), "__orig_class__")

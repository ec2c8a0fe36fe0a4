"""Fields: defaults, keyword-only fields, metadata, and which attributes of a class are no fields."""

import copy
import dataclasses
import functools as ft
import inspect
import sys
import typing
from typing import Any

import jax
import pytest
from jax import tree_util

import equinox as eqx


def test_defaults_and_factories():
    class WithDefaults(eqx.Module):
        a: Any
        b: Any = 2
        c: Any = dataclasses.field(default_factory=list)
        d: Any = eqx.field(default=4, init=False)
        e: Any = eqx.field(default_factory=dict, init=False)

    m = WithDefaults(1)
    assert (m.a, m.b, m.c, m.d, m.e) == (1, 2, [], 4, {})
    assert m.c is not WithDefaults(1).c
    assert WithDefaults(1, c=3).c == 3
    assert tree_util.tree_leaves(m) == [1, 2, 4]  # they are fields of the instance, so they are in the tree


def test_keyword_only_fields_on_every_python():
    class KeywordOnly(eqx.Module):
        a: Any = eqx.field(kw_only=True)
        b: Any
        c: Any = eqx.field(kw_only=True, default=3)

    m = KeywordOnly(2, a=1)
    assert (m.a, m.b, m.c) == (1, 2, 3)
    assert str(inspect.signature(KeywordOnly)) == "(b: Any, *, a: Any, c: Any = 3) -> None"
    with pytest.raises(TypeError):
        KeywordOnly(1, 2)

    class Child(KeywordOnly):
        d: Any = 4

    assert str(inspect.signature(Child)) == "(b: Any, d: Any = 4, *, a: Any, c: Any = 3) -> None"


@pytest.mark.skipif(sys.version_info < (3, 10), reason="dataclasses.KW_ONLY needs Python 3.10")
def test_the_kw_only_of_dataclasses():
    class KeywordOnly(eqx.Module):
        a: Any
        _: dataclasses.KW_ONLY
        b: Any = 1
        c: Any

    assert KeywordOnly(0, c=2) == KeywordOnly(0, b=1, c=2)


def test_a_field_without_default_after_one_with_is_refused_and_named():
    with pytest.raises(TypeError, match=r"`Bad`: the field `b` has no default and follows `a`"):

        class Bad(eqx.Module):
            a: Any = 1
            b: Any


@pytest.mark.skipif(sys.version_info < (3, 10), reason="dataclasses.KW_ONLY needs Python 3.10")
def test_a_field_may_be_positional_after_kw_only():
    def make(base, field, decorate):
        @decorate
        class Mixed(base):
            _: dataclasses.KW_ONLY
            a: Any = field(kw_only=False)
            b: Any = field(default=3)
            c: Any = field(kw_only=True)

        return Mixed

    ours = make(eqx.Module, eqx.field, lambda cls: cls)
    reference = make(object, dataclasses.field, dataclasses.dataclass)
    assert str(inspect.signature(ours)) == str(inspect.signature(reference))
    assert ours.__match_args__ == reference.__match_args__ == ("a",)


@pytest.mark.parametrize("kw_only", [True, False])
def test_a_class_variable_is_not_kw_only(kw_only):
    with pytest.raises(TypeError, match="is a ClassVar"):

        class Bad(eqx.Module):
            a: typing.ClassVar[int] = eqx.field(kw_only=kw_only, default=2)


def test_fields_keep_the_users_metadata():
    class Tagged(eqx.Module):
        a: Any = eqx.field(metadata={"unit": "m"})

    assert dataclasses.fields(Tagged)[0].metadata["unit"] == "m"


def test_fields_of_several_bases_are_ordered_as_in_dataclasses():
    def make(base, decorate):
        @decorate
        class A(base):
            a: Any = 1
            shared: Any = 0

            def who(self):
                return "A"

        @decorate
        class B(base):
            b: Any = 2
            shared: Any = 5

        @decorate
        class C(A, B):
            c: Any = 3

            def who(self):
                return super().who() + "C"

        return C

    ours, reference = make(eqx.Module, lambda cls: cls), make(object, dataclasses.dataclass(frozen=True))
    assert str(inspect.signature(ours)) == str(inspect.signature(reference))
    assert dataclasses.asdict(ours(c=7)) == dataclasses.asdict(reference(c=7))
    assert ours().who() == "AC"
    assert tree_util.tree_leaves(ours()) == list(dataclasses.astuple(reference()))


def test_static_class_and_plain_attributes_are_no_fields():
    class Mixed(eqx.Module):
        counter: typing.ClassVar[int] = 7
        x: Any
        constant = 3

        @staticmethod
        def static(x):
            return x

        @classmethod
        def make(cls, x):
            return cls(x)

        @property
        def double(self):
            return 2 * self.x

    m = Mixed.make(4)
    assert (m.counter, m.constant, m.static(1), m.double) == (7, 3, 1, 8)
    assert tree_util.tree_leaves(m) == [4]


def test_a_function_may_be_the_default_of_a_field():
    class Activated(eqx.Module):
        activation: Any = jax.nn.relu
        other: Any = lambda x: x + 1

    m = Activated()
    assert m.activation is jax.nn.relu and m.other(1) == 2
    assert len(tree_util.tree_leaves(m)) == 2


def test_cached_property_works_and_is_no_field():
    if not hasattr(ft, "cached_property"):
        pytest.skip("functools.cached_property needs Python 3.8")

    class Cached(eqx.Module):
        x: Any

        @ft.cached_property
        def square(self):
            return self.x**2

    m = Cached(3)
    assert m.square == m.square == 9
    assert tree_util.tree_leaves(m) == [3]
    assert m == Cached(3) and copy.copy(m) == Cached(3)


def jax_static(**kwargs):
    if not hasattr(getattr(jax, "tree", None), "static"):
        pytest.skip("jax.tree.static came later than JAX " + jax.__version__)
    return jax.tree.static(**kwargs)


@pytest.mark.parametrize(
    "static",
    [
        lambda **kwargs: dataclasses.field(metadata={"static": True}, **kwargs),
        lambda **kwargs: eqx.field(metadata={"static": True}, **kwargs),
        jax_static,
    ],
)
def test_jaxs_spelling_makes_a_field_static(static):
    class Static(eqx.Module):
        x: Any
        n: Any = static(default=3)
        data: Any = dataclasses.field(metadata={"static": False}, default=4)

    m = Static(1)
    assert tree_util.tree_leaves(m) == [1, 4] and m.n == 3
    assert tree_util.tree_structure(m) != tree_util.tree_structure(Static(1, 5))
    with pytest.raises(TypeError, match="static field `Static.n` must be hashable"):
        Static(1, [])


class Base(eqx.Module):
    x: Any
    y: Any = 2
    s: Any = eqx.field(static=True, default=1)


def plain_attribute():
    class Overrides(Base):
        x = 5
        s = 6
        y = 7

    return Overrides, (5, 7, 6)


def methods():
    class Overrides(Base):
        def x(self):
            return 5

        y = classmethod(lambda cls: 7)
        s = staticmethod(lambda: 6)

    return Overrides, (5, 7, 6)


def properties():
    class Overrides(Base):
        x = property(lambda self: 5)
        y = property(lambda self: self.x + 2)
        s = property(lambda self: 6)

    return Overrides, (5, 7, 6)


def a_mixin():
    class Mixin:
        x = property(lambda self: 5)
        y = 7
        s = 6

    class Overrides(Mixin, Base):
        pass

    return Overrides, (5, 7, 6)


@pytest.mark.parametrize("override", [plain_attribute, methods, properties, a_mixin])
def test_an_overridden_field_is_no_field(override):
    """This holds for static and dynamic fields, with and without a default, and for subclasses."""
    cls, expected = override()
    m = cls()
    values = tuple(value() if callable(value) else value for value in (m.x, m.y, m.s))
    assert values == expected and tree_util.tree_leaves(m) == [] and dataclasses.fields(m) == ()

    class Below(cls):
        z: Any = 8

    assert str(inspect.signature(Below)) == "(z: Any = 8) -> None"
    assert tree_util.tree_leaves(Below(9)) == [9] and getattr(Below, "__match_args__", ("z",)) == ("z",)
    assert tree_util.tree_structure(m) == tree_util.tree_structure(cls())
    assert copy.deepcopy(Below(9)) == Below(9)

    class FieldAgain(Below):
        x: Any = 1

    assert FieldAgain().x == 1 and tree_util.tree_leaves(FieldAgain()) == [1, 8]


def test_an_overridden_field_cannot_be_set_by_the_init_of_a_base():
    class Sets(eqx.Module):
        x: Any

        def __init__(self):
            self.x = 1

    class Overrides(Sets):
        x = 2

    with pytest.raises(AttributeError, match="`Overrides` has no field `x`: the class has an attribute"):
        Overrides()

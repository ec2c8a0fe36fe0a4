"""A subclass of `Module` is a frozen dataclass. Its `__init__` is generated or written by hand.

It may have several bases.
"""

import abc
import copy
import dataclasses
import functools as ft
import inspect
import sys
import typing
from typing import Any, Generic, TypeVar

import jax
import pytest
from jax import tree_util
from modules import Affine

import equinox as eqx


def test_a_class_is_a_frozen_dataclass():
    assert dataclasses.is_dataclass(Affine)
    assert [f.name for f in dataclasses.fields(Affine)] == ["weight", "bias"]
    assert Affine.__dataclass_params__.frozen
    assert dataclasses.replace(Affine(1, 2), bias=5) == Affine(1, 5)


def test_the_generated_init_takes_the_fields_by_position_and_name():
    assert Affine(1, 2) == Affine(1, bias=2) == Affine(weight=1, bias=2)
    assert str(inspect.signature(Affine)) == "(weight: Any, bias: Any) -> None"
    assert Affine.__init__.__qualname__ == "Affine.__init__"


@pytest.mark.parametrize(
    "args, kwargs", [((), {}), ((1,), {}), ((1, 2, 3), {}), ((1, 2), {"bias": 3}), ((1, 2), {"other": 3})]
)
def test_wrong_arguments_are_a_type_error(args, kwargs):
    with pytest.raises(TypeError, match="__init__"):
        Affine(*args, **kwargs)


def test_an_init_may_be_written_by_hand():
    class Doubled(eqx.Module):
        value: Any
        size: int

        def __init__(self, x, *, extra=1):
            self.value = 2 * x
            self.size = extra

    assert (Doubled(4).value, Doubled(4, extra=7).size) == (8, 7)
    assert str(inspect.signature(Doubled)) == "(x, *, extra=1)"
    with pytest.raises(TypeError):
        Doubled()


def test_an_init_is_inherited_like_any_method():
    class Base(eqx.Module):
        x: Any

        def __init__(self, x):
            self.x = x + 1

    class Child(Base):
        def __call__(self):
            return self.x

    class Grandchild(Child):
        y: Any = 5

    assert Child(1)() == 2
    assert (Grandchild(1).x, Grandchild(1).y) == (2, 5)


def test_super_init():
    class Base(eqx.Module):
        x: Any

        def __init__(self, x):
            self.x = x

    class Child(Base):
        y: Any

        def __init__(self, x, y):
            super().__init__(x)
            self.y = y + self.x

    class GeneratedBase(eqx.Module):
        x: Any

    class ChildOfGenerated(GeneratedBase):
        y: Any

        def __init__(self, x, y):
            super().__init__(x)
            self.y = y

    assert (Child(1, 2).x, Child(1, 2).y) == (1, 3)
    assert tree_util.tree_leaves(ChildOfGenerated(1, 2)) == [1, 2]


def test_a_subclass_with_new_fields_gets_a_new_generated_init():
    class Base(eqx.Module):
        x: Any

    class Child(Base):
        y: Any

    assert str(inspect.signature(Child)) == "(x: Any, y: Any) -> None"
    assert tree_util.tree_leaves(Child(1, 2)) == [1, 2]


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


def test_a_default_fills_a_field_that_init_does_not_set():
    class Own(eqx.Module):
        a: Any
        b: Any = 2
        c: Any = dataclasses.field(default_factory=lambda: 3)

        def __init__(self):
            self.a = 1

    assert tree_util.tree_leaves(Own()) == [1, 2, 3]


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


def test_post_init_runs_after_the_fields_are_set_and_may_set_more():
    class Post(eqx.Module):
        a: Any
        extra: dataclasses.InitVar[int]
        items: Any = dataclasses.field(default_factory=list)
        b: Any = eqx.field(init=False)

        def __post_init__(self, extra):
            self.b = (self.a, extra, tuple(self.items))

    assert Post(1, 10).b == (1, 10, ())
    assert tree_util.tree_leaves(Post(1, 10)) == [1, 1, 10]


def test_fields_keep_the_users_metadata():
    class Tagged(eqx.Module):
        a: Any = eqx.field(metadata={"unit": "m"})

    assert dataclasses.fields(Tagged)[0].metadata["unit"] == "m"


def test_abstract_methods_and_properties():
    class Shape(eqx.Module):
        @abc.abstractmethod
        def area(self):
            pass

        @property
        @abc.abstractmethod
        def sides(self):
            pass

    class Square(Shape):
        edge: Any

        def area(self):
            return self.edge**2

        @property
        def sides(self):
            return 4

    with pytest.raises(TypeError, match="abstract"):
        Shape()
    assert (Square(3).area(), Square(3).sides) == (9, 4)

    class HalfDone(Shape):
        def area(self):
            return 0

    with pytest.raises(TypeError, match="abstract.*sides"):
        HalfDone()


def test_generics():
    T = TypeVar("T")

    class Box(eqx.Module, Generic[T]):
        content: T

        def get(self) -> T:
            return self.content

    class IntBox(Box[int]):
        pass

    assert Box[int](3).get() == 3 and Box(3) == Box[str](3)
    assert IntBox(3).get() == 3
    assert typing.get_type_hints(Box)["content"] is T


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


def test_slots_are_refused():
    with pytest.raises(TypeError, match="`Slotted` has `__slots__`"):

        class Slotted(eqx.Module):
            __slots__ = ("x",)


def test_the_signature_shows_factories_as_dataclasses_do():
    class Factory(eqx.Module):
        x: Any = dataclasses.field(default_factory=list)

    reference = dataclasses.make_dataclass("Factory", [("x", Any, dataclasses.field(default_factory=list))])
    assert str(inspect.signature(Factory)) == str(inspect.signature(reference))


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


def test_match_args_written_by_hand_stays():
    class Own(eqx.Module):
        __match_args__ = ("y",)
        x: Any
        y: Any

    assert Own.__match_args__ == ("y",)


def test_init_subclass_gets_class_keywords_of_any_name():
    seen = {}

    class Hook(eqx.Module):
        def __init_subclass__(cls, **kwargs):
            seen.update(kwargs)

    class Ours(Hook, mcs=1, metacls=2, args=3, kwargs=4):
        pass

    assert seen == {"mcs": 1, "metacls": 2, "args": 3, "kwargs": 4}
    others = {"name": 1, "bases": 2, "namespace": 3}
    reference = type("Reference", (), {"__init_subclass__": classmethod(lambda cls, **kwargs: None)})
    seen.clear()
    try:
        abc.ABCMeta("Below", (reference,), {}, **others)
    except TypeError:  # before Python 3.11
        with pytest.raises(TypeError, match="multiple values"):
            type(eqx.Module)("Below", (Hook,), {}, **others)
    else:
        type(eqx.Module)("Below", (Hook,), {}, **others)
        assert seen == others


def test_a_generic_instance_keeps_its_alias():
    T = TypeVar("T")

    class Box(eqx.Module, Generic[T]):
        content: T
        n: Any = eqx.field(static=True, default=1)

    class IntBox(Box[int]):
        pass

    m = Box[int](3)
    assert m.__orig_class__ == Box[int] and not hasattr(Box(3), "__orig_class__")
    assert tree_util.tree_leaves(m) == [3] and tree_util.tree_structure(m) == tree_util.tree_structure(Box(3))
    assert m == Box(3) == Box[str](3) and hash(m) == hash(Box(3)) and repr(m) == "Box(content=3, n=1)"
    assert copy.copy(m).__orig_class__ == copy.deepcopy(m).__orig_class__ == Box[int]
    with pytest.raises(AttributeError, match="immutable"):
        m.__orig_class__ = 3
    with pytest.raises(AttributeError, match="immutable"):
        m.__orig_class__ = IntBox


@pytest.mark.parametrize("options", [{}, {"frozen": False}, {"frozen": True, "order": True}, {"eq": False}])
def test_a_dataclass_decorator_with_other_options_is_refused(options):
    with pytest.raises(TypeError, match=r"`Decorated` is a `Module`, .* Remove the decorator `@dataclasses.dataclass`"):

        @dataclasses.dataclass(**options)
        class Decorated(eqx.Module):
            x: Any

    with pytest.raises(TypeError, match=r"Remove the decorator .*`make_dataclass` needs `frozen=True`"):
        dataclasses.make_dataclass("Made", [("x", Any)], bases=(eqx.Module,), **options)


def test_a_dataclass_decorator_over_an_inherited_init_is_refused():
    class ByHand(eqx.Module):
        x: Any

        def __init__(self):
            self.x = 1

    with pytest.raises(TypeError, match="Remove the decorator"):

        @dataclasses.dataclass(frozen=True)
        class Decorated(ByHand):
            y: Any = 2


def test_a_frozen_dataclass_decorator_changes_nothing():
    def make(decorate):
        @decorate
        class Decorated(eqx.Module):
            x: Any
            n: Any = eqx.field(static=True, default=3)
            items: Any = dataclasses.field(default_factory=list)
            k: Any = eqx.field(converter=float, default=4, kw_only=True)
            counter: typing.ClassVar[int] = 7

            def method(self):
                return self.x

            def __check_init__(self):
                if self.x is None:
                    raise ValueError("no x")

        return Decorated

    plain, decorated = make(lambda cls: cls), make(dataclasses.dataclass(frozen=True))
    assert str(inspect.signature(decorated)) == str(inspect.signature(plain))
    m = decorated(1)
    assert repr(m) == repr(plain(1)) and m == decorated(1) != decorated(2) and hash(m) == hash(decorated(1))
    assert tree_util.tree_leaves(m) == tree_util.tree_leaves(plain(1)) == [1, 4.0] and type(m.k) is float
    assert tree_util.tree_leaves(m.method) == [1, 4.0] and m.items is not decorated(1).items and m.counter == 7
    assert tree_util.tree_map(lambda x: 2 * x, m).x == 2
    with pytest.raises(AttributeError, match="immutable"):
        m.x = 2
    with pytest.raises(ValueError, match="no x"):
        decorated(None)

    class Below(decorated):
        z: Any = 5

    assert Below(1, z=6).z == 6 and tree_util.tree_leaves(Below(1)) == [1, 4.0, 5]


def test_make_dataclass_makes_a_module():
    fields = [("x", Any), ("n", Any, eqx.field(static=True, default=3))]
    Made = dataclasses.make_dataclass(
        "Made", fields, bases=(eqx.Module,), namespace={"method": lambda self: self.x}, frozen=True
    )
    assert isinstance(Made(1), eqx.Module) and tree_util.tree_leaves(Made(1)) == [1] and Made(1).n == 3
    assert tree_util.tree_leaves(Made(1).method) == [1]

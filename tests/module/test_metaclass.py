"""A subclass of `Module` is a frozen dataclass, also if it is generic, abstract or made by a decorator."""

import abc
import copy
import dataclasses
import inspect
import typing
from typing import Any, Generic, TypeVar

import pytest
from jax import tree_util
from modules import Affine

import equinox as eqx


def test_a_class_is_a_frozen_dataclass():
    assert dataclasses.is_dataclass(Affine)
    assert [f.name for f in dataclasses.fields(Affine)] == ["weight", "bias"]
    assert Affine.__dataclass_params__.frozen
    assert dataclasses.replace(Affine(1, 2), bias=5) == Affine(1, 5)


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


def test_slots_are_refused():
    with pytest.raises(TypeError, match="`Slotted` has `__slots__`"):

        class Slotted(eqx.Module):
            __slots__ = ("x",)


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

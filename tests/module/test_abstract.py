"""`AbstractVar`, `AbstractClassVar`, and `strict=True`."""

import abc
import copy
import dataclasses
import inspect
import typing
from typing import Any, ClassVar, Generic, TypeVar

import pytest
from jax import tree_util

import equinox as eqx
from equinox import AbstractVar as Renamed

T = TypeVar("T")


class Shape(eqx.Module):
    name: eqx.AbstractVar[str]
    size: int = 1


def provided_by_a_field():
    class Named(Shape):
        name: str = "square"

    return Named


def provided_by_a_class_attribute():
    class Named(Shape):
        name = "square"

    return Named


def provided_by_a_class_variable():
    class Named(Shape):
        name: ClassVar[str] = "square"

    return Named


def provided_by_a_property():
    class Named(Shape):
        @property
        def name(self):
            return "square"

    return Named


def provided_by_a_class_between():
    class Named(provided_by_a_property()):
        other: int = 2

    return Named


def provided_by_a_base_before():
    class Mixin(eqx.Module):
        name: str = "square"

    class Named(Mixin, Shape):
        pass

    return Named


PROVIDED = [value for key, value in list(globals().items()) if key.startswith("provided_by")]


@pytest.mark.parametrize("make", PROVIDED)
def test_a_subclass_provides_the_variable(make):
    cls = make()
    assert cls().name == "square"
    assert not inspect.isabstract(cls)
    assert tree_util.tree_map(lambda x: x, cls()) == copy.deepcopy(cls()) == cls()


def not_provided():
    class Unnamed(Shape):
        other: int = 2

    return Unnamed


def not_provided_by_a_base_after():
    class Mixin(eqx.Module):
        name: str = "square"

    class Unnamed(Shape, Mixin):
        pass

    return Unnamed


def not_provided_without_a_value():
    class Unnamed(Shape):
        name: ClassVar[str]

    return Unnamed


def abstract_again():
    class Unnamed(provided_by_a_field()):
        name: eqx.AbstractVar[str]

    return Unnamed


def an_abstract_property():
    class Unnamed(Shape):
        @property
        @abc.abstractmethod
        def name(self):
            pass

    return Unnamed


@pytest.mark.parametrize(
    "make",
    [
        lambda: Shape,
        not_provided,
        not_provided_by_a_base_after,
        not_provided_without_a_value,
        abstract_again,
        an_abstract_property,
    ],
    ids=lambda make: make.__name__.strip("<>"),
)
def test_a_class_that_lacks_the_variable_has_no_instances(make):
    cls = make()
    assert inspect.isabstract(cls)
    with pytest.raises(TypeError, match="`{}` is abstract: it lacks the variable `name`".format(cls.__name__)):
        cls()


def test_the_error_names_all_that_is_missing():
    class Abstract(Shape):
        order: eqx.AbstractClassVar[int]

        @abc.abstractmethod
        def area(self):
            pass

    with pytest.raises(TypeError, match="the method `area`, the variable `name`, the variable `order`. .* has them"):
        Abstract()


def test_an_abstract_variable_is_no_field():
    """The field that provides it stands where the subclass declares it."""

    class Named(Shape):
        name: str = "a"

    assert [f.name for f in dataclasses.fields(Shape)] == ["size"]
    assert [f.name for f in dataclasses.fields(Named)] == ["size", "name"]
    assert Named(2, "b").name == "b"
    assert typing.get_type_hints(Shape)["name"] == eqx.AbstractVar[str]


def test_the_field_that_provides_it_may_be_static():
    class Named(Shape):
        name: str = eqx.field(static=True, default="a")

    assert tree_util.tree_leaves(Named()) == [1]


def test_only_a_class_attribute_provides_a_class_variable():
    class Solver(eqx.Module):
        order: eqx.AbstractClassVar[int]

    class Attribute(Solver):
        order: ClassVar[int] = 1

    class Field(Solver):
        order: int

    class Default(Solver):
        order: int = 2

    assert (Attribute().order, Attribute.order, Default(3).order, Default.order) == (1, 1, 3, 2)
    with pytest.raises(TypeError, match="the variable `order`"):
        Field(1)


def test_an_annotation_may_be_a_string():
    class Quoted(eqx.Module):
        a: "eqx.AbstractVar[int]"
        b: "Renamed[int]"
        c: "eqx.AbstractClassVar[Quoted]"
        unknown: typing.ForwardRef("eqx.AbstractVar[Unknown]")  # Python 3.14 makes one of an unknown name
        d: "list[int]"
        AbstractVariable: "Any"

    assert Quoted.__abstractmethods__ == {"a", "b", "c", "unknown"}
    assert [f.name for f in dataclasses.fields(Quoted)] == ["d", "AbstractVariable"]


def test_a_string_may_use_a_name_of_a_function():
    from equinox import AbstractVar

    class Quoted(eqx.Module):
        a: "AbstractVar[int]"

    assert AbstractVar is eqx.AbstractVar
    assert Quoted.__abstractmethods__ == {"a"}


def test_an_annotation_may_lack_its_type_or_hold_a_type_variable():
    class Box(eqx.Module, Generic[T]):
        bare: eqx.AbstractVar
        held: eqx.AbstractVar[T]

    class Full(Box[int]):
        bare: int
        held: int

    assert Box.__abstractmethods__ == {"bare", "held"}
    assert Full(1, held=2).held == 2


@pytest.mark.parametrize("value", [3, eqx.field(static=True), eqx.field(default=3)], ids=["value", "option", "default"])
def test_an_abstract_variable_has_no_value(value):
    with pytest.raises(TypeError, match="`Wrong.x` is abstract, so it can't have a value or options"):

        class Wrong(eqx.Module):
            x: eqx.AbstractVar[int] = value


def test_a_class_may_get_the_variable_later():
    cls = not_provided()
    cls.name = "late"
    assert cls().name == "late"
    del cls.name
    with pytest.raises(TypeError, match="abstract"):
        cls()


def test_a_dataclass_decorator_changes_nothing():
    cls = dataclasses.dataclass(frozen=True)(not_provided())
    assert cls.__abstractmethods__ == {"name"}
    assert [f.name for f in dataclasses.fields(cls)] == ["size", "other"]


def test_an_abstract_class_may_make_its_subclasses():
    """`__new__` may return an instance of a subclass."""

    class Base(eqx.Module):
        x: eqx.AbstractVar[int]

        def __new__(cls, x):
            return object.__new__(Below)

    class Below(Base):
        x: int

    assert type(Base(3)) is Below
    assert Base(3).x == 3


# `strict=True`


class Area(eqx.Module, strict=True):
    edge: eqx.AbstractVar[Any]

    @abc.abstractmethod
    def area(self):
        """The area."""

    def double(self):
        return 2 * self.area()


class Square(Area, strict=True):
    edge: Any

    def __init__(self, edge):
        self.edge = edge

    def __check_init__(self):
        pass

    def __repr__(self):
        return "square"

    def area(self):
        return self.edge**2


def test_strict_classes_work_as_others():
    assert Square(3).double() == 18
    assert repr(Square(3)) == "square"
    assert tree_util.tree_leaves(Square(3)) == [3]


@pytest.mark.parametrize("keywords", [{}, {"strict": True}], ids=["not strict", "strict"])
def test_a_concrete_strict_class_has_no_subclasses(keywords):
    with pytest.raises(TypeError, match="`Below` inherits from `Square`, which is concrete"):

        class Below(Square, **keywords):
            pass


def test_a_strict_class_has_no_concrete_bases():
    with pytest.raises(TypeError, match="`Below` inherits from `Linear`, which is concrete.*line of either class"):

        class Below(eqx.nn.Linear, strict=True):
            pass


def overrides_by_a_method():
    class Below(Area, strict=True):
        def double(self):
            pass


def overrides_by_an_attribute():
    class Below(Area, strict=True):
        double = None


def overrides_by_a_field():
    class Below(Area, strict=True):
        double: Any


def overrides_by_a_base():
    class Base(eqx.Module):
        edge: eqx.AbstractVar[Any]

        @property
        def double(self):
            pass

    class Below(Base, Area, strict=True):
        pass


def overrides_call():
    class Base(eqx.Module):
        @abc.abstractmethod
        def f(self):
            pass

        def __call__(self):
            pass

    class Below(Base, strict=True):
        def __call__(self):
            pass


@pytest.mark.parametrize(
    "make",
    [overrides_by_a_method, overrides_by_an_attribute, overrides_by_a_field, overrides_by_a_base, overrides_call],
)
def test_a_concrete_method_of_a_strict_class_is_not_overridden(make):
    with pytest.raises(TypeError, match=r"`(Below|Base).(\w+)` overrides `(Area|Base).\2`, which isn't abstract"):
        make()


def test_a_class_that_is_not_strict_may_override():
    class Below(Area):
        edge: Any

        def area(self):
            return self.edge

        def double(self):
            return 0

    class Further(Below):
        pass

    assert Further(3).double() == 0


def test_strict_is_a_bool():
    with pytest.raises(TypeError, match="`strict` to be a bool, got 'yes'"):

        class Wrong(eqx.Module, strict="yes"):
            pass


def test_static_field_is_the_old_spelling():
    class Scale(eqx.Module):
        factor: int = eqx.static_field(default=2, converter=int)

    assert tree_util.tree_leaves(Scale("3")) == []
    assert Scale("3").factor == 3
    with pytest.raises(TypeError, match="static"):
        eqx.static_field(static=True)

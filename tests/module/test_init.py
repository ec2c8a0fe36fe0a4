"""The `__init__` of a module is generated from its fields, or written by hand."""

import dataclasses
import inspect
from typing import Any

import pytest
from jax import tree_util
from modules import Affine

import equinox as eqx


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


def test_a_default_fills_a_field_that_init_does_not_set():
    class Own(eqx.Module):
        a: Any
        b: Any = 2
        c: Any = dataclasses.field(default_factory=lambda: 3)

        def __init__(self):
            self.a = 1

    assert tree_util.tree_leaves(Own()) == [1, 2, 3]


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


def test_the_signature_shows_factories_as_dataclasses_do():
    class Factory(eqx.Module):
        x: Any = dataclasses.field(default_factory=list)

    reference = dataclasses.make_dataclass("Factory", [("x", Any, dataclasses.field(default_factory=list))])
    assert str(inspect.signature(Factory)) == str(inspect.signature(reference))

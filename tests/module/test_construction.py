"""A module is made and then frozen. Constructions don't affect one another."""

import dataclasses
import threading
from typing import Any

import jax.numpy as jnp
import pytest
from jax import tree_util
from modules import Affine, affine

import equinox as eqx


def test_every_field_must_be_set_and_the_missing_are_named():
    class Forgetful(eqx.Module):
        a: Any
        b: Any
        c: Any

        def __init__(self):
            self.b = 1

    with pytest.raises(ValueError, match=r"`Forgetful.__init__` must set every field; missing: `a`, `c`\."):
        Forgetful()


def test_a_module_is_immutable_after_init():
    m = affine()
    with pytest.raises(AttributeError, match=r"cannot assign to `Affine.weight`.*replace\(module, weight=value\)"):
        m.weight = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        m.other = 1
    with pytest.raises(AttributeError, match="cannot delete `Affine.bias`"):
        del m.bias
    with pytest.raises(AttributeError):
        m.__init__(1, 2)
    assert tree_util.tree_structure(m) == tree_util.tree_structure(affine())


def test_an_unknown_attribute_in_init_is_an_attribute_error_naming_the_fields():
    class Typo(eqx.Module):
        weight: Any

        def __init__(self):
            self.wieght = 1

    with pytest.raises(AttributeError, match=r"`Typo` has no field `wieght`.*Its fields are: weight\."):
        Typo()


def test_check_init_runs_on_the_complete_module_the_derived_class_first():
    seen = []

    class Base(eqx.Module):
        x: Any

        def __check_init__(self):
            seen.append(("base", self.x))

    class Child(Base):
        y: Any = 2

        def __check_init__(self):
            seen.append(("child", self.y))
            if self.x < 0:
                raise ValueError("negative")

    Child(1)
    assert seen == [("child", 2), ("base", 1)]
    with pytest.raises(ValueError, match="negative"):
        Child(-1)

    class Assigns(eqx.Module):
        x: Any

        def __check_init__(self):
            self.x = 1

    with pytest.raises(AttributeError):
        Assigns(0)


def test_converters_run_on_assignment_and_on_defaults():
    class Converted(eqx.Module):
        a: Any = eqx.field(converter=float)
        b: Any = eqx.field(converter=jnp.asarray, default=1.0)
        c: Any = eqx.field(converter=tuple, static=True, default=())

    m = Converted(1, c=[1, 2])
    assert type(m.a) is float and eqx.is_array(m.b) and m.c == (1, 2)

    class Own(eqx.Module):
        a: Any = eqx.field(converter=float)
        seen: Any

        def __init__(self):
            self.a = 1
            self.seen = type(self.a)

    assert Own().seen is float
    with pytest.raises(TypeError, match="converter"):
        eqx.field(converter=3)
    # Unflattening doesn't convert: a tree must be able to hold anything.
    assert tree_util.tree_map(lambda x: None, m).a is None


def test_a_module_may_be_made_inside_the_init_of_another():
    class Outer(eqx.Module):
        inner: Any
        own: Any

        def __init__(self):
            inner = Affine(1, 2)
            with pytest.raises(AttributeError):
                inner.weight = 5  # it is frozen, although the outer module isn't
            self.inner = inner
            self.own = 3  # it isn't frozen, although the inner module is

    assert tree_util.tree_leaves(Outer()) == [1, 2, 3]


def test_init_may_make_other_instances_of_its_class():
    class Tower(eqx.Module):
        below: Any
        level: Any

        def __init__(self, level):
            self.below = Tower(level - 1) if level else None
            self.level = level

    assert tree_util.tree_leaves(Tower(3)) == [0, 1, 2, 3]


def test_an_exception_in_init_leaves_the_class_as_it_was():
    leaked = []

    class Fails(eqx.Module):
        x: Any

        def __init__(self, x):
            leaked.append(self)
            self.x = x
            if x < 0:
                raise RuntimeError("negative")

    before = dict(vars(Fails))
    with pytest.raises(RuntimeError):
        Fails(-1)
    assert dict(vars(Fails)) == before
    with pytest.raises(AttributeError):
        leaked[0].x = 1  # its construction has ended
    assert Fails(1).x == 1


def test_threads_do_not_see_each_others_construction():
    size, inside, errors = 4, threading.Barrier(4), []

    class Slow(eqx.Module):
        a: Any
        b: Any

        def __init__(self, x):
            self.a = x
            inside.wait(timeout=60)  # now all threads are inside `__init__`
            self.b = x

    def make(x):
        try:
            m = Slow(x)
            assert (m.a, m.b) == (x, x)
            with pytest.raises(AttributeError):
                m.a = 0
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=make, args=(i,)) for i in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_field_cannot_hold_a_method_of_its_own_module():
    class Loop(eqx.Module):
        f: Any

        def __init__(self):
            self.f = self.method

        def method(self):
            pass

    with pytest.raises(ValueError, match=r"`Loop.f` is set to a method of the module itself"):
        Loop()


def test_a_method_that_jits_may_be_called_during_init():
    class Eager(eqx.Module):
        a: Any
        b: Any

        def __init__(self):
            self.a = jnp.array(2.0)
            self.b = eqx.filter_jit(self.double)()

        def double(self):
            return 2 * self.a

    assert Eager().b == 4


def test_a_property_may_be_set_in_init():
    class WithProperty(eqx.Module):
        x: Any

        def __init__(self):
            self.double = 6

        @property
        def double(self):
            return 2 * self.x

        @double.setter
        def double(self, value):
            self.x = value / 2

    m = WithProperty()
    assert m.x == 3
    with pytest.raises(AttributeError):
        m.double = 8


def test_init_may_delete_a_field_and_set_it_again():
    class Deletes(eqx.Module):
        x: Any

        def __init__(self):
            self.x = 1
            del self.x
            self.x = 2

    assert Deletes().x == 2


def test_an_instance_that_new_returns_again_is_constructed_once():
    """A `__new__` may return an instance that exists already. Python would run `__init__` on it again."""
    runs = []

    class Kept(eqx.Module):
        x: Any
        made = {}

        def __new__(cls, x):
            if x not in cls.made:
                cls.made[x] = super().__new__(cls)
            return cls.made[x]

        def __init__(self, x):
            runs.append(x)
            self.x = [x]

        def __check_init__(self):
            runs.append("check")

    first = Kept(1)
    content = first.x
    assert Kept(1) is first and first.x is content and runs == [1, "check"]
    assert Kept(2).x == [2] and runs == [1, "check", 2, "check"]


def test_new_may_return_an_instance_that_is_being_constructed():
    class Single(eqx.Module):
        x: Any
        one = []

        def __new__(cls):
            if not cls.one:
                cls.one.append(super().__new__(cls))
            return cls.one[0]

        def __init__(self):
            assert Single() is self  # it isn't constructed again, and isn't frozen yet
            self.x = 1

    assert Single().x == 1 and Single() is Single()


def test_new_may_return_something_else():
    class Other(eqx.Module):
        x: Any

        def __new__(cls, x):
            return x if x == 1 else Affine(x, x) if x == 2 else super().__new__(cls)

    assert Other(1) == 1 and Other(2) == Affine(2, 2) and Other(3).x == 3

"""Flattening reads the dictionary of the instance. Attributes of the class with the same names don't matter."""

import dataclasses
from typing import Any

import pytest
from jax import tree_util
from modules import Affine

import equinox as eqx


class Doubles:
    """A descriptor that keeps a value in the dictionary of the instance, and returns twice the value."""

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, instance, owner=None):
        return 1.0 if instance is None else 2 * vars(instance)[self.name]

    def __set__(self, instance, value):
        vars(instance)[self.name] = value


class Base(eqx.Module):
    def act(self, x):
        return x


class WithDescriptor(eqx.Module):
    x: Any = Doubles()
    y: Any = None


class WithFunction(eqx.Module):
    y: Any
    x: Any = lambda x: x


class WithDefault(eqx.Module):
    y: Any
    x: Any = 5
    n: Any = eqx.field(static=True, default=6)


class OverMethod(Base):
    y: Any
    act: Any


class WithProperty(eqx.Module):
    x: Any
    y: Any

    @property
    def z(self):
        return self.x


class WithGetattr(eqx.Module):
    x: Any
    y: Any

    def __getattr__(self, name):
        return 7


class WithGetattribute(eqx.Module):
    x: Any
    y: Any

    def __getattribute__(self, name):
        return 7 if name in ("x", "y") else object.__getattribute__(self, name)


CLASSES = [
    Affine,
    WithDescriptor,
    WithFunction,
    WithDefault,
    OverMethod,
    WithProperty,
    WithGetattr,
    WithGetattribute,
    eqx.nn.Linear,
    eqx.nn.MLP,
    eqx.nn.LSTMCell,
]


@pytest.mark.parametrize("cls", CLASSES)
def test_flattening_reads_the_dictionary(cls):
    """The module has all its fields, or only some of them. A default of the class is no value of the instance."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for chosen in (list(fields), [], list(fields)[:1], list(fields)[1:], list(fields)[::-1]):
        m = object.__new__(cls)
        vars(m).update((name, "value of " + name) for name in chosen)
        leaves, treedef = tree_util.tree_flatten(m)
        declared = {name for name, f in fields.items() if f.metadata and f.metadata["equinox"].static is True}
        static = declared & set(chosen)
        assert leaves == ["value of " + name for name in fields if name in chosen and name not in static]
        again = treedef.unflatten(leaves)
        assert vars(again) == vars(m) and tree_util.tree_structure(again) == treedef


def test_a_default_is_no_child_before_it_is_set():
    """A bound function or a method of a base class is no child either, although reading the name returns it."""
    seen = []

    class Early(OverMethod):
        default: Any = 5
        function: Any = lambda x: x

        def __init__(self):
            self.y = 1
            seen.append(tree_util.tree_leaves(self))
            self.act = 2

    m = Early()
    assert seen == [[1]] and m.default == 5 and len(tree_util.tree_leaves(m)) == 4

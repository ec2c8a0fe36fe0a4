"""What tools read of a class of modules: annotations that can be resolved, and methods that look like functions.

The annotations of this file are strings. They can be resolved only with the names of the place where they are written.
"""

from __future__ import annotations

import dataclasses
import functools as ft
import importlib.metadata
import inspect
import pydoc
import types
import typing
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import tree_util
from type_checkers import import_jaxtyping

import equinox as eqx

Size = int


class Plain(eqx.Module):
    size: Size
    other: Plain = None

    def method(self, x: Size, *, factor: float = 2.0) -> Size:
        """Multiply."""
        return x * self.size


def half(x: Halved) -> float:
    return float(x) / 2


def untyped(x):
    return x


class Halved:
    def __init__(self, x: Size):
        pass


def test_hints_of_the_generated_init_use_the_names_of_the_module_of_the_class():
    @dataclasses.dataclass
    class Reference:
        size: Size
        other: Plain = None

    ours, reference = (typing.get_type_hints(cls.__init__) for cls in (Plain, Reference))
    assert {name: ours[name] for name in reference} == reference
    assert typing.get_type_hints(Plain)["other"] is Plain


@pytest.mark.parametrize(
    "converter, expected",
    [
        (half, Halved),  # a string, which is resolved in the module of the converter
        (untyped, Any),
        (int, Any),  # its signature has no annotation
        (lambda *args: args, Any),
        (lambda: 1, Any),
    ],
)
def test_the_annotation_of_a_parameter_is_that_of_the_converter(converter, expected):
    class Converted(eqx.Module):
        x: float = eqx.field(converter=converter)
        y: Size = 3

    hints = typing.get_type_hints(Converted.__init__)
    assert hints["x"] is expected and hints["y"] is int
    assert typing.get_type_hints(Converted)["x"] is float


def test_beartype_checks_a_class():
    beartype = pytest.importorskip("beartype", reason="beartype is not installed").beartype
    violation = pytest.importorskip("beartype.roar").BeartypeCallHintViolation

    @beartype
    class Checked(eqx.Module):
        n: int = eqx.field(converter=int)
        size: Size = 3

        def add(self, x: int) -> int:
            return self.n + x

        def untyped(self, x):
            return x

        @jax.jit
        def jitted(self, x):
            return self.n + x

        @property
        def wrong(self) -> str:
            return self.n

        @staticmethod
        def static(x: int) -> int:
            return x

    m = Checked(3.0)
    assert (m.n, m.add(2), m.untyped("x"), m.static(1), m.jitted(1)) == (3, 5, "x", 1, 4)
    for wrong in (lambda: m.add("x"), lambda: m.static("x"), lambda: m.wrong, lambda: Checked(1, size="x")):
        with pytest.raises(violation):
            wrong()
    for method in (m.add, m.untyped, m.jitted):
        assert tree_util.tree_leaves(method) == [3, 3]

    class Child(Checked):  # not decorated, so its `__init__` isn't checked
        more: Any = None

    assert Child(1, 2, "more").more == "more" and Child(1).add(1) == 2
    with pytest.raises(violation):
        Child(1).add("x")


def test_jaxtyping_checks_a_class_as_it_does_a_dataclass(monkeypatch):
    jaxtyping = import_jaxtyping()
    beartype = pytest.importorskip("beartype", reason="beartype is not installed").beartype
    monkeypatch.setitem(globals(), "Vector", jaxtyping.Float[jnp.ndarray, "3"])

    def outcomes(base, decorate):
        @jaxtyping.jaxtyped(typechecker=beartype)
        @decorate
        class Checked(base):
            x: Vector  # noqa: F821 - it is a global variable while the test runs
            n: Size = 3

        for args in ((jnp.ones(3),), (jnp.ones(4),), (jnp.ones(3), "n")):
            try:
                yield Checked(*args).n
            except Exception as error:
                yield type(error).__name__

    ours = list(outcomes(eqx.Module, lambda cls: cls))
    assert ours == list(outcomes(object, dataclasses.dataclass))
    if int(importlib.metadata.version("jaxtyping").split(".")[1]) >= 3:  # before 0.3 it ignores annotations in quotes
        assert ours == [3, "TypeCheckError", "TypeCheckError"]


def test_a_method_in_the_class_looks_like_a_function():
    def method(self, x: Size, *, factor: float = 2.0) -> Size:
        """Multiply."""

    ours, reference = vars(Plain)["method"], method
    assert isinstance(ours, types.FunctionType) and inspect.isfunction(ours) and callable(ours)
    for name in ("__name__", "__doc__", "__module__", "__defaults__", "__kwdefaults__", "__annotations__"):
        assert getattr(ours, name) == getattr(reference, name), name
    assert ours.__qualname__ == "Plain.method" and ours.__globals__ is globals() and ours.__code__.co_argcount == 2
    assert inspect.signature(ours) == inspect.signature(reference)
    assert typing.get_type_hints(ours) == {"x": int, "factor": float, "return": int}
    assert inspect.getsource(ours) == inspect.getsource(Plain.method)
    assert ours(Plain(3), 2) == 6
    ours.tag = 1  # the function keeps it, like every attribute
    assert Plain.method.tag == 1 and Plain(1).method.tag == 1
    text = pydoc.render_doc(Plain, renderer=pydoc.plaintext)
    assert "method(self, x" in text and "Multiply." in text
    assert dict(inspect.getmembers(Plain, inspect.isfunction))["method"] is Plain.method


def test_a_tool_may_wrap_every_function_of_a_class():
    """The tool reads `vars(cls)` and assigns a wrapper of each function to the class."""
    calls = []

    def traced(cls):
        for name, value in list(vars(cls).items()):
            if isinstance(value, types.FunctionType) and not name.startswith("__"):

                @ft.wraps(value)
                def wrapper(*args, function=value, **kwargs):
                    calls.append(function.__name__)
                    return function(*args, **kwargs)

                setattr(cls, name, wrapper)
        return cls

    @traced
    class Tool(eqx.Module):
        x: Any

        def first(self):
            return self.x

        def second(self):
            return self.first()

    m = Tool(1)
    assert m.second() == 1 and calls == ["second", "first"]
    assert tree_util.tree_leaves(m.second) == [1] and m.second.__self__ is m
    tree_util.tree_map(lambda x: 2 * x, m.first)()
    assert calls == ["second", "first", "first"]

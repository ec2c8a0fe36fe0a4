"""The text of a tree: its structure with shapes and dtypes. The `repr` of a model is short for models of any size."""

import collections
import functools as ft
import re
import sys
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_trees import Point, nest, recursion_limit_for, trees
from unusual_repr import FailingRepr, MultilineRepr

import equinox as eqx
from equinox._trees.format import tree_repr


class Linear(eqx.Module):
    weight: Any
    bias: Any = None


class Options(eqx.Module):
    width: int = eqx.field(static=True)
    cache: Any = eqx.field(repr=False, default="hidden")
    activation: Any = jax.nn.relu


class Empty(eqx.Module):
    pass


def local_function(x):
    return x


def make_local_function():
    def inner(x):
        return x

    return inner


SHOWN = {
    "arrays": (Linear(jnp.ones((3, 2)), jnp.zeros(3, jnp.bfloat16)), "Linear(weight=f32[3,2], bias=bf16[3])"),
    "scalars": (Linear(jnp.array(1, jnp.int32), jnp.array(True)), "Linear(weight=i32[], bias=bool[])"),
    "more dtypes": (
        Linear([jnp.ones(1, d) for d in (jnp.float16, jnp.uint8, jnp.int16, jnp.complex64)]),
        "Linear(weight=[f16[1], u8[1], i16[1], c64[1]], bias=None)",
    ),
    "numpy": (Linear(np.ones((3, 2)), np.array(["a"])), "Linear(weight=f64[3,2](numpy), bias=<U1[1](numpy))"),
    "numpy objects": (Linear(np.array([None]), np.ones(())), "Linear(weight=object[1](numpy), bias=f64[](numpy))"),
    "key": (Linear(jrandom.PRNGKey(0)), "Linear(weight=u32[2], bias=None)"),
    "python": (Linear(1.5, "text"), "Linear(weight=1.5, bias='text')"),
    "static and hidden": (Options(3), "Options(width=3, activation=relu)"),
    "functions": (Linear(local_function, make_local_function()), "Linear(weight=local_function, bias=inner)"),
    "lambda": (Linear(lambda x: x, len), "Linear(weight=<lambda>, bias=len)"),
    "jax functions": (Linear([jnp.tanh, jnp.add], jax.nn.softmax), "Linear(weight=[tanh, add], bias=softmax)"),
    "classes": (Linear(Linear, int), "Linear(weight=Linear, bias=int)"),
    "methods": (Linear(Linear(1).__repr__, "a".join), "Linear(weight=__repr__, bias=join)"),
    "no fields": (Empty(), "Empty()"),
    "nested": (
        Linear(Linear(1), Linear(2, 3)),
        "Linear(weight=Linear(weight=1, bias=None), bias=Linear(weight=2, bias=3))",
    ),
    "containers": (
        Linear([1, (2,), ()], {"a": [], "b": {}}),
        "Linear(weight=[1, (2,), ()], bias={'a': [], 'b': {}})",
    ),
    "namedtuple": (Linear(Point(1, jnp.ones(2))), "Linear(weight=Point(x=1, y=f32[2]), bias=None)"),
    "kinds of dicts": (
        Linear(collections.OrderedDict(a=jnp.ones(2)), collections.defaultdict(list, b=1)),
        "Linear(weight=OrderedDict({'a': f32[2]}), bias=defaultdict({'b': 1}))",
    ),
    "long list": (Linear(list(range(100))), "Linear(weight=[0, 1, 2, 3, 4, 5, ... 94 more], bias=None)"),
    "just not long": (
        Linear([1] * 6, (1,) * 7),
        "Linear(weight=[1, 1, 1, 1, 1, 1], bias=(1, 1, 1, 1, 1, 1, ... 1 more))",
    ),
    "long dict": (
        Linear({i: i for i in range(10)}),
        "Linear(weight={0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, ... 4 more}, bias=None)",
    ),
    "tall leaf": (Linear(MultilineRepr()), "Linear(weight=MultilineRepr( 1, 2 ), bias=None)"),
    "shape": (
        jax.eval_shape(lambda: jnp.ones(2)) and Linear(slice(1), ...),
        "Linear(weight=slice(None, 1, None), bias=Ellipsis)",
    ),
    "several lines": (
        Linear(
            [Linear(jnp.ones((128, 256)), jnp.ones(128)), Linear(jnp.ones((10, 128)), jnp.ones(10))], (jax.nn.relu,)
        ),
        """\
Linear(
  weight=[
    Linear(weight=f32[128,256], bias=f32[128]),
    Linear(weight=f32[10,128], bias=f32[10])
  ],
  bias=(relu,)
)""",
    ),
    "tuple on several lines": (
        Linear(("a" * 50, "b" * 50), ("c" * 86,)),
        """\
Linear(
  weight=(
    '{}',
    '{}'
  ),
  bias=(
    '{}'
  )
)""".format("a" * 50, "b" * 50, "c" * 86),
    ),
    "depth": (
        nest(9, lambda x: [x], 1),
        "[[[[[[[[[...]]]]]]]]]",
    ),
    "depth of nothing": (
        nest(8, lambda x: [x], []),
        "[[[[[[[[[]]]]]]]]]",
    ),
}
if hasattr(jrandom, "key"):  # typed keys came in JAX 0.4.11
    SHOWN["typed key"] = (Linear(jrandom.key(0)), "Linear(weight=key<fry>[], bias=None)")


@pytest.mark.parametrize("name", SHOWN)
def test_exact_text(name):
    """Each entry of the table has exactly this text."""
    tree, text = SHOWN[name]
    assert tree_repr(tree) == text
    if isinstance(tree, eqx.Module):
        assert repr(tree) == str(tree) == text


def test_weak_types_are_shown():
    """A weakly typed array is marked, concrete or traced. It may be the reason why a function was compiled again."""
    strong = jnp.array(2.0, jnp.float32)
    weak = next(x for x in (jnp.asarray(2.0), jnp.array(2.0), jax.jit(lambda: 2.0)()) if x.weak_type)
    assert repr(Linear(weak, strong)) == "Linear(weight=weak_f32[], bias=f32[])"
    assert (
        repr(Linear([weak * np.ones(3, np.int32), weak * strong])) == "Linear(weight=[weak_f32[3], f32[]], bias=None)"
    )

    shown = []
    jax.jit(lambda x, y: shown.append(repr(Linear(x, y))))(2.0, strong)
    assert shown == ["Linear(weight=weak_f32[], bias=f32[])"]


@pytest.mark.parametrize("n", [1, *range(53, 58), *range(69, 75), 80])
def test_width(n):
    """A node that fits into 88 characters with its label and comma is one line.

    A longer node has one line for each item.
    """
    item = "['{}', 1]".format("a" * n)
    if len("Linear(weight={}, bias=None)".format(item)) <= 88:
        expected = "Linear(weight={}, bias=None)".format(item)
    elif len("  weight={},".format(item)) <= 88:
        expected = "Linear(\n  weight={},\n  bias=None\n)".format(item)
    else:
        expected = "Linear(\n  weight=[\n    '{}',\n    1\n  ],\n  bias=None\n)".format("a" * n)
    assert repr(Linear(["a" * n, 1])) == expected


def test_thousand_layers():
    """A model of a thousand layers has a text of a few lines."""
    layers = [Linear(jnp.ones((3, 2)), jnp.zeros(3)) for _ in range(1000)]
    text = repr(Linear(layers, {"layers": {str(i): x for i, x in enumerate(layers)}}))
    assert len(text) < 2500
    assert "Linear(weight=f32[3,2], bias=f32[3])" in text
    assert "... 994 more" in text


@pytest.mark.parametrize("breadth", [2, 3, 6, 20])
def test_broad_and_deep(breadth):
    """The deepest levels are left out first, at all places. This is fast."""

    def build(depth):
        return jnp.ones(2) if depth == 0 else [build(depth - 1)] * breadth

    text = repr(Linear(build(9), "last"))
    assert len(text) < 2500
    assert "bias='last'" in text
    assert "..." in text


def test_many_fields():
    """All fields of a module are shown, however many there are."""
    many = type("Many", (eqx.Module,), {"__annotations__": {"field{}".format(i): int for i in range(50)}})
    text = repr(many(*range(50)))
    assert [line.strip(" ,") for line in text.splitlines()[1:-1]] == ["field{0}={0}".format(i) for i in range(50)]


@pytest.mark.parametrize("wrap", [lambda x: [x], lambda x: Linear(x)], ids=["lists", "modules"])
def test_deep_trees(wrap):
    """Trees may be deeper than Python's limit of recursion. They are cut short before it is reached."""
    with recursion_limit_for(1100):
        text = tree_repr(nest(5000, wrap, 1))
    assert len(text) < 2500
    assert "..." in text


def test_loop():
    """A list that holds itself is written once. A node that is at two places is written twice."""
    loop = [1]
    loop.append({"again": loop, "twice": [2]})
    loop.append(loop[1]["twice"])
    assert repr(Linear(loop)) == "Linear(weight=[1, {'again': [...], 'twice': [2]}, [2]], bias=None)"
    assert eqx.tree_pformat(loop) == "[1, {'again': [...], 'twice': [2]}, [2]]"


def test_inside_transformations():
    """Tracers are shown like the arrays that they stand for."""
    shown = []
    model = Linear(jnp.ones((3, 2)), jnp.zeros(3))

    def function(model):
        shown.append(repr(model))
        return model.weight.sum()

    jax.jit(function)(model)
    jax.grad(function)(model)
    jax.vmap(function)(model)
    assert shown == ["Linear(weight=f32[3,2], bias=f32[3])"] * 2 + ["Linear(weight=f32[2], bias=f32[])"]


def test_unfinished_module():
    """Inside its `__init__` a module is shown with the fields that it has so far."""
    shown = []

    class Unfinished(eqx.Module):
        first: Any
        second: Any

        def __init__(self):
            shown.append(repr(self))
            self.second = 2
            shown.append(repr(self))
            self.first = 1

    assert repr(Unfinished()) == "Unfinished(first=1, second=2)"
    assert shown == ["Unfinished()", "Unfinished(second=2)"]


def test_broken_leaf():
    """A leaf whose `repr` fails doesn't break the text."""
    assert "weight=<unusual_repr.FailingRepr object at 0x" in repr(Linear(FailingRepr(), [FailingRepr()]))
    assert "FailingRepr object" in repr(Linear({FailingRepr(): 1}))
    assert "functools.partial(" in repr(Linear(ft.partial(local_function, 1)))
    assert repr(Linear(object.__new__(Linear))) == "Linear(weight=Linear(), bias=None)"


def test_values_are_not_asked_for():
    """An array that was deleted or isn't computed yet is shown like any other."""
    x = jnp.ones((3, 2))
    x.delete()
    assert repr(Linear(x)) == "Linear(weight=f32[3,2], bias=None)"


@given(trees())
def test_any_tree(tree):
    """Every random tree has a text, and no text is too long."""
    assert 0 < len(tree_repr(tree)) < 2500
    assert repr(Linear(tree)).startswith("Linear(")


# What `tree_pformat` alone does


def test_pformat_shows_everything():
    """Long lists, deep trees and long leaves are written in full. The `repr` cuts them short."""
    deep = nest(50, lambda x: [x], 1)
    assert eqx.tree_pformat(list(range(1000)), width=9999) == repr(list(range(1000)))
    assert eqx.tree_pformat(deep, width=200) == repr(deep)
    assert eqx.tree_pformat({"a" * 200: "b" * 200}) == "{{\n  '{}': '{}'\n}}".format("a" * 200, "b" * 200)
    assert repr(Linear("b" * 200)) == "Linear(\n  weight='{}...,\n  bias=None\n)".format("b" * 84)


@given(trees(st.one_of(st.integers(), st.text(max_size=30), st.none())))
def test_pformat_is_the_repr_of_python(tree):
    """On one line, a tree of Python's containers is written as Python does it. More lines differ only in spaces."""
    text = eqx.tree_pformat(tree, width=sys.maxsize)
    assert "\n" not in text
    if "Pair" not in text and "OrderedDict" not in text:
        assert text == repr(tree)
    assert without_spaces(eqx.tree_pformat(tree, width=20, indent=3)) == without_spaces(text)


def without_spaces(text):
    return re.sub(r"\s", "", text).replace(",)", ")")


@pytest.mark.parametrize("width", [0, 7, 8, 9, 13, 14, 80])
def test_pformat_width_and_indent(width):
    """No line is longer than `width`, except that of one leaf. A node that fits is one line."""
    lines = eqx.tree_pformat([[1, 2], 333], width=width, indent=4).splitlines()
    one, inner = "[[1, 2], 333]", "    [1, 2],"
    if width >= len(one):
        assert lines == [one]
    elif width >= len(inner):
        assert lines == ["[", inner, "    333", "]"]
    else:
        assert lines == ["[", "    [", "        1,", "        2", "    ],", "    333", "]"]


def test_pformat_shows_values():
    """Without `short_arrays` the `repr` of an array is written. Its lines are below each other."""
    tree = {"a": jnp.arange(4).reshape(2, 2), "b": [np.ones(2)]}
    before, after = repr(tree["a"]).splitlines()
    text = "{{\n  'a': {}\n       {},\n  'b': [{!r}]\n}}".format(before, after, tree["b"][0])
    assert eqx.tree_pformat(tree, short_arrays=False) == text
    deleted = jnp.ones(3)
    deleted.delete()
    assert eqx.tree_pformat([deleted], short_arrays=False) == "[f32[3]]"


def test_pformat_of_shapes():
    """With `struct_as_array` a shape is written as the array that it stands for."""
    model = eqx.filter_eval_shape(Linear, jnp.ones((3, 2)))
    assert eqx.tree_pformat(model, struct_as_array=True) == "Linear(weight=f32[3,2], bias=None)"
    assert "ShapeDtypeStruct(" in eqx.tree_pformat(model)


def test_pformat_truncates():
    """`truncate_leaf` is called with nodes and leaves. What it names is written as its type alone."""
    tree = [Linear(1), [Linear(2)], np.ones(3), "text"]
    assert (
        eqx.tree_pformat(tree, truncate_leaf=lambda x: isinstance(x, (Linear, np.ndarray)))
        == "[Linear(...), [Linear(...)], ndarray(...), 'text']"
    )
    assert eqx.tree_pformat(tree, truncate_leaf=lambda x: True) == "list(...)"


@pytest.mark.parametrize("wrap", [lambda x: [x], lambda x: Linear(x)], ids=["lists", "modules"])
def test_pformat_deep_trees(wrap):
    """Trees may be deeper than Python's limit of recursion. They are cut short before it is reached."""
    with recursion_limit_for(300):
        assert "..." in eqx.tree_pformat(nest(5000, wrap, 1))


def test_pprint_prints(capsys):
    """It prints what `tree_pformat` returns for the same options."""
    tree = [Linear(jnp.ones(2)), jax.ShapeDtypeStruct((2,), jnp.float32), len]
    options = {"width": 10, "indent": 3, "short_arrays": False, "struct_as_array": True, "truncate_leaf": callable}
    eqx.tree_pprint(tree, **options)
    eqx.tree_pprint(tree)
    assert capsys.readouterr().out == eqx.tree_pformat(tree, **options) + "\n" + eqx.tree_pformat(tree) + "\n"


@pytest.mark.parametrize("function", [eqx.tree_pformat, eqx.tree_pprint])
def test_pformat_refuses_options(function, capsys):
    """An error names the option. Nothing is printed."""
    for options, error, message in [
        ({"width": 2.5}, TypeError, "`width` to be an integer, got `float` 2.5"),
        ({"indent": "  "}, TypeError, "`indent` to be an integer, got `str` '  '"),
        ({"indent": -1}, ValueError, "`indent` to be at least 0, got -1"),
        ({"truncate_leaf": True}, TypeError, "`truncate_leaf` to be a function, got `bool` True"),
    ]:
        with pytest.raises(error, match=re.escape(message)):
            function([1], **options)
    assert capsys.readouterr().out == ""

"""Generated code has a file name and a source. No part of it comes from a user."""

import inspect
import keyword
import linecache
import traceback
from typing import Any

import pytest
from jax import tree_util

import equinox as eqx


def refuse(x):
    raise ValueError("refused")


def test_a_traceback_shows_the_line_of_the_generated_init():
    class Refusing(eqx.Module):
        first: Any
        x: Any = eqx.field(converter=refuse)

    with pytest.raises(ValueError) as error:
        Refusing(1, 2)
    text = "".join(traceback.format_exception(type(error.value), error.value, error.value.__traceback__))
    assert "Refusing.__init__>" in text and "__Module_self__.x = x\n" in text


def test_a_traceback_shows_the_line_that_unflattens():
    class Pair(eqx.Module):
        a: Any
        b: Any

    flatten, unflatten = Pair.__layout__.functions
    with pytest.raises(ValueError) as error:
        unflatten((), [1])
    text = "".join(traceback.format_exception(type(error.value), error.value, error.value.__traceback__))
    assert "flattening of " in text and " = children\n" in text
    assert "self.a, self.b" in inspect.getsource(flatten)


def test_classes_of_the_same_name_have_separate_sources():
    def make(annotations):
        return type(eqx.Module)(
            "Same", (eqx.Module,), {"__annotations__": annotations, "__module__": __name__, "__qualname__": "Same"}
        )

    first, second, third = make({"a": Any}), make({"b": Any}), make({"a": Any})
    linecache.checkcache()
    assert ["__Module_self__.{} = ".format(name) in inspect.getsource(first.__init__) for name in "ab"] == [True, False]
    assert "__Module_self__.b = b" in inspect.getsource(second.__init__)
    files = [cls.__init__.__code__.co_filename for cls in (first, second, third)]
    assert files[0] == files[2] != files[1]  # one entry for each source


@pytest.mark.parametrize(
    "name",
    ["", "1", "a b", "a=print()", "a\n", "a, *b", "a: int", "\ufb01", "__Module_self__", "__Module_default_x__"]
    + keyword.kwlist[:3],
)
def test_a_field_name_that_code_cannot_have_is_refused(name):
    """`dataclasses.make_dataclass` refuses such names too. The last ones are names of variables of generated code."""
    for annotations in ({name: Any}, {"x": Any, name: Any}):
        with pytest.raises(TypeError, match="`Bad`.*(identifier|reserved)"):
            type(eqx.Module)("Bad", (eqx.Module,), {"__annotations__": annotations, "__module__": __name__})


def test_code_in_a_field_name_is_not_run():
    name = "x=ran.append(1)"
    with pytest.raises(TypeError, match="identifier"):
        type(eqx.Module)("Bad", (eqx.Module,), {"__annotations__": {name: Any}, "__module__": __name__})
    assert ran == []


ran = []


def test_all_other_names_work():
    names = [
        "self",
        "cls",
        "x",
        "make",
        "children",
        "aux",
        "c0",
        "s0",
        "new",
        "Unfinished",
        "print",
        "set_dict",
        "_",
        "__x",
        "é",
    ]
    names += ["Module_self", "unset", "match", "type", "object", "flatten", "dict", "init", "default_x"]
    cls = type(eqx.Module)("Any", (eqx.Module,), {"__annotations__": dict.fromkeys(names, Any), "__module__": __name__})
    m = cls(**{name: i for i, name in enumerate(names)})
    assert tree_util.tree_leaves(m) == list(range(len(names)))
    doubled = tree_util.tree_map(lambda x: 2 * x, m)
    assert [getattr(doubled, name) for name in names] == list(range(0, 2 * len(names), 2))

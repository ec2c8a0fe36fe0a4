"""Errors about modules: the type of each error tells whether a type, a value or an attribute is wrong.

A wrong type is a `TypeError`, a wrong value a `ValueError`, a wrong attribute an `AttributeError`. All errors are in
one table, so that a new one can be compared with the others. Other tests check each error in detail.
"""

import copy
import dataclasses
from typing import Any, ClassVar

import numpy as np
import pytest
from modules import Affine

import equinox as eqx


def make(annotations, **namespace):
    """Make a class of modules with these annotations."""
    return type(eqx.Module)("Made", (eqx.Module,), dict(namespace, __annotations__=annotations, __module__=__name__))


def set_other(self):
    self.other = 1


def set_method(self):
    self.x = self.method


def class_with(init):
    return make({"x": Any}, __init__=init, method=lambda self: None)


def static(value):
    return make({"x": Any}, x=eqx.field(static=True))(value)


class BadState(eqx.Module):
    x: Any

    def __getstate__(self):
        return [1]


class OtherState(eqx.Module):
    x: Any

    def __getstate__(self):
        return {"x": 1, "y": 2}


CASES = [
    # wrong types
    (TypeError, "converter", lambda: eqx.field(converter=3)),
    (TypeError, "a bool or a predicate", lambda: eqx.field(static=1)),
    (TypeError, "`metadata` to be a mapping, got 3", lambda: eqx.field(metadata=3)),
    (TypeError, "holds an array", lambda: static(np.ones(2))),
    (TypeError, "hashable", lambda: static([1])),
    (TypeError, "unhashable", lambda: hash(Affine(np.ones(2), 1))),
    (TypeError, "^`Affine.__init__` got wrong arguments: missing a required .*: 'bias'.$", lambda: Affine(1)),
    (TypeError, "no such field", lambda: eqx.replace(Affine(1, 2), other=3)),
    (TypeError, "as a dictionary", lambda: copy.copy(BadState(1))),
    # classes that can't be made: the same types of errors as in `dataclasses`
    (TypeError, "has no default", lambda: make({"a": int, "b": int}, a=1)),
    (TypeError, "identifier", lambda: make({"no name": int})),
    (TypeError, "identifier", lambda: make({"class": int})),
    (TypeError, "reserved", lambda: make({"__Module_self__": int})),
    (TypeError, "ClassVar", lambda: make({"x": ClassVar[int]}, x=eqx.field(kw_only=True))),
    (TypeError, "__slots__", lambda: make({}, __slots__=("x",))),
    (TypeError, "Remove the decorator", lambda: dataclasses.dataclass(eq=True, order=True)(make({"x": int}))),
    # wrong values
    (ValueError, "default", lambda: eqx.field(default=1, default_factory=list)),
    (ValueError, "must set every field", lambda: class_with(lambda self: None)()),
    (ValueError, "contain itself", lambda: class_with(set_method)()),
    (ValueError, "unknown fields `y`", lambda: copy.copy(OtherState(1))),
    # attributes
    (AttributeError, "no field `other`", lambda: class_with(set_other)()),
    (dataclasses.FrozenInstanceError, "immutable", lambda: setattr(Affine(1, 2), "bias", 3)),
    (dataclasses.FrozenInstanceError, "immutable", lambda: delattr(Affine(1, 2), "bias")),
    (dataclasses.FrozenInstanceError, "immutable", lambda: Affine(1, 2).__setstate__({"bias": 3})),
]


@pytest.mark.parametrize("error, message, action", CASES, ids=["{}-{}".format(e.__name__, m) for e, m, _ in CASES])
def test_the_type_of_an_error_says_what_was_wrong(error, message, action):
    with pytest.raises(error, match=message) as caught:
        action()
    assert type(caught.value) is error

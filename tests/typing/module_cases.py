"""What type checkers say of `Module`, `field` and `replace`."""

import dataclasses
from typing import Any, Callable, List, Optional, Tuple

from typing_extensions import assert_type

import equinox as eqx


class Point(eqx.Module):
    x: int
    y: int = 0
    name: str = eqx.field(static=True, default="point")


# The constructor takes the fields.

assert_type(Point(1), Point)
assert_type(Point(1, y=2, name="a").name, str)
Point()  # error: mypy[call-arg] pyright[reportCallIssue]
Point("a")  # error: mypy[arg-type] pyright[reportArgumentType]
Point(1, 2, "a", 4)  # error: mypy[call-arg] pyright[reportCallIssue]
Point(1, z=2)  # error: mypy[call-arg] pyright[reportCallIssue]
print(Point(1).z)  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue]
Point(1).z = 2  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue]


# `field` gives what the annotation says.


def join(words: Any) -> str:
    return " ".join(words)


def relu(x: float) -> float:
    return max(x, 0.0)


class Fields(eqx.Module):
    size: int = eqx.field(static=True)
    scale: float = eqx.field(converter=float)
    words: str = eqx.field(converter=join, default=("a", "b"))
    items: List[int] = eqx.field(default_factory=list)
    function: Callable[[float], float] = eqx.field(static=callable, default=relu)
    kept: Tuple[int, ...] = dataclasses.field(default=(1, 2))
    unset: Optional[int] = eqx.field(init=False, default=None)
    option: bool = eqx.field(kw_only=True, default=False)


fields = Fields(1, 2.0, items=[3], option=True)
assert_type(fields.size, int)
assert_type(fields.scale, float)
assert_type(fields.words, str)
assert_type(fields.items, List[int])
assert_type(fields.unset, Optional[int])
Fields("a", 2.0)  # error: mypy[arg-type] pyright[reportArgumentType]
Fields(1, 2.0, unset=3)  # error: mypy[call-arg] pyright[reportCallIssue]


class WrongFields(eqx.Module):
    static: int = eqx.field(static="yes")  # error: mypy[call-overload] pyright[reportArgumentType]
    by: int = eqx.field(converter=join)  # error: mypy[assignment] pyright[reportAssignmentType,reportGeneralTypeIssues]
    default: int = eqx.field(default="a")  # error: mypy[assignment] pyright[reportAssignmentType]
    factory: List[int] = eqx.field(default_factory=dict)  # error: mypy[arg-type] pyright[reportAssignmentType]


# A class may have an `__init__` of its own. Type checkers must let it assign the fields. So they don't refuse an
# assignment after `__init__` either.


class OwnInit(eqx.Module):
    weight: float

    def __init__(self, size: int) -> None:
        self.weight = 1.0 / size

    def __call__(self, x: float) -> float:
        return self.weight * x


OwnInit(3)
OwnInit("a")  # error: mypy[arg-type] pyright[reportArgumentType]
OwnInit(weight=1.0)  # error: mypy[call-arg] pyright[reportCallIssue]


class Below(OwnInit):
    bias: float

    def __init__(self, size: int, bias: float) -> None:
        super().__init__(size)
        self.bias = bias


assert_type(Below(3, 1.0)(2.0), float)


# `replace` returns what it takes.

assert_type(eqx.replace(Point(1), x=2), Point)
assert_type(eqx.replace(Below(3, 1.0), bias=2.0), Below)
eqx.replace([1], x=2)  # error: mypy[type-var] pyright[reportArgumentType]

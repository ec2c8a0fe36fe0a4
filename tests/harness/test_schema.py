"""Dataclasses are built from TOML and JSON, and what doesn't fit is named with its place."""

import datetime
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal

import pytest

from harness.system import schema


class Colour(str, Enum):
    RED = "red"
    BLUE = "blue"


Size = Annotated[int, "a size such as 3"]


@dataclass(frozen=True)
class Inner:
    day: datetime.date
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner | None = None
    by_name: dict[str, Inner] = field(default_factory=dict)
    items: list[Inner] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    colour: Colour = Colour.RED
    number: int = 0
    more: Any = None
    key: Literal["major", "minor"] = "major"
    pair: tuple[Size, Size] | None = None

    def __post_init__(self):
        if self.number < 0:
            raise ValueError("the number is negative.")


DAY = datetime.date(2026, 11, 29)


def test_what_fits_is_built():
    data = {
        "name": "x",
        "inner": {"day": DAY, "lines": ["a", "b"]},
        "by_name": {"one": {"day": DAY}},
        "items": [{"day": DAY}],
        "seconds": {"all": 1, "half": 0.5},
        "colour": "blue",
        "number": 3,
        "more": [{}],
    }
    inner = Inner(DAY, ("a", "b"))
    expected = Outer("x", inner, {"one": Inner(DAY)}, [Inner(DAY)], {"all": 1, "half": 0.5}, Colour.BLUE, 3, [{}])
    assert schema.build(Outer, data) == expected
    assert schema.build(Outer, {"name": "x"}) == Outer("x")
    assert schema.build(Outer, {"name": "x", "key": "minor", "pair": ["1", "2"]}) == Outer(
        "x", key="minor", pair=(1, 2)
    )


@pytest.mark.parametrize(
    "data, place, problem",
    [
        ({}, "file", "key `name` is missing: expected a string."),
        ({"name": 1}, "file", "key `name`: expected a string, and got 1."),
        ({"name": "x", "names": "y"}, "file", "key `names` is unknown. Did you mean `name`?"),
        ({"name": "x", "number": True}, "file", "key `number`: expected a whole number, and got True."),
        ({"name": "x", "colour": "grey"}, "file", "key `colour`: expected one of red, blue, and got 'grey'."),
        ({"name": "x", "key": "flat"}, "file", "key `key`: expected one of major, minor, and got 'flat'."),
        ({"name": "x", "pair": ["1", "x"]}, "file", "key `pair`: expected a size such as 3, and got ['1', 'x']."),
        ({"name": "x", "pair": ["1"]}, "file", "key `pair`: expected a size such as 3, and got ['1']."),
        ({"name": "x", "items": [{"day": DAY}, {"day": 1}]}, "file.items 2 (day 1)", "key `day`: expected a date"),
        ({"name": "x", "number": -1}, "file", "the number is negative."),
        ({"name": "x", "items": {}}, "file", "key `items`: expected tables, each below its name in double brackets"),
        ({"name": "x", "inner": {}}, "file.inner", "key `day` is missing: expected a date"),
        ({"name": "x", "inner": {"day": "x"}}, "file.inner", "key `day`: expected a date"),
        ({"name": "x", "inner": {"day": DAY, "lines": ["a", 1]}}, "file.inner", "key `lines`: expected a list of str"),
        ({"name": "x", "by_name": {"one": {}}}, "file.by_name.one", "key `day` is missing"),
        ({"name": "x", "seconds": {"all": "1"}}, "file", "key `seconds`: expected a number, and got '1'."),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(data, place, problem):
    with pytest.raises(schema.Mismatch) as mismatch:
        schema.build(Outer, data, "file")
    assert mismatch.value.place == place and mismatch.value.problem.startswith(problem)

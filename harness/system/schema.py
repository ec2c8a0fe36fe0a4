"""Build dataclasses from what was read as TOML or JSON, and check it: the keys, and the types of all values.

The annotations of a dataclass are its schema. `Annotated[kind, words, read]` is a text that `read` takes; by default
that is `kind` itself. The words say what is expected. A `__post_init__` may check more, and raises a ValueError.

This module needs only the standard library, because `here` runs where nothing can be installed.
"""

import contextlib
import datetime
import difflib
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

WORDS = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    datetime.date: "a date such as 2023-07-10, without quotes",
}


class Mismatch(ValueError):
    """The data doesn't fit. `problem` says what was expected, and `place` where. `None`: in the value itself."""

    def __init__(self, problem: str, place: str | None = None) -> None:
        super().__init__(": ".join(filter(None, (place, problem))))
        self.problem, self.place = problem, place


def build(kind: Any, data: Any, place: str = "") -> Any:
    """The data as a value of the type `kind`. `place` says where the data is, for messages.

    Raises:
        Mismatch: The data doesn't fit.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return None if data is None else build(arguments[0], data, place)
    if is_dataclass(kind) and type(data) is dict:
        return _build_dataclass(kind, data, place)
    if origin is dict and type(data) is dict:
        return {key: build(arguments[1], item, _inside(place, key)) for key, item in data.items()}
    if origin in (list, tuple) and type(data) is list:
        if arguments[1:] in ((), (...,)) or len(data) == len(arguments):
            try:
                named = [(_numbered(place, number, arguments[0], item), item) for number, item in enumerate(data, 1)]
                return origin(build(arguments[0], item, name) for name, item in named)
            except Mismatch as mismatch:
                if mismatch.place is not None:
                    raise
    elif origin is Annotated:
        text, read = build(str, data), (*arguments, arguments[0])[2]
        with contextlib.suppress(ValueError):
            return read(text)
    elif origin is Literal:
        if data in arguments:
            return data
    elif isinstance(kind, type) and issubclass(kind, Enum) and data in [each.value for each in kind]:
        return kind(data)
    elif kind is Any or type(data) is kind or (kind is float and type(data) is int):
        return data
    raise Mismatch("expected {}, and got {!r}".format(_words(kind), data))


def _build_dataclass(kind: Any, data: dict[str, Any], place: str) -> Any:
    hints, values = get_type_hints(kind, include_extras=True), {}
    for key in data:
        if key not in hints:
            nearest = difflib.get_close_matches(key, hints, n=1)
            meant = "Did you mean `{}`?".format(nearest[0]) if nearest else "Expected {}.".format(", ".join(hints))
            raise Mismatch("key `{}` is unknown. {}".format(key, meant), place)
    for one in fields(kind):
        if one.name not in data and one.default is MISSING and one.default_factory is MISSING:
            raise Mismatch("key `{}` is missing: expected {}.".format(one.name, _words(hints[one.name])), place)
    for key, value in data.items():
        try:
            values[key] = build(hints[key], value, _inside(place, key))
        except Mismatch as mismatch:
            if mismatch.place is not None:
                raise
            raise Mismatch("key `{}`: {}.".format(key, mismatch.problem), place) from None
    try:
        return kind(**values)
    except Mismatch:
        raise
    except ValueError as error:
        raise Mismatch(str(error), place) from error


def _inside(place: str, key: str) -> str:
    return key if not place else "{}{}{}".format(place, ", " if " " in place else ".", key)


def _numbered(place: str, number: int, kind: Any, item: Any) -> str:
    """The place of an item of a list. The first key of its type tells which one it is, as in "row 3 (jax 0.4.30)"."""
    first = fields(kind)[0].name if is_dataclass(kind) else None
    told = " ({} {})".format(first, item[first]) if type(item) is dict and first in item else ""
    return "{} {}{}".format(place, number, told)


def _words(kind: Any) -> str:
    """What a value of this type is called in a message."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _words(arguments[0])
    if origin in (list, tuple):
        if get_origin(arguments[0]) is dict or is_dataclass(arguments[0]):
            return "tables, each below its name in double brackets"
        return "a list of strings" if arguments[0] is str else _words(arguments[0])
    if origin is Annotated:
        return str(arguments[1])
    if origin is Literal or (isinstance(kind, type) and issubclass(kind, Enum)):
        return "one of " + ", ".join(arguments or [each.value for each in kind])
    return WORDS.get(kind, "a table")

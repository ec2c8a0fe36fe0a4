"""Read a TOML file that people write, and check its tables: the keys, and the types of their values."""

import datetime
import difflib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.system.errors import WrongUsage

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Table = Mapping[str, Any]

TABLES = "tables"  # the type of a list of tables; `list` is the type of a list of strings

KINDS = {
    str: "a string",
    list: "a list of strings",
    dict: "a table",
    bool: "true or false",
    datetime.date: "a date such as 2023-07-10, without quotes",
    TABLES: "tables, each below its name in double brackets",
}


class MatrixError(WrongUsage):
    """The matrix is not valid. The message, for the user, has the file, the place, and what was expected."""


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        MatrixError: The file can't be read, or it isn't TOML.
    """
    try:
        return dict(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise MatrixError("{} can't be read: {}.".format(path, error.strerror)) from error
    except tomllib.TOMLDecodeError as error:
        raise MatrixError("{} isn't TOML: {}.".format(path.name, error)) from error


@dataclass(frozen=True)
class Checker:
    """Checks the tables of a file. Its errors name the file and the place in it."""

    path: Path

    def error(self, place: str, problem: str) -> MatrixError:
        return MatrixError("{}: {}".format(", ".join(filter(None, (self.path.name, place))), problem))

    def table(self, place: str, table: Table, keys: Mapping[str, Any]) -> None:
        """Check the keys of a table and the types of their values.

        Args:
            place: Where the table is in the file.
            keys: The type of each key's value. A key that ends with `?` is optional.

        Raises:
            MatrixError: A key is unknown or missing, or its value has the wrong type.
        """
        types = {key.rstrip("?"): kind for key, kind in keys.items()}
        for key in table:
            if key not in types:
                nearest = difflib.get_close_matches(key, types, n=1)
                meant = "Did you mean `{}`?".format(nearest[0]) if nearest else "Expected {}.".format(", ".join(types))
                raise self.error(place, "key `{}` is unknown. {}".format(key, meant))
        for key in keys:
            if not key.endswith("?") and key not in table:
                raise self.error(place, "key `{}` is missing: expected {}.".format(key, KINDS[keys[key]]))
        for key, value in table.items():
            if not _is_a(value, types[key]):
                message = "key `{}`: expected {}, and got {!r}."
                raise self.error(place, message.format(key, KINDS[types[key]], value))

    def choice(self, place: str, key: str, value: str, among: Iterable[str]) -> None:
        if value not in among:
            raise self.error(place, "key `{}`: expected one of {}, and got `{}`.".format(key, ", ".join(among), value))


def _is_a(value: Any, kind: Any) -> bool:
    if kind in (list, TABLES):
        return type(value) is list and all(type(item) is (str if kind is list else dict) for item in value)
    return type(value) is kind

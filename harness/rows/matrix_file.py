"""Read `matrix.toml`, and check all of it. Each kind of table is a dataclass."""

import datetime
import functools
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from harness.rows.project import Project
from harness.system import schema
from harness.system.errors import WrongUsage
from harness.system.paths import MATRIX

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BACKENDS = ("cpu", "cuda", "tpu")
# A run of one tier includes the tiers before it. A canary cell tests unreleased software, so it can't make a run fail.
TIERS = ("pr", "nightly", "canary")
FLOATING = ("latest", "nightly")  # the values of `jax` that name no release: such a cell has no lock

T = TypeVar("T")


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


# ---- The kinds of tables ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The hardware that wheels run on."""

    compute_capability: tuple[str, ...] | None = None  # the lowest and the highest; an empty string: no bound
    driver: str | None = None
    generations: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        bounds = self.compute_capability
        if bounds is not None and (len(bounds) != 2 or not all(re.fullmatch(r"(\d+\.\d)?", one) for one in bounds)):
            message = 'key `compute_capability`: expected two bounds such as ["5.2", "9.0"], and got {}.'
            raise ValueError(message.format(list(bounds)))


@dataclass(frozen=True, kw_only=True)
class Backend:
    platform: str
    base: str


@dataclass(frozen=True, kw_only=True)
class Install(Limits):
    """A way to install JAX on a backend."""

    requires: tuple[str, ...]
    requirements: str | None = None
    stands_in_for: str | None = None
    find_links: tuple[str, ...] | None = None
    index_url: str | None = None
    prerelease: bool | None = None
    base: str | None = None


@dataclass(frozen=True, kw_only=True)
class Use(Limits):
    """In a row: how one backend installs JAX."""

    install: str
    libtpu: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cap:
    jax: str
    requires: tuple[str, ...]
    why: str

    def __post_init__(self) -> None:
        check_form("key `jax`: expected bounds such as >=0.4.9,<0.4.16", SpecifierSet, self.jax)
        for line in self.requires:
            check_requirement(line)


@dataclass(frozen=True, kw_only=True)
class Row:
    jax: str
    python: str
    tier: str
    jaxlib: str | None = None
    as_of: datetime.date | None = None
    cpu: Use | None = None
    cuda: Use | None = None
    tpu: Use | None = None

    def __post_init__(self) -> None:
        check_choice("tier", self.tier, TIERS)
        if not re.fullmatch(r"3\.\d+", self.python):
            raise ValueError("key `python`: expected a version such as 3.11, and got `{}`.".format(self.python))
        if not self.uses:
            raise ValueError("expected at least one of {}, and there is none.".format(", ".join(BACKENDS)))
        floating = self.jax in FLOATING
        for key in ("jaxlib", "as_of"):
            if floating is not (getattr(self, key) is None):
                message = "key `{}` {}: a row has none if its `jax` names no release, and only then."
                raise ValueError(message.format(key, "is given" if floating else "is missing"))
        for key in () if floating else ("jax", "jaxlib"):
            check_form("key `{}`: expected a version".format(key), Version, getattr(self, key))

    @property
    def uses(self) -> dict[str, Use]:
        return {backend: getattr(self, backend) for backend in BACKENDS if getattr(self, backend) is not None}


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The whole file."""

    project: Project
    backend: dict[str, Backend]
    install: dict[str, dict[str, Install]]
    row: tuple[dict[str, Any], ...]
    cap: tuple[dict[str, Any], ...] = ()


def check_choice(key: str, value: str, among: Iterable[str]) -> None:
    if value not in among:
        raise ValueError("key `{}`: expected one of {}, and got `{}`.".format(key, ", ".join(among), value))


def check_form(expected: str, read: Callable[[str], object], text: str) -> None:
    """Check that packaging can read a text. Its errors are ValueErrors."""
    try:
        read(text)
    except ValueError:
        raise ValueError("{}, and got `{}`.".format(expected, text)) from None


def check_requirement(line: str) -> None:
    check_form("expected requirements such as numpy<2", Requirement, line)


# ---- The file --------------------------------------------------------------------------------------------------------


class Matrix:
    """The tables of the file.

    Raises:
        MatrixError: The file can't be read, or it isn't valid.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        tables = self.build(Tables, read_toml(path))
        self.project, self.backends, self.installs = tables.project, tables.backend, tables.install
        for name in ("backend", "install"):
            if set(getattr(tables, name)) != set(BACKENDS):
                raise self.error(name, "expected the tables {}.".format(", ".join(BACKENDS)))
        self._caps = [self.build(Cap, cap, "cap {}".format(number)) for number, cap in enumerate(tables.cap, 1)]
        # Each row, by a text that tells where it is in the file.
        places = [
            "row {} (jax {})".format(number, row.get("jax", "unknown")) for number, row in enumerate(tables.row, 1)
        ]
        self.rows = {place: self.build(Row, row, place) for place, row in zip(places, tables.row, strict=True)}
        for backend, ways in self.installs.items():
            for name, way in ways.items():
                self._check_install("install.{}.{}".format(backend, name), way, ways)
        for place, row in self.rows.items():
            for backend, use in row.uses.items():
                with self.at("{}, {}".format(place, backend)):
                    check_choice("install", use.install, self.installs[backend])

    def build(self, kind: type[T], data: Any, place: str = "") -> T:
        try:
            built: T = schema.build(kind, data, place)
            return built
        except schema.Mismatch as mismatch:
            raise self.error(mismatch.place or "", mismatch.problem) from None

    def error(self, place: str, problem: str) -> MatrixError:
        return MatrixError("{}: {}".format(", ".join(filter(None, (self.path.name, place))), problem))

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """Give the errors of a check the place in the file."""
        try:
            yield
        except ValueError as error:
            raise self.error(place, str(error)) from None

    def caps(self, jax: str) -> tuple[str, ...]:
        """The requirements that a release of JAX has but doesn't declare."""
        if jax in FLOATING:
            return ()
        fitting = [cap for cap in self._caps if SpecifierSet(cap.jax).contains(jax, prereleases=True)]
        return tuple(line for cap in fitting for line in cap.requires)

    def requirements(self, file: str) -> tuple[str, ...]:
        """The lines of a requirements file, without comments."""
        lines = (self.path.parent / file).read_text(encoding="utf-8").splitlines()
        return tuple(line for line in (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines) if line)

    def _check_install(self, place: str, way: Install, ways: Iterable[str]) -> None:
        with self.at(place):
            if way.stands_in_for is not None:
                check_choice("stands_in_for", way.stands_in_for, ways)
            if way.requirements is not None and not (self.path.parent / way.requirements).is_file():
                message = "key `requirements`: expected a file in the folder of the matrix, and there is no `{}`."
                raise ValueError(message.format(way.requirements))


@functools.cache
def project(path: Path = MATRIX) -> Project:
    """What is tested."""
    return Matrix(path).project

"""Read `matrix.toml` and jax.toml, and check all of it. Each kind of table is a dataclass.

jax.toml has what is true of JAX for any project. A `matrix.toml` has the project and its rows. The two make one list of
tables: those of `matrix.toml` are laid over those of jax.toml.
"""

import datetime
import difflib
import functools
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name as canonical
from packaging.version import VERSION_PATTERN

from harness.rows.project import BACKENDS, Project
from harness.system import schema
from harness.system.errors import WrongUsage
from harness.system.paths import HOME, MATRIX
from harness.system.program import typed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

JAX = Path(__file__).with_name("jax.toml")
# A run of one tier includes the tiers before it. A canary cell tests unreleased software, so it can't make a run fail.
Tier = Literal["pr", "nightly", "canary"]
TIERS: tuple[str, ...] = get_args(Tier)
FLOATING = ("latest", "nightly")  # the values of `jax` that name no release: such a cell has no lock

OF_JAX = ("numpy", "scipy", "ml_dtypes")  # what JAX itself requires


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
    except ValueError as error:  # also a file that isn't UTF-8
        raise MatrixError("{} isn't TOML: {}.".format(path.name, error)) from error


class Releases:
    """Some releases of JAX: those between bounds, or a floating one."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._bounds = None if text in FLOATING else SpecifierSet(text)

    def __contains__(self, jax: str) -> bool:
        if self._bounds is None or jax in FLOATING:
            return jax == self._text
        return self._bounds.contains(jax, prereleases=True)


def matching(pattern: str) -> Callable[[str], str]:
    """The reader of a text that matches."""

    def read(text: str) -> str:
        if not re.fullmatch(pattern, text, re.VERBOSE | re.IGNORECASE):
            raise ValueError(text)
        return text

    return read


def read_capability(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    major, minor = map(int, text.split("."))
    return major, minor


Bounds = Annotated[Releases, "bounds such as >=0.4.9,<0.4.16"]
Requires = Annotated[Requirement, "requirements such as numpy<2"]
Number = Annotated[str, "a version", matching(VERSION_PATTERN)]
# An empty text: no bound.
Capability = Annotated[tuple[int, int] | None, 'two bounds such as ["5.2", "9.0"]', read_capability]


@dataclass(frozen=True, kw_only=True)
class Backend:
    platform: str
    base: str


@dataclass(frozen=True, kw_only=True)
class Install:
    """A way to install JAX on a backend."""

    jax: tuple[Bounds, ...] = ()  # the releases that are installed this way
    requires: tuple[str, ...]
    requirements: str | None = None
    stands_in_for: str | None = None
    find_links: tuple[str, ...] = ()
    index_url: str | None = None
    prerelease: bool = False
    base: str | None = None  # by default that of the backend
    compute_capability: tuple[Capability, Capability] = (None, None)  # the lowest and the highest
    driver: str | None = None


@dataclass(frozen=True, kw_only=True)
class Use:
    """In a row: how one backend installs JAX."""

    install: str | None = None  # by default the way that its release is installed
    libtpu: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cap:
    """Bounds that JAX needs but doesn't declare. They count for a cell that has the first package that they name."""

    jax: Bounds
    requires: tuple[Requires, ...]
    why: str


@dataclass(frozen=True, kw_only=True)
class Release:
    """What a row has that says only its `jax`."""

    python: str
    # The oldest and the newest Python that it runs on.
    pythons: Annotated[str, "two versions such as 3.9-3.12", matching(r"3\.\d+-3\.\d+")]
    as_of: datetime.date | None = None
    jaxlib: str | None = None  # by default the same version
    libtpu: str | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One JAX. What it leaves out comes from the release; see `Matrix`."""

    jax: Annotated[str, "a version, latest or nightly", matching("|".join((*FLOATING, VERSION_PATTERN)))]
    python: Annotated[str, "a version such as 3.11", matching(r"3\.\d+")] = ""
    tier: Tier = "nightly"
    jaxlib: Number | None = None
    as_of: datetime.date | None = None
    cpu: Use | None = None
    cuda: Use | None = None
    tpu: Use | None = None

    def __post_init__(self) -> None:
        for key in ("jaxlib", "as_of"):
            if self.floating and getattr(self, key) is not None:
                raise ValueError("key `{}` is given, and `{}` names no release.".format(key, self.jax))

    @property
    def floating(self) -> bool:
        return self.jax in FLOATING

    @property
    def uses(self) -> dict[str, Use]:
        return {backend: getattr(self, backend) for backend in BACKENDS if getattr(self, backend) is not None}


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is true of JAX for any project."""

    backend: dict[str, Backend]
    install: dict[str, dict[str, Install]]
    cap: tuple[Cap, ...] = ()
    release: dict[str, Release] = field(default_factory=dict)
    generation: dict[str, Bounds] = field(default_factory=dict)  # of TPUs: the releases that run on it
    landmark: dict[str, str] = field(default_factory=dict)  # releases that stand for others, and why

    def __post_init__(self) -> None:
        for name in ("backend", "install"):
            if set(getattr(self, name)) != set(BACKENDS):
                raise schema.Mismatch("expected the tables {}.".format(", ".join(BACKENDS)), name)
        for backend, ways in self.install.items():
            for name, way in ways.items():
                if way.stands_in_for is not None:
                    check_choice("stands_in_for", way.stands_in_for, ways, "install.{}.{}".format(backend, name))


@dataclass(frozen=True, kw_only=True)
class Tables(Known):
    """Both files."""

    project: Project
    row: tuple[Row, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.row:
            raise ValueError("key `row`: expected at least one row.")


class Matrix:
    """The tables of both files. Each row is complete: what it leaves out comes from the table of its release.

    Args:
        path: The `matrix.toml`. The project is in its folder.
        jax: What is true of JAX for any project.
        home: The files that jax.toml names are in this folder.

    Raises:
        MatrixError: A file can't be read, or it isn't valid.
    """

    def __init__(self, path: Path = MATRIX, jax: Path = JAX, home: Path = HOME) -> None:
        self.path, self.home = path, home
        if not path.is_file():
            raise MatrixError(
                "There is no {}. Write one: {}".format(path, typed("init", shlex.quote(str(path.parent))))
            )
        known, own = read_toml(jax), read_toml(path)
        with of_file(jax):
            schema.build(Known, known)
        with of_file(path):
            self.tables: Tables = schema.build(Tables, laid_over(own, known))
        self.project = self.tables.project
        # Each row, by a text that tells where it is in the file.
        places = {"row {} (jax {})".format(i, row.jax): row for i, row in enumerate(self.tables.row, 1)}
        with of_file(path):
            self.rows = {place: self._complete(row, place) for place, row in places.items()}

    def _complete(self, row: Row, place: str) -> Row:
        """The row, with what it leaves out."""
        known = self.tables.release.get(row.jax)
        needed = ("python",) if row.floating else ("python", "as_of", "jaxlib")
        values: dict[str, Any] = {key: getattr(row, key) or getattr(known, key, None) for key in needed}
        if known is not None and not row.floating:
            values["jaxlib"] = values["jaxlib"] or row.jax
        missing = ", ".join("`{}`".format(key) for key in needed if not values[key])
        if missing:
            nearest = difflib.get_close_matches(row.jax, self.tables.release, n=3)
            advice = "Did you mean {}? ".format(" or ".join(nearest)) if nearest else ""
            message = "`{}` isn't a release that the harness knows. {}Otherwise the row needs its own {}."
            raise schema.Mismatch(message.format(row.jax, advice, missing), place)
        uses: dict[str, Any] = row.uses or {backend: Use() for backend in self.project.backends}
        for backend, use in uses.items():
            inside = "{}, {}".format(place, backend)
            way = use.install or self._way(backend, row.jax, inside)
            check_choice("install", way, self.tables.install[backend], inside)
            uses[backend] = Use(install=way, libtpu=use.libtpu or getattr(known, "libtpu", None))
        return replace(row, **values, **uses)

    def _way(self, backend: str, jax: str, place: str) -> str:
        for name, way in self.tables.install[backend].items():
            if any(jax in releases for releases in way.jax):
                return name
        message = 'the harness knows no way to install JAX {} here. Name one: install = "{}".'
        raise schema.Mismatch(message.format(jax, next(iter(self.tables.install[backend]), "...")), place)

    def caps(self, jax: str, required: Iterable[str] = ()) -> tuple[str, ...]:
        """The upper bounds that a release of JAX has but doesn't declare.

        Args:
            jax: The release.
            required: What the project requires. JAX itself requires other packages.
        """
        packages = {canonical(Requirement(line).name) for line in (*OF_JAX, *required)}
        fitting = [cap.requires for cap in self.tables.cap if cap.requires and jax in cap.jax]
        return tuple(str(one) for lines in fitting if canonical(lines[0].name) in packages for one in lines)


@contextmanager
def of_file(path: Path) -> Iterator[None]:
    """Name the file in the errors of its checks."""
    try:
        yield
    except schema.Mismatch as mismatch:
        raise MatrixError("{}{}{}".format(path.name, ", " if mismatch.place else ": ", mismatch)) from None


def check_choice(key: str, value: str, among: Iterable[str], place: str) -> None:
    if value not in among:
        message = "key `{}`: expected one of {}, and got `{}`."
        raise schema.Mismatch(message.format(key, ", ".join(among), value), place)


def laid_over(own: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """The tables of `known`, with the keys of `own` in place of theirs. The caps of `own` come first."""
    both = dict(own)
    for key in own.keys() & known.keys():
        if isinstance(own[key], dict) and isinstance(known[key], dict):
            both[key] = laid_over(own[key], known[key])
        elif key == "cap" and isinstance(own[key], list):
            both[key] = own[key] + known[key]
    return {**known, **both}


def known(jax: Path = JAX) -> Known:
    """What is true of JAX for any project."""
    tables: Known = schema.build(Known, read_toml(jax))
    return tables


@functools.cache
def project(path: Path = MATRIX) -> Project:
    """What is tested."""
    return Matrix(path).project

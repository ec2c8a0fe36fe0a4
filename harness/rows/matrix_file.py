"""Read `matrix.toml` and jax.toml, and check all of it. Each kind of table is a dataclass.

jax.toml has what is true of JAX for any project. A `matrix.toml` has the project and its rows. The two make one list of
tables: those of `matrix.toml` are laid over those of jax.toml.
"""

import datetime
import difflib
import functools
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name as canonical
from packaging.version import Version

from harness.rows.project import Project
from harness.system import schema
from harness.system.errors import WrongUsage
from harness.system.paths import HOME, MATRIX
from harness.system.program import typed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

JAX = Path(__file__).with_name("jax.toml")
BACKENDS = ("cpu", "cuda", "tpu")
# A run of one tier includes the tiers before it. A canary cell tests unreleased software, so it can't make a run fail.
TIERS = ("pr", "nightly", "canary")
FLOATING = ("latest", "nightly")  # the values of `jax` that name no release: such a cell has no lock

OF_JAX = ("numpy", "scipy", "ml_dtypes")  # what JAX itself requires

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

    jax: tuple[str, ...] = ()  # the releases that are installed this way, each as bounds; or a floating JAX
    requires: tuple[str, ...]
    requirements: str | None = None
    stands_in_for: str | None = None
    find_links: tuple[str, ...] | None = None
    index_url: str | None = None
    prerelease: bool | None = None
    base: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_bounds(bounds for bounds in self.jax if bounds not in FLOATING)


@dataclass(frozen=True, kw_only=True)
class Use(Limits):
    """In a row: how one backend installs JAX."""

    install: str | None = None  # by default the way that its release is installed
    libtpu: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cap:
    jax: str
    requires: tuple[str, ...]
    why: str

    def __post_init__(self) -> None:
        check_bounds([self.jax])
        if not self.requires:
            raise ValueError("key `requires`: expected requirements such as numpy<2, and there is none.")
        for line in self.requires:
            check_requirement(line)

    @property
    def package(self) -> str:
        """The cap counts for a cell that has this package."""
        return canonical(Requirement(self.requires[0]).name)


@dataclass(frozen=True, kw_only=True)
class Release:
    """What a row has that says only its `jax`."""

    python: str
    pythons: str  # the oldest and the newest Python that it runs on: "3.9-3.12"
    as_of: datetime.date | None = None
    jaxlib: str | None = None  # by default the same version
    libtpu: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"3\.\d+-3\.\d+", self.pythons):
            raise ValueError(
                "key `pythons`: expected two versions such as 3.9-3.12, and got `{}`.".format(self.pythons)
            )

    def runs_on(self, python: str) -> bool:
        lowest, highest = map(Version, self.pythons.split("-"))
        return lowest <= Version(python) <= highest


@dataclass(frozen=True, kw_only=True)
class Row:
    """One JAX. What it leaves out comes from the release; see `Matrix`."""

    jax: str
    python: str = ""
    tier: str = "nightly"
    jaxlib: str | None = None
    as_of: datetime.date | None = None
    cpu: Use | None = None
    cuda: Use | None = None
    tpu: Use | None = None

    def __post_init__(self) -> None:
        check_choice("tier", self.tier, TIERS)
        if self.python and not re.fullmatch(r"3\.\d+", self.python):
            raise ValueError("key `python`: expected a version such as 3.11, and got `{}`.".format(self.python))
        for key in ("jaxlib", "as_of"):
            if self.floating and getattr(self, key) is not None:
                raise ValueError("key `{}` is given, and `{}` names no release.".format(key, self.jax))
        for key in () if self.floating else ("jax", "jaxlib"):
            if getattr(self, key) is not None:
                check_form("key `{}`: expected a version".format(key), Version, getattr(self, key))

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
    cap: tuple[dict[str, Any], ...] = ()
    release: dict[str, Release] = field(default_factory=dict)
    generation: dict[str, str] = field(default_factory=dict)  # of TPUs: the releases that run on it
    landmark: dict[str, str] = field(default_factory=dict)  # releases that stand for others, and why


@dataclass(frozen=True, kw_only=True)
class Tables(Known):
    """Both files."""

    project: Project
    row: tuple[dict[str, Any], ...]


def check_choice(key: str, value: str, among: Iterable[str]) -> None:
    if value not in among:
        raise ValueError("key `{}`: expected one of {}, and got `{}`.".format(key, ", ".join(among), value))


def check_form(expected: str, read: Callable[[str], object], text: str) -> None:
    """Check that packaging can read a text. Its errors are ValueErrors."""
    try:
        read(text)
    except ValueError:
        raise ValueError("{}, and got `{}`.".format(expected, text)) from None


def check_bounds(lines: Iterable[str]) -> None:
    for line in lines:
        check_form("key `jax`: expected bounds such as >=0.4.9,<0.4.16", SpecifierSet, line)


def check_requirement(line: str) -> None:
    check_form("expected requirements such as numpy<2", Requirement, line)


# ---- The file --------------------------------------------------------------------------------------------------------


class Matrix:
    """The tables of both files. Each row is complete: what it leaves out comes from the table of its release.

    Args:
        path: The `matrix.toml`.
        jax: What is true of JAX for any project.
        home: The paths in that file are relative to this folder.

    Raises:
        MatrixError: A file can't be read, or it isn't valid.
    """

    def __init__(self, path: Path = MATRIX, jax: Path = JAX, home: Path = HOME) -> None:
        self.path = path
        if not path.is_file():
            raise MatrixError("There is no {}. Write one: {}".format(path, typed("init", str(path.parent))))
        known, own = of_folder(read_toml(jax), home), of_folder(read_toml(path), path.parent)
        tables = self.build(Tables, laid_over(own, known))
        self.project, self.backends, self.installs = tables.project, tables.backend, tables.install
        self.releases, self.generations = tables.release, tables.generation
        for name in ("backend", "install"):
            if set(getattr(tables, name)) != set(BACKENDS):
                raise self.error(name, "expected the tables {}.".format(", ".join(BACKENDS)))
        with self.at("project"):
            for backend in self.project.backends:
                check_choice("backends", backend, BACKENDS)
        self._caps = [
            self.build(Cap, cap, "cap {}".format(number))
            for file in (known, own)
            for number, cap in enumerate(file.get("cap", ()), 1)
        ]
        for backend, ways in self.installs.items():
            for name, way in ways.items():
                self._check_install("install.{}.{}".format(backend, name), way, ways)
        # Each row, by a text that tells where it is in the file.
        places = [
            "row {} (jax {})".format(number, row.get("jax", "unknown")) for number, row in enumerate(tables.row, 1)
        ]
        self.rows = {
            place: self._complete(self.build(Row, row, place), place)
            for place, row in zip(places, tables.row, strict=True)
        }

    def _complete(self, row: Row, place: str) -> Row:
        """The row, with what it leaves out."""
        known = self.releases.get(row.jax)
        values: dict[str, Any] = {"python": row.python, "as_of": row.as_of, "jaxlib": row.jaxlib}
        if known is not None:
            released = {**vars(known), "jaxlib": None if row.floating else known.jaxlib or row.jax}
            values = {key: value or released[key] for key, value in values.items()}
        missing = [key for key, value in values.items() if not value and (key == "python" or not row.floating)]
        if missing:
            nearest = difflib.get_close_matches(row.jax, self.releases, n=3)
            advice = "Did you mean {}? ".format(" or ".join(nearest)) if nearest else ""
            message = "`{}` isn't a release that the harness knows. {}Otherwise the row needs its own {}."
            raise self.error(place, message.format(row.jax, advice, ", ".join("`{}`".format(key) for key in missing)))
        uses: dict[str, Any] = row.uses or {backend: Use() for backend in self.project.backends}
        libtpu = None if known is None else known.libtpu
        for backend, use in uses.items():
            with self.at("{}, {}".format(place, backend)):
                way = use.install or self._way(backend, row.jax)
                check_choice("install", way, self.installs[backend])
            uses[backend] = replace(use, install=way, libtpu=use.libtpu or (libtpu if backend == "tpu" else None))
        if "tpu" in uses and uses["tpu"].generations is None and not row.floating:
            fitting = [name for name, bounds in self.generations.items() if contains(bounds, row.jax)]
            uses["tpu"] = replace(uses["tpu"], generations=tuple(fitting))
        return replace(row, **values, **uses)

    def _way(self, backend: str, jax: str) -> str:
        for name, way in self.installs[backend].items():
            if any(bounds == jax or (jax not in FLOATING and contains(bounds, jax)) for bounds in way.jax):
                return name
        message = 'the harness knows no way to install JAX {} here. Name one: install = "{}".'
        raise ValueError(message.format(jax, next(iter(self.installs[backend]), "...")))

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

    def caps(self, jax: str, required: Iterable[str] = ()) -> tuple[str, ...]:
        """The upper bounds that a release of JAX has but doesn't declare.

        Args:
            jax: The release.
            required: The packages that the project requires. JAX itself requires others.
        """
        if jax in FLOATING:
            return ()
        packages = {canonical(name) for name in (*OF_JAX, *required)}
        fitting = [cap for cap in self._caps if contains(cap.jax, jax) and cap.package in packages]
        return tuple(line for cap in fitting for line in cap.requires)

    def _check_install(self, place: str, way: Install, ways: Iterable[str]) -> None:
        with self.at(place):
            if way.stands_in_for is not None:
                check_choice("stands_in_for", way.stands_in_for, ways)
            if way.requirements is not None and not Path(way.requirements).is_file():
                message = "key `requirements`: expected a file, and there is no `{}`."
                raise ValueError(message.format(way.requirements))


def contains(bounds: str, jax: str) -> bool:
    return bounds not in FLOATING and SpecifierSet(bounds).contains(jax, prereleases=True)


def laid_over(own: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """The tables of `known`, with the keys of `own` in place of theirs."""
    both = {
        key: laid_over(own[key], known[key])
        for key in own
        if isinstance(own[key], dict) and isinstance(known.get(key), dict)
    }
    return {**known, **own, **both}


def of_folder(tables: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The tables of a file, with the paths in the ways to install made relative to a folder."""
    installs = tables.get("install")
    for ways in installs.values() if isinstance(installs, dict) else ():
        for way in ways.values() if isinstance(ways, dict) else ():
            if isinstance(way, dict) and isinstance(way.get("requirements"), str):
                way["requirements"] = str(folder / way["requirements"])
    return tables


def known(jax: Path = JAX) -> Known:
    """What is true of JAX for any project."""
    tables: Known = schema.build(Known, read_toml(jax))
    return tables


@functools.cache
def project(path: Path = MATRIX) -> Project:
    """What is tested."""
    return Matrix(path).project

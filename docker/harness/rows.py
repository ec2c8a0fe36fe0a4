"""The list of cells, `docker/matrix.toml`: what the suite runs against, which all else reads from here."""

import datetime
import difflib
import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from harness.matrix_file import BACKENDS, TIERS, Matrix
from harness.places import LOCKS, MATRIX, ROOT
from harness.tables import MatrixError, Table, read_toml

__all__ = [
    "BACKENDS",
    "TIERS",
    "Cell",
    "MatrixError",
    "Supports",
    "UnknownCell",
    "caps",
    "load",
    "select",
    "suite_requires",
]


class UnknownCell(MatrixError):
    """A name, or a pattern, that no cell has."""


@dataclass(frozen=True)
class Supports:
    """The hardware that a cell's wheels run on. `None`, and no TPU at all: no bound is known."""

    compute_capability_min: tuple[int, int] | None = None
    compute_capability_max: tuple[int, int] | None = None
    driver_min: str | None = None
    tpu: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One JAX, on one Python and one backend."""

    jax: str  # "0.4.30", or what floats: "latest", "nightly"
    python: str
    backend: str
    platform: str  # what JAX calls the devices of the backend
    tier: str
    jaxlib: str | None  # the one of its own time; `None` when floating
    as_of: datetime.date | None  # as the package index stood that day; `None` when floating
    requires: tuple[str, ...]  # what is resolved: JAX, its caps, what the library and its suite need
    bridge: bool = False  # on another jaxlib than its own, by docker/bridge
    find_links: tuple[str, ...] = ()
    index_url: str | None = None  # beside the package index
    prerelease: bool = False
    supports: Supports = field(default_factory=Supports)
    base: str | None = None  # the image that its container begins with
    original: "Cell | None" = None  # the cell that the bridge stands in for: the same, on the jaxlib of its time
    suffix: str = ""  # of the lock, where a cell has two

    @property
    def name(self) -> str:
        return "py{}-jax{}-{}".format(self.python.replace(".", ""), self.jax, self.backend)

    @property
    def lock(self) -> Path:
        return LOCKS / (self.name + self.suffix + ".txt")

    @property
    def floating(self) -> bool:
        return self.as_of is None

    @property
    def installed_jaxlib(self) -> str | None:
        """The jaxlib that is there when the cell runs: across the bridge, not its own."""
        return pinned(self.requires, "jaxlib") if self.bridge else self.jaxlib

    @property
    def expects(self) -> dict[str, Any]:
        """What the cell, once it runs, proves to be."""
        return {
            "cell": self.name,
            "python": self.python,
            "jax": None if self.floating else self.jax,
            "jaxlib": self.installed_jaxlib,
            "backend": self.platform,
            "bridge": self.bridge,
        }


def pinned(requires: Iterable[str], project: str) -> str | None:
    """The version that requirements pin a project to."""
    for line in requires:
        requirement = Requirement(line)
        if requirement.name == project:
            for specifier in requirement.specifier:
                if specifier.operator == "==":
                    return specifier.version
    return None


def select(
    cells: Sequence[Cell], names: Sequence[str] = (), tier: str | None = None, backend: str | None = None
) -> list[Cell]:
    """The cells with one of the names or patterns (`py311-*`), of a tier and those before it, and of a backend.

    Raises: UnknownCell: a name or pattern fits none of all the cells. MatrixError: no such tier, or backend.
    """
    _one_of("tier", tier, (*TIERS, None))
    _one_of("backend", backend, (*BACKENDS, None))
    for name in names:
        if not any(fnmatch.fnmatchcase(cell.name, name) for cell in cells):
            raise UnknownCell(_unknown(name, cells))
    return [
        cell
        for cell in cells
        if (not names or any(fnmatch.fnmatchcase(cell.name, name) for name in names))
        and (tier is None or TIERS.index(cell.tier) <= TIERS.index(tier))
        and (backend is None or cell.backend == backend)
    ]


def _unknown(name: str, cells: Sequence[Cell]) -> str:
    nearest = difflib.get_close_matches(name.replace("*", ""), [cell.name for cell in cells], n=3, cutoff=0.5)
    advice = "The nearest: {}.".format(", ".join(nearest)) if nearest else "`make cell` names them all."
    return "There is no cell `{}`. {}".format(name, advice)


def _one_of(what: str, found: str | None, expected: Sequence[str | None]) -> None:
    if found not in expected:
        raise MatrixError("The {} is one of {}, and not `{}`.".format(what, ", ".join(filter(None, expected)), found))


def load(path: Path = MATRIX, project: Path = ROOT / "pyproject.toml") -> list[Cell]:
    """All cells of all backends, in the order of the rows.

    Raises: MatrixError: the file can't be read, or says what can't be.
    """
    matrix = Matrix(path)
    tools = suite_requires(project)
    cells: dict[str, Cell] = {}
    for place, row in matrix.rows():
        for backend in BACKENDS:
            if backend not in row:
                continue
            cell = _cell(matrix, "{}, {}".format(place, backend), row, backend, tools)
            if cell.name in cells:
                raise matrix.error(place, "expected each cell once, and `{}` was there before.".format(cell.name))
            cells[cell.name] = cell
    return list(cells.values())


def caps(jax: str, path: Path = MATRIX) -> tuple[str, ...]:
    """What a release of JAX, one of the rows or not, needs that it never said."""
    return Matrix(path).caps(jax)


def suite_requires(project: Path = ROOT / "pyproject.toml", markers: bool = False) -> tuple[str, ...]:
    """What the library depends on, but JAX, and the tools of its suite: `pyproject.toml` lists them.

    Args: markers: keep what says for which Python a line is. A cell is of one: what it doesn't need does no harm.
    """
    about = read_toml(project)["project"]
    extras = about["optional-dependencies"]

    def expand(lines: Sequence[str]) -> list[str]:
        found: list[str] = []
        for line in lines:
            requirement = Requirement(line)
            if requirement.name == about["name"]:  # one extra that takes in another
                for extra in sorted(requirement.extras):
                    found += expand(extras[extra])
            elif requirement.name != "jax":
                requirement.marker = requirement.marker if markers else None
                found.append(str(requirement))
        return found

    return tuple(sorted(set(expand(about["dependencies"]) + expand(extras["test"])), key=str.lower))


def _cell(
    matrix: Matrix, place: str, row: Table, backend: str, tools: tuple[str, ...], install: str | None = None
) -> Cell:
    """The row's cell on a backend, installed as the row says, or in another way."""
    way = {
        **matrix.backends[backend],
        **matrix.installs[backend][install or row[backend]["install"]],
        **row[backend],
    }
    values = {"jax": row["jax"], "jaxlib": row.get("jaxlib"), "python": row["python"], "libtpu": way.get("libtpu")}

    def fill(template: str) -> str:
        for key in re.findall(r"{(.*?)}", template):
            if values.get(key) is None:
                raise matrix.error(place, "`{}` asks for `{}`, which the row doesn't say.".format(template, key))
        return template.format(**values)

    listed = matrix.requirements(way["requirements"]) if "requirements" in way else ()
    lowest, highest = map(_capability, way.get("compute_capability", ["", ""]))
    cell = Cell(
        jax=row["jax"],
        python=row["python"],
        backend=backend,
        platform=way["platform"],
        tier=row["tier"],
        jaxlib=row.get("jaxlib"),
        as_of=row.get("as_of"),
        requires=(
            *(matrix.requirement(place, fill(line)) for line in way["requires"]),
            *listed,
            *matrix.caps(row["jax"]),
            *tools,
        ),
        find_links=tuple(way.get("find_links", ())),
        index_url=way.get("index_url"),
        prerelease=way.get("prerelease", False),
        supports=Supports(lowest, highest, way.get("driver"), tuple(way.get("generations", ()))),
        base=fill(way["base"]),
    )
    if "stands_in_for" not in way:
        return cell
    original = _cell(matrix, place, row, backend, tools, install=way["stands_in_for"])
    return replace(cell, bridge=True, original=replace(original, suffix=".archive"))


def _capability(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    major, minor = text.split(".")
    return int(major), int(minor)

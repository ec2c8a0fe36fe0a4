"""The list of cells, from `matrix.toml`: each combination of JAX, Python and backend that the suite runs on."""

import datetime
import difflib
import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name as canonical
from packaging.version import Version

from harness.rows import metadata, required
from harness.rows.matrix_file import JAX, TIERS, Matrix, MatrixError, Row, of_file, project
from harness.rows.project import BACKENDS
from harness.rows.required import suite_requires
from harness.system.paths import HOME, LOCKS, MATRIX, ROOT
from harness.system.program import typed
from harness.system.schema import Mismatch


class UnknownCell(MatrixError):
    """No cell matches a name or a pattern."""


@dataclass(frozen=True)
class Supports:
    """The hardware that a cell's wheels run on. `None`, or an empty `tpu`, means that no limit is known."""

    compute_capability_min: tuple[int, int] | None = None
    compute_capability_max: tuple[int, int] | None = None
    driver_min: str | None = None
    tpu: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One JAX on one Python and one backend. A floating cell takes the newest JAX each time, and has no lock."""

    jax: str  # "0.4.30"; or "latest" or "nightly" for a floating cell
    python: str
    backend: str
    platform: str  # what JAX calls the devices of the backend
    tier: str
    jaxlib: str | None  # the jaxlib that was released with this JAX; `None` for a floating cell
    as_of: datetime.date | None  # the lock uses only files uploaded by this day; `None` for a floating cell
    requires: tuple[str, ...]  # JAX, its caps, and what the library and its suite need
    bridge: bool = False  # JAX runs on another jaxlib than its own, see docker/bridge
    find_links: tuple[str, ...] = ()
    index_url: str | None = None  # used in addition to the package index
    prerelease: bool = False
    supports: Supports = field(default_factory=Supports)
    base: str | None = None  # the base image of its container
    original: "Cell | None" = None  # if this is a bridge cell: the same cell with the jaxlib of its time
    suffix: str = ""  # ends the name of the lock; not empty in the `original` of a bridge cell

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
        """The jaxlib that is installed when the cell runs. On the bridge it isn't the one released with its JAX."""
        pinned = (line.removeprefix("jaxlib==") for line in self.requires if line.startswith("jaxlib=="))
        return next(pinned, None) if self.bridge else self.jaxlib

    @property
    def expects(self) -> dict[str, Any]:
        """What the plugins in docker/inside check and report when the cell runs."""
        return {
            "cell": self.name,
            "python": self.python,
            "jax": None if self.floating else self.jax,
            "jaxlib": self.installed_jaxlib,
            "backend": self.platform,
            "bridge": self.bridge,
            "package": project().package,
            "versions": list(project().versions),
            "measures": project().programs,
            **({"cpu_devices": project().cpu_devices} if project().cpu_devices > 1 else {}),
        }


def pythons(cells: Iterable[Cell]) -> list[str]:
    """The Pythons of the cells, oldest first."""
    return sorted({cell.python for cell in cells}, key=Version)


def select(
    cells: Sequence[Cell], names: Sequence[str] = (), tier: str | None = None, backend: str | None = None
) -> list[Cell]:
    """The cells that match all the conditions that are given.

    Args:
        names: Names or patterns such as `py311-*`. A cell has to match at least one.
        tier: Select the cells of this tier and of the tiers before it.
        backend: Select the cells of this backend.

    Raises:
        UnknownCell: A name or pattern matches no cell at all.
        MatrixError: There is no such tier or backend.
    """
    for what, asked, choices in (("tier", tier, TIERS), ("backend", backend, BACKENDS)):
        if asked not in (None, *choices):
            raise MatrixError("Expected a {} among {}, and got `{}`.".format(what, ", ".join(choices), asked))
    for name in names:
        if not any(fnmatch.fnmatchcase(cell.name, name) for cell in cells):
            nearest = difflib.get_close_matches(name.replace("*", ""), [one.name for one in cells], n=3, cutoff=0.5)
            known = "The nearest: {}.".format(", ".join(nearest)) if nearest else "`{}` lists all cells."
            raise UnknownCell("There is no cell `{}`. {}".format(name, known.format(typed("list"))))
    return [
        cell
        for cell in cells
        if (not names or any(fnmatch.fnmatchcase(cell.name, name) for name in names))
        and (tier is None or TIERS.index(cell.tier) <= TIERS.index(tier))
        and (backend is None or cell.backend == backend)
    ]


def load(path: Path = MATRIX, jax: Path = JAX, home: Path = HOME) -> list[Cell]:
    """All cells of all backends, in the order of the rows. The arguments are those of `Matrix`.

    Raises:
        MatrixError: A file can't be read, or it isn't valid.
    """
    matrix = Matrix(path, jax, home)
    cells: dict[str, Cell] = {}
    for place, row in matrix.rows.items():
        tools = suite_requires(path.parent, matrix.project, row.python)
        for backend in row.uses:
            with of_file(path):
                cell = _cell(matrix, "{}, {}".format(place, backend), row, backend, tools)
                if cell.name in cells:
                    problem = "expected each cell once, and an earlier row also makes `{}`."
                    raise Mismatch(problem.format(cell.name), place)
            cells[cell.name] = cell
    return list(cells.values())


def caps(jax: str, path: Path = MATRIX) -> tuple[str, ...]:
    """The requirements that a release of JAX has but doesn't declare. The release needs no row."""
    matrix = Matrix(path)
    return matrix.caps(jax, suite_requires(path.parent, matrix.project))


def why_unclaimed(cell: Cell, root: Path = ROOT) -> str:
    """Why the project doesn't claim to run on the JAX of the cell. An empty string: it claims it.

    The cell runs anyway. Its result says this, because users can't install the two together.
    """
    more = [metadata.requirement_of(line, "matrix.toml, project") for line in project().requires]
    released = {"jax": None if cell.floating else cell.jax, "jaxlib": cell.jaxlib}
    asked = [
        (one, released.get(canonical(one.name)))
        for one in required.on_python(cell.python, [*metadata.read(root).required(), *more])
    ]
    refusing = [str(one) for one, jax in asked if jax and not one.specifier.contains(jax, prereleases=True)]
    return "the project doesn't claim this JAX: it requires " + " and ".join(refusing) if refusing else ""


def _cell(
    matrix: Matrix, place: str, row: Row, backend: str, tools: tuple[str, ...], install: str | None = None
) -> Cell:
    """The row's cell on a backend. `install` names another way to install than the row's."""
    use, about = row.uses[backend], matrix.tables.backend[backend]
    way = matrix.tables.install[backend][install or use.install or ""]
    values = {"jax": row.jax, "jaxlib": row.jaxlib, "python": row.python, "libtpu": use.libtpu}
    known = {key: value for key, value in values.items() if value is not None}

    def fill(template: str) -> str:
        try:
            return template.format(**known)
        except KeyError as error:
            message = "`{}` needs `{}`, which the row doesn't give."
            raise Mismatch(message.format(template, error.args[0]), place) from None

    requires = [fill(line) for line in way.requires]
    for line in requires:
        metadata.requirement_of(line, "{}, {}".format(matrix.path.name, place))
    listed: list[str] = []
    if way.requirements is not None:  # a file of the harness, or else of the project
        files = [folder / way.requirements for folder in (matrix.home, matrix.path.parent)]
        listed = metadata.in_file(next(filter(Path.is_file, files), files[-1]))
    generations = matrix.tables.generation.items() if backend == "tpu" else ()
    tpu = tuple(name for name, releases in generations if row.jax in releases)
    cell = Cell(
        jax=row.jax,
        python=row.python,
        backend=backend,
        platform=about.platform,
        tier=row.tier,
        jaxlib=row.jaxlib,
        as_of=row.as_of,
        requires=(*requires, *listed, *matrix.caps(row.jax, tools), *tools),
        find_links=way.find_links,
        index_url=way.index_url,
        prerelease=way.prerelease,
        supports=Supports(*way.compute_capability, way.driver, tpu),
        base=fill(way.base or about.base),
    )
    if way.stands_in_for is None:
        return cell
    original = _cell(matrix, place, row, backend, tools, install=way.stands_in_for)
    return replace(cell, bridge=True, original=replace(original, suffix=".archive"))

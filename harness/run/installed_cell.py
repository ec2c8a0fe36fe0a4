"""A cell that stands for the JAX and the packages that a Python has. Its name ends in `-found`.

It isn't a cell of the matrix, because its packages don't come from a lock.
"""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from packaging.version import InvalidVersion, Version

from harness.rows import Cell
from harness.rows.matrix_file import Matrix
from harness.system.paths import MATRIX, RESULTS

NAME = re.compile(r"py(\d)(\d+)-jax([\w.]+)-(cpu|cuda|tpu)-found")


@dataclass(frozen=True)
class InstalledCell(Cell):
    """A cell that stands for the packages of this machine instead of a row of the matrix."""

    @property
    def name(self) -> str:
        return super().name + "-found"

    @property
    def floating(self) -> bool:
        return False  # its JAX is known


def make(python: str, jax: str, backend: str, jaxlib: str | None = None) -> InstalledCell:
    """The cell with this Python, JAX and backend."""
    platform = Matrix(MATRIX).tables.backend[backend].platform
    return InstalledCell(jax, python, backend, platform, tier="nightly", jaxlib=jaxlib, as_of=None, requires=())


def this_python(backend: str) -> InstalledCell:
    """The cell with what this Python has."""
    python = "{}.{}".format(*sys.version_info)
    return make(python, version("jax").split("+")[0], backend, version("jaxlib").split("+")[0])


def among(cells: Iterable[Cell], folder: Path = RESULTS, recorded: Iterable[str] = ()) -> list[Cell]:
    """Insert the `-found` runs into the cells of the matrix, in the order of their JAX.

    These are the runs with a result in the folder, and the `recorded` names.
    """
    found = list(cells)
    names = {*recorded, *(path.stem for path in folder.glob("*-found.json"))}
    for one in sorted(filter(None, map(parse_name, names)), key=lambda one: (Version(one.jax), one.name)):
        before = [i for i, other in enumerate(found) if not other.floating and Version(other.jax) <= Version(one.jax)]
        found.insert(max(before, default=-1) + 1, one)
    return found


def parse_name(name: str) -> InstalledCell | None:
    """The run of that name. `None`: it isn't the name of a `-found` run."""
    match = NAME.fullmatch(name)
    try:
        return match and make("{}.{}".format(match[1], match[2]), str(Version(match[3])), match[4])
    except InvalidVersion:
        return None

"""Which file names the packages of a cell, and how to correct that file. Error messages quote it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.rows import Cell, project
from harness.system.paths import ROOT
from harness.system.program import typed


@dataclass(frozen=True)
class Source:
    """A file that says which packages are installed. Messages use its fields."""

    file: str
    cure: str  # what to do if the file is wrong
    lost: str  # what to do if the index no longer has a package that the file names


def source_of_build() -> Source:
    """What names the packages that build the wheel of the project."""
    file = project().build_constraints or "pyproject.toml"
    return Source(file, cure="name releases that the index has in " + file, lost=file + " asks for it")


def source_of(cell: Cell) -> Source:
    """The lock of the cell. A cell that floats has no lock: its row in matrix.toml names the packages."""
    if cell.floating:
        return Source("matrix.toml", cure="correct its row in matrix.toml", lost="matrix.toml asks for it")
    file = cell.lock.relative_to(ROOT).as_posix()
    return Source(
        file,
        cure="make the lock again by `{}`".format(typed("lock", cell.name)),
        lost="`{}` says which files of {} are gone".format(typed("verify", cell.name), file),
    )

"""What names the packages of a cell, and what to do where that is wrong: for messages that blame something."""

from __future__ import annotations

from dataclasses import dataclass

from harness.places import ROOT
from harness.rows import Cell


@dataclass(frozen=True)
class Source:
    """A file that says which packages are installed."""

    file: str
    cure: str  # where what it says is wrong
    lost: str  # where the index no longer has what it says

    def of_messages(self) -> dict[str, str]:
        """What a message may mention."""
        return {"file": self.file, "cure": self.cure, "lost": self.lost}


# What builds our wheel.
BUILD = Source(
    "docker/wheel-constraints.txt",
    cure="docker/wheel-constraints.txt has to name releases that the index has",
    lost="docker/wheel-constraints.txt asks for it",
)


def source_of(cell: Cell) -> Source:
    """The lock of the cell. One that floats has none: its row says what it asks for."""
    if cell.floating:
        file = "docker/matrix.toml"
        return Source(file, cure="its row in {} says what it asks for".format(file), lost="{} asks for it".format(file))
    file = cell.lock.relative_to(ROOT).as_posix()
    return Source(
        file,
        cure="put it right by `make lock CELL={}`".format(cell.name),
        lost="`make verify-locks CELL={}` says what {} has lost".format(cell.name, file),
    )

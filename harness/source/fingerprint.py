"""Hashes of what a cell is made from. While no hash changes, an earlier result is still valid."""

import datetime
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.rows import Cell, project
from harness.source import hashing, pages, suite
from harness.system.paths import ROOT

# The pinned packages, with hashes, that build our wheel, and those that build a JAX that comes as source only.
WHEEL_BUILT_BY, SOURCE_BUILT_BY = "docker/wheel-constraints.txt", "docker/build-constraints.txt"
# The files that a cell tests, and the files that it is tested with.
BUILT_BY = (SOURCE_BUILT_BY, WHEEL_BUILT_BY)
TESTED_BY = ("docker/bridge", *BUILT_BY, "harness/run/environment.py", "harness/run/set_up.py", "tox.ini")
# Files that no cell reads: the tests of the bridge, and its README.
LEFT_OUT = ("docker/bridge/README.md", "docker/bridge/smoke.py", "docker/bridge/smoke_cases")


def hashes(cell: Cell, root: Path = ROOT) -> dict[str, str]:
    """The hashes that a result of the cell would have if it ran on this host now."""
    return hashes_of([cell], root)[cell.name]


def hashes_of(cells: Iterable[Cell], root: Path = ROOT) -> dict[str, dict[str, str]]:
    """The `hashes` of many cells, by name. The source is read only once."""
    source = source_hash(root)
    return {cell.name: {"lock": lock_hash(cell, root), "source": source, "image": ""} for cell in cells}


def lock_hash(cell: Cell, root: Path = ROOT, today: datetime.date | None = None) -> str:
    """Hash what the cell is installed from. Returns an empty string if it has no lock.

    For a floating cell, this is the hash of its requirements and of the day. A cell on the bridge may have a second
    lock, with the jaxlib of its own time. Which lock is used depends on the network, so both are hashed.
    """
    if cell.floating:
        asked = (*sorted(cell.requires), *cell.find_links, str(cell.index_url), str(today or datetime.date.today()))
        return hashing.digest((line, b"") for line in asked)
    locks = root / "locks"
    found = [locks / (cell.name + ".txt"), *sorted(locks.glob(cell.name + ".*.txt"))]
    return hashing.hash_files(locks, filter(Path.is_file, found))


def source_hash(root: Path = ROOT) -> str:
    """Hash the names and contents of the files that a cell tests. Of a Markdown page, only the tested parts count."""
    return hashing.hash_files(root, files(root), _content)


def _content(path: Path) -> bytes:
    return pages.read_for_hash(path, pages.tested) if path.suffix == ".md" else path.read_bytes()


def files(root: Path) -> Iterator[Path]:
    """The files that a cell tests, and the files that it is tested with."""
    tested = project()
    starts = dict.fromkeys((*tested.built_from, *tested.suite, suite.PLUGINS, *TESTED_BY))
    return hashing.files_below(root, starts, (*tested.left_out, *LEFT_OUT))

"""Hashes of what a cell is made from. While no hash changes, an earlier result is still valid."""

import datetime
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.rows import Cell, project
from harness.source import hashing, pages, suite
from harness.system.paths import HOME, MATRIX_NAME, ROOT

# The pinned packages, with hashes, that build a JAX that comes as source only.
BUILDERS = "docker/build-constraints.txt"
# The files of the harness that a cell is tested with, and those among them that no cell reads.
TESTED_BY = (suite.PLUGINS, "docker/bridge", BUILDERS, "harness/run/environment.py", "harness/run/set_up.py", "tox.ini")
NOT_READ = ("docker/bridge/README.md", "docker/bridge/smoke.py", "docker/bridge/smoke_cases")
# Files of a project that are generated, or that choose the cells. They are no source.
NOT_SOURCE = (MATRIX_NAME, "locks", "results", "build", "dist", "site")

COPY_OF_HOME = ".harness"  # the folder of a snapshot with the files of the harness


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
    found = [*locks.glob(cell.name + ".txt"), *sorted(locks.glob(cell.name + ".*.txt"))]
    return hashing.hash_files(locks, found)


def source_hash(root: Path = ROOT) -> str:
    """Hash the names and contents of the files that a cell tests, of those that it is tested with, and how it runs.

    Of a Markdown page, only the tested parts count.
    """
    home = home_of(root)
    tested = hashing.hash_files(root, files(root), functools.partial(pages.read_for_hash, part=pages.tested))
    how = (*project().pytest(), str(project().cpu_devices))  # which tests run, and how
    parts = (tested, hashing.hash_files(home, files_of_harness(home)), *how)
    return hashing.digest((part, b"") for part in parts)


def home_of(root: Path) -> Path:
    """The home of the harness that belongs to a source. A snapshot holds a copy of it."""
    copied = root / COPY_OF_HOME
    return copied if copied.is_dir() else HOME


def files(root: Path) -> Iterator[Path]:
    """The files of the project that a cell tests: those that its wheel is built from, and its suite."""
    tested = project()
    constraints = filter(None, [tested.build_constraints])
    starts = (*tested.built_from, *constraints, *tested.suite)
    return hashing.files_below(root, starts, (*tested.left_out, *NOT_SOURCE, tested.record))


def files_of_harness(home: Path) -> Iterator[Path]:
    """The files of the harness that a cell is tested with."""
    return hashing.files_below(home, TESTED_BY, NOT_READ)

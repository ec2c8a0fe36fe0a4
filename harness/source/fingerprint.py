"""Hashes of what a cell is made from. While no hash changes, an earlier result is still valid."""

import datetime
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.rows import Cell
from harness.source import pages, suite
from harness.system.paths import ROOT

# The files that a cell tests, and the files that it is tested with.
BUILT_BY = (suite.SOURCE_BUILT_BY, suite.WHEEL_BUILT_BY)
TESTED_BY = ("docker/bridge", *BUILT_BY, "harness/run/environment.py", "tox.ini")
SOURCE = tuple(dict.fromkeys((*suite.LIBRARY, *suite.SUITE, *TESTED_BY)))
# Files that no cell reads: the tests of the harness, of words, of types and of the bridge, its README, pictures, and
# the site.
LEFT_OUT = (
    "tests/harness",
    "tests/lint",
    "tests/typing",
    "docker/bridge/README.md",
    "docker/bridge/smoke.py",
    "docker/bridge/smoke_cases",
    "docs/images",
    "docs/site_hooks.py",
)


def hashes(cell: Cell, root: Path = ROOT) -> dict[str, str]:
    """The hashes that a result of the cell would have if it ran on this host now."""
    return {"lock": lock_hash(cell, root), "source": source_hash(root), "image": ""}


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
        return _hash((line, b"") for line in asked)
    locks = root / "docker" / "locks"
    found = [locks / (cell.name + ".txt"), *sorted(locks.glob(cell.name + ".*.txt"))]
    return _hash((path.name, path.read_bytes()) for path in found if path.is_file())


def source_hash(root: Path = ROOT) -> str:
    """Hash the names and contents of the files that a cell tests. Of a Markdown page, only the tested parts count."""
    return _hash((path.relative_to(root).as_posix(), _content(path)) for path in files(root))


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix != ".md":
        return data
    return pages.tested(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def files(root: Path) -> Iterator[Path]:
    """The files that a cell tests, and the files that it is tested with."""
    for start in SOURCE:
        found = [root / start] if (root / start).is_file() else sorted((root / start).rglob("*"))
        for path in found:
            name = path.relative_to(root).as_posix()
            cached = any(part.startswith(".") or part == "__pycache__" for part in name.split("/"))
            left_out = any(name == one or name.startswith(one + "/") for one in LEFT_OUT)
            if path.is_file() and not cached and not left_out:
                yield path


def _hash(named: Iterable[tuple[str, bytes]]) -> str:
    """Hash names and contents. Returns an empty string if there are none."""
    total, anything = hashlib.sha256(), False
    for name, content in named:
        anything = True
        # With the lengths, moving text from one file to the next changes the hash.
        total.update("{}\0{}\0".format(name, len(content)).encode("utf-8"))
        total.update(content)
    return total.hexdigest() if anything else ""

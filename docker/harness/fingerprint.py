"""What a result was shown for, as hashes. When none of them changed, nor did the result, and the cell needn't run."""

import datetime
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness import pages, suite
from harness.places import ROOT
from harness.rows import Cell

# What a cell tests, and what it is tested by.
BUILT_BY = (suite.SOURCE_BUILT_BY, suite.WHEEL_BUILT_BY)
TESTED_BY = ("docker/bridge", *BUILT_BY, "docker/harness/environment.py", "tox.ini")
SOURCE = tuple(dict.fromkeys((*suite.LIBRARY, *suite.SUITE, *TESTED_BY)))
# Of these, what no cell reads: the tests of the harness, those of the bridge and its README, the pictures of the pages.
LEFT_OUT = (
    "tests/harness",
    "docker/bridge/README.md",
    "docker/bridge/smoke.py",
    "docker/bridge/smoke_cases",
    "docs/images",
)


def hashes(cell: Cell, root: Path = ROOT) -> dict[str, str]:
    """What a result of the cell, run on this host now, would be shown for."""
    return {"lock": lock_hash(cell, root), "source": source_hash(root), "image": ""}


def hashes_of(cells: Iterable[Cell], root: Path = ROOT) -> dict[str, dict[str, str]]:
    """The `hashes` of many cells, by their names. The source is read once."""
    source = source_hash(root)
    return {cell.name: {"lock": lock_hash(cell, root), "source": source, "image": ""} for cell in cells}


def lock_hash(cell: Cell, root: Path = ROOT, today: datetime.date | None = None) -> str:
    """Of what the cell is installed from; empty: it has no lock. What floats has what it asks for, and the day.

    A cell on the bridge may have a second lock, with the jaxlib of its time. Which of them is used hangs on what can be
    reached at the moment, so that the hash is of both.
    """
    if cell.floating:
        asked = (*sorted(cell.requires), *cell.find_links, str(cell.index_url), str(today or datetime.date.today()))
        return _hash((line, b"") for line in asked)
    locks = root / "docker" / "locks"
    found = [locks / (cell.name + ".txt"), *sorted(locks.glob(cell.name + ".*.txt"))]
    return _hash((path.name, path.read_bytes()) for path in found if path.is_file())


def source_hash(root: Path = ROOT) -> str:
    """Of the names and the contents of what a cell tests. Of a page in Markdown only what the suite reads counts."""
    return _hash((path.relative_to(root).as_posix(), _content(path)) for path in files(root))


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix != ".md":
        return data
    return pages.tested(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def files(root: Path) -> Iterator[Path]:
    """What a cell tests, and what it is tested by."""
    for start in SOURCE:
        found = [root / start] if (root / start).is_file() else sorted((root / start).rglob("*"))
        for path in found:
            name = path.relative_to(root).as_posix()
            cached = any(part.startswith(".") or part == "__pycache__" for part in name.split("/"))
            left_out = any(name == one or name.startswith(one + "/") for one in LEFT_OUT)
            if path.is_file() and not cached and not left_out:
                yield path


def _hash(named: Iterable[tuple[str, bytes]]) -> str:
    """Empty: of nothing."""
    total, anything = hashlib.sha256(), False
    for name, content in named:
        anything = True
        total.update("{}\0{}\0".format(name, len(content)).encode("utf-8"))  # lengths: so that nothing can shift
        total.update(content)
    return total.hexdigest() if anything else ""

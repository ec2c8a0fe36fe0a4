"""Locks: the exact packages of each cell, with their hashes. There is one file per cell; tox and the images share it.

`resolve` writes the files. If a cell can't be resolved, `unresolved.toml` says why.
"""

import hashlib
import json
import re
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TypeVar

from harness.locks import index
from harness.locks.index import IndexUnreachable
from harness.rows import Cell, project, read_toml
from harness.system.paths import LOCKS

UNRESOLVED = "unresolved.toml"
PLATFORM = "x86_64-manylinux_2_31"  # the oldest that libtpu has wheels for

# Old releases of jaxlib were removed from the index and uploaded again later, with a later date. So the date in the row
# doesn't apply to jaxlib. The row pins its version.
UPLOADED_AGAIN = ("jaxlib",)

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Pin:
    """A release that a lock installs, with the hashes of all its files that may be used."""

    project: str
    version: str
    hashes: tuple[str, ...]


@dataclass(frozen=True)
class Lock:
    inputs: str
    find_links: tuple[str, ...]
    pins: tuple[Pin, ...]


def read(path: Path) -> Lock:
    """Read the lock in a file."""
    text = path.read_text(encoding="utf-8", errors="replace")
    inputs = re.search(r"^# inputs: (\S+)$", text, re.MULTILINE)
    pins = re.findall(r"^([\w.-]+)==([^\s;]+).*((?:\n    --hash=\S+.*)*)", text, re.MULTILINE)
    return Lock(
        inputs=inputs.group(1) if inputs else "",
        find_links=tuple(re.findall(r"^--find-links (\S+)$", text, re.MULTILINE)),
        pins=tuple(Pin(name, version, tuple(re.findall(r"sha256:(\w+)", hashes))) for name, version, hashes in pins),
    )


def unresolved(folder: Path = LOCKS) -> dict[str, str]:
    """The cells without a lock, each with the reason.

    A cell on the bridge has a second lock, for the jaxlib of its time. That lock's name ends with `.archive`.
    """
    path = folder / UNRESOLVED
    return read_toml(path) if path.exists() else {}


def inputs(cell: Cell) -> str:
    """A hash of everything that a lock is made from. If it differs from the lock's, the lock is out of date."""
    made_from = [cell.python, str(cell.as_of), cell.requires, cell.find_links, PLATFORM, other_dates(cell.as_of)]
    return "sha256:" + hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]


def other_dates(as_of: date | None) -> dict[str, str]:
    """The packages to which the date of a cell doesn't apply, and what does, as uv expects it."""
    later = {name: day for name, day in project().not_before.items() if as_of is not None and as_of < day}
    return {**dict.fromkeys(UPLOADED_AGAIN, "false"), **{name: end_of(day) for name, day in later.items()}}


def end_of(day: date) -> str:
    """The end of a day, in UTC."""
    return "{}T00:00:00Z".format(day + timedelta(days=1))


def preferred(cell: Cell, reachable: Callable[[str], bool]) -> Cell:
    """The cell to run. For a cell on the bridge, prefer its original if that has a lock and its pages answer."""
    original = cell.original
    if original is not None and original.lock.exists() and all(map(reachable, original.find_links)):
        return original
    return cell


def reachable(url: str, opener: index.Opener = urllib.request.urlopen) -> bool:
    try:
        index.read_page(url, opener)
    except IndexUnreachable:
        return False
    return True


def cells_to_lock(cells: Iterable[Cell]) -> Iterator[Cell]:
    """The cells that need a lock: all but the floating ones, plus the originals of those on the bridge."""
    for cell in cells:
        if not cell.floating:
            yield cell
        if cell.original is not None:
            yield cell.original


def ask_all(ask: Callable[[str], T], questions: Iterable[str]) -> dict[str, T]:
    """The answer to each question. Several are asked in parallel."""
    asked = sorted(questions)
    with ThreadPoolExecutor(max_workers=8) as pool:
        return dict(zip(asked, pool.map(ask, asked), strict=True))

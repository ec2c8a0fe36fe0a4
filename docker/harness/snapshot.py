"""A copy of the source, taken before anything is made of it: what is hashed is this copy, and so is what is run.

To make an environment or an image takes minutes. Meanwhile the user may edit the source, or switch to another branch.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness import fingerprint
from harness.places import ROOT
from harness.rows import Cell

ASKED = "EQX_ASKED_SOURCE"
CHANGED = "the source changed after this run began; run it again"


def take(folder: Path, cell: Cell, root: Path = ROOT) -> Path:
    """Copy to `folder` what the cell's hashes are of, and what its image is built by; return `folder`.

    An earlier snapshot there is replaced. `fingerprint.hashes(cell, folder)` are the hashes of what was copied.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for path in files(cell, root):
        target = folder / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return folder


def ask_for(hashes: Mapping[str, Mapping[str, str]]) -> None:
    """Tell the cells that are run from now on, in this process or by it, which source is meant."""
    os.environ[ASKED] = next((each.get("source", "") for each in hashes.values()), "")


def is_asked_for(hashes: Mapping[str, str], env: Mapping[str, str] = os.environ) -> bool:
    """Whether a snapshot holds the source that was asked for. It does if none was asked for."""
    return env.get(ASKED, "") in ("", hashes["source"])


def files(cell: Cell, root: Path) -> Iterator[Path]:
    yield from fingerprint.files(root)
    yield from (root / "docker" / "locks").glob(cell.name + "*.txt")
    yield from (root / "docker").glob("*.Dockerfile")
    yield from root.glob(".dockerignore")


def lock(cell: Cell, source: Path) -> Path:
    """Where the cell's lock is in a snapshot."""
    return source / "docker" / "locks" / cell.lock.name

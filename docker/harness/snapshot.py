"""A copy of the source, taken before anything is made of it: what is hashed is this copy, and so is what is run.

To make an environment or an image takes minutes. Meanwhile the user may edit the source, or switch to another branch.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from harness import fingerprint
from harness.places import ROOT
from harness.rows import Cell


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


def files(cell: Cell, root: Path) -> Iterator[Path]:
    yield from fingerprint.files(root)
    yield from (root / "docker" / "locks").glob(cell.name + "*.txt")
    yield from (root / "docker").glob("*.Dockerfile")
    yield from root.glob(".dockerignore")


def lock(cell: Cell, source: Path) -> Path:
    """Where the cell's lock is in a snapshot."""
    return source / "docker" / "locks" / cell.lock.name

"""Copy the source before a run. The hashes, the environment and the image are all made from this copy.

Making an environment or an image takes minutes. Meanwhile the user may edit the source, or switch to another branch.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from harness.rows import Cell
from harness.source import fingerprint, suite
from harness.system.paths import ROOT

EXPECTED = "EQX_EXPECTED_SOURCE"
CHANGED = "the source changed after this run began; run it again"


def take(folder: Path, cell: Cell, root: Path = ROOT) -> Path:
    """Copy to `folder` all files that the cell's hashes cover, and those that build its image. Returns `folder`.

    The files of the harness go to a folder in it. This replaces an earlier snapshot. `fingerprint.hashes(cell, folder)`
    gives the hashes of the copy.
    """
    locks = (root / "locks").glob(cell.name + "*.txt")
    suite.copy_files([*fingerprint.files(root), *locks], root, folder)
    home = fingerprint.home_of(root)
    recipes = (home / "docker").glob("*.Dockerfile")
    suite.copy_files([*fingerprint.files_of_harness(home), *recipes], home, folder / fingerprint.COPY_OF_HOME)
    return folder


def expect(hashes: Mapping[str, Mapping[str, str]]) -> None:
    """Note the hash of the source at the start of a run. This process and its children test no other source."""
    os.environ[EXPECTED] = next((each.get("source", "") for each in hashes.values()), "")


def is_expected(hashes: Mapping[str, str], env: Mapping[str, str] = os.environ) -> bool:
    """Whether a snapshot has the source that `expect` noted. True if `expect` was never called."""
    return env.get(EXPECTED, "") in ("", hashes["source"])


def lock(cell: Cell, source: Path) -> Path:
    """The path of the cell's lock in a snapshot."""
    return source / "locks" / cell.lock.name

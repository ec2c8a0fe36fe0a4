"""Build the wheel of the library, once for all cells."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from harness.rows import project
from harness.source import hashing, pages
from harness.source.fingerprint import WHEEL_BUILT_BY
from harness.system.errors import CannotGoOn
from harness.system.paths import ROOT, WORK

Run = Callable[..., "subprocess.CompletedProcess[str]"]


class BuildFailed(CannotGoOn):
    """The wheel could not be built. The message says why."""


def folder_of(root: Path, work: Path) -> Path:
    """The folder of the wheel that is built from the files below `root` as they are now."""
    built_from = hashing.files_below(root, (*project().built_from, WHEEL_BUILT_BY))
    return work / "wheel" / hashing.hash_files(root, built_from, content)[:16]


def obtain(uv: str, root: Path = ROOT, work: Path = WORK, run: Run = subprocess.run) -> Path:
    """The wheel of the library below `root`. The first call builds it.

    Raises:
        BuildFailed: The wheel can't be built.
    """
    folder = folder_of(root, work)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / "lock"):  # cells that run in parallel may call this at the same time
        if not folder.is_dir():
            build(uv, root, folder, run)
    return next(folder.glob("*.whl"))


def build(uv: str, root: Path, folder: Path, run: Run) -> None:
    """Build the wheel. `folder` appears only when the wheel in it is complete."""
    with tempfile.TemporaryDirectory(prefix="unfinished-", dir=str(folder.parent)) as unfinished:
        made = Path(unfinished) / "made"
        command = [uv, "build", "--quiet", "--wheel", "--python", sys.executable, "--require-hashes"]
        command += ["--build-constraint", str(root / WHEEL_BUILT_BY), "--out-dir", str(made), str(root)]
        done = run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not list(made.glob("*.whl")):
            message = "The wheel could not be built (exit status {}):\n  {}\n{}"
            raise BuildFailed(message.format(done.returncode, " ".join(command), done.stderr.strip()))
        os.replace(str(made), str(folder))


def content(file: Path) -> bytes:
    """The content of a file for hashing. The table in a page is left out, because it changes with the results."""
    return pages.read_for_hash(file, pages.written) if file.suffix == ".md" else file.read_bytes()

"""What a cell tests: the wheel, which is built once for all cells, and a copy of the suite outside the checkout.

From the folder of the copy, no test can import the checkout instead of the wheel.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from harness.source import pages
from harness.system.errors import CannotGoOn
from harness.system.paths import ROOT, WORK

Run = Callable[..., "subprocess.CompletedProcess[str]"]

# The files that the wheel is built from, and the files of the suite.
LIBRARY = ("equinox", "pyproject.toml", "README.md", "LICENSE")
SUITE = ("tests", "examples", "docs", "docker/inside", "pyproject.toml", "README.md")
NOT_COPIED = ("__pycache__", "harness", "lint", "typing")
# The pinned packages, with hashes, that build our wheel, and those that build a JAX that comes as source only.
WHEEL_BUILT_BY, SOURCE_BUILT_BY = "docker/wheel-constraints.txt", "docker/build-constraints.txt"
BUILT_FROM = (*LIBRARY, WHEEL_BUILT_BY)


class BuildFailed(CannotGoOn):
    """The wheel could not be built. The message says why."""


def wheel(uv: str, root: Path = ROOT, work: Path = WORK, run: Run = subprocess.run) -> Path:
    """The wheel of the library under `root`. The first call builds it.

    Raises:
        BuildFailed: The wheel can't be built.
    """
    folder = work / "wheel" / hash_contents(root / part for part in BUILT_FROM)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # cells that run in parallel may call this at the same time
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


def copy(folder: Path, root: Path = ROOT) -> None:
    """Replace `folder` with a copy of the suite."""
    shutil.rmtree(str(folder), ignore_errors=True)
    for part in SUITE:
        source, target = root / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(str(source), str(target), ignore=shutil.ignore_patterns(*NOT_COPIED))
        else:
            shutil.copy2(str(source), str(target))


def content(file: Path) -> bytes:
    """The content of a file for hashing. The table in the README is left out, because it changes with the results."""
    data = file.read_bytes()
    if file.name != "README.md":
        return data
    return pages.written(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def hash_contents(paths: Iterable[Path]) -> str:
    """A hash of the names and contents of files. A folder stands for all files in it."""
    hashed = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                name, data = file.relative_to(path.parent).as_posix(), content(file)
                hashed.update("{}\0{}\0".format(name, len(data)).encode() + data)
    return hashed.hexdigest()[:16]

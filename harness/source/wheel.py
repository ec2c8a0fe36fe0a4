"""Build the wheel of the project: once for all cells, or once for each Python if the wheel has compiled code."""

import functools
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from packaging.version import InvalidVersion, Version

from harness.rows import project
from harness.source import fingerprint, hashing, pages
from harness.system.errors import CannotGoOn
from harness.system.paths import ROOT, WORK

Run = Callable[..., "subprocess.CompletedProcess[str]"]


class BuildFailed(CannotGoOn):
    """The wheel could not be built. The message says why."""


def folder_of(root: Path, work: Path) -> Path:
    """The folder of the wheels that are built from the files below `root` as they are now."""
    starts = (*project().built_from, *filter(None, [project().build_constraints]))
    built_from = hashing.files_below(root, starts, (*fingerprint.NOT_SOURCE, project().record))
    # Without the table in a page, because it changes with the results.
    content = functools.partial(pages.read_for_hash, part=pages.written)
    return work / "wheel" / hashing.hash_files(root, built_from, content)[:16]


def obtain(
    uv: str, python: str, interpreter: str, root: Path = ROOT, work: Path = WORK, run: Run = subprocess.run
) -> Path:
    """The wheel of the project below `root`, for a Python. If there is none yet, the `interpreter` of it builds one.

    Raises:
        BuildFailed: The wheel can't be built.
    """
    folder = folder_of(root, work)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / "lock"):  # cells that run in parallel may call this at the same time
        for_all = next(folder.glob("*/*-none-any.whl"), None)
        if for_all is not None:
            return for_all
        if not (folder / python).is_dir():
            build(uv, interpreter, root, folder / python, run)
    return next((folder / python).glob("*.whl"))


def build(uv: str, interpreter: str, root: Path, folder: Path, run: Run) -> None:
    """Build the wheel by the project's own backend. `folder` appears only when the wheel in it is complete."""
    constraints = project().build_constraints
    pinned = ["--require-hashes", "--build-constraint", str(root / constraints)] if constraints else []
    with tempfile.TemporaryDirectory(prefix="unfinished-", dir=folder.parent) as unfinished:
        made = Path(unfinished) / "made"
        options = ["--quiet", "--wheel", "--python", interpreter, *pinned]
        command = [uv, "build", *options, "--out-dir", str(made), str(root)]
        env = {**os.environ, **version_of_tag()}
        done = run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not list(made.glob("*.whl")):
            message = "The wheel could not be built (exit status {}):\n  {}\n{}"
            raise BuildFailed(message.format(done.returncode, " ".join(command), done.stderr.strip()))
        made.rename(folder)


def version_of_tag(root: Path = ROOT, run: Run = subprocess.run) -> dict[str, str]:
    """The variable that gives setuptools-scm and hatch-vcs the version. They read it from git, and a snapshot has none.

    The project may be in a folder of the repository. A source distribution has its version in a file. Other backends
    don't read the variable.
    """
    if (root / "PKG-INFO").is_file() or not any((folder / ".git").exists() for folder in (root, *root.parents)):
        return {}
    command = ["git", "-C", str(root), "describe", "--tags", "--abbrev=0"]
    try:
        tag = run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # there is no git
        tag = ""
    ends = (tag[found.start() :] for found in re.finditer(r"(?<!\d)\d", tag))
    return {"SETUPTOOLS_SCM_PRETEND_VERSION": next(filter(is_version, ends), "0")}


def is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True

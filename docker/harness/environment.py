"""The environment of a cell, a folder that tox makes with uv: what a cell sees there, and whether it is whole.

uv takes a package for installed once a part of it is there. So an environment whose making was interrupted, by Ctrl-C,
a kill or a full disk, looks finished and isn't. It has a mark, therefore, which is written last and taken away first.
It says what the environment was made from, too: without that very mark, the environment is removed and made anew.
"""

import datetime
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from harness import snapshot, suite
from harness.files import write_whole
from harness.interpreters import Interpreter
from harness.places import ROOT
from harness.rows import Cell

Call = Callable[..., "subprocess.CompletedProcess[str]"]


class SetupFailed(Exception):
    """The environment could not be finished. The message is what the failed command said."""


@dataclass(frozen=True)
class Environment:
    """Where things of a cell's environment are."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def suite(self) -> Path:
        return self.folder / "suite"

    @property
    def report(self) -> Path:
        return self.folder / "report.json"

    @property
    def progress(self) -> Path:
        return self.folder / "progress.json"

    @property
    def junit(self) -> Path:
        return self.folder / "junit.xml"

    @property
    def log(self) -> Path:
        return self.folder / "log"  # where tox writes what each command said

    @property
    def mark(self) -> Path:
        return self.folder / "whole.json"

    def is_made_from(self, made_from: Mapping[str, str]) -> bool:
        """Whether the environment is whole, and was made from that; but for the wheel, which is changed in place."""
        mark = self.read_mark()
        return mark is not None and {**mark, "wheel": ""} == {**made_from, "wheel": ""}

    def has_wheel(self, wheel: str) -> bool:
        return (self.read_mark() or {}).get("wheel") == wheel

    def read_mark(self) -> dict[str, str] | None:
        try:
            mark: dict[str, str] = json.loads(self.mark.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return mark

    def take_mark(self) -> None:
        self.mark.unlink(missing_ok=True)

    def write_mark(self, made_from: Mapping[str, str]) -> None:
        """Vouch for the environment."""
        write_whole(self.mark, json.dumps(made_from, indent=2) + "\n")

    def start_afresh(self) -> None:
        """Remove what an earlier run of the suite has left."""
        for path in (self.report, self.progress, self.junit):
            path.unlink(missing_ok=True)


def requirements(cell: Cell, source: Path = ROOT) -> list[str]:
    """The lines of requirements that tox has uv install. `source`: a snapshot, or the checkout.

    The lock is named as seen from the checkout, where tox runs uv: the way there may hold a space, or a `#`.
    """
    if not cell.floating:
        return ["--require-hashes", "-r {}".format(os.path.relpath(snapshot.lock(cell, source), ROOT))]
    # uv takes a project from the first index that has it, and from that alone: JAX from its own.
    index = ["--extra-index-url {}".format(cell.index_url)] if cell.index_url else []
    pages = ["--find-links {}".format(page) for page in cell.find_links]
    return [*index, *pages, *(["--pre"] if cell.prerelease else []), *cell.requires]


def made_from(
    cell: Cell, interpreter: Interpreter, source: Path = ROOT, today: datetime.date | None = None
) -> dict[str, str]:
    """What a cell's environment is made from. What floats is made again each day, as it may have moved."""
    bridge = source / "docker" / "bridge"
    if cell.floating:
        lock = "\n".join((*cell.requires, str(today or datetime.date.today())))
    else:
        lock = snapshot.lock(cell, source).read_text(encoding="utf-8")
    return {
        "lock": hashlib.sha256(lock.encode()).hexdigest(),
        "python": "{} {}".format(interpreter.version, interpreter.path),
        "bridge": suite.contents([bridge / "install.py", bridge / "jax_bridge"]) if cell.bridge else "",
        "constraints": suite.contents([source / suite.SOURCE_BUILT_BY]),
    }


def complete(
    cell: Cell,
    environment: Environment,
    made: Mapping[str, str],
    uv: str,
    source: Path = ROOT,
    call: Call = subprocess.run,
) -> None:
    """Put what the lock doesn't hold into an environment: the bridge, if it takes one, and the wheel. Then mark it.

    Raises: SetupFailed, suite.BuildFailed.
    """
    wheel = suite.wheel(uv, source)
    name = wheel.parent.name
    if environment.is_made_from(made) and environment.has_wheel(name):
        return
    whole = environment.is_made_from(made)
    environment.take_mark()
    python = str(environment.python)
    if cell.bridge and not whole:
        install = str(source / "docker" / "bridge" / "install.py")
        _call([sys.executable, install, "--only-bridge", "--python", python, "--jax", cell.jax], call)
    # By its name alone: uv takes what follows a # in a path for a comment.
    command = [uv, "pip", "install", "--quiet", "--python", python, "--no-deps", "--reinstall", "./" + wheel.name]
    _call(command, call, cwd=wheel.parent)
    environment.write_mark({**made, "wheel": name})


def _call(command: list[str], call: Call, cwd: Path | None = None) -> None:
    done = call(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise SetupFailed("{}\nexit status {}: {}".format(done.stdout.strip(), done.returncode, " ".join(command)))


def last_log(environment: Environment) -> str:
    """What the last command that tox ran in the environment said, if that is what failed."""
    logs = sorted(environment.log.glob("*.log"), key=lambda path: path.stat().st_mtime)
    said = logs[-1].read_text(encoding="utf-8", errors="replace") if logs else ""
    return "" if "\nexit_code: 0\n" in said else said


def variables(cell: Cell, environment: Environment) -> dict[str, str]:
    """The environment variables that a cell's run has beside those that tox lets through."""
    platforms = cell.backend if cell.backend == "cpu" else cell.backend + ",cpu"  # callbacks need a CPU beside
    if cell.backend == "cuda" and not cell.floating and Version(cell.jax) < Version("0.3.11"):
        platforms = "gpu,cpu"  # what CUDA was called then
    return {
        "EQX_CELL": cell.name,
        "EQX_EXPECT": json.dumps(cell.expects),
        "EQX_REPORT": str(environment.report),
        "EQX_PROGRESS": str(environment.progress),
        "JAX_PLATFORMS": platforms,
        "JAX_PLATFORM_NAME": cell.platform,  # what JAX before 0.2.22 asks
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "PYTHONPATH": str(environment.suite / "docker" / "inside"),
        "PYTHONNOUSERSITE": "1",
        "MPLBACKEND": "agg",
        # Each process has its own chips; and the lock file that a killed one has left keeps no other from them.
        **({"ALLOW_MULTIPLE_LIBTPU_LOAD": "true"} if cell.backend == "tpu" else {}),
    }

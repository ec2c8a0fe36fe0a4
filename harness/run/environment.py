"""The environment of a cell: a folder that tox makes with uv.

uv believes that a package is installed as soon as a part of it is there. So an environment looks complete even if
Ctrl-C, a kill or a full disk interrupted its installation. Therefore each environment has a mark: a file that is
written last and removed first. The mark names what the environment was made from. If the mark is missing or different,
the environment is removed and made again.
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

from harness.rows import Cell
from harness.source import snapshot, suite
from harness.system.files import write_whole
from harness.system.interpreters import Interpreter
from harness.system.paths import ROOT

Call = Callable[..., "subprocess.CompletedProcess[str]"]


class SetupFailed(Exception):
    """The environment could not be completed. The message is the output of the failed command."""


@dataclass(frozen=True)
class Environment:
    """The paths in a cell's environment, and its mark."""

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
        return self.folder / "log"  # tox writes the output of each command here

    @property
    def mark(self) -> Path:
        return self.folder / "whole.json"

    def is_made_from(self, made_from: Mapping[str, str]) -> bool:
        """Whether the environment is complete and was made from `made_from`. The wheel is not compared."""
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

    def remove_mark(self) -> None:
        self.mark.unlink(missing_ok=True)

    def write_mark(self, made_from: Mapping[str, str]) -> None:
        """Mark the environment as complete."""
        write_whole(self.mark, json.dumps(made_from, indent=2) + "\n")

    def remove_reports(self) -> None:
        """Remove the files that an earlier run of the suite left."""
        for path in (self.report, self.progress, self.junit):
            path.unlink(missing_ok=True)


def requirements(cell: Cell, source: Path = ROOT) -> list[str]:
    """The requirements that uv installs for tox, one a line.

    The path of the lock is relative to the checkout, because an absolute path may hold a space or a `#`. tox runs uv in
    the checkout.

    Args:
        cell: The cell.
        source: A snapshot of the source, or the checkout.
    """
    if not cell.floating:
        return ["--require-hashes", "-r {}".format(os.path.relpath(snapshot.lock(cell, source), ROOT))]
    # uv takes a project only from the first index that has it. So JAX comes from its own index.
    index = ["--extra-index-url {}".format(cell.index_url)] if cell.index_url else []
    pages = ["--find-links {}".format(page) for page in cell.find_links]
    return [*index, *pages, *(["--pre"] if cell.prerelease else []), *cell.requires]


def made_from(
    cell: Cell, interpreter: Interpreter, source: Path = ROOT, today: datetime.date | None = None
) -> dict[str, str]:
    """Describe what the environment is made from. A floating one is made again each day: its JAX may be newer."""
    bridge = source / "docker" / "bridge"
    if cell.floating:
        lock = "\n".join((*cell.requires, str(today or datetime.date.today())))
    else:
        lock = snapshot.lock(cell, source).read_text(encoding="utf-8")
    return {
        "lock": hashlib.sha256(lock.encode()).hexdigest(),
        "python": "{} {}".format(interpreter.version, interpreter.path),
        "bridge": suite.hash_contents([bridge / "install.py", bridge / "jax_bridge"]) if cell.bridge else "",
        "constraints": suite.hash_contents([source / suite.SOURCE_BUILT_BY]),
    }


def complete(
    cell: Cell,
    environment: Environment,
    made: Mapping[str, str],
    uv: str,
    source: Path = ROOT,
    call: Call = subprocess.run,
) -> None:
    """Install what isn't in the lock: the bridge if the cell needs it, and the wheel. Then mark the environment.

    Raises:
        SetupFailed: An installation failed.
        suite.BuildFailed: The wheel can't be built.
    """
    wheel = suite.wheel(uv, source)
    name = wheel.parent.name
    if environment.is_made_from(made) and environment.has_wheel(name):
        return
    complete = environment.is_made_from(made)
    environment.remove_mark()
    python = str(environment.python)
    if cell.bridge and not complete:
        install = str(source / "docker" / "bridge" / "install.py")
        _call([sys.executable, install, "--only-bridge", "--python", python, "--jax", cell.jax], call)
    # Name the file without its folder: uv reads a # in a path as the start of a comment.
    command = [uv, "pip", "install", "--quiet", "--python", python, "--no-deps", "--reinstall", "./" + wheel.name]
    _call(command, call, cwd=wheel.parent)
    environment.write_mark({**made, "wheel": name})


def _call(command: list[str], call: Call, cwd: Path | None = None) -> None:
    done = call(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise SetupFailed("{}\nexit status {}: {}".format(done.stdout.strip(), done.returncode, " ".join(command)))


def last_log(environment: Environment) -> str:
    """The output of the last command that tox ran in the environment, if that command failed."""
    logs = sorted(environment.log.glob("*.log"), key=lambda path: path.stat().st_mtime)
    output = logs[-1].read_text(encoding="utf-8", errors="replace") if logs else ""
    return "" if "\nexit_code: 0\n" in output else output


def variables(cell: Cell, environment: Environment) -> dict[str, str]:
    """The environment variables that a cell's run gets, in addition to those that tox passes on."""
    platforms = cell.backend if cell.backend == "cpu" else cell.backend + ",cpu"  # callbacks also need a CPU
    if cell.backend == "cuda" and not cell.floating and Version(cell.jax) < Version("0.3.11"):
        platforms = "gpu,cpu"  # the name of CUDA before JAX 0.3.11
    return {
        "EQX_CELL": cell.name,
        "EQX_EXPECT": json.dumps(cell.expects),
        "EQX_REPORT": str(environment.report),
        "EQX_PROGRESS": str(environment.progress),
        "JAX_PLATFORMS": platforms,
        "JAX_PLATFORM_NAME": cell.platform,  # JAX before 0.2.22 reads this one
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "PYTHONPATH": str(environment.suite / "docker" / "inside"),
        "PYTHONNOUSERSITE": "1",
        "MPLBACKEND": "agg",
        # Each process has its own chips. A killed process leaves libtpu's lock file, which must not block others.
        **({"ALLOW_MULTIPLE_LIBTPU_LOAD": "true"} if cell.backend == "tpu" else {}),
    }

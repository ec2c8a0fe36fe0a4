"""Make the environment of a cell complete. tox makes its folder, and installs the lock into it with uv."""

import datetime
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.rows import Cell
from harness.run.environment import Environment
from harness.source import fingerprint, hashing, snapshot, wheel
from harness.system.interpreters import Interpreter
from harness.system.paths import ROOT

Call = Callable[..., "subprocess.CompletedProcess[str]"]


class SetupFailed(Exception):
    """The environment could not be completed. The message is the output of the failed command."""


def requirements(cell: Cell, source: Path = ROOT) -> list[str]:
    """The requirements that uv installs for tox, one a line. `source` is a snapshot, or the checkout.

    The path of the lock is relative to the project, because an absolute path may hold a space or a `#`. tox runs uv in
    the project.
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
    home = fingerprint.home_of(source)

    def hash_of(*starts: str) -> str:
        return hashing.hash_files(home, hashing.files_below(home, starts))

    if cell.floating:
        lock = "\n".join((*cell.requires, str(today or datetime.date.today())))
    else:
        lock = snapshot.lock(cell, source).read_text(encoding="utf-8")
    return {
        "lock": hashing.digest([("lock", lock.encode())]),
        "python": "{} {}".format(interpreter.version, interpreter.path),
        "bridge": hash_of("docker/bridge/install.py", "docker/bridge/jax_bridge") if cell.bridge else "",
        "constraints": hash_of(fingerprint.BUILDERS),
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
        wheel.BuildFailed: The wheel can't be built.
    """
    python = str(environment.python)
    made_wheel = wheel.obtain(uv, cell.python, python, source)
    name = "/".join(made_wheel.parts[-3:])
    complete = environment.is_made_from(made)
    if complete and environment.has_wheel(name):
        return
    environment.remove_mark()
    if cell.bridge and not complete:
        install = str(fingerprint.home_of(source) / "docker" / "bridge" / "install.py")
        _call([sys.executable, install, "--only-bridge", "--python", python, "--jax", cell.jax], call)
    # Name the file without its folder: uv reads a # in a path as the start of a comment.
    command = [uv, "pip", "install", "--quiet", "--python", python, "--no-deps", "--reinstall", "./" + made_wheel.name]
    _call(command, call, cwd=made_wheel.parent)
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

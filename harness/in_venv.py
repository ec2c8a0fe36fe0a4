"""Run a command in an environment of this checkout. Make the environment first if it is missing or out of date.

    python3 harness/in_venv.py .venv-harness python -m harness doctor
    python3 harness/in_venv.py .venv python -m pytest
    python3 harness/in_venv.py --remove

Each environment has a lock. Commands that use the environment share the lock. A command that makes or removes the
environment needs the lock for itself: it waits until the others have ended. This file must run on old Pythons too.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.system import pipes, signals
from harness.system.isolation import INDEX, isolated, why_not_in
from harness.system.paths import HOME

REQUIREMENTS = "harness/requirements.txt"
LOCK = "harness/requirements.lock"


class Environment(NamedTuple):
    """What an environment is for, and what is installed into it."""

    purpose: str
    oldest: tuple[int, int]  # Python
    installs: tuple[str, ...]


ENVIRONMENTS = {
    ".venv": Environment(
        "with the newest JAX", (3, 8), ("--editable", ".[test,lint,digits,orbax]", "jax[cpu]", "-r", REQUIREMENTS)
    ),
    ".venv-site": Environment("with what builds the site", (3, 10), ("--editable", ".[docs]")),
    ".venv-harness": Environment("with the tools of the matrix", (3, 10), ("--require-hashes", "-r", LOCK)),
}
REMOVED = (*ENVIRONMENTS, ".tox", ".bench")

ANOTHER_PYTHON = "another Python with pip and venv, such as python3.12; for make: PYTHON=python3.12."


class Refused(Exception):
    """The environment can't be made. The message is for the user."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--remove", action="store_true", help="remove all environments, also those of the cells")
    parser.add_argument("environment", nargs="?", choices=sorted(ENVIRONMENTS))
    parser.add_argument("command", nargs=argparse.REMAINDER, help="`python` means the environment's Python")
    options = parser.parse_args(argv)
    if not options.remove and not options.command:
        parser.error("expected --remove, or an environment and a command")
    try:
        if options.remove:
            remove(HOME)
            return 0
        provide(options.environment, HOME)
        start(options.environment, options.command)
    except Refused as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        raise
    except OSError as error:  # for example a full disk, or a read-only checkout
        print("It can't go on: {}. Correct that, and run the same command again.".format(error), file=sys.stderr)
        return 3
    return 0


def start(name: str, command: Sequence[str]) -> None:
    """Replace this process with the command, with the programs of the environment first on the PATH."""
    env = isolated(os.environ)
    env["PATH"] = os.pathsep.join([str(HOME / name / "bin"), env.get("PATH", os.defpath)])
    program = shutil.which(command[0], path=env["PATH"]) or command[0]
    sys.stdout.flush()
    os.execve(program, [program, *command[1:]], env)


def provide(name: str, root: Path, call: Callable[..., int] = signals.call, env: Mapping[str, str] = os.environ) -> int:
    """Make the environment if necessary, and hold its lock together with the other users.

    This process holds the lock until it ends, also after `exec`.

    Returns:
        The handle of the lock.

    Raises:
        Refused: The environment can't be made.
    """
    environment = ENVIRONMENTS[name]
    if why_not_in(root):
        raise Refused(why_not_in(root))
    if sys.version_info < environment.oldest:
        message = "{} needs Python {}.{} or later, and this is Python {}. Choose {}"
        raise Refused(message.format(name, *environment.oldest, sys.version.split()[0], ANOTHER_PYTHON))
    mark = root / name / "ready-{}".format(made_from(environment, root))
    while True:
        lock = locked(root / (name + ".lock"), fcntl.LOCK_SH)
        if mark.exists():
            os.set_inheritable(lock, True)
            return lock
        os.close(lock)  # give the shared lock back first: two processes that keep it would wait for each other
        lock = locked(root / (name + ".lock"), fcntl.LOCK_EX)
        try:
            if not mark.exists():  # another command may have made it meanwhile
                make(name, root, mark, lock, call, env)
        finally:
            os.close(lock)


def make(name: str, root: Path, mark: Path, lock: int, call: Callable[..., int], env: Mapping[str, str]) -> None:
    """Make the environment. The mark is written last: an environment without a mark is incomplete.

    The commands hold the lock too. If this process is killed, other processes wait until the commands have ended.
    """
    environment, folder = ENVIRONMENTS[name], root / name
    print("Making {} {} for Python {}.".format(name, environment.purpose, sys.version.split()[0]), file=sys.stderr)
    if folder.exists():
        shutil.rmtree(str(folder))
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet"]
    commands: list[list[str]] = [
        [sys.executable, "-m", "venv", str(folder)],
        *([] if LOCK in environment.installs else [[*pip, "--upgrade", "pip"]]),  # no lock holds the pip of venv
        [*pip, *environment.installs],
    ]
    for command in commands:
        if call(command, cwd=str(root), env=isolated(env), pass_fds=[lock]) != 0:
            message = (
                "{} could not be made: see above. If the index can't be reached, set {} to another. If not, choose {}"
            )
            raise Refused(message.format(name, INDEX, ANOTHER_PYTHON))
    mark.touch()


def remove(root: Path) -> None:
    """Wait until no command uses an environment, and remove all of them."""
    of_cells = sorted((root / ".tox").glob("*.lock"))  # made by `harness.system.run_lock`
    locks = [locked(path, fcntl.LOCK_EX) for path in [*(root / (name + ".lock") for name in ENVIRONMENTS), *of_cells]]
    for name in REMOVED:
        if (root / name).exists():
            shutil.rmtree(str(root / name))
    for lock in locks:
        os.close(lock)


def locked(path: Path, how: int) -> int:
    """Take a lock, shared (LOCK_SH) or exclusive (LOCK_EX). The kernel releases it when the process ends."""
    handle = os.open(str(path), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        print("Waiting for another command that uses or makes an environment: {}".format(path), file=sys.stderr)
        fcntl.flock(handle, how)
    return handle


def made_from(environment: Environment, root: Path) -> str:
    """Hash what an environment is made from: the interpreter, the project's dependencies and the tools."""
    project = (root / "pyproject.toml").read_text(encoding="utf-8").partition("\n[tool.")[0]
    tools = [(root / name).read_text(encoding="utf-8") for name in environment.installs if name in (REQUIREMENTS, LOCK)]
    parts = (sys.version, sys.base_prefix, environment.installs, project, tools)
    return hashlib.sha256(repr(parts).encode("utf-8")).hexdigest()[:12]


if __name__ == "__main__":
    signals.as_ctrl_c()
    sys.exit(pipes.quietly(main))

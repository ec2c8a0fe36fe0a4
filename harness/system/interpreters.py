"""Find the Pythons of this machine: on the PATH, from pyenv, or from uv. uv may also download one.

Each candidate runs a short program that reports its version. The name alone says little: a `python3.9` on the PATH may
be a shim of pyenv that refuses to run, or a link in an environment to an interpreter somewhere else.
"""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

Run = Callable[..., "subprocess.CompletedProcess[str]"]

# The candidate runs this program. It may be as old as Python 3.7. In an environment, the program reports the base
# interpreter, because that one stays when the environment is removed.
PROBE = """
import json, os, sys
base = getattr(sys, "_base_executable", None) or sys.executable
if sys.prefix != sys.base_prefix and base == sys.executable:
    base = os.path.join(sys.base_prefix, "bin", "python{}.{}".format(*sys.version_info))
print(json.dumps([list(sys.version_info[:3]), sys.version_info[3], base]))
"""
ASK_S = 30
FETCH_S = 600


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs."""

    path: Path  # of the base interpreter, never in an environment
    version: str  # "3.9.18"
    source: str  # "the PATH", "pyenv", or "uv"

    @property
    def folder(self) -> Path:
        return self.path.parent


@dataclass(frozen=True)
class Here:
    """This machine, or a fake one in a test."""

    env: Mapping[str, str]
    run: Run = subprocess.run
    uv: str | None = None

    def find(self, version: str) -> Interpreter | None:
        """The first Python of this machine that runs and has the version, such as "3.9"."""
        for source, path in self.candidates(version):
            found = self.ask(path, source)
            if found is not None and found.version.split(".")[:2] == version.split("."):
                return found
        return None

    def fetch(self, version: str) -> Interpreter | None:
        """Let uv download Python `version`. Returns `None` if that fails, or if the user's settings forbid it."""
        if self.uv is None or self.env.get("UV_PYTHON_DOWNLOADS") in ("never", "false") or self.env.get("UV_OFFLINE"):
            return None
        if self.call([self.uv, "python", "install", "--no-bin", version], FETCH_S) is None:
            return None
        return self.find(version)

    def candidates(self, version: str) -> Iterator[tuple[str, str]]:
        """The sources and paths where Python `version` may be, best first."""
        name = "python" + version
        for folder in self.env.get("PATH", "").split(os.pathsep):
            path = shutil.which(name, path=folder) if folder else None
            if path is not None:
                yield "the PATH", path
        for home in self.pyenv_versions(version):
            yield "pyenv", str(home / "bin" / name)
        if self.uv is not None:
            found = self.call([self.uv, "python", "find", "--no-project", "--no-python-downloads", version], ASK_S)
            if found is not None:
                yield "uv", found.strip()

    def pyenv_versions(self, version: str) -> list[Path]:
        """The folders of pyenv's Pythons of that version, newest first. pyenv itself may be missing on the PATH."""
        root = self.env.get("PYENV_ROOT") or os.path.join(self.env.get("HOME", ""), ".pyenv")
        form = re.compile(re.escape(version) + r"\.(\d+)")
        found = [
            (int(match[1]), path) for path in Path(root, "versions").glob("*") if (match := form.fullmatch(path.name))
        ]
        return [path for _, path in sorted(found, reverse=True)]

    def ask(self, path: str, source: str) -> Interpreter | None:
        """Ask the Python at `path` for its version. Returns `None` if it doesn't run, or isn't a final release."""
        said = self.call([path, "-I", "-c", PROBE], ASK_S)
        try:
            version, level, base = json.loads(said or "")
        except (TypeError, ValueError):
            return None
        return Interpreter(Path(base), ".".join(map(str, version)), source) if level == "final" else None

    def call(self, command: list[str], timeout_s: float) -> str | None:
        """The output of a command. `None` if it fails."""
        try:
            done = self.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None


def uv_path(env: Mapping[str, str] = os.environ) -> str | None:
    """The path of uv: next to this Python, where harness/requirements.txt installs it, or else on the PATH."""
    beside = shutil.which("uv", path=str(Path(sys.executable).parent))
    return beside or shutil.which("uv", path=env.get("PATH"))


@functools.cache
def find(version: str) -> Interpreter | None:
    """The Python `version` of this machine."""
    return Here(os.environ, uv=uv_path()).find(version)


@functools.cache
def obtain(version: str) -> Interpreter | None:
    """The Python `version` of this machine. If there is none, uv downloads it if it can."""
    return find(version) or Here(os.environ, uv=uv_path()).fetch(version)


def missing(version: str, env: Mapping[str, str] = os.environ) -> str:
    """The message for a Python that isn't here, with how to install it."""
    setting = next((name for name in ("UV_OFFLINE", "UV_PYTHON_DOWNLOADS") if env.get(name)), None)
    message = (
        "There is no Python {0} here: not on the PATH, not in pyenv, not in uv, and uv {1}. "
        "Install one: `pyenv install {0}`, or `uv python install {0}`."
    )
    return message.format(
        version, "may not download it ({}={})".format(setting, env[setting]) if setting else "could not download it"
    )

"""Find the Pythons of this machine: on the PATH, from uv, or from pyenv. uv may also download one."""

import functools
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from python_discovery import PythonInfo, get_interpreter

from harness.system.uv import uv_path

FETCH_S = 600


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs."""

    path: Path  # of the base interpreter, never in an environment
    version: str  # "3.9.18"

    @property
    def folder(self) -> Path:
        return self.path.parent


def look(version: str, env: Mapping[str, str]) -> Interpreter | None:
    """The first Python that runs and has the version, such as "3.9"."""
    for more in ([], pyenv_versions(version, env)):
        found = get_interpreter("cpython" + version, more, env=env, predicate=is_release)
        if found is not None:
            path = Path(found.system_executable or found.executable)
            return Interpreter(path, "{}.{}.{}".format(*found.version_info))
    return None


def is_release(found: PythonInfo) -> bool:
    return found.version_info.releaselevel == "final" and not found.free_threaded


def pyenv_versions(version: str, env: Mapping[str, str]) -> list[str]:
    """The paths of pyenv's Pythons of that version, newest first. Only those that are active are on the PATH."""
    root = env.get("PYENV_ROOT") or os.path.join(env.get("HOME", ""), ".pyenv")
    form = re.compile(re.escape(version) + r"\.(\d+)")
    found = [(int(match[1]), path) for path in Path(root, "versions").glob("*") if (match := form.fullmatch(path.name))]
    return [str(path / "bin" / ("python" + version)) for _, path in sorted(found, reverse=True)]


def fetch(version: str, env: Mapping[str, str], uv: str | None) -> Interpreter | None:
    """Let uv download Python `version`. Returns `None` if that fails, or if the user's settings forbid it."""
    if uv is None or env.get("UV_PYTHON_DOWNLOADS") in ("never", "false") or env.get("UV_OFFLINE"):
        return None
    try:
        command = [uv, "python", "install", "--no-bin", version]
        subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=FETCH_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return look(version, env)


@functools.cache
def find(version: str) -> Interpreter | None:
    """The Python `version` of this machine."""
    return look(version, os.environ)


@functools.cache
def obtain(version: str) -> Interpreter | None:
    """The Python `version` of this machine. If there is none, uv downloads it if it can."""
    return find(version) or fetch(version, os.environ, uv_path())


def missing(version: str, env: Mapping[str, str] = os.environ) -> str:
    """The message for a Python that isn't here, with how to install it."""
    setting = next((name for name in ("UV_OFFLINE", "UV_PYTHON_DOWNLOADS") if env.get(name)), None)
    why = "may not download it ({}={})".format(setting, env[setting]) if setting else "could not download it"
    message = (
        "There is no Python {0} here: not on the PATH, not in pyenv, not in uv, and uv {1}. "
        "Install one: `pyenv install {0}`, or `uv python install {0}`."
    )
    return message.format(version, why)

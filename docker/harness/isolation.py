"""What of the caller's settings reaches the tools that install packages: where packages come from, and nothing else.

A cell is what docker/matrix.toml says. Variables and configuration files of uv, pip and Python would change it: another
date, another index, another folder. So all of them are taken away before anything is installed.

One way is open, to every tool and to `make doctor`: EQX_INDEX_URL names a package index in the place of PyPI. Proxies
and certificates are named as everywhere else: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE.

Old Pythons read this file, too.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

INDEX = "EQX_INDEX_URL"
TAKEN_AWAY = ("PIP_", "PYTHON", "UV_", "VIRTUALENV_")
# These say where uv keeps its files, and whether it may download. What it installs from a lock is the same.
KEPT = ("UV_CACHE_DIR", "UV_OFFLINE", "UV_PYTHON_DOWNLOADS", "UV_PYTHON_INSTALL_DIR")


# What the tests of a cell get of the caller's variables, beside those that the cell sets; tox.ini names those about
# devices. No socket of an agent, no proxy with a password and no file of passwords is among them: the packages of a
# cell run their own code.
REACH_TESTS = (
    *("FORCE_COLOR", "HOME", "LANG", "LANGUAGE", "LC_*", "NIX_LD*", "NO_COLOR", "TERM", "TERMINFO", "TMPDIR", "TZ"),
)
# What a machine as it was found may need beside: where its libraries are, and how they are to run.
REACH_FOUND = (
    *("CONDA_PREFIX", "CUDA_*", "EQX_*", "LD_LIBRARY_PATH", "LIBTPU_*", "LOGNAME", "NCCL_*", "NVIDIA_*", "PATH"),
    *("PYTHONHOME", "PYTHONPATH", "PYTHONUSERBASE", "TPU_*", "USER", "VIRTUAL_ENV", "XDG_CACHE_HOME", "XLA_*"),
)


def chosen(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """Those of the names that one of the patterns fits."""
    patterns = list(patterns)
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def isolated(env: Mapping[str, str]) -> dict[str, str]:
    """The environment variables for a process that installs packages, or that runs what was installed."""
    kept = {name: value for name, value in env.items() if name in KEPT or not name.startswith(TAKEN_AWAY)}
    kept.update({"UV_NO_CONFIG": "1", "PIP_CONFIG_FILE": os.devnull})
    if env.get(INDEX):
        kept.update({"UV_DEFAULT_INDEX": env[INDEX], "PIP_INDEX_URL": env[INDEX]})
    if env.get("SSL_CERT_FILE"):
        kept["PIP_CERT"] = env["SSL_CERT_FILE"]  # pip has certificates of its own, unless it is told otherwise
    if "UV_CACHE_DIR" not in kept:
        cache = os.path.join(kept.get("XDG_CACHE_HOME") or os.path.join(kept.get("HOME", ""), ".cache"), "uv")
        if not can_be_written(cache):  # as in the home of a container's user
            kept["UV_CACHE_DIR"] = str(ROOT / ".tox" / "uv-cache")
    return kept


def can_be_written(folder: str) -> bool:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def why_not_at(root: Path = ROOT) -> str:
    """Why no environment can be at this place; nothing: it can."""
    if os.pathsep not in str(root):
        return ""
    return "{} has a `{}` in it, by which PATH and others are split. Move the checkout.".format(root, os.pathsep)


def isolate() -> None:
    """Do so for this process, and for all that it starts."""
    kept = isolated(os.environ)
    for name in set(os.environ) - set(kept):
        del os.environ[name]
    os.environ.update(kept)

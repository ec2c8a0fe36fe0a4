"""Keep the caller's settings away from the tools that install packages.

matrix.toml alone decides what a cell installs. A variable or a configuration file of uv, pip or Python could
change that: it could name another date, another index or another folder. So this module removes them all before
anything is installed.

Some settings stay, because they only say how to reach the packages. EQX_INDEX_URL names a package index to use instead
of PyPI. The usual variables name proxies and certificates: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE.

This file must run on old Pythons too.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.system.paths import ROOT, WORK

INDEX = "EQX_INDEX_URL"
REMOVED_PREFIXES = ("PIP_", "PYTHON", "UV_", "VIRTUALENV_")
# These say where uv keeps its files, and whether it may download. They don't change what it installs from a lock.
KEPT = ("UV_CACHE_DIR", "UV_OFFLINE", "UV_PYTHON_DOWNLOADS", "UV_PYTHON_INSTALL_DIR")

# The caller's variables that the tests of a cell see. tox.ini adds those about devices, and the cell sets some itself.
# The packages of a cell run their own code. So this list leaves out the socket of an SSH agent, proxies (their URLs may
# hold passwords) and files of passwords.
REACH_TESTS = (
    *("FORCE_COLOR", "HOME", "LANG", "LANGUAGE", "LC_*", "NIX_LD*", "NO_COLOR", "TERM", "TERMINFO", "TMPDIR", "TZ"),
)
# A run in the Python that is already on the machine (see `harness.run.installed_jax`) sees these too: they say where
# its libraries are, and how to run them.
REACH_FOUND = (
    *("CONDA_PREFIX", "CUDA_*", "EQX_*", "LD_LIBRARY_PATH", "LIBTPU_*", "LOGNAME", "NCCL_*", "NVIDIA_*", "PATH"),
    *("PYTHONHOME", "PYTHONPATH", "PYTHONUSERBASE", "TPU_*", "USER", "VIRTUAL_ENV", "XDG_CACHE_HOME", "XLA_*"),
)


def chosen(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """The names that match at least one of the patterns."""
    patterns = list(patterns)
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def isolated(env: Mapping[str, str]) -> dict[str, str]:
    """The environment variables for a process that installs packages, or that runs installed packages."""
    kept = {name: value for name, value in env.items() if name in KEPT or not name.startswith(REMOVED_PREFIXES)}
    kept.update({"UV_NO_CONFIG": "1", "PIP_CONFIG_FILE": os.devnull})
    if env.get(INDEX):
        kept.update({"UV_DEFAULT_INDEX": env[INDEX], "PIP_INDEX_URL": env[INDEX]})
    if env.get("SSL_CERT_FILE"):
        kept["PIP_CERT"] = env["SSL_CERT_FILE"]  # by default pip uses its own certificates
    if "UV_CACHE_DIR" not in kept:
        cache = os.path.join(kept.get("XDG_CACHE_HOME") or os.path.join(kept.get("HOME", ""), ".cache"), "uv")
        with contextlib.suppress(OSError):
            os.makedirs(cache, exist_ok=True)
        if not (os.path.isdir(cache) and os.access(cache, os.W_OK)):  # for example in a container without a home
            kept["UV_CACHE_DIR"] = str(WORK / "uv-cache")
    return kept


def why_not_in(root: Path = ROOT) -> str:
    """Why no environment can be made in this folder, or an empty string if one can."""
    if os.pathsep not in str(root):
        return ""
    return "{} contains `{}`, which separates the entries of PATH. Move the checkout.".format(root, os.pathsep)


def isolate() -> None:
    """Isolate this process, and all processes that it starts."""
    kept = isolated(os.environ)
    os.environ.clear()
    os.environ.update(kept)

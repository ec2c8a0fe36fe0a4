"""Where the speed was measured: versions, processor, load."""

import importlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

PACKAGES = ("jax", "jaxlib", "numpy", "optax", "flax")


def versions() -> dict[str, str]:
    """The versions of Python and the packages, and the file of `equinox`: two libraries have that name."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    equinox = importlib.import_module("equinox")
    return {**found, "equinox": equinox.__version__, "equinox_file": str(equinox.__file__)}


def commit() -> str:
    """The measured commit, with a plus if files have changed since. Empty if git can't tell."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def describe() -> dict[str, Any]:
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def load() -> float | None:
    """The load average of the last minute: how many processes wanted a core."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None

"""Where the harness and the tested project are. This file must run on old Pythons too."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PROJECT = "EQX_PROJECT"  # the variable that names the root of the tested project
MATRIX_NAME = "matrix.toml"

HOME = Path(__file__).resolve().parents[2]  # where the files of the harness are: this package, and those below
DOCKER = HOME / "docker"
BRIDGE = DOCKER / "bridge"
INSIDE = DOCKER / "inside"
BUILD_CONSTRAINTS = DOCKER / "build-constraints.txt"
TOX_INI = HOME / "tox.ini"


def find_root(environ: Mapping[str, str] = os.environ, folder: Path | None = None) -> Path:
    """The root of the tested project: the folder that `--project` names, or else the nearest one with a matrix.toml.

    The search begins in `folder`, by default the current one. If no folder has a matrix.toml, the root is `folder`.
    """
    if environ.get(PROJECT):
        return Path(environ[PROJECT]).resolve()
    folder = (folder or Path.cwd()).resolve()
    return next((one for one in (folder, *folder.parents) if (one / MATRIX_NAME).is_file()), folder)


ROOT = find_root()
MATRIX = ROOT / MATRIX_NAME
LOCKS = ROOT / "locks"

# Generated, and never committed.
WORK = ROOT / ".tox"
RESULTS = Path(os.environ.get("EQX_RESULTS") or str(ROOT / "results")).resolve()

"""The image of a cell: its Dockerfile, its build arguments, and the paths inside it."""

import datetime
import functools
import json
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from harness.containers.bases import base_images, pinned
from harness.containers.docker_errors import DockerError
from harness.rows import Cell, project
from harness.run import environment, set_up
from harness.run.environment import Environment
from harness.source import fingerprint, wheel
from harness.system.paths import ROOT

# The packages that come from JAX's own index, if the cell has one.
JAX = r"(jax|jaxlib|libtpu|jax-cuda\d+-[\w-]+)(?![\w-])"

# The paths in an image. The results are in a folder of their own, to be copied out. All else is outside of it.
INSIDE = Environment(Path("/results"), suite=Path("/suite"), plugins=Path("/plugins"))


def tag(cell: Cell) -> str:
    """The name of the image. Docker refuses capitals in it, and the package may have some."""
    name = re.sub(r"[^a-z0-9]+", "-", project().package.lower() + "-cell").strip("-")
    return "{}:{}".format(name, cell.name)


def dockerfile(cell: Cell, source: Path = ROOT) -> Path:
    return fingerprint.home_of(source) / "docker" / (cell.backend + ".Dockerfile")


def build_args(
    cell: Cell, revision: str = "", today: datetime.date | None = None, source: Path = ROOT
) -> dict[str, str]:
    """The build arguments of the cell's Dockerfile. The Dockerfile has defaults for all of them: the newest cell's.

    Args:
        cell: The cell.
        revision: The revision of the source, for a label.
        today: The day. A floating cell is installed again each day.
        source: A snapshot of the source, or the checkout.

    Raises:
        DockerError: The name of a file or folder has a space.
    """
    base, toolkit = map(pinned, base_images(cell))
    tested = project()
    first = ""
    if not cell.floating:
        # A lock is complete, so --no-deps is right. Without it, pip 23.0 fails to find `etils[epy]` in the lock.
        install = "--no-deps " + " ".join(set_up.requirements(cell)).replace("-r locks/", "-r /locks/")
    elif cell.index_url:
        # With two indexes, pip takes the newer release of either. So JAX is installed first, from its own index alone.
        own = filter(re.compile(JAX).match, cell.requires)
        pages = ["--find-links={}".format(page) for page in cell.find_links]
        first = " ".join(["--no-deps", *["--pre"] * cell.prerelease, "--index-url", cell.index_url, *pages, *own])
        install = " ".join(cell.requires)
    else:
        install = " ".join(set_up.requirements(cell))
    args = {
        "CELL": cell.name,
        "BASE": base,
        "INSTALL_FIRST": first,
        "INSTALL": install,  # the lock, or the requirements of a floating cell
        "AS_OF": str(cell.as_of or today or datetime.date.today()),
        "BRIDGE": cell.jax if cell.bridge else "",
        "EXPECT": json.dumps(cell.expects),
        "LOCK": fingerprint.lock_hash(cell, source),
        "REVISION": revision,
        "HARNESS": os.path.relpath(fingerprint.home_of(source), source),
        "BUILT_FROM": existing(tested.built_from, source),
        "BUILD_CONSTRAINTS": tested.build_constraints,
        "SETUPTOOLS_SCM_PRETEND_VERSION": "",
        **version_of_tag(),
        "SUITE": existing(tested.suite, source),
    }
    if cell.backend == "cuda":
        args["PLATFORMS"] = environment.variables(cell, INSIDE)["JAX_PLATFORMS"]
        args["TOOLKIT"] = toolkit
    return args


@functools.cache
def version_of_tag() -> dict[str, str]:
    """The same as `wheel.version_of_tag`. git is asked once, and not for each cell."""
    return wheel.version_of_tag()


def existing(parts: Iterable[str], source: Path) -> str:
    """Those of the files and folders that there are. The Dockerfile splits them at spaces.

    Raises:
        DockerError: The name of one has a space.
    """
    found = [part for part in parts if (source / part).exists()]
    for part in found:
        if len(part.split()) > 1:
            message = "no image can hold `{}`, because its name has a space; rename it, or add `--where host`"
            raise DockerError(message.format(part))
    return " ".join(found)


def revision(root: Path = ROOT) -> str:
    """The commit, with `-dirty` if files have changed since. It is empty without git or without a repository."""
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""

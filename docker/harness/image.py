"""The image of a cell: the Dockerfile that makes it, the build arguments for it, and where things are inside."""

import datetime
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from harness import environment, fingerprint
from harness.bases import of, pinned
from harness.environment import Environment
from harness.places import ROOT
from harness.rows import Cell

# What comes from JAX's own index, where a cell has one.
JAX = r"(jax|jaxlib|libtpu|jax-cuda\d+-[\w-]+)(?![\w-])"

Call = Callable[..., "subprocess.CompletedProcess[str]"]


class InImage(Environment):
    """What a run leaves is in a folder of its own, from which it is copied out; the suite is beside it."""

    @property
    def suite(self) -> Path:
        return Path("/suite")


INSIDE = InImage(Path("/results"))


def tag(cell: Cell) -> str:
    return "equinox-cell:" + cell.name


def dockerfile(cell: Cell, source: Path = ROOT) -> Path:
    return source / "docker" / (cell.backend + ".Dockerfile")


def build_args(
    cell: Cell, revision: str = "", today: datetime.date | None = None, source: Path = ROOT
) -> dict[str, str]:
    """What the Dockerfile is told of the cell. Each has a default there, from the newest cell.

    Args: revision: of the source, for a label.  today: what floats is installed again each day.  source: a snapshot, or
        the checkout.
    """
    base, toolkit = bases(cell)
    first = ""
    if not cell.floating:  # --no-deps: a lock is complete, and pip 23.0 finds no `etils[epy]` in it
        install = "--no-deps " + " ".join(environment.requirements(cell)).replace("docker/locks", "/locks")
    elif cell.index_url:  # pip would take what is newer from whichever index has it, and so a `jax` that isn't JAX's
        own = filter(re.compile(JAX).match, cell.requires)
        pages = ["--find-links={}".format(page) for page in cell.find_links]
        first = " ".join(["--no-deps", *["--pre"] * cell.prerelease, "--index-url", cell.index_url, *pages, *own])
        install = " ".join(cell.requires)
    else:
        install = " ".join(environment.requirements(cell))
    args = {
        "CELL": cell.name,
        "BASE": base,
        "INSTALL_FIRST": first,
        "INSTALL": install,  # as on the host; a floating cell has no lock, but its requirements here
        "AS_OF": str(cell.as_of or today or datetime.date.today()),
        "BRIDGE": cell.jax if cell.bridge else "",
        "EXPECT": json.dumps(cell.expects),
        "LOCK": fingerprint.lock_hash(cell, source),
        "REVISION": revision,
    }
    if cell.backend == "cuda":
        args["PLATFORMS"] = environment.variables(cell, INSIDE)["JAX_PLATFORMS"]
        args["TOOLKIT"] = toolkit
    return args


def bases(cell: Cell) -> tuple[str, str]:
    """What the image begins with, and what CUDA is taken from; see harness.bases."""
    base, toolkit = of(cell)
    return pinned(base), pinned(toolkit)


def revision(call: Call = subprocess.run, root: Path = ROOT) -> str:
    """The commit, `-dirty` if there is more than it; nothing where there is no git, or no repository."""
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = call(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

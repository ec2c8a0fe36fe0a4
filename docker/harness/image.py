"""The image of a cell: the Dockerfile that makes it, the build arguments for it, and where things are inside."""

import datetime
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from harness import environment, fingerprint
from harness.bases import of, pinned
from harness.environment import Environment
from harness.places import LOCKS, ROOT
from harness.rows import Cell

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
    install = " ".join(environment.requirements(cell)).replace(str(LOCKS), "/locks")
    if not cell.floating:
        install = "--no-deps " + install  # a lock is complete, and pip 23.0 finds no `etils[epy]` in it
    args = {
        "CELL": cell.name,
        "BASE": base,
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

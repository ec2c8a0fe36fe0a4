"""The environment of a cell: the paths in it, its mark, and the variables of a run in it.

uv believes that a package is installed as soon as a part of it is there. So an environment looks complete even if
Ctrl-C, a kill or a full disk interrupted its installation. Therefore each environment has a mark: a file that is
written last and removed first. The mark names what the environment was made from. If the mark is missing or different,
the environment is removed and made again.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.version import Version

from harness.rows import Cell, project
from harness.system.files import write_whole


class Environment:
    """The paths in a cell's environment, and its mark."""

    def __init__(self, folder: Path, suite: Path | None = None, plugins: Path | None = None) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.suite = suite or folder / "suite"
        self.plugins = plugins or folder / "plugins"  # those of the harness
        self.report = folder / "report.json"
        self.progress = folder / "progress.json"
        self.junit = folder / "junit.xml"
        self.log = folder / "log"  # tox writes the output of each command here
        self.mark = folder / "whole.json"

    def is_made_from(self, made_from: Mapping[str, str]) -> bool:
        """Whether the environment is complete and was made from `made_from`. The wheel is not compared."""
        mark = self.read_mark()
        return mark is not None and {**mark, "wheel": ""} == {**made_from, "wheel": ""}

    def has_wheel(self, wheel: str) -> bool:
        return (self.read_mark() or {}).get("wheel") == wheel

    def read_mark(self) -> dict[str, str] | None:
        try:
            mark: dict[str, str] = json.loads(self.mark.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return mark

    def remove_mark(self) -> None:
        self.mark.unlink(missing_ok=True)

    def write_mark(self, made_from: Mapping[str, str]) -> None:
        """Mark the environment as complete."""
        write_whole(self.mark, json.dumps(made_from, indent=2) + "\n")

    def remove_reports(self) -> None:
        """Remove what an earlier run of the suite left."""
        for path in (self.report, self.progress, self.junit):
            path.unlink(missing_ok=True)


# The plugins of the harness, in docker/inside, and pytest-xdist.
PLUGINS = ("-p", "proof_of_place", "-p", "cell_report", "-p", "workers", "-n", "auto")


def pytest_arguments(environment: Environment, part: Sequence[str] = ()) -> list[str]:
    """pytest's arguments that run the suite in an environment, or the `part` that other arguments choose.

    Without `--rootdir`, pytest looks for its settings above the suite too, and may find those of the project.
    """
    places = ("--rootdir={}".format(environment.suite), "--junitxml={}".format(environment.junit))
    return [*PLUGINS, *places, *project().pytest(part)]


def variables(cell: Cell, environment: Environment) -> dict[str, str]:
    """The environment variables that a cell's run gets, in addition to those that tox passes on."""
    platforms = cell.backend if cell.backend == "cpu" else cell.backend + ",cpu"  # callbacks also need a CPU
    if cell.backend == "cuda" and not cell.floating and Version(cell.jax) < Version("0.3.11"):
        platforms = "gpu,cpu"  # the name of CUDA before JAX 0.3.11
    return {
        "EQX_CELL": cell.name,
        "EQX_EXPECT": json.dumps(cell.expects),
        "EQX_REPORT": str(environment.report),
        "EQX_PROGRESS": str(environment.progress),
        "JAX_PLATFORMS": platforms,
        "JAX_PLATFORM_NAME": cell.platform,  # JAX before 0.2.22 reads this one
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "PYTHONPATH": str(environment.plugins),
        "PYTHONNOUSERSITE": "1",
        "MPLBACKEND": "agg",
        # Each process has its own chips. A killed process leaves libtpu's lock file, which must not block others.
        **({"ALLOW_MULTIPLE_LIBTPU_LOAD": "true"} if cell.backend == "tpu" else {}),
    }

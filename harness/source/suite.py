"""Copy the suite to a folder outside of the project, and the pytest plugins of the harness to another.

From the folder of the copy, no test can import the source of the project instead of the wheel.
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.rows import project
from harness.source import hashing
from harness.system.paths import HOME, ROOT

PLUGINS = "docker/inside"  # the pytest plugins, below the home of the harness


def files(root: Path = ROOT) -> Iterator[Path]:
    """The files of the suite."""
    return hashing.files_below(root, project().suite, project().left_out)


def copy(folder: Path, root: Path = ROOT) -> None:
    """Replace `folder` with a copy of the suite."""
    copy_files(files(root), root, folder)


def copy_plugins(folder: Path, home: Path = HOME) -> None:
    """Replace `folder` with a copy of the plugins."""
    plugins = home / PLUGINS
    copy_files(hashing.files_below(plugins, ["."]), plugins, folder)


def copy_files(files: Iterable[Path], root: Path, folder: Path) -> None:
    """Replace `folder` with a copy of the files, which are below `root`."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in files:
        target = folder / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)

"""Copy the suite to a folder outside of the checkout.

From the folder of the copy, no test can import the checkout instead of the wheel.
"""

import shutil
from pathlib import Path

from harness.system.paths import ROOT

# The files of the library, and the files of the suite.
LIBRARY = ("equinox", "pyproject.toml", "README.md", "LICENSE")
SUITE = ("tests", "examples", "docs", "docker/inside", "pyproject.toml", "README.md")
NOT_COPIED = ("__pycache__", "harness", "lint", "typing")


def copy(folder: Path, root: Path = ROOT) -> None:
    """Replace `folder` with a copy of the suite."""
    shutil.rmtree(str(folder), ignore_errors=True)
    for part in SUITE:
        source, target = root / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(str(source), str(target), ignore=shutil.ignore_patterns(*NOT_COPIED))
        else:
            shutil.copy2(str(source), str(target))

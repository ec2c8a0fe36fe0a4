"""Collect the results that GitHub jobs uploaded as artifacts. A job may only give results of cells that it ran."""

import re
from collections.abc import Callable
from pathlib import Path

from harness.results import result as results
from harness.system import safe_text
from harness.system.paths import RESULTS

BACKENDS = {"gpu": "cuda", "tpu": "tpu"}  # for jobs that run all cells of a backend: the artifact's name, the backend
SUFFIX = ".json"


def collect(folder: Path, into: Path = RESULTS, say: Callable[[str], None] = safe_text.say) -> None:
    """Copy the results from the artifacts in `folder` to `into`.

    The artifact `results-CELL` holds the result of that cell. The artifact `results-gpu` holds the results of all
    GPU cells. A name may have more before that. A file is skipped if it is about another cell, or if it isn't a valid
    result.

    Raises:
        OSError: A result can't be written.
    """
    for path in sorted(folder.glob("*results-*/*" + SUFFIX)):
        owner, cell = path.parent.name.rpartition("results-")[2], path.name.removesuffix(SUFFIX)
        if not owns(owner, cell) or path.is_symlink():
            say("{} is skipped: its job doesn't run that cell, or it is a link.".format(path))
            continue
        try:
            result = results.read(cell, path.parent)
        except results.ResultError as error:
            say("{} It is skipped.".format(error))
            continue
        if result is not None:
            results.write(result, into)


def owns(owner: str, cell: str) -> bool:
    """Whether the artifact `results-<owner>` may hold the result of the cell."""
    backend = BACKENDS.get(owner)
    return cell == owner or backend is not None and bool(re.fullmatch(r".+-{}(-found)?".format(backend), cell))

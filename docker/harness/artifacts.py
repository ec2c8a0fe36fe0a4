"""Results that the jobs of GitHub left as artifacts: from each only those of the cells that it ran."""

import re
from collections.abc import Callable
from pathlib import Path

from harness import results, shown
from harness.places import RESULTS

BACKENDS = {"gpu": "cuda", "tpu": "tpu"}  # of the jobs that run all cells of a device
SUFFIX = ".json"


def collect(folder: Path, into: Path = RESULTS, say: Callable[[str], None] = shown.say) -> None:
    """Take over the results in `folder`: an artifact `results-CELL` has that of the cell, `results-gpu` those on GPUs.

    What a job says of other cells than its own is left out, and so is what is no result.

    Raises:
        OSError: A result can't be written.
    """
    for path in sorted(folder.glob("results-*/*" + SUFFIX)):
        owner, cell = path.parent.name.partition("-")[2], path.name.removesuffix(SUFFIX)
        if not owns(owner, cell) or path.is_symlink():
            say("{} is left out: it is not a result of its job.".format(path))
            continue
        try:
            result = results.read(cell, path.parent)
        except results.ResultError as error:
            say("{} It is left out.".format(error))
            continue
        if result is not None:
            results.write(result, into)


def owns(owner: str, cell: str) -> bool:
    backend = BACKENDS.get(owner)
    return cell == owner or backend is not None and bool(re.fullmatch(r".+-{}(-found)?".format(backend), cell))

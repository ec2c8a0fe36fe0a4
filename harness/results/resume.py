"""Decide which cells to run. A result is valid while its lock, image and source are unchanged."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from harness.results.result import Outcome, Result, as_of_now, last, write
from harness.rows import Cell
from harness.system.paths import RESULTS

RAN = (Outcome.PASSED, Outcome.FAILED)


class Rerun(str, Enum):
    """Which cells with a valid result the user wants to run again: `--rerun failed`, `--rerun all`, or none."""

    NOTHING = ""
    FAILED = "failed"
    ALL = "all"


class Step(Enum):
    """What to do with a cell."""

    RUN = "run"
    KEEP = "keep"  # its last result is valid, and counts
    SKIP = "skip"  # the user didn't ask for it, so it doesn't count


@dataclass(frozen=True)
class Decision:
    """What to do with a cell, and its result so far."""

    cell: Cell
    step: Step
    known: Result  # `last`, or stale if something changed since
    last: Result | None = None

    @property
    def last_s(self) -> float | None:
        """How long its last run took, in seconds; `None` if it didn't run to the end."""
        return self.last.seconds.get("total") if self.last is not None and self.last.outcome in RAN else None


def decide(cell: Cell, last: Result | None, hashes: Mapping[str, str], rerun: Rerun) -> Decision:
    """Decide what to do with a cell, from its last result.

    A failure is kept like a pass. Without a changed hash the cell would most likely fail again, and a fix changes a
    hash. If a failure has another cause, such as a flaky test or a crowded machine, the user runs the cell again by
    `--rerun failed`. The last lines of a run say this. A cell that never reached its tests (unavailable, not run,
    unsupported) depends on the network, the hardware and the interpreters of this machine, so it is tried again.

    `--rerun failed` runs only the cells that failed or were unavailable, even if nothing changed. To run cells that
    never ran, leave `--rerun` out.
    """
    if last is None:
        known = Result(cell=cell.name, outcome=Outcome.NOT_RUN, reason="it hasn't been run yet")
        return Decision(cell, Step.SKIP if rerun is Rerun.FAILED else Step.RUN, known)

    known = as_of_now(last, hashes)
    if rerun is Rerun.ALL:
        step = Step.RUN
    elif rerun is Rerun.FAILED:
        again = last.outcome in (Outcome.FAILED, Outcome.UNAVAILABLE)
        step = Step.RUN if again else Step.KEEP if known.outcome is Outcome.PASSED else Step.SKIP
    else:
        step = Step.KEEP if known.outcome in RAN else Step.RUN
    return Decision(cell, step, known, last)


def displaces(new: Result, last: Result | None) -> bool:
    """Whether a new result replaces the last result.

    A missing device or interpreter says something about this machine only. So it doesn't replace the result of a run,
    perhaps on another machine. That result stays, and becomes stale when the source changes.
    """
    about_this_machine = new.outcome in (Outcome.NOT_RUN, Outcome.UNSUPPORTED)
    return not (about_this_machine and last is not None and last.outcome in RAN)


def keep(result: Result, folder: Path = RESULTS) -> None:
    """Write the result, unless it says less than the last one. See `displaces`.

    Raises:
        OSError: The result can't be written.
    """
    if displaces(result, last(result.cell, folder)):
        write(result, folder)

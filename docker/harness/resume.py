"""Which cells have to be run: what has been shown of the same lock, image and source isn't shown again."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from harness.results import Outcome, Result, as_of_now
from harness.rows import Cell

RAN = (Outcome.PASSED, Outcome.FAILED)


class Rerun(str, Enum):
    """What the user wants run again: `RERUN=failed`, `RERUN=all`, or nothing that needn't be."""

    NOTHING = ""
    FAILED = "failed"
    ALL = "all"


class Step(Enum):
    """What is to be done with a cell."""

    RUN = "run"
    KEEP = "keep"  # its result holds, and counts
    LEAVE = "leave"  # it wasn't asked for, and doesn't count


@dataclass(frozen=True)
class Decision:
    """What is to be done with a cell, and what is known of it until then."""

    cell: Cell
    step: Step
    known: Result  # `last`, as of now
    last: Result | None = None

    @property
    def last_s(self) -> float | None:
        """How long it took, the last time that it ran to the end."""
        return self.last.seconds.get("total") if self.last is not None and self.last.outcome in RAN else None


def decide(cell: Cell, last: Result | None, hashes: Mapping[str, str], rerun: Rerun) -> Decision:
    """Decide on a cell by its last result.

    A failure is kept as a pass is. The hashes are all that the outcome depends on, so the cell would most likely fail
    again, after minutes; and whoever mends something changes a hash. What the hashes don't see, a flaky test, a
    crowded machine, is what `RERUN=failed` is there for, and the run says so. What never got as far as the tests
    (unavailable, not run, unsupported) hangs on the network, the hardware and the Pythons here: that is looked at anew.

    `RERUN=failed` is for the loop of mending: whatever has changed since, it runs what failed or was unavailable, and
    leaves the rest alone. What has never been run isn't among it: leave RERUN out for that.
    """
    if last is None:
        known = Result(cell=cell.name, outcome=Outcome.NOT_RUN, reason="it hasn't been run yet")
        return Decision(cell, Step.LEAVE if rerun is Rerun.FAILED else Step.RUN, known)

    known = as_of_now(last, hashes)
    if rerun is Rerun.ALL:
        step = Step.RUN
    elif rerun is Rerun.FAILED:
        again = last.outcome in (Outcome.FAILED, Outcome.UNAVAILABLE)
        step = Step.RUN if again else Step.KEEP if known.outcome is Outcome.PASSED else Step.LEAVE
    else:
        step = Step.KEEP if known.outcome in RAN else Step.RUN
    return Decision(cell, step, known, last)


def displaces(new: Result, last: Result | None) -> bool:
    """Whether what is known before a run takes the place of the last result.

    That a device or an interpreter is missing says something of this machine. It doesn't displace what a run has
    shown, maybe on another machine: that stays, and is shown as stale once the source has changed.
    """
    about_this_machine = new.outcome in (Outcome.NOT_RUN, Outcome.UNSUPPORTED)
    return not (about_this_machine and last is not None and last.outcome in RAN)

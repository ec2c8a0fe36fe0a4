"""Choose the release to try next, and find the change. This module knows only verdicts, not what is tried.

The input is a list of verdicts, from the good end to the bad end. A release without a verdict has `None`. The list
holds the whole state of the search, so a search that was stopped goes on from its list.
"""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple


class Verdict(str, Enum):
    GOOD = "good"
    BAD = "bad"
    SKIPPED = "skipped"  # this release shows nothing: it can't be set up, or the test doesn't run on it


Verdicts = Sequence[Verdict | None]


class Bracket(NamedTuple):
    """The last good release, the first bad release after it, and the releases between them without a verdict."""

    good: int
    bad: int
    untried: tuple[int, ...]

    @property
    def steps(self) -> int:
        """How many more tries are needed at most if none is skipped."""
        return len(self.untried).bit_length()


def bracket(verdicts: Verdicts) -> Bracket:
    """Find the range that holds the change. Both ends must have their verdicts."""
    bad = verdicts.index(Verdict.BAD)
    good = max(index for index in range(bad) if verdicts[index] is Verdict.GOOD)
    return Bracket(good, bad, tuple(index for index in range(good + 1, bad) if verdicts[index] is None))


def next_to_try(verdicts: Verdicts) -> int | None:
    """Choose an end first, because the search needs both verdicts. Then halve the rest. `None`: nothing is left."""
    for end in (0, len(verdicts) - 1):
        if verdicts[end] is None:
            return end
    untried = bracket(verdicts).untried
    return untried[len(untried) // 2] if untried else None

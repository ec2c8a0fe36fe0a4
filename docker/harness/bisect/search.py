"""Which release to try next, and what the tries say: of verdicts alone, whatever it is that is being tried.

The releases stand in a row, from the end said to be good to the end said to be bad; with each goes its verdict, or
`None` where it has none yet. All that a search knows is in that row: one that is stopped goes on from the row it left.
"""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple


class Verdict(str, Enum):
    GOOD = "good"
    BAD = "bad"
    SKIPPED = "skipped"  # nothing can be learnt from this release: it can't be set up, or doesn't have the test


Verdicts = Sequence[Verdict | None]


class Bracket(NamedTuple):
    """The last that is good, the first that is bad after it, and those between that may be tried yet."""

    good: int
    bad: int
    untried: tuple[int, ...]

    @property
    def steps(self) -> int:
        """About how many more tries it takes, where none of them is skipped."""
        return len(self.untried).bit_length()


def bracket(verdicts: Verdicts) -> Bracket:
    """Where the change is, as far as is known. Both ends have their verdicts."""
    bad = verdicts.index(Verdict.BAD)
    good = max(index for index in range(bad) if verdicts[index] is Verdict.GOOD)
    return Bracket(good, bad, tuple(index for index in range(good + 1, bad) if verdicts[index] is None))


def next_to_try(verdicts: Verdicts) -> int | None:
    """The two ends first, as all else relies on them; then halve what is left. `None`: nothing is left."""
    for end in (0, len(verdicts) - 1):
        if verdicts[end] is None:
            return end
    untried = bracket(verdicts).untried
    return untried[len(untried) // 2] if untried else None

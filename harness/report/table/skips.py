"""Find the cells that skip so many tests that the table shows it. That a cell passed says little then.

Old releases of JAX lack features. So fewer skipped tests on a newer release are usual, and more of them are not.
"""

from collections.abc import Iterable

from packaging.version import Version

from harness.report.table.entry import Entry

MOST, MORE = 0.5, 0.05  # shares of the tests
MEANING = "skipped: shown if more than half of the tests are, or {:.0%} more of them than on an older JAX.".format(MORE)


def stand_out(entry: Entry, entries: Iterable[Entry]) -> bool:
    """Whether the table shows how many tests a cell skips: see `MEANING`."""
    share = share_of(entry)
    older = [share_of(other) for other in entries if is_older(other, entry)]
    least = min((one for one in older if one is not None), default=1.0)
    return share is not None and (share > MOST or share > least + MORE)


def share_of(entry: Entry) -> float | None:
    """The share of the tests that were skipped; `None` if none ran."""
    total = sum(entry.result.counts.values()) if entry.shown else 0
    return entry.result.counts.get("skipped", 0) / total if total else None


def is_older(one: Entry, other: Entry) -> bool:
    """Whether `one` has the backend of `other` and an older JAX. A floating cell has the newest JAX."""
    if one.cell.backend != other.cell.backend or one.cell.floating:
        return False
    return other.cell.floating or Version(one.cell.jax) < Version(other.cell.jax)

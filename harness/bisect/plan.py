"""Plan a bisection: the releases between the two ends, and the Python for each."""

import datetime
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from harness.locks.index import Release
from harness.rows import Cell
from harness.system.errors import WrongUsage
from harness.system.paths import BRIDGE

sys.path.append(str(BRIDGE))

from jax_bridge import releases as bridge

# The other packages are those of a month after the release. So an error of the release itself shows, such as a missing
# upper bound. Packages from years later would fail in ways that no user saw at the time.
MONTH = datetime.timedelta(days=30)


@dataclass(frozen=True)
class Candidate:
    """A release that may be tried, and how."""

    jax: str
    date: datetime.date | None  # of its upload; None: the index doesn't say
    python: str  # "3.11"
    as_of: datetime.date | None
    bridge: bool = False
    refusal: str = ""  # why it can't be tried, if that is known before the try

    @property
    def environment(self) -> str:
        return "{}-{}".format(self.python, self.jax)

    @property
    def dated(self) -> str:
        return "{} ({})".format(self.jax, self.date) if self.date else self.jax


@dataclass(frozen=True)
class Plan:
    candidates: tuple[Candidate, ...]  # from the good end to the bad end
    one_python: str | None  # None: no Python runs both ends, so each release has its own


class Index:
    """The final releases of JAX and jaxlib on the package index."""

    def __init__(self, jax: Iterable[Release], jaxlib: Iterable[Release]) -> None:
        self._jax = sorted((release for release in jax if release.final), key=_version)
        self._jaxlib = sorted((release for release in jaxlib if release.final and not release.yanked), key=_version)
        self._wheels: dict[tuple[str, str], bool] = {}

    def between(self, good: str, bad: str) -> list[Release]:
        """The releases from `good` to `bad`, in this order. Either end may be the older one."""
        first, last = self._position(good, "GOOD"), self._position(bad, "BAD")
        if first == last:
            raise WrongUsage("GOOD and BAD are both {}. Give two different releases.".format(good))
        return self._jax[first : last + 1] or self._jax[last : first + 1][::-1]

    def _position(self, version: str, which: str) -> int:
        """The position of a version among the releases. `which` is GOOD or BAD, for the error message."""
        try:
            wanted = Version(version)
        except InvalidVersion:
            message = "{} must be a release of JAX, such as {}=0.6.2, and not `{}`."
            raise WrongUsage(message.format(which, which, version)) from None
        versions = list(map(_version, self._jax))
        if wanted in versions:
            return versions.index(wanted)
        below = [str(version) for version in versions if version < wanted][-1:]
        above = [str(version) for version in versions if version > wanted][:1]
        message = "{}={} is not a final release of JAX on the package index. The nearest: {}."
        raise WrongUsage(message.format(which, version, " and ".join(below + above)))

    def refusal(self, release: Release, python: str) -> str:
        """Say why this release can't be installed on this Python. An empty string means that it can."""
        if release.yanked:
            return "withdrawn from the package index"
        if needs_bridge(release):
            major, minor = map(int, python.split("."))
            refusal = bridge.refuses_jax(release.version) or bridge.refuses_python((major, minor), release.version)
            return (refusal or "").rstrip(".")
        if release.requires_python and not SpecifierSet(release.requires_python).contains(python):
            return "JAX {} needs Python {}".format(release.version, release.requires_python)
        if not self._has_jaxlib(release, python):
            message = "the package index has no jaxlib for JAX {} on Python {} and this machine"
            return message.format(release.version, python)
        return ""

    def _has_jaxlib(self, release: Release, python: str) -> bool:
        """Whether the jaxlib that would be installed has a wheel. It is the newest one that isn't newer than JAX."""
        older = [jaxlib for jaxlib in self._jaxlib if _version(jaxlib) <= _version(release)]
        if not older:
            return False
        key = older[-1].version, python
        if key not in self._wheels:  # parsing the names of wheels is slow
            self._wheels[key] = older[-1].has_wheel(python)
        return self._wheels[key]


def _version(release: Release) -> Version:
    return Version(release.version)


def needs_bridge(release: Release) -> bool:
    return bridge.parse(release.version) < bridge.FIRST_ON_ITS_OWN


def plan(index: Index, cells: Sequence[Cell], good: str, bad: str, python: str | None, pythons: Sequence[str]) -> Plan:
    """Plan how to try each release between two ends, on `python` or, if that is `None`, on one of `pythons`.

    Raises:
        WrongUsage: An end isn't a release, or can't be tried on `python`; or the matrix has no fixed row.
    """
    between = index.between(good, bad)
    rows = sorted((cell for cell in cells if not cell.floating), key=lambda cell: Version(cell.jax))
    if not rows:
        raise WrongUsage("matrix.toml needs a row with a fixed JAX: it says which Python and which day to use.")
    if python is not None:
        refuse_python(index, (between[0], between[-1]), python, pythons)
    one_python = python or spanning_python(index, between, rows, pythons)
    candidates = []
    for release in between:
        row = nearest_row(rows, release.version)
        used = one_python or own_python(index, release, row, pythons)
        # Never before the day of the row: from that day on, the index has what the bridge pins and the caps need.
        days = [row.as_of, release.uploaded + MONTH if release.uploaded else None]
        as_of = max(filter(None, days), default=None)
        refusal = index.refusal(release, used)
        candidates.append(Candidate(release.version, release.uploaded, used, as_of, needs_bridge(release), refusal))
    return Plan(tuple(candidates), one_python)


def refuse_python(index: Index, ends: Sequence[Release], python: str, pythons: Sequence[str]) -> None:
    if not re.fullmatch(r"3\.\d+", python):
        raise WrongUsage("--python must be a version such as 3.11, and not `{}`.".format(python))
    for release in ends:
        refusal = index.refusal(release, python)
        if refusal:
            others = ", ".join(other for other in pythons if not index.refusal(release, other))
            choice = "one of {}, or leave --python out".format(others) if others else "another Python"
            raise WrongUsage("JAX {} can't be tried: {}. Choose {}.".format(release.version, refusal, choice))


def spanning_python(
    index: Index, between: Sequence[Release], rows: Sequence[Cell], pythons: Sequence[str]
) -> str | None:
    """Choose one Python for all releases, so that only JAX changes. Returns `None` if no Python runs both ends.

    If several do, the one that runs the most releases wins, and then the one that the most nearby rows use.
    """
    runs = {python: [not index.refusal(release, python) for release in between] for python in pythons}
    nearby = [nearest_row(rows, release.version).python for release in between]

    def merit(python: str) -> tuple[int, int, Version]:
        return sum(runs[python]), nearby.count(python), Version(python)

    spanning = [python for python in pythons if runs[python][0] and runs[python][-1]]
    return max(spanning, key=merit) if spanning else None


def own_python(index: Index, release: Release, row: Cell, pythons: Sequence[str]) -> str:
    """Choose a Python for one release: the one of its row, or else the newest that can run it."""
    can = [python for python in pythons if not index.refusal(release, python)]
    return row.python if row.python in can or not can else max(can, key=Version)


def nearest_row(rows: Sequence[Cell], jax: str) -> Cell:
    """The nearest row that isn't newer. If all rows are newer, the oldest row."""
    below = [row for row in rows if Version(row.jax) <= Version(jax)]
    return below[-1] if below else rows[0]

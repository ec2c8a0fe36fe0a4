"""Choose the rows: the lower bound of what a project claims, the newest JAX, and releases between them."""

from collections.abc import Sequence
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from harness.rows.matrix_file import FLOATING, Known, Release
from harness.system.errors import WrongUsage

BETWEEN = 4  # rows between the lowest and the newest
BELOW = (">=", ">", "==", "===", "~=")  # the operators that bound from below
SURE = "0.4.13"  # where to begin if the project names no oldest JAX: the oldest with its own jaxlib in the index


@dataclass(frozen=True)
class Choice:
    """A row, and why it is there."""

    jax: str
    why: str
    tier: str = "nightly"
    python: str = ""  # empty: the one of the release


def choose(known: Known, claimed: SpecifierSet | None, requires_python: str) -> tuple[list[Choice], list[str]]:
    """The rows, and notes about them.

    Args:
        known: What is known of JAX.
        claimed: The releases of JAX that the project claims to run on. `None`: it says nothing.
        requires_python: The Pythons that it supports, as in its metadata.

    Raises:
        WrongUsage: No Python that the project supports runs any release that the harness knows.
    """
    order = sorted((jax for jax in known.release if jax not in FLOATING), key=Version)
    pythons = {jax: python_for(known.release[jax], requires_python) for jax in known.release}
    can = [jax for jax in order if pythons[jax]]
    if not can:
        message = "The project needs Python {}, and JAX {} to {}, which the harness knows, run on none of these."
        raise WrongUsage(message.format(requires_python, order[0], order[-1]))
    bounded = any(one.operator in BELOW for one in claimed or ())
    allowed = [jax for jax in order if (claimed or SpecifierSet()).contains(jax, prereleases=True)]
    if not bounded:
        newer = [jax for jax in allowed if Version(jax) >= Version(SURE)]
        allowed = newer or [jax for jax in allowed if pythons[jax]][-1:] or allowed
    fitting = [jax for jax in allowed if pythons[jax]]
    lost = [jax for jax in allowed if not fitting or Version(jax) < Version(fitting[0])]

    notes, reasons = [], {}
    if not bounded:
        notes.append("It names no oldest JAX. The first row is a guess: write the oldest that it needs.")
    if lost:
        message = "Of what it claims, JAX {} to {} run on no Python that it supports ({})."
        notes.append(message.format(lost[0], lost[-1], requires_python))
    if fitting:
        between = [jax for jax in sorted(known.landmark, key=Version) if jax in fitting[1:-1]]
        for jax in spread(between, BETWEEN):
            reasons[jax] = known.landmark[jax]
        reasons[fitting[-1]] = "the newest" if fitting[-1] == order[-1] else "the newest that it claims"
        reasons[fitting[0]] = why_first(fitting[0], claimed or SpecifierSet(), bounded) + where(known, fitting[0])
    else:
        notes.append("It claims no release of JAX that the harness knows and that its Pythons run.")
    if can[-1] not in reasons:
        reasons[can[-1]] = "not claimed, but tested too"
    if pythons["latest"]:
        reasons["latest"] = "what users get today; it has no lock"

    rows = [jax for jax in (*order, "latest") if jax in reasons]
    claims = [jax for jax in rows if jax in fitting] or rows[:1]
    for_every_change = {claims[0], claims[len(claims) // 2], claims[-1]}
    return [
        Choice(
            jax,
            reasons[jax],
            "pr" if jax in for_every_change else "nightly",
            "" if pythons[jax] == known.release[jax].python else pythons[jax],
        )
        for jax in rows
    ], notes


def why_first(jax: str, claimed: SpecifierSet, bounded: bool) -> str:
    if any(one.operator == "==" and one.contains(jax) for one in claimed):
        return "the one that it pins"
    if any(one.operator in BELOW and Version(one.version) == Version(jax) for one in claimed):
        return "its lower bound"
    if bounded:
        return "the oldest that it claims and that can run"
    return "the oldest that is likely to work" if Version(jax) >= Version(SURE) else "the newest that it claims"


def where(known: Known, jax: str) -> str:
    """A remark if the index lacks the jaxlib of a release."""
    ways = known.install["cpu"].values()
    far = any(way.find_links and any(jax in releases for releases in way.jax) for way in ways)
    return "; its jaxlib is only in JAX's archive" if far else ""


def python_for(release: Release, requires_python: str) -> str:
    """The Python for a release: its own, or else the nearest that the project supports. Empty: there is none."""
    lowest, highest, own = (int(python.split(".")[1]) for python in (*release.pythons.split("-"), release.python))
    nearest = sorted(range(lowest, highest + 1), key=lambda minor: (abs(minor - own), minor))
    pythons = ("3.{}".format(minor) for minor in nearest)
    return next((python for python in pythons if supports(requires_python, python)), "")


def supports(requires_python: str, python: str) -> bool:
    """Whether some patch of a Python is supported."""
    try:
        bounds = SpecifierSet(requires_python)
    except InvalidSpecifier:
        raise WrongUsage("Expected bounds in requires-python, and got `{}`.".format(requires_python)) from None
    return any(bounds.contains(version) for version in (python, python + ".99"))


def spread(items: Sequence[str], number: int) -> list[str]:
    """So many of the items, at equal distances."""
    if len(items) <= number:
        return list(items)
    return [items[round((i + 1) * (len(items) + 1) / (number + 1)) - 1] for i in range(number)]

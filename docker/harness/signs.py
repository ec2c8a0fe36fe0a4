"""How the six outcomes are shown: each has a word and a sign of its own, so that nobody depends on the colour."""

from dataclasses import dataclass

from harness.results import Outcome


@dataclass(frozen=True)
class Sign:
    mark: str
    style: str  # of `rich`, for the terminal
    emoji: str  # for Markdown, which has no other colours
    meaning: str  # for the legend of the page


SIGNS = {
    Outcome.PASSED: Sign("✓", "green", "✅", "all tests passed with the Python, JAX and device of the cell"),
    Outcome.FAILED: Sign("✗", "bold red", "❌", "it ran, and something went wrong"),
    Outcome.UNSUPPORTED: Sign("–", "magenta", "🟣", "this hardware or its driver can't run it"),
    Outcome.UNAVAILABLE: Sign("!", "yellow", "🟠", "its packages can't be fetched or installed"),
    Outcome.NOT_RUN: Sign("·", "dim", "⚪", "a device or a Python is missing, or nobody has run it yet"),
    Outcome.STALE: Sign("~", "cyan", "🔵", "its source, lock or image changed since its last run"),
}

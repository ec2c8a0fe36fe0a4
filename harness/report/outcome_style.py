"""How the six outcomes are shown: each has a word and a mark of its own, so that nobody depends on the colour."""

from dataclasses import dataclass

from harness.results import Outcome

COUNTS = ("failed", "errors", "passed", "skipped", "xfailed")  # the counts of a result, failures first


@dataclass(frozen=True)
class Style:
    mark: str
    colour: str  # of `rich`, for the terminal
    emoji: str  # for Markdown, which has no other colours
    meaning: str  # for the legend of the page


STYLES = {
    Outcome.PASSED: Style("✓", "green", "✅", "all tests passed with the Python, JAX and device of the cell"),
    Outcome.FAILED: Style("✗", "bold red", "❌", "it ran, and something went wrong"),
    Outcome.UNSUPPORTED: Style("–", "magenta", "🟣", "this hardware or its driver can't run it"),
    Outcome.UNAVAILABLE: Style("!", "yellow", "🟠", "its packages can't be fetched or installed"),
    Outcome.NOT_RUN: Style("·", "dim", "⚪", "a device or a Python is missing, or nobody has run it yet"),
    Outcome.STALE: Style("~", "cyan", "🔵", "its source, lock or image changed since its last run"),
}

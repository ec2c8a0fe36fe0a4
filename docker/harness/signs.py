"""How the six outcomes are told apart wherever they are shown: by a word, by a sign, and only then by a colour."""

from dataclasses import dataclass

from harness.results import Outcome


@dataclass(frozen=True)
class Sign:
    mark: str
    style: str  # in a terminal, as rich calls it
    emoji: str  # in Markdown, which has no other colours
    meaning: str


SIGNS = {
    Outcome.PASSED: Sign("✓", "green", "✅", "all tests passed, on the Python, JAX and device of the cell"),
    Outcome.FAILED: Sign("✗", "bold red", "❌", "it was run, and something went wrong"),
    Outcome.UNSUPPORTED: Sign("–", "magenta", "🟣", "this hardware, or its driver, can't run it"),
    Outcome.UNAVAILABLE: Sign("!", "yellow", "🟠", "its packages can't be had, or don't install"),
    Outcome.NOT_RUN: Sign("·", "dim", "⚪", "a device or a Python was missing, or nobody ran it yet"),
    Outcome.STALE: Sign("~", "cyan", "🔵", "its result is of another source, lock or image than today's"),
}

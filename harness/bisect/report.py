"""Print the progress and the conclusion of a bisection."""

import os
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from packaging.version import Version
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.bisect.memory import Trial
from harness.bisect.plan import Candidate, Plan
from harness.bisect.search import Bracket, Verdict
from harness.bisect.trial import Say, log_of
from harness.system.safe_text import safe

STYLES = {Verdict.GOOD: "green", Verdict.BAD: "bold red", Verdict.SKIPPED: "yellow"}

# This searches the page for a text, because its anchors hold dates.
CHANGELOG = "https://docs.jax.dev/en/latest/changelog.html#:~:text="
COMPARE = "https://github.com/jax-ml/jax/compare/jax-v{}...jax-v{}"


class Report:
    def __init__(self, console: Console, plan: Plan, logs: Path) -> None:
        self.console = console
        self.plan = plan
        self.logs = logs

    def line(self, text: str = "", style: str = "") -> None:
        self.console.print(escape(safe(text)), style=style, highlight=False, soft_wrap=True)

    def start(self, tests: Sequence[str], remembered: int) -> None:
        candidates, python = self.plan.candidates, self.plan.one_python
        ends = "{} (good) to {} (bad)".format(candidates[0].jax, candidates[-1].jax)
        self.line("Bisecting {} over {} releases, {}.".format(" ".join(tests), len(candidates), ends))
        each = "No Python runs both ends. So each release runs on a Python of its own, and both JAX and Python change."
        self.line("All of them on Python {}.".format(python) if python else each)
        if remembered:
            message = "Results of {} are kept from before. --forget drops them."
            self.line(message.format(number(remembered, "release")))

    def left(self, bracket: Bracket) -> None:
        if bracket.untried:
            left = number(len(bracket.untried), "release"), number(bracket.steps, "step")
            self.line("{} left, about {}.".format(*left))

    @contextmanager
    def trying(self, candidate: Candidate) -> Iterator[Say]:
        """Show a status line while a release is tried. Yields a function that changes its text."""
        text = "{}: {{}}, Python {}".format(candidate.jax, candidate.python)
        if not self.console.is_terminal:
            yield lambda doing: None
            return
        with self.console.status(text.format("starting")) as status:
            yield lambda doing: status.update(text.format(doing))

    def tried(self, candidate: Candidate, trial: Trial) -> None:
        text = "  {:9} {:8} {:6.1f} s  {}".format(candidate.jax, trial.verdict.value, trial.seconds, trial.reason)
        self.line(text.rstrip(), STYLES[trial.verdict])

    def table(self, trials: Mapping[str, Trial], remembered: Mapping[str, Trial]) -> None:
        """Print a table of all releases."""
        table = Table("JAX", "released", "verdict", "Python", "", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for one in self.plan.candidates:
            trial = trials.get(one.jax)
            verdict = Text(trial.verdict.value, STYLES[trial.verdict]) if trial else Text("not tried", "dim")
            why = trial.reason if trial and trial.verdict is Verdict.SKIPPED else ""
            notes = filter(None, (why, "on the bridge" * one.bridge, "from before" * (one.jax in remembered)))
            table.add_row(one.jax, str(one.date or ""), verdict, one.python, Text(safe("; ".join(notes))))
        self.line()
        self.console.print(table, highlight=False)
        self.line()

    def found(self, bracket: Bracket, trials: Mapping[str, Trial]) -> bool:
        """Print where the change is. Returns whether it is between two neighbouring releases."""
        candidates = self.plan.candidates
        good, bad = candidates[bracket.good], candidates[bracket.bad]
        between = candidates[bracket.good + 1 : bracket.bad]
        backwards = Version(candidates[0].jax) > Version(candidates[-1].jax)
        if between:
            message = "The change is in one of several releases, because {} can't be tried. Known:"
            self.line(message.format(", ".join(candidate.jax for candidate in between)))
        if backwards:
            self.line("Good again from {} on, last bad {}.".format(good.dated, bad.dated), "bold")
        else:
            self.line("First bad is {}, last good {}.".format(bad.dated, good.dated), "bold")
        if good.python != bad.python:
            message = "Python also changes there, from {} to {}. Either may be the cause."
            self.line(message.format(good.python, bad.python))
        if good.bridge != bad.bridge:
            self.line("One of the two runs on its own jaxlib, the other on the bridge. That may be the cause too.")
        trial = trials[bad.jax]
        older, newer = (bad, good) if backwards else (good, bad)
        log = "... in " + os.path.relpath(log_of(bad, self.logs))
        for line in (
            "\n{} fails on {}:".format(trial.reason, bad.jax),
            *("  " + line for line in (*trial.lines, log)),
            "\nWhat changed:",
            "  " + CHANGELOG + urllib.parse.quote("jax " + newer.jax),
            "  " + COMPARE.format(older.jax, newer.jax),
        ):
            self.line(line)
        return not between


def number(count: int, noun: str) -> str:
    return "{} {}{}".format(count, noun, "" if count == 1 else "s")

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

from harness.bisect.memory import Trial
from harness.bisect.plan import Candidate, Plan
from harness.bisect.search import Bracket, Verdict
from harness.bisect.trial import Say, log_of
from harness.system.safe_text import safe

STYLES = {Verdict.GOOD: "green", Verdict.BAD: "bold red", Verdict.SKIPPED: "yellow"}

CHANGELOG = "https://docs.jax.dev/en/latest/changelog.html#:~:text="
COMPARE = "https://github.com/jax-ml/jax/compare/jax-v{}...jax-v{}"


class Report:
    def __init__(self, console: Console, plan: Plan, logs: Path) -> None:
        self.console = console
        self.plan = plan
        self.logs = logs

    def line(self, text: str = "") -> None:
        self.console.print(escape(safe(text)), highlight=False, soft_wrap=True)

    def start(self, tests: Sequence[str], remembered: int) -> None:
        candidates, python = self.plan.candidates, self.plan.one_python
        ends = "{} (good) to {} (bad)".format(candidates[0].jax, candidates[-1].jax)
        self.line("Bisecting {} over {} releases, {}.".format(" ".join(tests), len(candidates), ends))
        if python is not None:
            self.line("All of them on Python {}.".format(python))
        else:
            self.line(
                "No Python runs both ends. So each release runs on a Python of its own, and both JAX and Python change."
            )
        if remembered:
            self.line("Results of {} are kept from before. --forget drops them.".format(_releases(remembered)))

    def left(self, bracket: Bracket) -> None:
        if bracket.untried:
            steps = "1 step" if bracket.steps == 1 else "{} steps".format(bracket.steps)
            self.line("{} left, about {}.".format(_releases(len(bracket.untried)), steps))

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
        verdict = "[{}]{:8}[/]".format(STYLES[trial.verdict], trial.verdict.value)
        text = "  {:9} {} {:6.1f} s  {}".format(candidate.jax, verdict, trial.seconds, escape(trial.reason))
        self.console.print(safe(text.rstrip()), highlight=False, soft_wrap=True)

    def table(self, trials: Mapping[str, Trial], remembered: Mapping[str, Trial]) -> None:
        """Print a table of all releases."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for heading in ("JAX", "released", "verdict", "Python", ""):
            table.add_column(heading)
        for candidate in self.plan.candidates:
            trial = trials.get(candidate.jax)
            if trial is None:
                verdict, note = "[dim]not tried[/]", ""
            else:
                verdict = "[{}]{}[/]".format(STYLES[trial.verdict], trial.verdict.value)
                note = escape(trial.reason) if trial.verdict is Verdict.SKIPPED else ""
            notes = filter(
                None, (note, "on the bridge" * candidate.bridge, "from before" * (candidate.jax in remembered))
            )
            table.add_row(candidate.jax, str(candidate.date or ""), verdict, candidate.python, "; ".join(notes))
        self.line()
        self.console.print(table, highlight=False)
        self.line()

    def found(self, bracket: Bracket, trials: Mapping[str, Trial]) -> bool:
        """Print where the change is. Returns whether it is between two neighbouring releases."""
        candidates = self.plan.candidates
        good, bad = candidates[bracket.good], candidates[bracket.bad]
        between = candidates[bracket.good + 1 : bracket.bad]
        backwards = Version(candidates[0].jax) > Version(candidates[-1].jax)
        if backwards:
            conclusion = "Good again from {} on, last bad {}.".format(_dated(good), _dated(bad))
        else:
            conclusion = "First bad is {}, last good {}.".format(_dated(bad), _dated(good))
        if between:
            which = ", ".join(candidate.jax for candidate in between)
            message = "The change is in one of several releases, because {} can't be tried. Known:"
            self.line(message.format(which))
        self.console.print("[bold]{}[/]".format(escape(safe(conclusion))), highlight=False, soft_wrap=True)
        if good.python != bad.python:
            message = "Python also changes there, from {} to {}. Either may be the cause."
            self.line(message.format(good.python, bad.python))
        if good.bridge != bad.bridge:
            self.line("One of the two runs on its own jaxlib, the other on the bridge. That may be the cause too.")
        trial = trials[bad.jax]
        self.line("\n{} fails on {}:".format(trial.reason, bad.jax))
        for line in trial.lines:
            self.line("  " + line)
        self.line("  ... in " + os.path.relpath(log_of(bad, self.logs)))
        older, newer = (bad, good) if backwards else (good, bad)
        self.line("\nWhat changed:")
        self.line("  " + changelog(newer.jax))
        self.line("  " + COMPARE.format(older.jax, newer.jax))
        return not between


def changelog(jax: str) -> str:
    """The URL of the release in JAX's changelog. It searches for the text, because the anchors hold dates."""
    return CHANGELOG + urllib.parse.quote("jax " + jax)


def _dated(candidate: Candidate) -> str:
    return "{} ({})".format(candidate.jax, candidate.date) if candidate.date else candidate.jax


def _releases(number: int) -> str:
    return "1 release" if number == 1 else "{} releases".format(number)

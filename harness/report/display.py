"""Show the progress of a run: a live display on a terminal, plain lines elsewhere, and a table at the end."""

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from harness.report.eta import Eta, Running
from harness.report.outcome_style import COUNTS, STYLES
from harness.report.table import in_terminal
from harness.report.table.grid import Grid
from harness.results import Outcome, Result
from harness.results.resume import RAN, Decision
from harness.rows import Cell
from harness.run.scheduler import Display, Summary
from harness.system.paths import RESULTS, ROOT
from harness.system.safe_text import safe

LOG_LINES = 30
SHOWN_FAILURES = 10

NAME_WIDTH, WORD_WIDTH, TIME_WIDTH, BAR_WIDTH = 24, 11, 7, 40  # in columns; a word is an outcome or a phase


def display(folder: Path = RESULTS) -> Display:
    """Choose the live display for a terminal, and plain lines otherwise."""
    console = Console(highlight=False)
    live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return Live(console, folder) if live else Plain(console, folder)


@dataclass
class Shown:
    """What both displays have."""

    console: Console
    folder: Path = RESULTS
    eta: Eta = field(default_factory=Eta)

    def end(self, summary: Summary) -> None:
        """Print the table if there is more than one cell, and then the next moves."""
        if len(summary.cells) > 1:
            self.console.print()
            self.console.print(in_terminal.draw(Grid.of(summary.cells, summary.results, summary.hashes)))
        for line in ending(summary):
            self.console.print(Text(line, style="yellow"), soft_wrap=True)


@dataclass
class Live(Shown):
    """The display for a terminal. The lines of running cells are redrawn at the bottom. Finished cells stay above."""

    results: list[Result] = field(default_factory=list)
    spinners: dict[str, Spinner] = field(default_factory=dict)
    drawn: RichLive = field(init=False)

    def __post_init__(self) -> None:
        # Only `tick` draws, in the thread that also changes the state. So no lock is needed.
        self.drawn = RichLive(console=self.console, auto_refresh=False, transient=True, get_renderable=self.draw)

    def live(self) -> AbstractContextManager[object]:
        return self.drawn

    def begin(self, kept: Sequence[Decision], waiting: Sequence[Decision], jobs: int) -> None:
        self.eta.begin(waiting, jobs)
        for each in kept:
            self.show(each.cell, each.known, "before")

    def started(self, cell: Cell) -> None:
        self.eta.start(cell)
        self.spinners[cell.name] = Spinner("dots", style="cyan")
        self.tick()

    def progress(self, cell: Cell, phase: str, done: int, total: int, failed: int) -> None:
        self.eta.progress(cell, phase, done, total, failed)

    def finished(self, cell: Cell, result: Result) -> None:
        seconds = self.eta.finish(cell)
        self.show(cell, result, duration(seconds) if seconds else "")
        if result.outcome is Outcome.FAILED:
            for line in why_failed(cell, result, self.folder, 0 if result.failures else SHOWN_FAILURES):
                self.console.print(Text("    " + line, style="dim"), soft_wrap=True)
        self.tick()

    def say(self, text: str) -> None:
        self.console.print(Text(text, style="yellow"))
        self.tick()

    def tick(self) -> None:
        self.drawn.refresh()

    def show(self, cell: Cell, result: Result, when: str) -> None:
        """Print the result of a cell in columns, and its reason on the next line."""
        self.results.append(result)
        style = STYLES[result.outcome]
        grid = columns()
        grid.add_column(width=TIME_WIDTH, justify="right", no_wrap=True)
        mark, word = Text(style.mark, style.colour), Text(result.outcome.value, style.colour)
        grid.add_row(mark, cell.name, word, Text(when, "dim"), Text(figures(cell, result)))
        self.console.print(grid)
        if result.reason:
            self.console.print(Padding(Text(result.reason, "dim"), (0, 0, 0, 4)))

    def draw(self) -> RenderableType:
        """The running cells, and a summary line below."""
        grid = columns(expand=True)
        grid.add_column(ratio=1, max_width=BAR_WIDTH)
        grid.add_column(justify="right", no_wrap=True)
        for running in self.eta.running.values():
            bar = ProgressBar(running.total, running.done, complete_style="cyan") if running.total else ""
            name, phase = running.cell.name, Text(running.phase, "cyan")
            grid.add_row(self.spinners[name], name, phase, bar, self.progress_of(running))
        return Group(Text(), grid, self.footer())

    def progress_of(self, running: Running) -> Text:
        text = Text("{}/{}".format(running.done, running.total) if running.total else "")
        if running.failed:
            text.append("  {} failed".format(running.failed), "bold red")
        left = self.eta.remaining_of(running)
        return text.append(
            "  " + (duration(self.eta.spent(running)) if left is None else duration(left) + " left"), "dim"
        )

    def footer(self) -> Text:
        cells = len(self.results) + len(self.eta.running) + len(self.eta.waiting)
        text = Text("{} of {} done".format(len(self.results), number(cells, "cell")))
        found = [result.outcome for result in self.results]
        tally = ", ".join("{} {}".format(found.count(one), one.value) for one in Outcome if one in found)
        text.append(": " + tally if tally else "")
        left = self.eta.remaining()
        if left is not None and (self.eta.running or self.eta.waiting):
            text.append(" · {} left".format(about(left)), style="dim")
        return text


def columns(expand: bool = False) -> Table:
    """A grid with the columns that all lines share: the mark, the name of the cell, the outcome or phase."""
    grid = Table.grid(padding=(0, 1), expand=expand)
    grid.add_column(width=1)
    grid.add_column(width=NAME_WIDTH, no_wrap=True)
    grid.add_column(width=WORD_WIDTH, no_wrap=True)
    return grid


@dataclass
class Plain(Shown):
    """The display without a terminal. It prints a line for each phase, each quarter of the tests, and each result."""

    quarters: dict[str, int] = field(default_factory=dict)

    def live(self) -> AbstractContextManager[object]:
        return nullcontext()

    def begin(self, kept: Sequence[Decision], waiting: Sequence[Decision], jobs: int) -> None:
        self.eta.begin(waiting, jobs)
        for each in kept:
            self.tell(each.cell, each.known.outcome.value, "before", figures(each.cell, each.known))
        if waiting:
            self.say("{} to run, {} at a time.".format(number(len(waiting), "cell"), jobs))

    def started(self, cell: Cell) -> None:
        self.eta.start(cell)  # no line: the first phase follows at once and prints one

    def progress(self, cell: Cell, phase: str, done: int, total: int, failed: int) -> None:
        new_phase = self.eta.running[cell.name].phase != phase
        running = self.eta.progress(cell, phase, done, total, failed)
        quarter = 4 * done // total if total else 0
        if not new_phase and quarter <= self.quarters.get(cell.name, 0):
            return
        self.quarters[cell.name] = quarter
        left = self.eta.remaining_of(running) if 0 < quarter < 4 else None
        count = "{} of {}".format(done, total) if total else ""
        wrong = "{} failed".format(failed) if failed else ""
        self.tell(cell, phase, count, wrong, "" if left is None else "{} left".format(about(left)))

    def finished(self, cell: Cell, result: Result) -> None:
        seconds = self.eta.finish(cell)
        took = "in {}".format(duration(seconds)) if seconds else ""
        self.tell(cell, result.outcome.value, took, figures(cell, result), result.reason)
        if result.outcome is Outcome.FAILED:
            for line in why_failed(cell, result, self.folder, LOG_LINES):
                self.say("    " + line)

    def tell(self, cell: Cell, *parts: str) -> None:
        self.say("{}: {}".format(cell.name, ", ".join(filter(None, parts))))

    def say(self, text: str) -> None:
        self.console.print(Text(text.rstrip()), soft_wrap=True)
        self.console.file.flush()  # a reader of a pipe gets each line at once

    def tick(self) -> None:
        """Do nothing: nothing is redrawn."""


def figures(cell: Cell, result: Result) -> str:
    """For example "2 failed, 1450 passed, 12 skipped". Failures come first."""
    parts = ["{} {}".format(result.counts[key], key) for key in COUNTS if result.counts.get(key)]
    parts += ["bridge"] * (result.bridge and result.outcome in RAN)
    parts += ["canary"] * (cell.tier == "canary")
    return ", ".join(parts)


def why_failed(cell: Cell, result: Result, folder: Path, log_lines: int) -> list[str]:
    """The failed tests, the end of the log, and the path of the log."""
    log = folder / (cell.name + ".log")
    lines = result.failures[:SHOWN_FAILURES]
    if len(result.failures) > SHOWN_FAILURES:
        lines.append("and {} more".format(len(result.failures) - SHOWN_FAILURES))
    if log_lines and log.is_file():
        text = log.read_text(encoding="utf-8", errors="replace").rstrip()
        lines += ["", *map(safe, text.splitlines()[-log_lines:]), ""]
    return [*lines, "log: {}".format(log.relative_to(ROOT) if log.is_relative_to(ROOT) else log)]


def ending(summary: Summary) -> list[str]:
    """The last lines: what the table doesn't show, and what to do next."""
    outcomes = {name: result.outcome for name, result in summary.results.items()}
    lines = [summary.error] if summary.error else []
    if summary.signal is not None:
        finished = sum(outcomes[name] in RAN for name in summary.ran)
        message = "Interrupted after {} had run to the end. The same command goes on from here."
        lines.append(message.format(number(finished, "cell")))
    again = [name for name in summary.kept if outcomes[name] is Outcome.FAILED]
    if again:
        message = "Failed before, and nothing has changed since: {}. --rerun failed runs {} again."
        lines.append(message.format(", ".join(again), "it" if len(again) == 1 else "them"))
    passed = sum(outcomes[name] is Outcome.PASSED for name in summary.kept)
    if passed:
        message = "Passed before, and nothing has changed since: {}. --rerun all runs everything again."
        lines.append(message.format(number(passed, "cell")))
    if summary.skipped:
        message = "Skipped: {}. --rerun failed runs only what failed or was unavailable. Leave it out to run all."
        lines.append(message.format(number(len(summary.skipped), "cell")))
    return lines


def number(count: int, noun: str) -> str:
    return "{} {}{}".format(count, noun, "" if count == 1 else "s")


def duration(seconds: float) -> str:
    """For example 0:07, 12:30, 1:02:03."""
    return str(timedelta(seconds=round(seconds))).removeprefix("0:").removeprefix("0")


def about(seconds: float) -> str:
    """Round to minutes, because it is an estimate: "about 12 min"."""
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours:
        return "about {} h {:02} min".format(hours, minutes)
    return "about {} min".format(minutes) if minutes else "less than a minute"

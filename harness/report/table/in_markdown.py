"""The table as Markdown: one line per JAX, then the reasons why cells have not passed; and a summary of one line."""

import html
import re
from collections.abc import Iterable, Mapping

from harness.report.outcome_style import STYLES
from harness.report.table.grid import BRIDGED, FOUND, TITLES, Entry, Grid, Note, Row
from harness.results import Outcome
from harness.rows import Measure
from harness.system.paths import HOME, ROOT
from harness.system.program import typed

DRAWN = "<!-- Drawn by `{}`: DO NOT EDIT. -->".format(typed("table"))
FLAG = "⚠"
MAX_FAILURES = 5  # how many failed tests a note names


def draw(grid: Grid) -> str:
    """The whole table. It ends with one newline. Equal grids give equal text."""
    lines = [DRAWN, summary(grid), ""]
    titles = ["JAX", "Python", *columns(grid)]
    lines += [table_row(titles), "|" + "---|" * len(titles)]
    lines += [table_row([title(row), row.python, *row_cells(grid, row)]) for row in grid.rows]
    lines += ["", *footnotes(grid)]
    if grid.notes:
        lines += ["<details>", "<summary>Why the other cells have not passed</summary>", ""]
        lines += [item for note in grid.notes for item in note_lines(note)]
        lines += ["", "</details>"]
    return "\n".join(lines).rstrip("\n") + "\n"


def in_one_line(grid: Grid) -> str:
    """The summary: where cells passed, and how many cells of each backend have each outcome."""
    passed = [entry for entry in grid.cells if entry.outcome is Outcome.PASSED]
    releases = span(entry.cell.jax for entry in passed if entry.cell.jax[0].isdigit())
    bridged = sum(entry.bridged for entry in passed)
    parts = []
    if releases:
        across = ", {} of them across {}".format(bridged, bridge("")) if bridged else ""
        pythons = span(entry.cell.python for entry in passed)
        parts.append("Cells passed on JAX {} and Python {}{}.".format(releases, pythons, across))
    parts += ["{}: {}.".format(TITLES[backend], counted(grid.tally(backend))) for backend in grid.backends]
    return "{}\n{}\n".format(DRAWN, " ".join(parts))


def span(releases: Iterable[str]) -> str:
    """The first and the last release, as in "0.2.18 to 0.12.0.1"; empty if there is none."""
    in_order = sorted(releases, key=lambda release: [int(part) for part in release.split(".")])
    return " to ".join(dict.fromkeys(in_order[:1] + in_order[-1:]))


def summary(grid: Grid) -> str:
    """The dates of the runs, and how many cells have each outcome."""
    when = "Runs of {}".format(escape(grid.dates)) if grid.dates else "No runs yet"
    return "{}. Of {} cells: {}{}.".format(when, len(grid.cells), counted(grid.tally()), grid.found_count)


def counted(tally: Mapping[Outcome, int]) -> str:
    return ", ".join("{} {} {}".format(STYLES[one].emoji, count, one.value) for one, count in tally.items() if count)


def columns(grid: Grid) -> list[str]:
    """The titles of the columns. The measures follow the first backend, the CPU, on which they are taken."""
    titles = [TITLES[backend] for backend in grid.backends]
    return titles[:1] + [measure.title for measure in grid.measures] + titles[1:]


def row_cells(grid: Grid, row: Row) -> list[str]:
    cells = [entry_cell(row.entries.get(backend)) for backend in grid.backends]
    return cells[:1] + [measured(grid, measure, row) for measure in grid.measures] + cells[1:]


def entry_cell(entry: Entry | None) -> str:
    if entry is None:
        return ""
    outcome = "{} {}".format(STYLES[entry.outcome].emoji, entry.words)
    return "<br>".join([outcome] + ([escape(", ".join(entry.facts))] if entry.facts else []))


def measured(grid: Grid, measure: Measure, row: Row) -> str:
    value = row.measured(measure)
    if value is None:
        return escape(row.why_unmeasured(measure))
    return "{:.1f}{}".format(value, " " + FLAG if grid.is_far(measure, row) else "")


def title(row: Row) -> str:
    return row.jax + (" ({})".format(escape(row.remark)) if row.remark else "")


def table_row(cells: list[str]) -> str:
    return "| {} |".format(" | ".join(cells))


def footnotes(grid: Grid) -> list[str]:
    lines = [BRIDGED + ", across {}.".format(bridge("../"))] * grid.bridged
    lines += [FOUND + "."] * grid.found
    lines += [escape(measure.explained(FLAG)) for measure in grid.measures]
    return [part for one in lines for part in (one, "")]


def bridge(to_the_root: str) -> str:
    """The words for the bridge. A page of the harness's own repository links to its description."""
    return "[the bridge]({}docker/bridge/README.md)".format(to_the_root) if ROOT == HOME else "the bridge"


def note_lines(note: Note) -> list[str]:
    sign = "{} {}".format(STYLES[note.outcome].emoji, note.outcome.value)
    lines = ["- {}, {}: {}".format(sign, note.cells, escape(note.short))]
    if note.outcome is Outcome.FAILED:
        tests = list(dict.fromkeys(test for entry in note.entries for test in entry.result.failures))
        lines += ["  - {}".format(escape(test)) for test in tests[:MAX_FAILURES]]
        lines += ["  - and {} more".format(len(tests) - MAX_FAILURES)] * (len(tests) > MAX_FAILURES)
    return lines


def escape(text: str) -> str:
    """Escape Markdown's own characters. What is between backticks stays code."""

    def plain(part: str) -> str:
        return re.sub(r"([\\*|\[\]`])", r"\\\1", html.escape(part, quote=False))

    parts = re.split(r"(`[^`<|]+`)", " ".join(text.split()))
    return "".join(part if index % 2 else plain(part) for index, part in enumerate(parts))

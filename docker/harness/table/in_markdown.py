"""The table as Markdown: one line for each JAX, and why cells have not passed."""

import html
import re

from harness.results import Outcome
from harness.signs import SIGNS
from harness.table.grid import BRIDGED, FOUND, TITLES, Entry, Grid, Measure, Note, Row

FLAG = "⚠"
MOST_FAILURES = 5


def draw(grid: Grid) -> str:
    """Ends with a line's end. Two grids that say the same look the same."""
    lines = ["<!-- Drawn by `make table`: DO NOT EDIT. -->", summary(grid), ""]
    titles = ["JAX", "Python", *columns(grid)]
    lines += [line(titles), "|" + "---|" * len(titles)]
    lines += [line([title(row), row.python, *figures(grid, row)]) for row in grid.rows]
    lines += ["", *footnotes(grid)]
    if grid.notes:
        lines += ["<details>", "<summary>Why the other cells have not passed</summary>", ""]
        lines += [item for note in grid.notes for item in noted(note)]
        lines += ["", "</details>"]
    return "\n".join(lines).rstrip("\n") + "\n"


def summary(grid: Grid) -> str:
    """When, and how many of each."""
    when = "Runs of {}".format(escape(grid.dates)) if grid.dates else "No runs yet"
    counted = ["{} {} {}".format(SIGNS[one].emoji, count, one.value) for one, count in grid.tally.items() if count]
    return "{}. Of {} cells: {}{}.".format(when, len(grid.cells), ", ".join(counted), grid.besides)


def columns(grid: Grid) -> list[str]:
    """The backends, with the measures, which are taken on the CPU, behind the first."""
    titles = [TITLES[backend] for backend in grid.backends]
    return titles[:1] + [measure.title for measure in grid.measures] + titles[1:]


def figures(grid: Grid, row: Row) -> list[str]:
    cells = [figure(row.entries.get(backend)) for backend in grid.backends]
    return cells[:1] + [measured(grid, measure, row) for measure in grid.measures] + cells[1:]


def figure(entry: Entry | None) -> str:
    if entry is None:
        return ""
    outcome = "{} {}".format(SIGNS[entry.outcome].emoji, entry.words)
    return "<br>".join([outcome] + ([escape(", ".join(entry.facts))] if entry.facts else []))


def measured(grid: Grid, measure: Measure, row: Row) -> str:
    value = row.measured(measure)
    if value is None:
        return escape(row.why_unmeasured(measure))
    return "{:.1f}{}".format(value, " " + FLAG if grid.is_far(measure, row) else "")


def title(row: Row) -> str:
    return row.jax + (" ({})".format(escape(row.remark)) if row.remark else "")


def line(cells: list[str]) -> str:
    return "| {} |".format(" | ".join(cells))


def footnotes(grid: Grid) -> list[str]:
    lines = [BRIDGED + ", across [the bridge](docker/bridge/README.md)."] * grid.bridged
    lines += [FOUND + "."] * grid.found
    lines += [escape(measure.explained(FLAG)) for measure in grid.measures]
    return [part for one in lines for part in (one, "")]


def noted(note: Note) -> list[str]:
    sign = "{} {}".format(SIGNS[note.outcome].emoji, note.outcome.value)
    lines = ["- {}, {}: {}".format(sign, note.cells, escape(note.short))]
    if note.outcome is Outcome.FAILED:
        tests = list(dict.fromkeys(test for entry in note.entries for test in entry.result.failures))
        lines += ["  - {}".format(escape(test)) for test in tests[:MOST_FAILURES]]
        lines += ["  - and {} more".format(len(tests) - MOST_FAILURES)] * (len(tests) > MOST_FAILURES)
    return lines


def escape(text: str) -> str:
    """So that it reads as it was written: what is between backticks stays code, the rest is only text."""

    def plain(part: str) -> str:
        return re.sub(r"([\\*|\[\]`])", r"\\\1", html.escape(part, quote=False))

    parts = re.split(r"(`[^`<|]+`)", " ".join(text.split()))
    return "".join(part if index % 2 else plain(part) for index, part in enumerate(parts))

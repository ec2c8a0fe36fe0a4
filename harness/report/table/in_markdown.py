"""The table as Markdown: one line per JAX, then the reasons why cells have not passed; and a summary of one line."""

import html
import re
from collections.abc import Iterable, Mapping

from packaging.version import Version

from harness.report.outcome_style import STYLES
from harness.report.table.grid import TITLES, Grid, Note, Row, span, title
from harness.results import Outcome
from harness.rows import Measure
from harness.system.paths import HOME, ROOT
from harness.system.program import typed

DRAWN = "<!-- Drawn by `{}`: DO NOT EDIT. -->".format(typed("table"))
FLAG = "⚠"
MAX_FAILURES = 5  # how many failed tests a note names


def draw(grid: Grid) -> str:
    """The whole table. It ends with one newline. Equal grids give equal text."""
    titles = ["JAX", "Python", *map(title, grid.columns)]
    lines = [
        DRAWN,
        "{} Of {} cells: {}{}.".format(escape(grid.dates), len(grid.cells), counted(grid.tally()), grid.found_count),
        "",
        line_of(titles),
        "|" + "---|" * len(titles),
    ]
    lines += [line_of([release(row), row.python, *(cell(grid, row, one) for one in grid.columns)]) for row in grid.rows]
    lines += [""]
    for footnote in grid.footnotes(FLAG):
        lines += [escape(footnote).replace("docker/bridge", bridge("../")), ""]
    if grid.notes:
        lines += ["<details>", "<summary>Why the other cells have not passed</summary>", ""]
        lines += [item for note in grid.notes for item in note_lines(note)]
        lines += ["", "</details>"]
    return "\n".join(lines).rstrip("\n") + "\n"


def in_one_line(grid: Grid) -> str:
    """The summary: where cells passed, and how many cells of each backend have each outcome."""
    passed = [entry for entry in grid.cells if entry.outcome is Outcome.PASSED]
    releases = span_of_releases(entry.cell.jax for entry in passed if not entry.cell.floating)
    bridged = sum(entry.bridged for entry in passed)
    parts = []
    if releases:
        across = ", {} of them across {}".format(bridged, bridge("")) if bridged else ""
        pythons = span_of_releases(entry.cell.python for entry in passed)
        parts.append("Cells passed on JAX {} and Python {}{}.".format(releases, pythons, across))
    parts += ["{}: {}.".format(TITLES[backend], counted(grid.tally(backend))) for backend in grid.backends]
    return "{}\n{}\n".format(DRAWN, " ".join(parts))


def span_of_releases(releases: Iterable[str]) -> str:
    return span(sorted(releases, key=Version))


def counted(tally: Mapping[Outcome, int]) -> str:
    return ", ".join("{} {} {}".format(STYLES[one].emoji, count, one.value) for one, count in tally.items() if count)


def release(row: Row) -> str:
    return row.jax + (" ({})".format(escape(row.remark)) if row.remark else "")


def cell(grid: Grid, row: Row, column: str | Measure) -> str:
    """A cell of the table: an outcome with its facts, or a figure."""
    if isinstance(column, Measure):
        value = row.measured(column)
        if value is None:
            return escape(row.why_unmeasured(column))
        return "{:.1f}{}".format(value, " " + FLAG if grid.is_far(column, row) else "")
    entry = row.entries.get(column)
    if entry is None:
        return ""
    outcome = "{} {}".format(STYLES[entry.outcome].emoji, entry.words)
    return "<br>".join(filter(None, (outcome, escape(", ".join(entry.facts)))))


def line_of(cells: Iterable[str]) -> str:
    return "| {} |".format(" | ".join(cells))


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

"""The table in a terminal, at most 80 columns wide."""

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.report.outcome_style import STYLES
from harness.report.table.grid import Grid, Row, title
from harness.results import Outcome
from harness.rows import Measure

FLAG = "▲"
OUTCOMES = [outcome.value for outcome in Outcome]


def draw(grid: Grid) -> RenderableType:
    footnotes = "".join(line + "\n" for line in grid.footnotes(FLAG))
    return Group(matrix(grid), Text(footnotes, style="dim"), notes(grid), summary(grid))


def matrix(grid: Grid) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    table.add_column("JAX", no_wrap=True)
    table.add_column("Py", no_wrap=True)
    for column in grid.columns:
        measured = isinstance(column, Measure)
        table.add_column(
            title(column), justify="right" if measured else "left", overflow="fold" if measured else "ellipsis"
        )
    for row in grid.rows:
        table.add_row(Text(row.jax, style="bold"), row.python, *(cell(grid, row, column) for column in grid.columns))
    return table


def cell(grid: Grid, row: Row, column: str | Measure) -> Text:
    """A cell of the table: an outcome with its facts, or a figure."""
    if isinstance(column, Measure):
        value = row.measured(column)
        if value is None:
            why = row.why_unmeasured(column)
            return Text("–" if why in OUTCOMES else why, style="dim")  # the CPU column already shows the outcome
        far = grid.is_far(column, row)
        return Text("{:.1f}{}".format(value, FLAG if far else ""), style="bold red" if far else "")
    entry = row.entries.get(column)
    if entry is None:
        return Text()
    text = outcome_text(entry.outcome, entry.words)
    if entry.skipped:
        text.append(" " + entry.skipped, style="yellow")
    for fact in filter(None, (entry.time, entry.device)):
        text.append(" " + fact, style="dim")
    return text


def notes(grid: Grid) -> RenderableType:
    """Why cells have not passed: the cells, and the reason below them."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for note in grid.notes:
        text = Text(note.cells)
        if note.reason:
            text.append("\n" + note.short, style="dim")
        table.add_row(outcome_text(note.outcome, note.outcome.value), text)
    return table


def summary(grid: Grid) -> Text:
    counts = [
        Text("{} {}".format(count, one.value), style=STYLES[one].colour) for one, count in grid.tally().items() if count
    ]
    text = Text("\n{} cells: ".format(len(grid.cells))) + Text(", ").join(counts)
    return text.append("{}. {}".format(grid.found_count, grid.dates))


def outcome_text(outcome: Outcome, words: str) -> Text:
    return Text("{} {}".format(STYLES[outcome].mark, words), style=STYLES[outcome].colour)

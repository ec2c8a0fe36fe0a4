"""The table in a terminal, at most 80 columns wide."""

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.report.outcome_style import STYLES
from harness.report.table.grid import BRIDGED, FOUND, TITLES, Entry, Grid, Row
from harness.results import Outcome
from harness.rows import Measure

FLAG = "▲"
OUTCOMES = [outcome.value for outcome in Outcome]


def draw(grid: Grid) -> RenderableType:
    return Group(matrix(grid), footnotes(grid), notes(grid), summary(grid))


def matrix(grid: Grid) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    table.add_column("JAX", no_wrap=True)
    table.add_column("Py", no_wrap=True)
    for backend in grid.backends:
        table.add_column(TITLES[backend])
        for measure in grid.measures if backend == grid.backends[0] else ():
            table.add_column(measure.title, justify="right", overflow="fold")
    for row in grid.rows:
        cells: list[RenderableType] = [title(row), row.python]
        for backend in grid.backends:
            cells.append(entry_cell(row.entries.get(backend)))
            cells += [measured(grid, one, row) for one in grid.measures if backend == grid.backends[0]]
        table.add_row(*cells)
    return table


def title(row: Row) -> Text:
    return Text(row.jax, style="bold")


def entry_cell(entry: Entry | None) -> Text:
    if entry is None:
        return Text()
    text = outcome_text(entry.outcome, entry.words)
    for fact in filter(None, (entry.time, entry.device)):
        text.append(" " + fact, style="dim")
    return text


def measured(grid: Grid, measure: Measure, row: Row) -> Text:
    value = row.measured(measure)
    if value is None:
        why = row.why_unmeasured(measure)
        return Text("–" if why in OUTCOMES else why, style="dim")  # the CPU column already shows the outcome
    far = grid.is_far(measure, row)
    return Text("{:.1f}{}".format(value, FLAG if far else ""), style="bold red" if far else "")


def footnotes(grid: Grid) -> Text:
    lines = [BRIDGED + ", across docker/bridge."] * grid.bridged
    lines += [FOUND + "."] * grid.found
    lines += [measure.explained(FLAG) for measure in grid.measures]
    return Text("".join(line + "\n" for line in lines), style="dim")


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
    text = Text("\n{} cells: ".format(len(grid.cells)))
    counted = [(outcome, count) for outcome, count in grid.tally().items() if count]
    for outcome, count in counted:
        last = (outcome, count) == counted[-1]
        text.append("{} {}".format(count, outcome.value), style=STYLES[outcome].colour).append("" if last else ", ")
    text.append(grid.found_count + ".")
    return text.append(" Runs of {}.".format(grid.dates)) if grid.dates else text


def outcome_text(outcome: Outcome, words: str) -> Text:
    return Text("{} {}".format(STYLES[outcome].mark, words), style=STYLES[outcome].colour)

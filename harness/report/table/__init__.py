"""The table: the result of every cell, as Markdown, as an HTML page, and in the terminal.

The table depends on the results alone, not on the time. So it doesn't change until a result changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console, RenderableType

from harness import locks, results
from harness.report.table import in_html, in_markdown, in_terminal
from harness.report.table.grid import Grid
from harness.results import Outcome, Result, record
from harness.results.record import RECORD
from harness.rows import Cell, project
from harness.run import installed_cell
from harness.source import fingerprint, pages
from harness.system.files import write_whole
from harness.system.paths import RESULTS, ROOT

Hashes = Mapping[str, Mapping[str, str]]
Results = Mapping[str, Result]
NOTHING: Mapping[str, str] = {}


def markdown(cells: Iterable[Cell], results: Results, hashes: Hashes, unresolved: Mapping[str, str] = NOTHING) -> str:
    """The table as Markdown."""
    return in_markdown.draw(Grid.of(cells, results, hashes, unresolved))


def html(cells: Iterable[Cell], results: Results, hashes: Hashes, unresolved: Mapping[str, str] = NOTHING) -> str:
    """The table as an HTML page. It loads no other file."""
    return in_html.draw(Grid.of(cells, results, hashes, unresolved))


def terminal(
    cells: Iterable[Cell], results: Results, hashes: Hashes, unresolved: Mapping[str, str] = NOTHING
) -> RenderableType:
    """The table for a terminal. Show it with `rich.console.Console.print`."""
    return in_terminal.draw(Grid.of(cells, results, hashes, unresolved))


def read_results(cells: Iterable[Cell], folder: Path = RESULTS) -> dict[str, Result]:
    """The results of the cells. If a result can't be used, its cell counts as not run, with the reason."""
    read = {}
    for cell in cells:
        try:
            result = results.read(cell.name, folder)
        except results.ResultError as error:
            result = Result(cell.name, Outcome.NOT_RUN, reason=str(error))
        if result is not None:
            read[cell.name] = result
    return read


def known(
    cells: Iterable[Cell], folder: Path = RESULTS, record_path: Path = RECORD
) -> tuple[list[Cell], dict[str, Result]]:
    """The cells and their results, from the published record and from this checkout.

    The runs with the packages of a machine (see `harness.run.installed_cell`) are added as cells.

    Raises:
        record.RecordError: The record can't be used.
    """
    recorded = record.read(record_path)
    cells = installed_cell.among(cells, folder, recorded)
    return cells, record.merged(recorded, read_results(cells, folder))


def summary(cells: Iterable[Cell]) -> str:
    """The table of all known results as Markdown, for the summary of a GitHub job."""
    cells, what_is_known = known(cells)
    return markdown(cells, what_is_known, fingerprint.hashes_of(cells), locks.unresolved())


def draw(
    cells: Sequence[Cell],
    results_folder: Path = RESULTS,
    table_path: Path | None = None,
    summary_path: Path | None = None,
    html_path: Path = RESULTS / "index.html",
    console: Console | None = None,
    hashes: Hashes | None = None,
    unresolved: Mapping[str, str] | None = None,
    record_path: Path = RECORD,
) -> None:
    """Draw the table in a page of the project, as an HTML page and in the terminal, and its summary in another page.

    This also adds new results to the published record.

    Raises:
        pages.PageError: A page doesn't have the two markers.
        record.RecordError: The record can't be used.
        OSError: A file can't be read or written.
    """
    cells, what_is_known = known(cells, results_folder, record_path)
    grid = Grid.of(
        cells,
        what_is_known,
        fingerprint.hashes_of(cells) if hashes is None else hashes,
        locks.unresolved() if unresolved is None else unresolved,
    )
    console = console or Console(highlight=False)
    console.print(in_terminal.draw(grid))
    recorded = record.write(what_is_known, record_path)
    changed = {}
    for page, place, text in (
        (project().table, table_path, in_markdown.draw(grid)),
        (project().summary, summary_path, in_markdown.in_one_line(grid)),
    ):
        if page:
            path = place or ROOT / page
            changed[path] = pages.update(path, text)
    write_whole(html_path, in_html.draw(grid))
    console.print()
    for path, has_changed in changed.items():
        console.print("{}: {}".format(path.name, "changed; commit it" if has_changed else "unchanged"))
    console.print("{}: {}".format(record_path.name, "has new results; commit it" if recorded else "unchanged"))
    console.print("A page with all details: {}".format(html_path), soft_wrap=True, markup=False)

"""The table: the result of every cell, as Markdown, as an HTML page, and in the terminal.

The table depends on the results alone, not on the time. So it doesn't change until a result changes.
"""

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from harness import locks, results
from harness.report.table import in_html, in_markdown, in_terminal
from harness.report.table.grid import Grid
from harness.results import Outcome, Result, record
from harness.rows import Cell, project
from harness.run import installed_cell
from harness.source import fingerprint, pages
from harness.system.files import write_whole
from harness.system.paths import RESULTS, ROOT


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


def known(cells: Iterable[Cell], folder: Path, record_path: Path) -> tuple[Grid, dict[str, Result]]:
    """The table, and the results in it: those of the published record, and those of this checkout.

    The runs with the packages of a machine (see `harness.run.installed_cell`) are added as cells.
    """
    recorded = record.read(record_path)
    cells = installed_cell.among(cells, folder, recorded)
    merged = record.merged(recorded, read_results(cells, folder))
    return Grid.of(cells, merged, fingerprint.hashes_of(cells), locks.unresolved()), merged


def summary(cells: Iterable[Cell]) -> str:
    """The table of all known results as Markdown, for the summary of a GitHub job."""
    return in_markdown.draw(known(cells, RESULTS, record.RECORD)[0])


def draw(cells: Iterable[Cell], root: Path = ROOT, folder: Path = RESULTS, console: Console | None = None) -> None:
    """Draw the table in a page of the project, as an HTML page and in the terminal, and its summary in another page.

    This also adds new results to the published record. `root` has the pages and the record. `folder` has the results of
    this checkout, and gets the HTML page.

    Raises:
        pages.PageError: A page doesn't have the two markers.
        record.RecordError: The record can't be used.
        OSError: A file can't be read or written.
    """
    console = console or Console(highlight=False)
    record_path, html_path = root / project().record, folder / "index.html"
    grid, merged = known(cells, folder, record_path)
    console.print(in_terminal.draw(grid))
    console.print()
    recorded = record.write(merged, record_path)
    for page, text in ((project().table, in_markdown.draw(grid)), (project().summary, in_markdown.in_one_line(grid))):
        if page:
            changed = pages.update(root / page, text)
            console.print("{}: {}".format(Path(page).name, "changed; commit it" if changed else "unchanged"))
    write_whole(html_path, in_html.draw(grid))
    console.print("{}: {}".format(record_path.name, "changed; commit it" if recorded else "unchanged"))
    console.print("A page with all details: {}".format(html_path), soft_wrap=True, markup=False)

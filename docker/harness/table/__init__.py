"""The table: what is known of every cell, as Markdown for docs/matrix.md, as a page, and in the terminal.

What is drawn depends on the results and on nothing else, not even on the time, so that it stays as it is until one of
them changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console, RenderableType

from harness import fingerprint, found, locks, pages, record, results
from harness.files import write_whole
from harness.places import RESULTS
from harness.record import RECORD
from harness.results import Outcome, Result
from harness.rows import Cell
from harness.table import in_html, in_markdown, in_terminal
from harness.table.grid import Grid

Hashes = Mapping[str, Mapping[str, str]]
Results = Mapping[str, Result]
NOTHING: Mapping[str, str] = {}


def markdown(cells: Iterable[Cell], results: Results, hashes: Hashes, unresolved: Mapping[str, str] = NOTHING) -> str:
    """As Markdown: for docs/matrix.md, and for the summary of a job on GitHub."""
    return in_markdown.draw(Grid.of(cells, results, hashes, unresolved))


def html(cells: Iterable[Cell], results: Results, hashes: Hashes, unresolved: Mapping[str, str] = NOTHING) -> str:
    """As a page that refers to nothing outside of itself."""
    return in_html.draw(Grid.of(cells, results, hashes, unresolved))


def terminal(
    cells: Iterable[Cell], results: Results, hashes: Hashes, unresolved: Mapping[str, str] = NOTHING
) -> RenderableType:
    """For `rich.console.Console.print`."""
    return in_terminal.draw(Grid.of(cells, results, hashes, unresolved))


def read_results(cells: Iterable[Cell], folder: Path = RESULTS) -> dict[str, Result]:
    """The results of the cells. One that can't be used is no result: its cell has not been run, and says why."""
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
    """The cells, with what was found on machines, and what is known of them: recorded, or by a result of this checkout.

    Raises: record.RecordError.
    """
    recorded = record.read(record_path)
    cells = found.among(cells, folder, recorded)
    return cells, record.merged(recorded, read_results(cells, folder))


def draw(
    cells: Sequence[Cell],
    results_folder: Path = RESULTS,
    matrix_path: Path = pages.MATRIX,
    readme_path: Path = pages.README,
    html_path: Path = RESULTS / "index.html",
    console: Console | None = None,
    hashes: Hashes | None = None,
    unresolved: Mapping[str, str] | None = None,
    record_path: Path = RECORD,
) -> None:
    """Draw the table everywhere: in docs/matrix.md, in one line of the README, as a page, and in the terminal.

    The record takes what the table shows.

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
    drawn = {matrix_path: in_markdown.draw(grid), readme_path: in_markdown.in_one_line(grid)}
    changed = {path: pages.update(path, text) for path, text in drawn.items()}
    write_whole(html_path, in_html.draw(grid))
    console.print()
    for path, has_changed in changed.items():
        console.print("{}: {}".format(path.name, "changed; commit it" if has_changed else "as it was"))
    console.print("{}: {}".format(record_path.name, "with new results; commit it" if recorded else "as it was"))
    console.print("As a page, with all details: {}".format(html_path), soft_wrap=True, markup=False)

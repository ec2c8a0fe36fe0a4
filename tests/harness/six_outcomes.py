"""One cell for each of the six outcomes, and their table as Markdown, as HTML and for a terminal."""

import datetime
import html.parser
import io
import re

import pytest
from rich.console import Console

from harness import rows
from harness.report.table import in_html as page
from harness.report.table import in_markdown as markdown
from harness.report.table import in_terminal as terminal
from harness.report.table.grid import Grid
from harness.results import Outcome, Result

NOW = {"lock": "l", "source": "s", "image": ""}
DATED = {"started": "2026-11-20T10:11:12+00:00", "hashes": NOW}


def cell(jax, backend="cpu", python="3.11", **more):
    platform = {"cpu": "cpu", "cuda": "gpu", "tpu": "tpu"}[backend]
    as_of = datetime.date(2026, 11, 1) if jax[0].isdigit() else None
    return rows.Cell(jax, python, backend, platform, "pr", jax, as_of, ("jax",), **more)


# Each cell has its own row. Its result, or its missing result, gives the outcome.
SIX = {
    Outcome.PASSED: cell("0.10.1"),
    Outcome.FAILED: cell("0.10.2"),
    Outcome.UNSUPPORTED: cell("0.10.3"),
    Outcome.UNAVAILABLE: cell("0.10.4"),
    Outcome.NOT_RUN: cell("0.10.5"),
    Outcome.STALE: cell("0.10.6"),
}
CELLS = list(SIX.values())
HASHES = {one.name: NOW for one in CELLS}
UNRESOLVED = {SIX[Outcome.UNAVAILABLE].name: "the index can't be reached"}
RESULTS = {
    SIX[outcome].name: Result(SIX[outcome].name, **{"outcome": outcome, "reason": reason, **DATED, **more})
    for outcome, reason, more in [
        (Outcome.PASSED, "", {"counts": {"passed": 500, "skipped": 3}, "seconds": {"tests": 61.4}}),
        (
            Outcome.FAILED,
            "2 tests",
            {"counts": {"passed": 498, "failed": 2}, "failures": ["t.py::a[1|2]", "t.py::<b>"]},
        ),
        (Outcome.UNSUPPORTED, "too new a GPU", {}),
        (Outcome.STALE, "", {"outcome": Outcome.PASSED, "hashes": {**NOW, "source": "older"}}),
    ]
}
WORDS = [outcome.value for outcome in Outcome]


def in_markdown(cells=CELLS, found=RESULTS, hashes=HASHES, unresolved=UNRESOLVED):
    return markdown.draw(Grid.of(cells, found, hashes, unresolved))


def in_html(cells=CELLS, found=RESULTS, hashes=HASHES, unresolved=UNRESOLVED):
    return page.draw(Grid.of(cells, found, hashes, unresolved))


def in_terminal(cells=CELLS, found=RESULTS, hashes=HASHES, unresolved=UNRESOLVED, width=80):
    out = io.StringIO()
    Console(file=out, width=width).print(terminal.draw(Grid.of(cells, found, hashes, unresolved)))
    return out.getvalue()


def text_of(markup):
    return html.unescape(re.sub(r"<[^>]*>", " ", markup))


def lines_by_jax(form, *args, **options):
    """For each JAX version, the text of its line or row."""
    if form is in_html:
        found = [text_of(line) for line in re.findall("<tr>.*?</tr>", form(*args, **options), re.DOTALL)]
    else:
        found = form(*args, **options).splitlines()
    lines = {}
    for line in found:
        match = re.match(r"[|\s]*(0\.[\d.]+|latest|nightly)\s", line)
        if match:
            lines.setdefault(match.group(1), line)
    return lines


FORMS = pytest.mark.parametrize("form", [in_markdown, in_html, in_terminal])


MEASURED = [cell("0.{}.0".format(minor)) for minor in range(5)]


def with_ratios(*ratios):
    found = {
        one.name: Result(one.name, Outcome.PASSED, measures={} if ratio is None else {"loop_ratio": ratio}, **DATED)
        for one, ratio in zip(MEASURED, ratios, strict=True)
    }
    return MEASURED, found, {one.name: NOW for one in MEASURED}, {}

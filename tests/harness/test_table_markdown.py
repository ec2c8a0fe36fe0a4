"""The table in Markdown, and in the pages that show it."""

import html.parser
import re
from dataclasses import replace

import pytest
from six_outcomes import CELLS, DATED, NOW, RESULTS, cell, in_html, in_markdown

from harness.report.table import grid
from harness.report.table.in_markdown import in_one_line
from harness.results import Outcome, Result
from harness.source import pages
from harness.system.paths import ROOT


def test_every_line_of_the_markdown_has_as_many_cells_as_the_head():
    found = dict(RESULTS, **{CELLS[0].name: replace(RESULTS[CELLS[0].name], versions={"jax": "a|b"})})
    lines = [line for line in in_markdown(found=found).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(CELLS)
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


@pytest.mark.parametrize(
    "reason", ["a | b", "<script>", "*bold* [link](x)", "two\nlines", "<!-- matrix:end -->", "`<b>`"]
)
def test_a_reason_is_text_and_no_markup(reason):
    one = CELLS[0]
    drawn = in_markdown([one], {one.name: Result(one.name, Outcome.NOT_RUN, reason=reason)})
    noted = next(line for line in drawn.splitlines() if line.startswith("- "))
    shown = html.unescape(re.sub(r"\\(.)", r"\1", noted.split(": ", 1)[1]))
    assert shown == " ".join(reason.split())
    assert "<" not in noted and not re.search(r"(?<!\\)[*|\[]", noted)


def test_code_in_a_reason_stays_code():
    one = CELLS[0]
    assert "`uv *`" in in_markdown([one], {one.name: Result(one.name, Outcome.NOT_RUN, reason="Try `uv *`")})


def test_equal_reasons_are_given_once():
    """Though each names its own cell; and without the folder of the checkout."""
    found = {
        one.name: Result(
            one.name,
            Outcome.NOT_RUN,
            reason="{}/results/x is broken: python -m harness run {}".format(ROOT, one.name),
        )
        for one in CELLS
    }
    drawn = in_markdown(found=found)
    assert drawn.count("results/x is broken: python -m harness run ...") == 1
    assert str(ROOT) not in drawn + in_html(found=found)


def test_the_pages_change_only_when_the_results_change(tmp_path):
    assert in_markdown() == in_markdown()
    assert in_html() == in_html()
    path = tmp_path / "README.md"
    path.write_text("{}\n{}\n".format(pages.BEGIN, pages.END))
    assert [pages.update(path, in_markdown()) for _ in range(2)] == [True, False]


def test_the_dates_are_those_of_the_runs():
    assert "Runs of 2026-11-20." in in_markdown()
    found = dict(RESULTS, **{CELLS[0].name: replace(RESULTS[CELLS[0].name], started="2026-11-22T01:00:00+00:00")})
    assert "Runs of 2026-11-20 to 2026-11-22." in in_markdown(found=found)
    assert "No runs yet." in in_markdown(found={})


def test_the_one_line_counts_the_outcomes_of_each_backend():
    cells = [cell("0.9.0", python="3.9"), cell("0.10.0", python="3.10"), cell("0.9.0", "cuda", python="3.9")]
    found = {one.name: Result(one.name, Outcome.PASSED, bridge=one is cells[0], **DATED) for one in cells[:2]}
    hashes = {one.name: NOW for one in cells}
    drawn = in_one_line(grid.Grid.of(cells, found, hashes, {}))
    assert drawn.splitlines()[1:] == [
        "Cells passed on JAX 0.9.0 to 0.10.0 and Python 3.9 to 3.10, "
        "1 of them across [the bridge](docker/bridge/README.md). "
        "CPU: ✅ 2 passed. CUDA: ⚪ 1 not run."
    ]


def test_the_one_line_says_of_nothing_that_it_passed_when_nothing_did():
    """A result of another source is stale."""
    one = cell("0.9.0")
    found = {one.name: Result(one.name, Outcome.PASSED, **DATED)}
    assert in_one_line(grid.Grid.of([one], found, {}, {})).splitlines()[1:] == ["CPU: 🔵 1 stale."]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_the_rest_of_the_page_stays_byte_for_byte(tmp_path, newline):
    before = "# Ünïcode \t\n\n".encode().replace(b"\n", newline) + pages.BEGIN.encode()
    after = pages.END.encode() + newline + b"no newline at the end, and a form feed: \x0c"
    path = tmp_path / "README.md"
    path.write_bytes(before + newline + b"what was drawn before" + newline + after)
    pages.update(path, in_markdown())
    written = path.read_bytes()
    assert written.startswith(before + newline) and written.endswith(newline + after)
    drawn = written[len(before) : -len(after)]
    assert drawn.replace(b"\r\n", b"\n").decode().strip() == in_markdown().strip()
    assert drawn.count(b"\n") == drawn.count(newline)


@pytest.mark.parametrize(
    "text",
    [
        "no markers",
        pages.BEGIN,
        pages.END,
        pages.END + pages.BEGIN,
        pages.BEGIN * 2 + pages.END,
        pages.BEGIN + pages.END * 2,
    ],
)
def test_without_its_two_markers_the_page_is_left_alone(tmp_path, text):
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(pages.PageError) as caught:
        pages.update(path, "drawn")
    assert path.read_text() == text
    assert str(path) in str(caught.value) and pages.BEGIN in str(caught.value) and pages.END in str(caught.value)

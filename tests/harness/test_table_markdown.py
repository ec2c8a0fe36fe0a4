"""The table in Markdown, and in the README."""

import html.parser
import re
from dataclasses import replace

import pytest
from harness import readme
from harness.results import Outcome, Result
from harness.table import grid
from six_outcomes import (
    CELLS,
    RESULTS,
    in_html,
    in_markdown,
)


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


def test_the_same_reason_is_said_once():
    """Though each names its own cell; and without the folder of the checkout."""
    found = {
        one.name: Result(
            one.name,
            Outcome.NOT_RUN,
            reason="{}/results/x is broken: make cell CELL={}".format(grid.ROOT, one.name),
        )
        for one in CELLS
    }
    drawn = in_markdown(found=found)
    assert drawn.count("results/x is broken: make cell CELL=...") == 1
    assert str(grid.ROOT) not in drawn + in_html(found=found)


def test_nothing_changes_while_the_results_do_not(tmp_path):
    assert in_markdown() == in_markdown()
    assert in_html() == in_html()
    path = tmp_path / "README.md"
    path.write_text("{}\n{}\n".format(readme.BEGIN, readme.END))
    assert [readme.update(path, in_markdown()) for _ in range(2)] == [True, False]


def test_it_is_dated_by_the_runs():
    assert "Runs of 2026-11-20." in in_markdown()
    found = dict(RESULTS, **{CELLS[0].name: replace(RESULTS[CELLS[0].name], started="2026-11-22T01:00:00+00:00")})
    assert "Runs of 2026-11-20 to 2026-11-22." in in_markdown(found=found)
    assert "No runs yet." in in_markdown(found={})


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_the_rest_of_the_readme_stays_byte_for_byte(tmp_path, newline):
    before = "# Ünïcode \t\n\n".encode().replace(b"\n", newline) + readme.BEGIN.encode()
    after = readme.END.encode() + newline + b"no newline at the end, and a form feed: \x0c"
    path = tmp_path / "README.md"
    path.write_bytes(before + newline + b"what was drawn before" + newline + after)
    readme.update(path, in_markdown())
    written = path.read_bytes()
    assert written.startswith(before + newline) and written.endswith(newline + after)
    drawn = written[len(before) : -len(after)]
    assert drawn.replace(b"\r\n", b"\n").decode().strip() == in_markdown().strip()
    assert drawn.count(b"\n") == drawn.count(newline)


@pytest.mark.parametrize(
    "text",
    [
        "no markers",
        readme.BEGIN,
        readme.END,
        readme.END + readme.BEGIN,
        readme.BEGIN * 2 + readme.END,
        readme.BEGIN + readme.END * 2,
    ],
)
def test_without_its_two_markers_the_readme_is_left_alone(tmp_path, text):
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(readme.ReadmeError) as caught:
        readme.update(path, "drawn")
    assert path.read_text() == text
    assert str(path) in str(caught.value) and readme.BEGIN in str(caught.value) and readme.END in str(caught.value)

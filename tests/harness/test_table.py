"""The table in its three forms: the six outcomes are never confused, and everything in it comes from the results."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console
from six_outcomes import (
    CELLS,
    DATED,
    FORMS,
    HASHES,
    NOW,
    RESULTS,
    SIX,
    UNRESOLVED,
    WORDS,
    cell,
    in_html,
    in_markdown,
    in_terminal,
    lines_by_jax,
    text_of,
    with_ratios,
)

from harness import results, rows
from harness.report import table
from harness.report.table import grid
from harness.results import Outcome, Result
from harness.run import installed_cell
from harness.source import pages

# ---- Six outcomes ----------------------------------------------------------------------------------------------------


@FORMS
def test_each_outcome_appears_once_at_its_own_cell(form):
    lines = lines_by_jax(form)
    assert set(lines) == {one.jax for one in CELLS}
    for outcome, one in SIX.items():
        said = [word for word in WORDS for _ in re.findall(r"\b{}\b".format(word), lines[one.jax])]
        assert said == [outcome.value]


@FORMS
def test_each_outcome_has_its_own_sign(form):
    """So that nobody depends on the colour."""
    lines = lines_by_jax(form)
    signs = {outcome: re.search(r"(\S+)\s+" + outcome.value, lines[one.jax]).group(1) for outcome, one in SIX.items()}
    assert len(set(signs.values())) == 6


def test_each_outcome_has_its_own_colour():
    """In the terminal a style gives the colour, on the page a class with colours for light and for dark."""
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system="standard", no_color=False)
    console.print(table.in_terminal.draw(grid.Grid.of(CELLS, RESULTS, HASHES, UNRESOLVED)))
    codes = {outcome: re.search(r"\x1b\[([\d;]+)m\S+ " + outcome.value, out.getvalue()).group(1) for outcome in Outcome}
    assert len(set(codes.values())) == 6

    page = in_html()
    for outcome in Outcome:
        name = outcome.value.replace(" ", "-")
        colours = re.findall("--{}: (#[0-9a-f]+);".format(name), page)
        assert page.count('class="badge {}"'.format(name)) >= 2 and len(colours) == 3, name  # light, dark, print


@FORMS
def test_every_cell_appears(form):
    """On all backends, with or without a result."""
    cells = [cell(jax, backend) for jax in ("0.4.13", "0.12.0.1") for backend in ("cpu", "cuda", "tpu")]
    lines = lines_by_jax(form, cells, {}, {}, {})
    assert [line.count("not run") for line in lines.values()] == [3, 3]


@FORMS
def test_a_cell_that_never_ran_says_what_it_needs(form):
    said = " ".join(text_of(form([cell("0.4.13", one) for one in ("cpu", "cuda", "tpu")], {}, {}, {})).split())
    for lacking in (
        "needs an NVIDIA GPU",
        "run --backend cuda",
        "needs a TPU",
        "run --backend tpu",
        "hasn't been run yet",
    ):
        assert lacking in said


@FORMS
def test_a_missing_lock_is_unavailable_and_says_why(form):
    assert "the index can't be reached" in " ".join(text_of(form()).split())


@FORMS
def test_a_result_is_shown_rather_than_the_missing_lock(form):
    one = SIX[Outcome.PASSED]
    assert "passed" in lines_by_jax(form, [one], RESULTS, HASHES, {one.name: "gone"})[one.jax]


@FORMS
def test_stale_says_what_it_was_and_what_changed(form):
    assert "was passed on 2026-11-20; the source changed since" in " ".join(text_of(form()).split())


@FORMS
def test_a_found_python_is_marked_and_has_its_own_row(form):
    """Even if a cell has the same JAX and Python. The result of that cell may differ."""
    cells = [cell("0.10.1", "cuda"), installed_cell.make("3.11", "0.10.1", "cuda")]
    passed = Result(cells[1].name, Outcome.PASSED, **DATED)
    drawn = form(cells, {passed.cell: passed}, {passed.cell: NOW}, {})
    if form is in_html:
        drawn = drawn.replace("\n", " ").replace("</tr>", "\n")
    rows_of_it = re.findall(r"0\.10\.1\W.{,20}?3\.11\W(.*)", text_of(drawn))
    assert ["passed (as found)" in row for row in rows_of_it] == [False, True]
    assert "not run" in rows_of_it[0] and "not run" not in rows_of_it[1]
    assert "(as found): " in drawn and "(as found): " not in form()


@FORMS
def test_a_found_python_is_not_counted_as_a_cell(form):
    one = installed_cell.make("3.11", "0.10.1", "cuda")
    results_of_it = {**RESULTS, one.name: Result(one.name, Outcome.PASSED, **DATED)}
    without = re.sub(r"\s+", " ", text_of(form()))
    drawn = re.sub(r"\s+", " ", text_of(form([*CELLS, one], results_of_it, {**HASHES, one.name: NOW})))
    count = "6 cells{}. " if form is in_html else "1 stale{}."
    assert count.format("") in without and "as found" not in without
    assert count.format(", and 1 as found") in drawn and "7 cells" not in drawn and "2 passed" not in drawn
    assert form is not in_html or "on 6 lines of JAX" in without and "on 6 lines of JAX" in drawn


@FORMS
def test_a_run_on_the_bridge_is_marked(form):
    """A cell that never ran, or that ran on its original jaxlib, isn't marked."""
    cells = [cell("0.2.18", bridge=True), cell("0.2.28", bridge=True), cell("0.3.25", bridge=True)]
    hashes = {one.name: NOW for one in cells}
    found = {
        cells[0].name: Result(cells[0].name, Outcome.PASSED, bridge=True, **DATED),
        cells[1].name: Result(cells[1].name, Outcome.PASSED, **DATED),
        cells[2].name: Result(cells[2].name, Outcome.NOT_RUN, bridge=True),
    }
    lines = lines_by_jax(form, cells, found, hashes, {})
    assert {jax: "(bridge)" in line for jax, line in lines.items()} == {
        "0.2.18": True,
        "0.2.28": False,
        "0.3.25": False,
    }
    assert "docker/bridge" in form(cells, found, hashes, {})
    assert "docker/bridge" not in form()


@FORMS
def test_an_accelerator_is_named_only_for_a_run_on_it(form):
    """Only a GPU cell that passed names its device."""
    one = cell("0.8.3", "cuda")
    gpus = [{"platform": "gpu", "kind": "NVIDIA H200", "id": n} for n in range(2)]
    result = Result(one.name, Outcome.PASSED, devices=gpus, counts={"passed": 1}, **DATED)
    if form is not in_terminal:  # the terminal is narrow
        assert "1 test" in lines_by_jax(form, [one], {one.name: result}, {one.name: NOW}, {})["0.8.3"]
        assert "2 x NVIDIA H200" in lines_by_jax(form, [one], {one.name: result}, {one.name: NOW}, {})["0.8.3"]
    unsupported = replace(result, outcome=Outcome.UNSUPPORTED)
    assert "H200" not in lines_by_jax(form, [one], {one.name: unsupported}, {one.name: NOW}, {})["0.8.3"]


def test_counts_and_seconds():
    lines = lines_by_jax(in_markdown)
    assert "500 tests, 61 s" in lines[SIX[Outcome.PASSED].jax]
    assert "2 of 500 tests" in lines[SIX[Outcome.FAILED].jax]
    assert not re.search("tests| s ", lines[SIX[Outcome.STALE].jax])


def test_a_floating_row_says_which_release_it_was():
    one = replace(cell("latest"), tier="canary")
    result = Result(one.name, Outcome.PASSED, versions={"jax": "0.12.0.1"}, **DATED)
    assert "latest (0.12.0.1, canary)" in in_markdown([one], {one.name: result}, {one.name: NOW}, {})


# ---- Cells that passed, and about which there is more to say ---------------------------------------------------------

UNCLAIMED = "the project doesn't claim this JAX: it requires jax>=0.7.0"


def passed_with(cells, facts):
    """The arguments of a form: each cell has passed, with its own facts."""
    found = {
        one.name: Result(one.name, Outcome.PASSED, **DATED, **more) for one, more in zip(cells, facts, strict=True)
    }
    return cells, found, {one.name: NOW for one in cells}, {}


@FORMS
def test_a_remark_on_a_passed_cell_is_a_footnote(form):
    """Cells with the same remark share it. It is no reason why a cell has not passed."""
    cells = [cell("0.4.38"), cell("0.5.3"), cell("0.6.2"), cell("0.7.2")]
    drawn = passed_with(cells, [{"reason": reason} for reason in (UNCLAIMED, "a | b", UNCLAIMED, "")])
    marks = {jax: re.findall(r"passed \(note (\d)\)", line) for jax, line in lines_by_jax(form, *drawn).items()}
    assert marks == {"0.4.38": ["1"], "0.5.3": ["2"], "0.6.2": ["1"], "0.7.2": []}
    said = re.sub(r"\\(.)", r"\1", " ".join(text_of(form(*drawn)).split()))
    assert said.count("(note 1): {}.".format(UNCLAIMED)) == said.count("(note 2): a | b.") == 1
    assert "Why the other cells" not in said and "note 3" not in said


OURS = [(6846, 201), (6856, 192), (6918, 130), (7010, 56), (7024, 45), (7031, 38)]
OPTAX = [(139, 54), (191, 2), (251, 0), (197, 54), (197, 54)]  # it takes JAX 0.10 for older than 0.7, and skips


@pytest.mark.parametrize(
    "counts, shown",
    [
        (OURS, []),
        (OPTAX, ["0.13.0", "0.14.0"]),
        ([(250, 36)] * 4, []),
        ([(100, 0), (95, 5)], []),
        ([(100, 0), (94, 6)], ["0.11.0"]),
        ([(94, 6), (100, 0)], []),
        ([(9, 11), (20, 0)], ["0.10.0"]),
        ([(0, 0), (94, 6)], []),
    ],
)
@FORMS
def test_skips_are_shown_if_they_are_most_or_more_than_on_an_older_jax(form, counts, shown):
    """More than half of the tests, or 5 % more of them. The order of the rows doesn't matter."""
    cells = [cell("0.{}.0".format(10 + number)) for number in range(len(counts))]
    facts = [{"counts": dict(zip(("passed", "skipped"), each, strict=True))} for each in counts]
    for order in (1, -1):
        drawn = passed_with(cells[::order], facts[::order])
        found = {jax: re.findall(r"(\d+) skipped", line) for jax, line in lines_by_jax(form, *drawn).items()}
        numbers = {one.jax: [str(skipped)] for one, (_, skipped) in zip(cells, counts, strict=True)}
        assert {jax: said for jax, said in found.items() if said} == {jax: numbers[jax] for jax in shown}
        assert ("skipped: shown if more than half of the tests are, or 5%" in " ".join(form(*drawn).split())) is bool(
            shown
        )


def test_skips_are_compared_with_a_fixed_older_jax_on_the_same_backend():
    """More tests are skipped on CUDA than on the CPU, on each JAX. Only what differs from an older JAX is shown."""
    on_cuda = [cell(jax, "cuda") for jax in ("0.9.0", "0.10.0", "0.11.0")]
    cells = [cell("latest"), cell("nightly"), cell("0.9.0"), *on_cuda]
    counts = [(80, 20), (100, 0), (100, 0), (70, 30), (67, 33), (60, 40)]
    facts = [{"counts": dict(zip(("passed", "skipped"), each, strict=True))} for each in counts]
    lines = lines_by_jax(in_markdown, *passed_with(cells, facts))
    skipped = {jax: re.findall(r"(\d+) skipped", line) for jax, line in lines.items()}
    assert skipped == {"latest": ["20"], "nightly": [], "0.9.0": [], "0.10.0": [], "0.11.0": ["40"]}


# ---- Measures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ratios, flagged",
    [
        ((1.0, 1.1, 15.0, 0.9, 1.2), ["0.2.0"]),
        ((1.0, 1.1, 4.1, 0.9, 1.0), ["0.2.0"]),
        ((1.0, 1.1, 3.9, 0.9, 1.0), []),
        ((15.0, 15.0, 15.0, 15.0, 15.0), []),
        ((9.0, None, None, None, None), []),
        ((9.0, 1.0, float("nan"), float("inf"), None), ["0.0.0"]),
    ],
)
@FORMS
def test_a_figure_far_above_the_others_is_flagged(form, ratios, flagged):
    lines = lines_by_jax(form, *with_ratios(*ratios))
    assert [jax for jax, line in lines.items() if re.search("⚠|▲|slow", line)] == flagged


@FORMS
def test_a_measure_that_was_taken_has_a_column(form):
    """A measure that no row has gets no column."""
    assert "Loops" not in form()
    assert "Loops" in form(*with_ratios(1.0, None, None, None, None))


@FORMS
def test_a_missing_figure_says_why(form):
    cells, found, hashes, _ = with_ratios(1.0, None, None, None, None)
    reasons = [None, "too noisy to tell", "not done in 120 s", None, None]
    for one, reason in zip(cells, reasons, strict=True):
        if reason:
            found[one.name] = replace(found[one.name], evidence={"unmeasured": {"loop_ratio": reason}})
    del found[cells[4].name]
    options = {"width": 200} if form is in_terminal else {}
    lines = lines_by_jax(form, cells, found, hashes, {}, **options)
    for jax, words in [("0.1.0", reasons[1]), ("0.2.0", reasons[2]), ("0.3.0", "not measured"), ("0.4.0", "not run")]:
        said_twice = words == "not run" and form is not in_terminal  # there is little room
        assert lines[jax].count(words) == 1 + said_twice and ("–" in lines[jax]) is (
            words == "not run" and not said_twice
        )


def test_more_measures_more_columns(monkeypatch):
    more = rows.Measure(key="dispatch_ratio", program="x.py", title="Calls", meaning="what a call costs", far=2.0)
    more_measures = replace(rows.project(), measure=(*rows.project().measure, more))
    monkeypatch.setattr(grid, "project", lambda: more_measures)
    cells, found, hashes, _ = with_ratios(1.0, 1.0, 1.0, 1.0, 1.0)
    one = cells[0].name
    found[one] = replace(found[one], measures={"loop_ratio": 1.0, "dispatch_ratio": 1.7})
    for form in (in_markdown, in_html, in_terminal):
        assert (
            "Calls" in form(cells, found, hashes, {}) and "1.7" in lines_by_jax(form, cells, found, hashes, {})["0.0.0"]
        )


# ---- The terminal ----------------------------------------------------------------------------------------------------


def test_each_row_fits_into_a_line_of_eighty_columns():
    cells, found, hashes = [], {}, {}
    for backend in ("cpu", "cuda", "tpu"):
        one = cell("0.12.0.1", backend, "3.13")
        result = Result(one.name, Outcome.PASSED, bridge=backend == "cpu", seconds={"tests": 123.4}, **DATED)
        cells.append(one)
        found[one.name] = replace(result, measures={"loop_ratio": 15.2})
        hashes[one.name] = NOW
    drawn = in_terminal(cells, found, hashes, {})
    assert re.search(r"0\.12\.0\.1 +3\.13 +✓ passed \(bridge\) 123 s +15\.2 +✓ passed 123 s +✓ passed 123 s", drawn)
    assert max(map(len, drawn.splitlines())) <= 80


# ---- All of it -------------------------------------------------------------------------------------------------------


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """`draw()`: the page with the table, the HTML page and the output, from the results in `tmp_path`."""

    def draw(hashes=HASHES):
        out = io.StringIO()
        page, readme = tmp_path / rows.project().table, tmp_path / rows.project().summary
        page.parent.mkdir(exist_ok=True)
        for path in (page, readme):
            path.write_text("above\n{}\n{}\nbelow\n".format(pages.BEGIN, pages.END))
        monkeypatch.setattr(table.fingerprint, "hashes_of", lambda cells: hashes)
        monkeypatch.setattr(table.locks, "unresolved", lambda: UNRESOLVED)
        table.draw(CELLS, tmp_path, tmp_path, Console(file=out, width=200))
        return page.read_text(), (tmp_path / "index.html").read_text(encoding="utf-8"), out.getvalue()

    return draw


def test_draws_everywhere(draw, tmp_path):
    for result in RESULTS.values():
        results.write(result, tmp_path)
    in_matrix, page, shown = draw()
    in_readme = (tmp_path / "README.md").read_text()
    for drawn in (in_matrix, in_readme):
        assert drawn.startswith("above\n") and drawn.endswith("below\n")
    assert in_markdown() in in_matrix and "Cells passed on JAX 0.10.1 and Python 3.11." in in_readme
    assert page == in_html()
    assert in_terminal(width=200) in shown and "index.html" in shown


def test_a_broken_result_is_not_run_and_says_why(draw, tmp_path):
    """The other cells are drawn as usual."""
    for result in RESULTS.values():
        results.write(result, tmp_path)
    broken = SIX[Outcome.PASSED]
    (tmp_path / (broken.name + ".json")).write_text('{"half')
    for drawn in draw():
        said = " ".join(text_of(drawn).split())
        assert broken.name + ".json isn't JSON" in said and "Delete it and run it again" in said
    assert table.read_results(CELLS, tmp_path)[broken.name].outcome is Outcome.NOT_RUN
    assert table.read_results(CELLS, tmp_path)[SIX[Outcome.FAILED].name] == RESULTS[SIX[Outcome.FAILED].name]


def test_results_without_a_cell_are_left_out(tmp_path):
    """For example results of a row that was removed."""
    results.write(Result("py36-jax0.1-cpu", Outcome.PASSED), tmp_path)
    assert table.read_results(CELLS, tmp_path) == {}


def test_a_found_python_with_a_result_is_drawn(draw, tmp_path):
    one = installed_cell.make("3.12", "0.10.4", "cuda")
    device = {"platform": "gpu", "kind": "NVIDIA H200", "id": 0}
    results.write(Result(one.name, Outcome.PASSED, devices=[device], driver="580.1", **DATED), tmp_path)
    hashes = {**HASHES, one.name: NOW}
    for drawn in draw(hashes):
        assert "passed (as found)" in text_of(drawn)
    in_matrix = draw(hashes)[0]
    assert "| 0.10.4 | 3.12 |  | ✅ passed (as found)<br>NVIDIA H200, driver 580.1 |" in in_matrix

"""The table: in each of its three forms, six outcomes that are never confused, and nothing but what the results say."""

import html.parser
import io
import re
from dataclasses import replace

import pytest
from harness import found, readme, results, rows, table
from harness.results import Outcome, Result
from harness.table import grid
from rich.console import Console

NOW = {"lock": "l", "source": "s", "image": ""}
DATED = {"started": "2026-11-20T10:11:12+00:00", "hashes": NOW}


def cell(jax, backend="cpu", python="3.11", **more):
    platform = {"cpu": "cpu", "cuda": "gpu", "tpu": "tpu"}[backend]
    return rows.Cell(jax, python, backend, platform, "pr", jax, None, ("jax",), **more)


# One cell for each outcome, each in a row of its own, and each because of what its result, or its lack, says.
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
    return table.markdown(cells, found, hashes, unresolved)


def in_html(cells=CELLS, found=RESULTS, hashes=HASHES, unresolved=UNRESOLVED):
    return table.html(cells, found, hashes, unresolved)


def in_terminal(cells=CELLS, found=RESULTS, hashes=HASHES, unresolved=UNRESOLVED, width=80):
    out = io.StringIO()
    Console(file=out, width=width).print(table.terminal(cells, found, hashes, unresolved))
    return out.getvalue()


def text_of(markup):
    return html.unescape(re.sub(r"<[^>]*>", " ", markup))


def lines_by_jax(form, *args, **options):
    """The line, or row, of each JAX, as it is read."""
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


# ---- Six outcomes ----------------------------------------------------------------------------------------------------


@FORMS
def test_each_outcome_is_said_once_and_only_of_its_own_cell(form):
    lines = lines_by_jax(form)
    assert set(lines) == {one.jax for one in CELLS}
    for outcome, one in SIX.items():
        said = [word for word in WORDS for _ in re.findall(r"\b{}\b".format(word), lines[one.jax])]
        assert said == [outcome.value]


@FORMS
def test_each_outcome_has_a_sign_of_its_own(form):
    """So that the colour is never all that tells."""
    lines = lines_by_jax(form)
    signs = {outcome: re.search(r"(\S+)\s+" + outcome.value, lines[one.jax]).group(1) for outcome, one in SIX.items()}
    assert len(set(signs.values())) == 6


def test_each_outcome_has_a_colour_of_its_own():
    """In the terminal by its style, on the page by its class, for which there are colours in light and in dark."""
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system="standard", no_color=False)
    console.print(table.terminal(CELLS, RESULTS, HASHES, UNRESOLVED))
    codes = {outcome: re.search(r"\x1b\[([\d;]+)m\S+ " + outcome.value, out.getvalue()).group(1) for outcome in Outcome}
    assert len(set(codes.values())) == 6

    page = in_html()
    for outcome in Outcome:
        name = outcome.value.replace(" ", "-")
        colours = re.findall("--{}: (#[0-9a-f]+);".format(name), page)
        assert page.count('class="badge {}"'.format(name)) >= 2 and len(colours) == 3, name  # light, dark, print


@FORMS
def test_every_cell_appears(form):
    """Of all backends, whether or not there is any result."""
    cells = [cell(jax, backend) for jax in ("0.4.13", "0.12.0.1") for backend in ("cpu", "cuda", "tpu")]
    lines = lines_by_jax(form, cells, {}, {}, {})
    assert [line.count("not run") for line in lines.values()] == [3, 3]


@FORMS
def test_what_was_never_run_says_what_it_lacks(form):
    said = " ".join(text_of(form([cell("0.4.13", one) for one in ("cpu", "cuda", "tpu")], {}, {}, {})).split())
    for lacking in ("needs an NVIDIA GPU", "make test-gpu", "needs a TPU", "make test-tpu", "hasn't been run yet"):
        assert lacking in said


@FORMS
def test_a_missing_lock_is_unavailable_and_says_why(form):
    assert "the index can't be reached" in " ".join(text_of(form()).split())


@FORMS
def test_a_result_comes_before_the_lack_of_a_lock(form):
    one = SIX[Outcome.PASSED]
    assert "passed" in lines_by_jax(form, [one], RESULTS, HASHES, {one.name: "gone"})[one.jax]


@FORMS
def test_stale_says_what_it_was_and_what_changed(form):
    assert "was passed on 2026-11-20; the source changed since" in " ".join(text_of(form()).split())


@FORMS
def test_what_a_machine_had_is_marked_and_has_a_row_of_its_own(form):
    """Though there is a cell of that very JAX and Python, which may be known for something else."""
    cells = [cell("0.10.1", "cuda"), found.cell("3.11", "0.10.1", "cuda")]
    passed = Result(cells[1].name, Outcome.PASSED, **DATED)
    drawn = form(cells, {passed.cell: passed}, {passed.cell: NOW}, {})
    if form is in_html:
        drawn = drawn.replace("\n", " ").replace("</tr>", "\n")
    rows_of_it = re.findall(r"0\.10\.1\W.{,20}?3\.11\W(.*)", text_of(drawn))
    assert ["passed (as found)" in row for row in rows_of_it] == [False, True]
    assert "not run" in rows_of_it[0] and "not run" not in rows_of_it[1]
    assert "(as found): " in drawn and "(as found): " not in form()


@FORMS
def test_the_bridge_is_marked_where_it_was_crossed(form):
    """And only there: what was never run, or ran on the jaxlib of its time, isn't marked."""
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
def test_an_accelerator_is_named_only_by_what_ran_on_it(form):
    """A GPU cell that passed says on which device; nothing else does."""
    one = cell("0.8.3", "cuda")
    gpus = [{"platform": "gpu", "kind": "NVIDIA H200", "id": n} for n in range(2)]
    result = Result(one.name, Outcome.PASSED, devices=gpus, counts={"passed": 1}, **DATED)
    if form is not in_terminal:  # which is narrow
        assert "1 test" in lines_by_jax(form, [one], {one.name: result}, {one.name: NOW}, {})["0.8.3"]
        assert "2 x NVIDIA H200" in lines_by_jax(form, [one], {one.name: result}, {one.name: NOW}, {})["0.8.3"]
    unsupported = replace(result, outcome=Outcome.UNSUPPORTED)
    assert "H200" not in lines_by_jax(form, [one], {one.name: unsupported}, {one.name: NOW}, {})["0.8.3"]


def test_counts_and_seconds():
    lines = lines_by_jax(in_markdown)
    assert "500 tests, 61 s" in lines[SIX[Outcome.PASSED].jax]
    assert "2 of 500 tests" in lines[SIX[Outcome.FAILED].jax]
    assert not re.search("tests| s ", lines[SIX[Outcome.STALE].jax])


def test_what_floats_says_what_it_was():
    one = replace(cell("latest"), jaxlib=None, tier="canary")
    result = Result(one.name, Outcome.PASSED, versions={"jax": "0.12.0.1"}, **DATED)
    assert "latest (0.12.0.1, canary)" in in_markdown([one], {one.name: result}, {one.name: NOW}, {})


# ---- Measures --------------------------------------------------------------------------------------------------------

MEASURED = [cell("0.{}.0".format(minor)) for minor in range(5)]


def with_ratios(*ratios):
    found = {
        one.name: Result(one.name, Outcome.PASSED, measures={} if ratio is None else {"loop_ratio": ratio}, **DATED)
        for one, ratio in zip(MEASURED, ratios, strict=True)
    }
    return MEASURED, found, {one.name: NOW for one in MEASURED}, {}


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
def test_a_figure_is_flagged_when_it_is_far_above_those_of_the_others(form, ratios, flagged):
    lines = lines_by_jax(form, *with_ratios(*ratios))
    assert [jax for jax, line in lines.items() if re.search("⚠|▲|slow", line)] == flagged


@FORMS
def test_a_measure_has_a_column_once_it_was_taken(form):
    """To add one is to add it to `MEASURES`."""
    assert "Loops" not in form()
    assert "Loops" in form(*with_ratios(1.0, None, None, None, None))


def test_more_measures_more_columns(monkeypatch):
    more = grid.Measure("dispatch_ratio", "Calls", "what a call costs", far=2.0)
    monkeypatch.setattr(grid, "MEASURES", (*grid.MEASURES, more))
    cells, found, hashes, _ = with_ratios(1.0, 1.0, 1.0, 1.0, 1.0)
    one = cells[0].name
    found[one] = replace(found[one], measures={"loop_ratio": 1.0, "dispatch_ratio": 1.7})
    for form in (in_markdown, in_html, in_terminal):
        assert (
            "Calls" in form(cells, found, hashes, {}) and "1.7" in lines_by_jax(form, cells, found, hashes, {})["0.0.0"]
        )


# ---- Markdown, and the README ----------------------------------------------------------------------------------------


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


# ---- The page --------------------------------------------------------------------------------------------------------

VOID = {"meta", "link", "br"}
LOADING = {"src", "srcset", "data", "poster", "action", "background"}


class Page(html.parser.HTMLParser):
    """Checks that each tag is closed in its turn, and collects what there is."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.targets, self.links, self.tags = [], [], [], [], set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        assert len(found) == len(attrs), "an attribute is there twice"
        self.tags.add(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.targets += [found[key] for key in ("popovertarget", "aria-labelledby") if key in found]
        self.links += [value for key, value in attrs if key == "href" or key in LOADING]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed():
    page = Page(in_html())
    assert len(set(page.ids)) == len(page.ids) and set(page.targets) <= set(page.ids)
    assert {one.name for one in CELLS} <= set(page.ids)


def test_the_page_refers_to_nothing_outside():
    """No script, no font, no picture, no style that has to be fetched."""
    text = in_html()
    page = Page(text)
    assert page.links == ["data:,"]  # so that no browser asks for an icon
    assert not page.tags & {"script", "img", "iframe", "object", "embed"}
    assert "@import" not in text and "url(" not in text and "$" not in text


@pytest.mark.parametrize("field", ["reason", "driver", "started"])
def test_whatever_a_result_says_is_text(field):
    """Also in names of tests, versions, devices and evidence."""
    evil = "<script>alert('\"')</script>&amp;`<b>`"
    one = CELLS[0]
    result = Result(
        one.name,
        Outcome.FAILED,
        failures=[evil],
        versions={evil: evil},
        devices=[{"kind": evil, "platform": evil}],
        evidence={evil: [evil]},
        measures={evil: 1.0},
        **{**DATED, "counts": {evil: 1}, "seconds": {evil: 1.0}, "hashes": {**NOW, "more": evil}, field: evil},
    )
    found = {one.name: result}
    page = Page(in_html([one], found))
    assert not page.tags & {"script", "b"} - Page(in_html()).tags


def test_the_page_says_all_that_a_result_says():
    one = CELLS[0]
    result = Result(
        one.name,
        Outcome.FAILED,
        reason="why",
        where="container",
        failures=["t.py::failing"],
        counts={"passed": 7, "skipped": 4},
        seconds={"setup": 12.5},
        versions={"jax": "9.9.9"},
        devices=[{"platform": "gpu", "kind": "H200", "id": 3}],
        driver="570.1",
        evidence={"seen": "working"},
        measures={"loop_ratio": 1.75},
        started=DATED["started"],
        hashes={"lock": "l", "source": "s", "image": "sha256:abc"},
    )
    page = text_of(in_html([one], {one.name: result}))
    for said in (
        "why container t.py::failing 7~passed 4~skipped 12.5 9.9.9 H200 570.1 working 1.75 sha256:abc"
    ).split():
        assert said.replace("~", " ") in page, said
    assert "2026-11-20 10:11 UTC, in a container" in page


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


def draw(tmp_path, hashes=HASHES):
    out = io.StringIO()
    path = tmp_path / "README.md"
    path.write_text("above\n{}\n{}\nbelow\n".format(readme.BEGIN, readme.END))
    console = Console(file=out, width=200)
    table.draw(CELLS, tmp_path, path, tmp_path / "index.html", console, hashes, UNRESOLVED)
    return path.read_text(), (tmp_path / "index.html").read_text(encoding="utf-8"), out.getvalue()


def test_draws_everywhere(tmp_path):
    for result in RESULTS.values():
        results.write(result, tmp_path)
    in_readme, page, shown = draw(tmp_path)
    assert in_markdown() in in_readme and in_readme.startswith("above\n") and in_readme.endswith("below\n")
    assert page == in_html()
    assert in_terminal(width=200) in shown and "index.html" in shown


def test_a_broken_result_is_not_run_and_says_why(tmp_path):
    """The others are drawn as ever."""
    for result in RESULTS.values():
        results.write(result, tmp_path)
    broken = SIX[Outcome.PASSED]
    (tmp_path / (broken.name + ".json")).write_text('{"half')
    for drawn in draw(tmp_path):
        said = " ".join(text_of(drawn).split())
        assert broken.name + ".json isn't JSON" in said and "Delete it and run the cell again" in said
    assert table.read_results(CELLS, tmp_path)[broken.name].outcome is Outcome.NOT_RUN
    assert table.read_results(CELLS, tmp_path)[SIX[Outcome.FAILED].name] == RESULTS[SIX[Outcome.FAILED].name]


def test_results_of_no_cell_are_left_out(tmp_path):
    """As of a row that has gone."""
    results.write(Result("py36-jax0.1-cpu", Outcome.PASSED), tmp_path)
    assert table.read_results(CELLS, tmp_path) == {}


def test_what_machines_had_is_drawn_where_there_is_a_result_of_it(tmp_path):
    one = found.cell("3.12", "0.10.4", "cuda")
    device = {"platform": "gpu", "kind": "NVIDIA H200", "id": 0}
    results.write(Result(one.name, Outcome.PASSED, devices=[device], driver="580.1", **DATED), tmp_path)
    hashes = {**HASHES, one.name: NOW}
    for drawn in draw(tmp_path, hashes=hashes):
        assert "passed (as found)" in text_of(drawn)
    in_readme = draw(tmp_path, hashes=hashes)[0]
    assert "| 0.10.4 | 3.12 |  | ✅ passed (as found)<br>NVIDIA H200, driver 580.1 |" in in_readme

"""The display shows progress, the time that is left, failures, and what to do next."""

import io

import pytest
from rich.console import Console
from small_matrix import a_cell

from harness.report import display as shown
from harness.report.display import Live, Plain, about, duration
from harness.report.eta import Eta
from harness.results import Outcome, Result
from harness.results.resume import Decision, Step
from harness.run.scheduler import Summary

MINUTE = 60.0


def to_run(cell, last_s=None):
    last = None if last_s is None else Result(cell.name, Outcome.PASSED, seconds={"total": last_s})
    return Decision(cell, Step.RUN, Result(cell.name, Outcome.NOT_RUN), last)


def kept(cell, result):
    return Decision(cell, Step.KEEP, result, result)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def eta(clock):
    return Eta(clock)


@pytest.fixture(params=[80, 200])
def console(request):
    return Console(file=io.StringIO(), width=request.param, highlight=False)


@pytest.fixture(params=[Plain, Live])
def display(request, console, eta, tmp_path):
    return request.param(console, tmp_path, eta)


def lines(console):
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


# ---- The time that is left ------------------------------------------------------------------------------------------


def test_a_cell_takes_as_long_as_the_last_time(eta, clock):
    cell = a_cell()
    eta.begin([to_run(cell, 10 * MINUTE)], jobs=1)
    assert eta.remaining() == 10 * MINUTE
    eta.start(cell)
    clock.now = 4 * MINUTE
    assert eta.remaining() == 6 * MINUTE
    clock.now = 15 * MINUTE
    assert eta.remaining() == 0


def test_without_any_measured_time_there_is_no_estimate(eta, clock):
    first, second = a_cell("0.4.13"), a_cell("0.4.30")
    eta.begin([to_run(first), to_run(second)], jobs=1)
    eta.start(first)
    assert eta.remaining() is None
    clock.now = 3 * MINUTE
    eta.finish(first)
    assert eta.remaining() == 3 * MINUTE  # the second cell is expected to take as long as the first


def test_the_estimate_follows_the_speed_of_the_tests(eta, clock):
    """Once tests run, the time before the tests and the time of the last run don't count."""
    cell = a_cell()
    eta.begin([to_run(cell, 100 * MINUTE)], jobs=1)
    eta.start(cell)
    eta.progress(cell, "environment", 0, 0, 0)
    clock.now = 10 * MINUTE
    eta.progress(cell, "tests", 0, 400, 0)
    clock.now = 12 * MINUTE
    running = eta.progress(cell, "tests", 100, 400, 0)
    assert eta.remaining_of(running) == 6 * MINUTE
    assert eta.remaining_of(eta.progress(cell, "tests", 1, 400, 0)) == 88 * MINUTE  # one test tells nothing


@pytest.mark.parametrize("jobs, left", [(1, 12), (2, 8), (3, 8)])
def test_parallel_cells_take_as_long_as_the_longest_or_their_share(eta, jobs, left):
    eta.begin([to_run(a_cell("0.4.{}".format(each)), each * MINUTE) for each in (8, 3, 1)], jobs)
    assert eta.remaining() == left * MINUTE


@pytest.mark.parametrize(
    "seconds, short, spoken",
    [
        (7.4, "0:07", "less than a minute"),
        (59.7, "1:00", "about 1 min"),
        (750, "12:30", "about 12 min"),
        (3723, "1:02:03", "about 1 h 02 min"),
    ],
)
def test_durations_are_short_or_rounded(seconds, short, spoken):
    assert (duration(seconds), about(seconds)) == (short, spoken)


# ---- Both displays --------------------------------------------------------------------------------------------------


def run_one(display, result, cell=None):
    cell = cell or a_cell()
    display.begin([], [to_run(cell)], 1)
    with display.live():
        display.started(cell)
        display.progress(cell, "tests", 1, 2, 0)
        display.finished(cell, result)


def test_a_finished_cell_shows_outcome_counts_and_time(display, console, clock):
    cell = a_cell()
    result = Result(cell.name, Outcome.PASSED, counts={"passed": 1438, "failed": 0, "skipped": 12}, bridge=True)
    display.begin([], [to_run(cell)], 1)
    with display.live():
        display.started(cell)
        clock.now = 133.0
        display.finished(cell, result)
    (said,) = (line for line in lines(console) if cell.name in line)
    assert all(part in said for part in ("passed", "2:13", "1438 passed, 12 skipped, bridge"))


def test_failure_names_the_tests_and_the_log(display, console, tmp_path):
    failures = ["tests/transforms/test_jit.py::test_{}".format(number) for number in range(25)]
    run_one(display, Result(a_cell().name, Outcome.FAILED, counts={"failed": 25}, failures=failures))
    said = lines(console)
    assert "    " + failures[0] in said
    assert "    and 15 more" in said
    assert "    log: {}".format(tmp_path / (a_cell().name + ".log")) in said


def test_failure_without_a_failed_test_shows_the_end_of_the_log(display, console, tmp_path):
    log = "".join("line {}\n".format(number) for number in range(100))
    (tmp_path / (a_cell().name + ".log")).write_text(log, encoding="utf-8")
    run_one(display, Result(a_cell().name, Outcome.FAILED, reason="pytest was killed"))
    said = lines(console)
    assert "    line 99" in said and "    line 90" in said and "    line 69" not in said
    assert any("pytest was killed" in line for line in said)


def test_the_whole_reason_is_shown(display, console):
    reason = "Python 3.7 isn't here: " + " ".join("word{}".format(number) for number in range(30))
    display.begin([], [], 1)
    with display.live():
        display.finished(a_cell(), Result(a_cell().name, Outcome.NOT_RUN, reason=reason))
    assert reason in " ".join(" ".join(lines(console)).split())


def test_square_brackets_are_not_markup(display, console):
    run_one(display, Result(a_cell().name, Outcome.FAILED, reason="see [bold]", failures=["tests/x.py::test[red]"]))
    assert "    tests/x.py::test[red]" in lines(console)
    assert "see [bold]" in console.file.getvalue()


# ---- Without a terminal ---------------------------------------------------------------------------------------------


def test_plain_prints_phases_and_quarters(console, eta, tmp_path):
    cell = a_cell()
    display = Plain(console, tmp_path, eta)
    display.begin([], [to_run(cell)], 1)
    display.started(cell)
    for phase, done, total in [("environment", 0, 0)] * 3 + [("tests", done, 400) for done in range(0, 401, 4)]:
        display.progress(cell, phase, done, total, failed=done // 300)
    said = [line.split(": ", 1)[1].split(", less")[0] for line in lines(console)[1:]]
    assert said == [
        "environment",
        "tests, 0 of 400",
        "tests, 100 of 400",
        "tests, 200 of 400",
        "tests, 300 of 400, 1 failed",
        "tests, 400 of 400, 1 failed",
    ]


def test_plain_shows_the_end_of_the_log_of_a_failure(console, eta, tmp_path):
    log = "".join("line {}\n".format(number) for number in range(100))
    (tmp_path / (a_cell().name + ".log")).write_text(log, encoding="utf-8")
    run_one(Plain(console, tmp_path, eta), Result(a_cell().name, Outcome.FAILED, failures=["tests/x.py::test_y"]))
    said = lines(console)
    assert "    line 70" in said and "    line 99" in said and "    line 69" not in said


# ---- On a terminal --------------------------------------------------------------------------------------------------


def drawn(live, width=80):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(live.draw())
    return lines(console)


def test_live_fits_into_80_columns(eta, clock, tmp_path):
    cells = [a_cell("0.12.0.1"), a_cell("0.10.2"), a_cell("0.4.30")]
    live = Live(Console(file=io.StringIO(), width=80), tmp_path, eta)
    live.begin([kept(cells[2], Result(cells[2].name, Outcome.PASSED))], [to_run(each) for each in cells[:2]], 2)
    live.started(cells[0])
    live.started(cells[1])
    live.progress(cells[0], "tests", 0, 1450, 0)
    live.progress(cells[1], "environment", 0, 0, 0)
    clock.now = 61.0
    live.progress(cells[0], "tests", 725, 1450, 12)
    _, first, second, footer = drawn(live)
    assert all(part in first for part in (cells[0].name, "tests", "725/1450", "12 failed", "1:01 left"))
    assert all(part in second for part in (cells[1].name, "environment", "1:01"))
    assert footer == "1 of 3 cells done: 1 passed"
    assert max(len(line) for line in drawn(live)) <= 80


def test_live_shows_the_time_that_is_left(eta, clock, tmp_path):
    cells = [a_cell("0.4.13"), a_cell("0.4.30")]
    live = Live(Console(file=io.StringIO(), width=80), tmp_path, eta)
    live.begin([], [to_run(cell, 5 * MINUTE) for cell in cells], 1)
    assert drawn(live)[-1] == "0 of 2 cells done · about 10 min left"
    live.started(cells[0])
    clock.now = 5 * MINUTE
    live.finished(cells[0], Result(cells[0].name, Outcome.FAILED))
    assert drawn(live)[-1] == "1 of 2 cells done: 1 failed · about 5 min left"


@pytest.mark.parametrize(
    "terminal, term, kind", [(True, "xterm", Live), (True, "dumb", Plain), (False, "xterm", Plain)]
)
def test_live_is_for_terminals(monkeypatch, tmp_path, terminal, term, kind):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(shown.sys.stdout, "isatty", lambda: terminal, raising=False)
    assert type(shown.display(tmp_path)) is kind


# ---- The end --------------------------------------------------------------------------------------------------------


def a_summary(outcomes, **facts):
    cells = [a_cell("0.4.{}".format(number)) for number in range(len(outcomes))]
    known = {cell.name: Result(cell.name, outcome) for cell, outcome in zip(cells, outcomes, strict=True)}
    hashes = {cell.name: {} for cell in cells}
    return Summary(cells, known, hashes, **facts), [cell.name for cell in cells]


def test_table_has_every_cell(display, console):
    summary, _ = a_summary([Outcome.PASSED, Outcome.FAILED, Outcome.NOT_RUN])
    display.end(summary)
    said = console.file.getvalue()
    assert all(part in said for part in ("0.4.0", "0.4.1", "0.4.2", "3 cells: 1 passed, 1 failed, 1 not run"))


def test_kept_cells_are_shown_with_how_to_run_them_again(display, console):
    summary, names = a_summary([Outcome.FAILED, Outcome.PASSED, Outcome.PASSED])
    display.end(Summary(summary.cells, summary.results, summary.hashes, kept=names))
    said = lines(console)
    message = "Failed before, and nothing has changed since: {}. --rerun failed runs it again."
    assert message.format(names[0]) in said
    assert "Passed before, and nothing has changed since: 2 cells. --rerun all runs everything again." in said


def test_skipped_cells_are_counted(display, console):
    summary, names = a_summary([Outcome.PASSED, Outcome.STALE])
    display.end(Summary(summary.cells, summary.results, summary.hashes, skipped=frozenset(names[1:])))
    assert any(line.startswith("Skipped: 1 cell.") for line in lines(console))


def test_an_interrupted_run_says_how_to_go_on(display, console):
    summary, names = a_summary([Outcome.PASSED, Outcome.NOT_RUN])
    display.end(Summary(summary.cells, summary.results, summary.hashes, ran=frozenset(names), signal=2))
    assert "Interrupted after 1 cell had run to the end. The same command goes on from here." in lines(console)


def test_the_error_that_ended_the_run_is_shown(display, console):
    summary, _ = a_summary([Outcome.NOT_RUN])
    display.end(Summary(summary.cells, summary.results, summary.hashes, error="No space left"))
    assert "No space left" in lines(console)

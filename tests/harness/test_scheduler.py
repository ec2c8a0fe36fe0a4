"""Scheduling many cells: which cells run again, in which order, how many in parallel, and the exit status."""

import errno
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest
from programs import PATIENCE_S
from small_matrix import a_cell

from harness import results
from harness.results import Outcome, Result
from harness.results.resume import Rerun, Step, decide
from harness.run import scheduler
from harness.source import snapshot
from harness.system.run_lock import AlreadyRunning, hold_lock

ROOT = Path(__file__).resolve().parents[2]
NOW = {"lock": "l", "source": "s", "image": ""}
BEFORE = {"lock": "l", "source": "another", "image": ""}


def a_result(cell, outcome=Outcome.PASSED, hashes=NOW, total_s=60.0):
    return Result(cell.name, outcome, hashes=dict(hashes), seconds={"total": total_s})


class Recorder:
    """A display that records its calls."""

    def __init__(self):
        self.told = []
        self.summary = None

    def live(self):
        return nullcontext()

    def end(self, summary):
        self.summary = summary

    def tick(self):
        pass

    def said(self, what):
        return [said for name, *said in self.told if name == what]

    def __getattr__(self, name):
        return lambda *said: self.told.append((name, *said))


class Runner:
    """A runner whose cells pass, unless `outcomes` says otherwise. It calls `during` while a cell runs."""

    def __init__(self, folder, outcomes=None, refusals=None, during=lambda cell, cancel: None, hashes=NOW):
        self.hashes = hashes
        self.folder = folder
        self.outcomes = outcomes or {}
        self.refusals = refusals or {}
        self.during = during
        self.ran = []
        self.asked = []

    def preflight(self, cell):
        self.asked.append(cell)
        return self.refusals.get(cell.name)

    def run(self, cell, on_progress, cancel):
        self.ran.append(cell)
        on_progress("environment", 0, 0, 0)
        self.during(cell, cancel)
        if cancel.is_set():
            return Result(cell.name, Outcome.NOT_RUN, reason="it was interrupted")
        result = a_result(cell, self.outcomes.get(cell.name, Outcome.PASSED), self.hashes)
        results.write(result, self.folder)
        return result


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`run(cells, runner, ...)` returns the exit status and the display."""
    for name in ("EQX_JOBS", snapshot.EXPECTED):
        monkeypatch.setenv(name, "")  # so that monkeypatch restores it: the run sets it

    def run(cells, runner, jobs=1, now=NOW, **options):
        display = Recorder()
        hashes = {cell.name: now for cell in cells}
        options = {"folder": tmp_path, "lock": tmp_path / "run.lock", **options}
        return scheduler.run(cells, runner, display, hashes, jobs=jobs, **options), display

    return run


# ---- What is run again ----------------------------------------------------------------------------------------------

RUN, KEEP, SKIP = Step.RUN, Step.KEEP, Step.SKIP


@pytest.mark.parametrize(
    "outcome, hashes, nothing, failed, everything",
    [
        (None, NOW, RUN, SKIP, RUN),
        (Outcome.PASSED, NOW, KEEP, KEEP, RUN),
        (Outcome.PASSED, BEFORE, RUN, SKIP, RUN),
        (Outcome.FAILED, NOW, KEEP, RUN, RUN),
        (Outcome.FAILED, BEFORE, RUN, RUN, RUN),
        (Outcome.UNAVAILABLE, NOW, RUN, RUN, RUN),
        (Outcome.UNAVAILABLE, BEFORE, RUN, RUN, RUN),
        (Outcome.NOT_RUN, NOW, RUN, SKIP, RUN),
        (Outcome.UNSUPPORTED, NOW, RUN, SKIP, RUN),
    ],
)
def test_what_is_run_again(outcome, hashes, nothing, failed, everything):
    cell = a_cell()
    last = None if outcome is None else a_result(cell, outcome, hashes)
    steps = [decide(cell, last, NOW, rerun).step for rerun in (Rerun.NOTHING, Rerun.FAILED, Rerun.ALL)]
    assert steps == [nothing, failed, everything]


H200, T4 = {**NOW, "device": "NVIDIA H200, driver 570.1"}, {**NOW, "device": "NVIDIA T4, driver 570.1"}
OTHER_DRIVER, NO_GPU = {**NOW, "device": "NVIDIA H200, driver 580.2"}, {**NOW, "device": ""}


@pytest.mark.parametrize("outcome", [Outcome.PASSED, Outcome.FAILED])
@pytest.mark.parametrize("now, step", [(H200, KEEP), (T4, RUN), (OTHER_DRIVER, RUN), (NO_GPU, RUN)])
def test_a_result_is_valid_only_on_the_same_accelerator(outcome, now, step):
    cell = a_cell(backend="cuda")
    assert decide(cell, a_result(cell, outcome, H200), now, Rerun.NOTHING).step is step
    assert decide(cell, a_result(cell, outcome, NOW), now, Rerun.NOTHING).step is RUN  # a result without a device


def test_without_the_accelerator_its_cell_is_not_run_and_says_where_it_passed(run, tmp_path):
    """The result of the other machine stays."""
    cell = a_cell(backend="cuda")
    last = a_result(cell, hashes=H200)
    results.write(last, tmp_path)
    refusal = Result(cell.name, Outcome.NOT_RUN, reason="there is no NVIDIA GPU here")
    status, display = run([cell], Runner(tmp_path, refusals={cell.name: refusal}), now=NO_GPU)
    known = display.summary.results[cell.name]
    assert status == 3 and known.outcome is Outcome.NOT_RUN
    assert "there is no NVIDIA GPU here" in known.reason and "NVIDIA H200, driver 570.1" in known.reason
    assert results.read(cell.name, tmp_path) == last


def test_a_kept_cell_counts_and_is_not_checked_or_run(run, tmp_path):
    cells = [a_cell("0.4.13"), a_cell("0.4.30")]
    results.write(a_result(cells[0], Outcome.FAILED), tmp_path)
    results.write(a_result(cells[1]), tmp_path)
    runner = Runner(tmp_path)
    status, display = run(cells, runner)
    assert (status, runner.ran, runner.asked) == (1, [], [])
    assert display.summary.kept == [cell.name for cell in cells]


def test_rerun_failed_runs_and_counts_only_failed_cells(run, tmp_path):
    failed, stale, never = a_cell("0.4.13"), a_cell("0.4.30"), a_cell("0.6.2")
    results.write(a_result(failed, Outcome.FAILED), tmp_path)
    results.write(a_result(stale, hashes=BEFORE), tmp_path)
    runner = Runner(tmp_path)
    status, display = run([failed, stale, never], runner, rerun=Rerun.FAILED, named=[never.name])
    assert (status, runner.ran) == (0, [failed])
    assert display.summary.skipped == {stale.name, never.name}


def test_rerun_failed_without_a_failure_is_no_failure(run, tmp_path):
    runner = Runner(tmp_path)
    assert run([a_cell()], runner, rerun=Rerun.FAILED)[0] == 0
    assert runner.ran == []


def test_an_interrupted_run_is_continued(run, tmp_path):
    """Finished cells don't run again. The cell that was stopped does, and so do the cells that had not started."""
    cells = [a_cell("0.4.13"), a_cell("0.4.30"), a_cell("0.6.2")]

    def during(cell, cancel):
        if cell is cells[1]:
            os.kill(os.getpid(), signal.SIGINT)
            assert cancel.wait(PATIENCE_S)

    status, display = run(cells, Runner(tmp_path, during=during))
    outcomes = [display.summary.results[cell.name].outcome for cell in cells]
    assert (status, outcomes) == (130, [Outcome.PASSED, Outcome.NOT_RUN, Outcome.NOT_RUN])

    again = Runner(tmp_path)
    assert run(cells, again)[0] == 0
    assert again.ran == cells[1:]


def test_broken_result_is_reported_and_replaced(run, tmp_path):
    cell = a_cell()
    (tmp_path / (cell.name + ".json")).write_text("{", encoding="utf-8")
    status, display = run([cell], Runner(tmp_path))
    assert status == 0
    assert cell.name in display.said("say")[0][0]
    assert results.read(cell.name, tmp_path).outcome is Outcome.PASSED


# ---- Before anything is run -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "refusal, last, kept",
    [
        (Outcome.NOT_RUN, None, Outcome.NOT_RUN),
        (Outcome.NOT_RUN, Outcome.PASSED, Outcome.PASSED),
        (Outcome.UNSUPPORTED, Outcome.FAILED, Outcome.FAILED),
        (Outcome.UNSUPPORTED, Outcome.NOT_RUN, Outcome.UNSUPPORTED),
        (Outcome.UNAVAILABLE, Outcome.PASSED, Outcome.UNAVAILABLE),
    ],
)
def test_a_missing_device_does_not_replace_the_result_of_a_run(run, tmp_path, refusal, last, kept):
    cell = a_cell()
    if last is not None:
        results.write(a_result(cell, last, BEFORE), tmp_path)
    runner = Runner(tmp_path, refusals={cell.name: Result(cell.name, refusal)})
    _, display = run([cell], runner)
    assert runner.ran == []
    assert display.summary.results[cell.name].outcome is refusal
    assert results.read(cell.name, tmp_path).outcome is kept


def test_all_refusals_are_known_before_the_first_cell_starts(run, tmp_path):
    cells = [a_cell("0.4.13"), a_cell("0.4.30")]
    runner = Runner(tmp_path, refusals={cells[1].name: Result(cells[1].name, Outcome.NOT_RUN)})
    _, display = run(cells, runner)
    names = [name for name, *_ in display.told]
    assert names.index("finished") < names.index("started")


# ---- Order, and how many --------------------------------------------------------------------------------------------


def test_cells_that_never_ran_start_first_then_the_longest(run, tmp_path):
    cells = [a_cell("0.4.1"), a_cell("0.4.13"), a_cell("0.4.20"), a_cell("0.4.30"), a_cell("0.6.2")]
    for cell, total_s in zip(cells, (30.0, 90.0, None, 60.0, None), strict=True):
        if total_s is not None:
            results.write(a_result(cell, hashes=BEFORE, total_s=total_s), tmp_path)
    runner = Runner(tmp_path)
    run(cells, runner)
    assert [cell.jax for cell in runner.ran] == ["0.4.20", "0.6.2", "0.4.13", "0.4.30", "0.4.1"]


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_the_requested_number_of_cells_run_in_parallel(run, tmp_path, jobs):
    """Each cell waits until `jobs` cells run. With fewer the test would not end, and more than `jobs` are counted."""
    cells = [a_cell("0.4.{}".format(number)) for number in range(6)]
    meeting = threading.Barrier(jobs)
    lock, at_once = threading.Lock(), [0, 0]  # how many run now, and the largest number so far

    def during(cell, cancel):
        with lock:
            at_once[0] += 1
            at_once[1] = max(at_once)
        meeting.wait(PATIENCE_S)
        with lock:
            at_once[0] -= 1

    assert run(cells, Runner(tmp_path, during=during), jobs=jobs)[0] == 0
    assert at_once == [0, jobs]
    assert os.environ["EQX_JOBS"] == str(jobs)


def test_a_single_cell_gets_all_cores(run, tmp_path):
    run([a_cell()], Runner(tmp_path), jobs=8)
    assert os.environ["EQX_JOBS"] == "1"


def test_accelerator_is_given_to_one_cell_at_a_time(run, tmp_path):
    """A cell on the CPU doesn't wait for it."""
    cells = [a_cell("0.4.13", "cuda"), a_cell("0.4.30", "cuda"), a_cell("0.4.30")]
    beside, running = threading.Event(), set()

    def during(cell, cancel):
        if cell.backend == "cpu":
            beside.set()
            return
        assert not running
        running.add(cell)
        assert beside.wait(PATIENCE_S)
        running.remove(cell)

    assert run(cells, Runner(tmp_path, during=during), jobs=3)[0] == 0
    assert os.environ["EQX_JOBS"] == "2"


@pytest.mark.parametrize(
    "cores, memory_mib, jobs",
    [(1, 64000, 1), (2, 64000, 1), (4, 64000, 2), (16, 64000, 8), (16, 8000, 3), (16, 1000, 1)],
)
def test_the_default_number_of_jobs_depends_on_cores_and_memory(cores, memory_mib, jobs):
    assert scheduler.default_jobs(cores, memory_mib) == jobs


# ---- The exit status ------------------------------------------------------------------------------------------------

P, F = Outcome.PASSED, Outcome.FAILED
UNSUPPORTED, UNAVAILABLE, NOT_RUN = Outcome.UNSUPPORTED, Outcome.UNAVAILABLE, Outcome.NOT_RUN


def status_of(outcomes, **facts):
    cells = [a_cell("0.4.{}".format(number)) for number in range(len(outcomes))]
    known = {cell.name: Result(cell.name, outcome) for cell, outcome in zip(cells, outcomes, strict=True)}
    return scheduler.Summary(cells, known, hashes={}, **facts).status


SECOND = frozenset([a_cell("0.4.1").name])


@pytest.mark.parametrize(
    "outcomes, facts, status",
    [
        ([P, P], {}, 0),
        ([P, NOT_RUN, UNSUPPORTED], {}, 0),
        ([P, F], {}, 1),
        ([F, UNAVAILABLE], {}, 1),
        ([P, UNAVAILABLE], {}, 3),
        ([NOT_RUN, UNSUPPORTED], {}, 3),
        ([], {}, 0),
        # An unresolved cell is no error, unless the user named it or no other cell ran.
        ([P, UNAVAILABLE], {"unresolved": SECOND}, 0),
        ([P, F], {"unresolved": SECOND}, 1),
        ([P, UNAVAILABLE], {"unresolved": SECOND, "named": SECOND}, 3),
        ([NOT_RUN, UNAVAILABLE], {"unresolved": SECOND}, 3),
        # A cell that the user named must run.
        ([P, P], {"named": SECOND}, 0),
        ([P, F], {"named": SECOND}, 1),
        ([P, UNAVAILABLE], {"named": SECOND}, 3),
        ([P, NOT_RUN], {"named": SECOND}, 3),
        ([P, UNSUPPORTED], {"named": SECOND}, 3),
        # An error or a signal ended the run.
        ([P, NOT_RUN], {"error": "no room"}, 3),
        ([F, NOT_RUN], {"error": "no room"}, 1),
        ([F], {"signal": signal.SIGINT}, 130),
    ],
)
def test_exit_status(outcomes, facts, status):
    """The order of the cells doesn't matter."""
    orders = [outcomes] if facts else itertools.permutations(outcomes)
    assert all(status_of(order, **facts) == status for order in orders)


@pytest.mark.parametrize("outcome", [P, F, UNAVAILABLE, NOT_RUN, UNSUPPORTED])
@pytest.mark.parametrize("named", [False, True])
def test_canary_does_not_count(outcome, named):
    canary, other = a_cell("nightly", tier="canary"), a_cell()
    names = frozenset([canary.name] if named else [])
    known = {canary.name: Result(canary.name, outcome), other.name: Result(other.name, P)}
    assert scheduler.Summary([canary, other], known, hashes={}, named=names).status == 0
    assert scheduler.Summary([canary], known, hashes={}, named=names).status == 0


@pytest.mark.parametrize("outcome", [P, F])
def test_a_result_of_a_source_that_changed_is_stale(run, tmp_path, outcome):
    """For example if the user switches to another branch while other cells run."""
    cell = a_cell()
    runner = Runner(tmp_path, {cell.name: outcome}, hashes=BEFORE)
    status, recorder = run([cell], runner)
    assert status == 3
    assert recorder.summary.results[cell.name].outcome is Outcome.STALE
    assert "run it again" in recorder.summary.results[cell.name].reason


# ---- What ends a run ------------------------------------------------------------------------------------------------


def test_full_disk_ends_the_run_and_stops_the_others(run, tmp_path):
    cells = [a_cell("0.4.13"), a_cell("0.4.30"), a_cell("0.6.2")]
    both = threading.Barrier(2)

    def during(cell, cancel):
        both.wait(PATIENCE_S)
        if cell is cells[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "x.json"))
        assert cancel.wait(PATIENCE_S)

    runner = Runner(tmp_path, during=during)
    status, display = run(cells, runner, jobs=2)
    assert (status, runner.ran) == (3, cells[:2])
    assert "x.json" in display.summary.error
    assert "Free some space" in display.summary.error
    assert not list(tmp_path.glob("*.json"))


def test_a_bug_in_the_runner_shows_its_traceback(run, tmp_path):
    def during(cell, cancel):
        raise ZeroDivisionError("a mistake")

    status, display = run([a_cell()], Runner(tmp_path, during=during))
    assert status == 3
    assert "Traceback" in display.summary.error
    assert "ZeroDivisionError: a mistake" in display.summary.error


def test_two_runs_at_once_are_refused(run, tmp_path):
    with hold_lock(tmp_path / "run.lock"):
        with pytest.raises(AlreadyRunning, match="by process {}".format(os.getpid())):
            run([a_cell()], Runner(tmp_path))
    assert run([a_cell()], Runner(tmp_path))[0] == 0


def test_the_lock_of_a_run_that_is_ending_is_waited_for(tmp_path):
    """The processes of a killed run take some seconds to end."""
    path = tmp_path / "run.lock"
    program = "from harness.system import run_lock\nwith run_lock.hold_lock(run_lock.Path({!r}), 60): print(1)"
    command = [sys.executable, "-c", program.format(str(path))]
    with hold_lock(path):
        waiting = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(1)
    assert waiting.communicate()[0] == "1\n"


# A separate process, which the tests interrupt and kill. Its cells print when they run, and then do `{how}`.
PROGRAM = """
import os, sys, threading
from pathlib import Path
sys.path[:0] = [{root!r}, {here!r}]
from small_matrix import a_cell
from test_scheduler import NOW, Runner
from harness.report.display import Plain
from harness.run import scheduler
from rich.console import Console

folder = Path({folder!r})
cells = [a_cell("0.4.13"), a_cell("0.4.30")]

def during(cell, cancel):
    os.write(1, b"RUNNING\\n")  # in one piece, whatever the other thread writes
    {how}

sys.exit(scheduler.run(
    cells, Runner(folder, during=during), Plain(Console(highlight=False), folder), {{cell.name: NOW for cell in cells}},
    jobs=1, folder=folder, lock=folder / "run.lock",
))
"""


@pytest.fixture
def start(tmp_path):
    """`start(how)` returns the process, and its output until its first cell ran."""
    started = []

    def start(how):
        program = PROGRAM.format(root=str(ROOT), here=str(Path(__file__).parent), folder=str(tmp_path), how=how)
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        said = list(itertools.takewhile(lambda line: "RUNNING" not in line, process.stdout))
        return process, "".join(said)

    yield start
    for process in started:
        process.kill()
        process.communicate()


def end_of(process):
    said, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_the_cells_and_the_same_command_goes_on(start, tmp_path, number):
    process, _ = start("cancel.wait()")
    process.send_signal(number)
    status, said = end_of(process)
    assert status == 128 + number
    assert "The same command goes on from here." in said
    assert not list(tmp_path.glob("*.json"))
    again, _ = start("pass")
    assert end_of(again)[0] == 0


def test_the_second_ctrl_c_ends_at_once(start):
    process, _ = start("threading.Event().wait()")
    process.send_signal(signal.SIGINT)
    assert any("Interrupt again" in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    assert end_of(process)[0] == 130


def test_a_killed_run_does_not_block_the_next(start, tmp_path):
    first, _ = start("cancel.wait()")
    beside, said = start("pass")
    assert "AlreadyRunning" in said and "by process {}".format(first.pid) in said
    assert end_of(beside)[0] != 0
    first.kill()
    first.wait()
    afterwards, _ = start("pass")
    assert end_of(afterwards)[0] == 0
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".json", ".lock"]

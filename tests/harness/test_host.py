"""Run a cell on this host: progress is passed on, all processes are stopped, and an old result is never reused.

A small program replaces tox. test_tox.py runs the real one.
"""

import os
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from programs import is_running, python, wait_until

from harness import results, rows
from harness.results import Outcome, Result, resume
from harness.run import host
from harness.system import processes

CELL = next(cell for cell in rows.load() if cell.name == "py311-jax0.4.30-cpu")
ROOT = Path(__file__).resolve().parents[2]

# The beginning of each program that replaces tox.
BEGIN = """
import datetime, json, os, pathlib, signal, subprocess, sys, time
sys.path.insert(0, {root!r})
from harness import results
from harness.results import Outcome, Result
folder, work = pathlib.Path(os.environ["EQX_RESULTS"]), pathlib.Path({work!r})
cell = sys.argv[-1]
(work / cell).mkdir(parents=True, exist_ok=True)

def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")

def progress(**said):
    (work / cell / "progress.json").write_text(json.dumps(said))
"""
PASSED = "results.write(Result(cell, Outcome.PASSED, run=os.environ['EQX_RUN']), folder)"


@pytest.fixture
def run(tmp_path):
    """`run(program, cancel=..., on_progress=...)`: run a cell with that Python program instead of tox."""

    def run(program, cancel=None, on_progress=lambda *said: None, env=None, stop=processes.STOP):
        begin = BEGIN.format(root=str(ROOT), work=str(tmp_path / "work"))
        return host.run(
            CELL,
            on_progress,
            cancel or threading.Event(),
            command=[sys.executable, "-c", begin + textwrap.dedent(program)],
            env=env or os.environ,
            folder=tmp_path / "results",
            work=tmp_path / "work",
            stop=stop,
        )

    return run


def test_result_is_the_one_that_tox_wrote(run, tmp_path):
    result = run(PASSED)
    assert result.outcome is Outcome.PASSED
    assert results.read(CELL.name, tmp_path / "results") == result


def test_the_log_has_all_output(run, tmp_path):
    run("print('out'); print('err', file=sys.stderr); subprocess.run(['echo', 'child']);" + PASSED)
    assert sorted((tmp_path / "results" / (CELL.name + ".log")).read_text().split()) == ["child", "err", "out"]


def test_an_old_result_is_not_taken_for_the_new_one(run, tmp_path):
    """tox can't set the cell up and writes no result."""
    results.write(Result(CELL.name, Outcome.PASSED, started="2026-11-20T10:00:00.000+00:00"), tmp_path / "results")
    result = run("print('error: No space left on device'); sys.exit(1)")
    assert result.outcome is Outcome.UNAVAILABLE and "free some space" in result.reason
    assert result.started > "2026-11-20" and result.hashes and result.seconds["total"] >= 0
    assert results.read(CELL.name, tmp_path / "results") == result


def test_a_result_of_another_run_is_not_taken_whatever_its_date(run, tmp_path):
    """tox crashes and writes no result. The old one has a later date, because a clock was wrong."""
    future = Result(CELL.name, Outcome.PASSED, started="2999-01-01T00:00:00.000+00:00", run="a guess")
    results.write(future, tmp_path / "results")
    result = run("sys.exit(1)")
    assert result.outcome is Outcome.UNAVAILABLE and result.run not in ("", "a guess")
    assert results.read(CELL.name, tmp_path / "results") == result


@pytest.mark.parametrize("broken", ["", "{}", "[" * 100000])
def test_a_broken_result_file_is_replaced(run, tmp_path, broken):
    """tox crashes and writes no result. The file of an earlier run can't be read."""
    path = tmp_path / "results" / (CELL.name + ".json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(broken)
    result = run("sys.exit(1)")
    assert result.outcome is Outcome.UNAVAILABLE and results.read(CELL.name, path.parent) == result
    path.write_text(broken)
    resume.keep(result, path.parent)
    assert results.read(CELL.name, path.parent) == result


def test_tox_that_was_killed_is_a_failure(run):
    result = run("os.kill(os.getpid(), signal.SIGSEGV)")
    assert result.outcome is Outcome.FAILED and "SIGSEGV" in result.reason and ".log" in result.reason


@pytest.mark.parametrize("status, words", [(130, "interrupted"), (75, "another process")])
def test_tox_that_could_not_go_on_leaves_the_last_result(run, tmp_path, status, words):
    last = Result(CELL.name, Outcome.PASSED, started="2026-11-20T10:00:00.000+00:00")
    results.write(last, tmp_path / "results")
    result = run("print('evaluation failed :('); sys.exit({})".format(status))
    assert result.outcome is Outcome.NOT_RUN and words in result.reason
    assert results.read(CELL.name, tmp_path / "results") == last


def test_progress(run, tmp_path):
    """Progress reports the environment first, then the tests: done, total, failed. An old file is ignored."""
    (tmp_path / "work" / CELL.name).mkdir(parents=True)
    (tmp_path / "work" / CELL.name / "progress.json").write_text('{"done": 99, "total": 99, "failed": 9}')
    heard, seen = [], tmp_path / "seen"

    def on_progress(*said):
        heard.append(said)
        if said[0] == "tests":
            seen.touch()

    run(
        """
        progress(done=3, total=10, failed=1)
        while not pathlib.Path({!r}).exists():
            time.sleep(0.01)
        """.format(str(seen)),
        on_progress=on_progress,
    )
    assert heard[0] == ("environment", 0, 0, 0)
    assert set(heard[1:]) == {("tests", 3, 10, 1)}


# Stopping it

# Each program starts a child, reports both process ids, and waits. The programs differ in how they handle signals.
WAITS = """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
progress(done=os.getpid(), total=child.pid, failed=0)
{do}
time.sleep(600)
"""
HEEDS = "pass"
IGNORES_INTERRUPT = "signal.signal(signal.SIGINT, signal.SIG_IGN)"
IGNORES_ALL = IGNORES_INTERRUPT + "; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
IMPATIENT = tuple((number, 0.2) for number, _ in processes.STOP)


needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="asks /proc which processes there are")


@needs_proc
@pytest.mark.parametrize("do", [HEEDS, IGNORES_INTERRUPT, IGNORES_ALL])
def test_cancel_leaves_no_process_and_writes_no_result(run, tmp_path, do):
    """This holds even if tox ignores signals. The last result stays."""
    last = Result(CELL.name, Outcome.FAILED, started="2026-11-20T10:00:00.000+00:00")
    results.write(last, tmp_path / "results")
    cancel, processes = threading.Event(), []

    def on_progress(phase, tox, child, failed):
        if phase == "tests":
            processes[:] = [tox, child]
            cancel.set()

    result = run(WAITS.format(do=do), cancel, on_progress, stop=IMPATIENT)
    assert result.outcome is Outcome.NOT_RUN and "interrupted" in result.reason
    assert results.read(CELL.name, tmp_path / "results") == last
    assert len(processes) == 2
    wait_until(lambda: not any(map(is_running, processes)))


@needs_proc
def test_a_process_that_outlives_tox_is_stopped(run, tmp_path):
    """tox may leave a process of its group behind."""
    run(
        """
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (folder / "child").write_text(str(child.pid))
        {}
        """.format(PASSED)
    )
    child = int((tmp_path / "results" / "child").read_text())
    wait_until(lambda: not is_running(child))


@needs_proc
def test_a_process_that_was_waited_for_gets_no_signal(monkeypatch):
    """Its number may belong to another process by now."""
    process = subprocess.Popen(["true"])
    process.wait()
    monkeypatch.setattr(os, "killpg", lambda *_: pytest.fail("the number may belong to another process"))
    processes.stop_group(process)


@needs_proc
@pytest.mark.parametrize("command", [["true"], ["sleep", "60"]])
def test_a_group_is_stopped_before_its_leader_is_waited_for(monkeypatch, command):
    """Until then, the kernel can't give the leader's number to another process."""
    there = []

    def killpg(leader, number):
        there.append(Path("/proc/{}/stat".format(leader)).exists())
        kill(leader, number)

    kill = os.killpg
    monkeypatch.setattr(os, "killpg", killpg)
    process = subprocess.Popen(command, start_new_session=True)
    assert processes.ends_within(process, 5 if command == ["true"] else 0) is (command == ["true"])
    processes.stop_group(process)
    assert process.returncode is not None and there and all(there)


def test_the_callers_tox_variables_are_removed(run, tmp_path):
    """With `TOXENV`, tox would run something else."""
    run(
        "print(sorted(name for name in os.environ if name.startswith('TOX')), os.environ['MINE'])",
        env={**os.environ, "TOXENV": "x", "TOX_OVERRIDE": "y", "MINE": "kept"},
    )
    assert (tmp_path / "results" / (CELL.name + ".log")).read_text() == "['TOX_USER_CONFIG_FILE'] kept\n"


RUN_PART = """
import sys
from harness import rows
from harness.run import host
program = "import os, sys; print([*filter(lambda name: name.startswith('TOX'), os.environ)], sys.argv[1:])"
host.TOX = (sys.executable, "-c", program)
host.run_part(rows.load()[:1], ["-x"])
"""


def test_the_callers_tox_settings_do_not_change_a_part_of_the_suite():
    """With TOX_SKIP_ENV, tox would skip the cell. Another program replaces tox, and prints what it gets."""
    done = python("-c", RUN_PART, TOX_SKIP_ENV=".*")
    name = rows.load()[0].name
    assert done.stdout == "['TOX_USER_CONFIG_FILE'] ['-e', '{}', '--', '-x']\n".format(name), done.stderr


# Before the run


@pytest.fixture
def all_is_here(monkeypatch, tmp_path):
    """A machine with all that the cell needs: the hardware, the lock, the interpreter."""
    monkeypatch.setattr(host.hardware, "check", lambda cell: None)
    monkeypatch.setattr(host.interpreters, "obtain", lambda version: object())
    monkeypatch.setattr(rows.cells, "LOCKS", tmp_path)
    monkeypatch.setattr(host, "LOCKS", tmp_path)
    CELL.lock.write_text("jax==0.4.30\n")


def test_preflight_lets_a_cell_run(all_is_here):
    assert host.preflight(CELL) is None


def test_preflight_hardware(all_is_here, monkeypatch):
    refusal = Result(CELL.name, Outcome.UNSUPPORTED, "too old a GPU")
    monkeypatch.setattr(host.hardware, "check", lambda cell: refusal)
    assert host.preflight(CELL) == refusal


def test_preflight_no_lock(all_is_here, tmp_path):
    """The reason is the one that `make lock` wrote."""
    CELL.lock.unlink()
    (tmp_path / "unresolved.toml").write_text('"{}" = "the archive can\'t be reached"'.format(CELL.name))
    result = host.preflight(CELL)
    assert result.outcome is Outcome.UNAVAILABLE
    assert "the archive can't be reached" in result.reason and "python -m harness lock " in result.reason


def test_preflight_needs_no_lock_for_a_floating_cell(all_is_here, monkeypatch):
    monkeypatch.delenv("UV_OFFLINE", raising=False)
    floating = replace(CELL, jax="latest", as_of=None)
    assert floating.floating and host.preflight(floating) is None


def test_preflight_refuses_a_floating_cell_offline(all_is_here, monkeypatch):
    """Offline, uv would take the newest release in its cache, which may be old. A cell with a lock can run."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    result = host.preflight(replace(CELL, jax="latest", as_of=None))
    assert result.outcome is Outcome.NOT_RUN and "UV_OFFLINE" in result.reason
    assert host.preflight(CELL) is None


def test_preflight_no_interpreter(all_is_here, monkeypatch):
    monkeypatch.setattr(host.interpreters, "obtain", lambda version: None)
    result = host.preflight(CELL)
    assert result.outcome is Outcome.NOT_RUN
    assert "pyenv install 3.11" in result.reason

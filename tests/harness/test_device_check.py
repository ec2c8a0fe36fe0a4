"""The check of a device runs its parts in order, keeps each part at once, and respects the time limit.

Small programs replace the proof of place, pytest and the benchmarks. They also set the clock: it stands at 0 until one
of them lets time pass. The machine seems to have a GPU.
"""

import json
import os
import sys
import textwrap
from types import SimpleNamespace

import pytest

from harness import results
from harness.results import Outcome, Result, record
from harness.run import device_check, installed_cell, installed_jax
from harness.run.hardware import GPU, Hardware
from harness.system import processes

NAME = "py{}{}-jax0.11.2-cuda-found".format(*sys.version_info)
H200 = Hardware(16, 131072, gpus=(GPU("NVIDIA H200", (9, 0), "570.1", 143771),))

BEGIN = """
import json, os, pathlib, signal, sys, time
pathlib.Path({seen!r}).open("a").write({part!r} + "\\n")
visible = os.environ.get("CUDA_VISIBLE_DEVICES") != "-1"

def never_ends(now):
    pathlib.Path({clock!r}).write_text(str(now))
    time.sleep(600)

def prove(complaints):
    pathlib.Path(sys.argv[1]).write_text(json.dumps({{"seen": {{}}, "complaints": complaints}}))
    sys.exit(70 if complaints else 0)

def each(test):
    pathlib.Path(os.environ["EQX_EACH"]).open("a").write(json.dumps({{"test": test}}) + "\\n")

def report(**changes):
    facts = dict(counts={{"passed": 3}}, failures=[], refusal=None, seconds={{"tests": 1.5}}, evidence={{}})
    pathlib.Path(os.environ["EQX_REPORT"]).write_text(json.dumps(dict(facts, **changes)))
"""
PROOF = "prove([] if visible else ['JAX found `cpu`'])"
PASSES = "each('test_x'); report()"
SPEED = "print(json.dumps({'event': 'end', 'case': 'dispatch_in'}), flush=True)"
# Like pytest at Ctrl-C, this program reports the tests that ran until then.
SLOW = """
def stop(*_):
    report(counts={"passed": 1})
    sys.exit(2)
signal.signal(signal.SIGINT, stop)
each('test_x')
never_ends(60)
"""


@pytest.fixture
def check(tmp_path, monkeypatch):
    """`check(proof=..., pytest=..., speed=...)`: the exit status of a check of 100 seconds with these programs."""
    clock = tmp_path / "clock"
    now = SimpleNamespace(monotonic=lambda: float(clock.exists() and clock.read_text() or 0))
    for module in (device_check, installed_jax):
        monkeypatch.setattr(module, "time", now)
    monkeypatch.setattr(processes, "POLL_S", 0.02)
    monkeypatch.setattr(installed_cell, "version", {"jax": "0.11.2", "jaxlib": "0.11.2"}.__getitem__)
    monkeypatch.setattr(installed_jax, "missing", list)
    monkeypatch.setattr(installed_jax.hardware, "here", lambda: H200)

    def check(**programs):
        commands = {}
        for part, program in {"proof": PROOF, "pytest": PASSES, "speed": SPEED, **programs}.items():
            begin = BEGIN.format(seen=str(tmp_path / "seen"), part=part, clock=str(clock))
            commands[part] = [sys.executable, "-c", begin + textwrap.dedent(program)]
        env = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        return device_check.run("cuda", 100, folder=tmp_path / "results", env=env, **commands)

    return check


@pytest.fixture
def left(tmp_path):
    """`left(name)`: the lines of the file that a part wrote."""

    def left(name):
        path = tmp_path / "results" / NAME / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else None

    return left


@pytest.fixture
def result(tmp_path):
    return lambda: results.read(NAME, tmp_path / "results")


@pytest.fixture
def ran(tmp_path):
    return lambda: (tmp_path / "seen").read_text().split()


def test_all_parts_run_in_order_and_each_is_kept(check, left, result, ran, capfd):
    assert check() == 0
    assert ran() == ["proof", "proof", "pytest", "speed"]
    assert left("proof.json")[0]["complaints"] == [] and left("control.json")[0]["complaints"] == ["JAX found `cpu`"]
    assert left("tests.jsonl") == [{"test": "test_x"}]
    assert left("speed.jsonl") == [{"event": "end", "case": "dispatch_in"}]
    assert (result().outcome, result().counts) == (Outcome.PASSED, {"passed": 3})
    assert result().hashes["device"] == "NVIDIA H200, driver 570.1" and result().evidence["negative_control"]
    said = capfd.readouterr().out
    assert all(part in said for part in ("proof of place", "negative control", "suite", "speed", "of 100 s"))


@pytest.mark.parametrize(
    "proof, words",
    [
        ("prove(['JAX found `cpu`'])", "JAX found `cpu`"),
        ("prove([])", "proves nothing"),  # the negative control finds no fault
        ("os.kill(os.getpid(), signal.SIGKILL)", "the proof ended, or was stopped, without an answer"),
        ("sys.exit(0)", "the proof ended, or was stopped, without an answer"),
        # A control that ends without an answer has shown nothing.
        ("prove([]) if visible else sys.exit(1)", "the control ended, or was stopped, without an answer"),
        ("prove([]) if visible else os.kill(os.getpid(), signal.SIGSEGV)", "the control ended"),
    ],
)
def test_without_the_proof_of_place_nothing_else_runs(check, result, ran, proof, words):
    assert check(proof=proof) == 1
    assert set(ran()) == {"proof"}
    assert result().outcome is Outcome.FAILED and words in result().reason
    assert record.supersedes(result(), Result(NAME, Outcome.PASSED, started="2026-11-20"))  # the table shows it


def test_a_proof_without_enough_time_has_not_failed(check, result, ran):
    """Its outcome is `not run`."""
    assert check(proof="never_ends(99)") == 3
    assert ran() == ["proof"] and result().outcome is Outcome.NOT_RUN and "allow more time" in result().reason


def test_after_a_failed_test_the_speed_is_measured_too(check, left, result):
    assert check(pytest="report(counts={'failed': 1}, failures=['test_x']); sys.exit(1)") == 1
    assert result().outcome is Outcome.FAILED and left("speed.jsonl")


def test_a_suite_that_is_cut_off_keeps_what_it_has(check, left, result):
    """Its outcome is `not run`, because nobody knows how the rest would end. The speed is measured too."""
    assert check(pytest=SLOW) == 3
    assert result().outcome is Outcome.NOT_RUN and "after 1 tests, and none had failed" in result().reason
    assert left("tests.jsonl") == [{"test": "test_x"}] and left("speed.jsonl")


def test_a_suite_that_is_cut_off_after_a_failure_has_failed(check, result):
    slow = SLOW.replace('counts={"passed": 1}', 'counts={"failed": 1}, failures=["test_x"]')
    assert check(pytest=slow) == 1
    assert result().outcome is Outcome.FAILED and "test_x" in result().reason


def test_a_complete_result_stays_when_the_next_run_is_cut_off(check, result, tmp_path):
    before = Result(NAME, Outcome.PASSED, started="2026-11-20")
    results.write(before, tmp_path / "results")
    assert check(pytest=SLOW) == 3 and result() == before


def test_measurements_before_the_time_limit_are_kept(check, left, result):
    assert check(speed=SPEED + "\nnever_ends(99)") == 3
    assert left("speed.jsonl") == [{"event": "end", "case": "dispatch_in"}] and result().outcome is Outcome.PASSED


def test_an_interrupted_check_ends_and_keeps_what_it_has(check, left, result):
    assert check(pytest="each('test_x'); os.kill(os.getppid(), signal.SIGINT); time.sleep(600)") == 130
    assert left("tests.jsonl") == [{"test": "test_x"}] and left("proof.json") and result() is None


@pytest.mark.parametrize("backend", ["cpu", "cuda", "tpu"])
def test_each_backend_has_a_negative_control(backend):
    what = installed_cell.make("3.12", "0.11.2", backend, "0.11.2")
    hidden = device_check.hidden(type("Ready", (), {"cell": what}))
    assert hidden and (backend != "cpu" or json.loads(hidden["EQX_EXPECT"])["backend"] == "gpu")

"""The result of a cell, with a reason of one line that has the cause and the next move."""

import json

import pytest

from harness import rows
from harness.results import Outcome
from harness.run import verdict
from harness.run.environment import Environment

CELL = next(cell for cell in rows.load() if cell.name == "py39-jax0.2.18-cpu")
LATEST = next(cell for cell in rows.load() if cell.jax == "latest")
REPORT = {
    "counts": {"passed": 10, "failed": 0, "errors": 0, "skipped": 1, "xfailed": 0},
    "failures": [],
    "versions": {"jax": "0.2.18"},
    "devices": [{"platform": "cpu", "kind": "cpu", "id": 0}],
    "driver": "",
    "evidence": {"processes": []},
    "refusal": None,
    "measures": {"loop_ratio": 1.5},
    "seconds": {"tests": 12.5},
}


@pytest.fixture
def judge(tmp_path):
    """`judge(status, report)` returns the result of a run with this exit status and report. `None` means no report."""

    def judge(status, report=REPORT, **changes):
        environment = Environment(tmp_path)
        environment.remove_reports()
        if report is not None:
            environment.report.write_text(json.dumps({**report, **changes}))
        return verdict.of_run(CELL, environment, status)

    return judge


def test_a_run_that_passed(judge):
    result = judge(0)
    assert (result.cell, result.outcome, result.reason) == (CELL.name, Outcome.PASSED, "")
    assert result.bridge
    assert all(getattr(result, name) == REPORT[name] for name in REPORT if name != "refusal")


def test_a_module_of_tests_that_cannot_be_imported_is_the_reason(judge):
    counts = {"passed": 0, "failed": 0, "errors": 0}
    result = judge(5, counts=counts, not_imported="p.some_test can't be imported: ImportError: no `x`")
    assert result.outcome is Outcome.FAILED
    assert result.reason == "p.some_test can't be imported: ImportError: no `x`"


def test_failed_names_a_test(judge):
    counts = {"passed": 1, "failed": 2, "errors": 1}
    result = judge(1, counts=counts, failures=["tests/test_x.py::a", "b", "c"])
    assert result.outcome is Outcome.FAILED
    assert result.reason == "tests/test_x.py::a and 2 more failed"
    assert result.counts == counts and len(result.failures) == 3


def test_a_failed_test_counts_even_with_exit_status_0(judge):
    """For example if a plugin changed the exit status."""
    result = judge(0, counts={"passed": 9, "failed": 1}, failures=["tests/test_x.py::a"])
    assert (result.outcome, result.reason) == (Outcome.FAILED, "tests/test_x.py::a failed")
    assert judge(0, counts={"passed": 9, "errors": 1}).outcome is Outcome.FAILED


def test_a_run_in_which_no_test_passed_is_a_failure(judge):
    """For example if all are skipped."""
    result = judge(0, counts={"passed": 0, "skipped": 7})
    assert result.outcome is Outcome.FAILED and "no test passed" in result.reason


def test_a_refused_run_gives_the_reason_of_the_proof(judge):
    result = judge(70, refusal="cell `x` expects backend `gpu`,\nbut JAX found `cpu`.")
    assert result.outcome is Outcome.FAILED
    assert result.reason == "cell `x` expects backend `gpu`, but JAX found `cpu`."


@pytest.mark.parametrize("status", range(1, 8))
def test_no_status_but_0_is_a_pass(judge, status):
    """Whatever the report says."""
    result = judge(status)
    assert result.outcome is Outcome.FAILED and result.reason


@pytest.mark.parametrize("status", [0, 1, 3, 70, -9, -11])
def test_without_a_report_nothing_passed(judge, status):
    result = judge(status, report=None)
    assert result.outcome is Outcome.FAILED and "report" in result.reason


@pytest.mark.parametrize(
    "status, words", [(-11, "SIGSEGV (a crash"), (-9, "SIGKILL (perhaps memory"), (-99, "signal 99")]
)
def test_the_signal_that_killed_the_run_is_named(judge, status, words):
    assert words in judge(status, report=None).reason


# Real error messages of uv 0.13.
HASH = """Resolved 1 package in 94ms
\x1b[31merror: Failed to download `iniconfig==2.1.0`
  cause: Hash mismatch for `iniconfig==2.1.0`

         Expected:
           sha256:0000"""
NO_NETWORK = """error: Failed to download `iniconfig @ https://example.org/iniconfig-2.1.0-py3-none-any.whl`
  cause: Request failed after 3 retries in 8.4s
  cause: Failed to fetch: https://example.org/iniconfig-2.1.0-py3-none-any.whl
  cause: dns error
  cause: failed to lookup address information: Name or service not known"""
GONE = """error: No solution found when resolving dependencies
  cause: Because there is no version of iniconfig==2.1.99 and you require iniconfig==2.1.99, we can conclude that your \
requirements are unsatisfiable."""
NO_HASH = (
    "error: In `--require-hashes` mode, all requirements must have a hash, but none were provided for: iniconfig==2.1.0"
)
FULL = "error: failed to write to file `/x/y`: No space left on device (os error 28)"
LOCK = "locks/py39-jax0.2.18-cpu.txt"


@pytest.mark.parametrize(
    "said, words",
    [
        (HASH, ["Hash mismatch for `iniconfig==2.1.0`", LOCK, "harness lock py39-jax0.2.18-cpu"]),
        (NO_NETWORK, ["failed to lookup address information", "network"]),
        (GONE, ["there is no version of iniconfig==2.1.99", LOCK, "harness verify"]),
        (NO_HASH, ["must have a hash", "iniconfig==2.1.0", LOCK, "harness lock"]),
        (FULL, ["No space left on device", "free some space"]),
        ("thing\nerror: that broke\nbye", ["error: that broke"]),
        ("", ["the log"]),
    ],
)
def test_the_reason_why_the_setup_failed(said, words):
    result = verdict.of_setup(CELL, said)
    assert result.outcome is Outcome.UNAVAILABLE and result.bridge
    assert "\n" not in result.reason and "\x1b" not in result.reason
    for word in words:
        assert word in result.reason


@pytest.mark.parametrize("said", [GONE, HASH, NO_HASH])
def test_a_floating_cell_does_not_blame_a_lock(said):
    """The reason doesn't suggest `make lock`."""
    reason = verdict.of_setup(LATEST, said).reason
    assert "matrix.toml" in reason and "python -m " not in reason and "lock" not in reason.replace("has lost", "")


@pytest.mark.parametrize("said", [GONE, HASH, NO_HASH])
def test_a_missing_build_tool_does_not_blame_the_lock(said):
    reason = verdict.of_build(CELL, said).reason
    assert "docker/wheel-constraints.txt" in reason and LOCK not in reason and "python -m " not in reason


def test_a_wheel_that_cannot_be_built_is_a_failure():
    """The source is at fault, so the cell failed. It isn't unavailable."""
    result = verdict.of_build(CELL, "The wheel ...:\nerror: Failed to build here\n  cause: Call to `nope` failed\nnote")
    assert result.outcome is Outcome.FAILED
    assert "error: Failed to build here cause: Call to `nope` failed;" in result.reason

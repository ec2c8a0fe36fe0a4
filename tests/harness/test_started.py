"""The start of a run completes its result: the times, the hashes and a random id."""

import time
from datetime import datetime, timezone

from harness.results import Outcome, Result
from harness.results.started import Started

RESULT = Result("py311-jax0.4.30-cpu", Outcome.PASSED, seconds={"tests": 1.23})


def test_a_result_is_completed():
    began = datetime(2026, 11, 29, 12, 0, 0, 4567, timezone.utc)
    started = Started(began, clock=time.monotonic() - 100.04)
    result = started.complete(RESULT, {"lock": "l"}, set_up_s=7.77)
    assert result.started == "2026-11-29T12:00:00.004+00:00"
    assert result.seconds == {"setup": 7.8, "tests": 1.2, "total": 100.0}
    assert result.hashes == {"lock": "l"} and result.run == started.run
    assert (result.cell, result.outcome) == (RESULT.cell, RESULT.outcome)


def test_without_tests_all_the_time_is_setup():
    result = Started(clock=time.monotonic() - 50).complete(RESULT, {})
    assert result.seconds["setup"] == result.seconds["total"] == 50.0


def test_each_run_has_its_own_id():
    assert len({Started().run for _ in range(10)}) == 10

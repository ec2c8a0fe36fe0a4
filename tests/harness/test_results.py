"""Results: what is written is read back, half a file is never seen, and what can't be used says so."""

import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from harness import results
from harness.files import write_whole
from harness.results import Outcome, Result, ResultError, as_of_now

CELL = "py311-jax0.4.30-cpu"
DOCKER = Path(results.__file__).resolve().parents[1]

FULL = Result(
    cell=CELL,
    outcome=Outcome.PASSED,
    reason="it did",
    started="2026-11-20T10:11:12Z",
    seconds={"setup": 3.5, "tests": 61.0, "total": 70},
    counts={"passed": 500, "failed": 0},
    versions={"jax": "0.4.30", "other": "Ünïcode"},
    devices=[{"platform": "cpu", "kind": "cpu", "id": 0}],
    evidence={"any": {"thing": [1, None, True]}},
    measures={"loop_ratio": 1.25},
    hashes={"lock": "l", "source": "s", "image": ""},
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("outcome", list(Outcome))
def test_read_gives_what_was_written(tmp_path, outcome):
    result = replace(FULL, outcome=outcome)
    path = results.write(result, tmp_path / "made")
    assert path == tmp_path / "made" / (CELL + ".json")
    assert results.read(CELL, tmp_path / "made") == result


def test_no_result_is_none(tmp_path):
    assert results.read(CELL, tmp_path) is None
    assert results.read(CELL, tmp_path / "not there") is None


def test_people_can_read_it(tmp_path):
    """One key a line, in order, and the words of the outcomes as they are shown."""
    lines = results.write(FULL, tmp_path).read_text(encoding="utf-8").splitlines()
    keys = [line.split('"')[1] for line in lines if line.startswith('  "')]
    assert keys == sorted(asdict(FULL)) and '  "outcome": "passed",' in lines
    assert any("Ünïcode" in line for line in lines)


# ---- Whole, or not there ---------------------------------------------------------------------------------------------


def test_a_write_that_fails_midway_leaves_the_last_result(tmp_path):
    """As on a full disk: here, by the limit on the size of a file."""
    results.write(FULL, tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError):
            results.write(replace(FULL, reason="x" * 10_000), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert results.read(CELL, tmp_path) == FULL
    assert names(tmp_path) == [CELL + ".json"]


KILLED_AT = """
import os, pathlib, signal, sys
from harness import files
setattr(files.os, sys.argv[1], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
files.write_whole(pathlib.Path(sys.argv[2]), "half of it")
"""


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_is_killed_leaves_the_last_result(tmp_path, step):
    """`kill -9` before the file is on the disk, and before it is renamed: what is left, nobody takes for a result."""
    path = results.write(FULL, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT, step, str(path)],
        check=False,
        env=dict(os.environ, PYTHONPATH=str(DOCKER)),
    )
    assert done.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 2  # it had begun
    assert results.read(CELL, tmp_path) == FULL


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """And so is the name, before the writing is said to be done."""
    calls = []
    real = {"fsync": os.fsync, "replace": os.replace}
    for name, function in real.items():
        monkeypatch.setattr(os, name, lambda *args, n=name, f=function: (calls.append(n), f(*args)))
    write_whole(tmp_path / "x", "text")
    assert calls == ["fsync", "replace", "fsync"]


# ---- What can't be used ----------------------------------------------------------------------------------------------


def broken_by(**changes):
    return json.dumps({**asdict(FULL), **changes})


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "isn't JSON"),
        (broken_by()[:-20], "isn't JSON"),
        (b"\xff\xfe", "isn't JSON"),
        ("[]", "no JSON object"),
        ("{}", "schema None"),
        (broken_by(schema=1), "schema 1, and this harness reads schema 2"),
        (broken_by(outcome="great"), "`outcome: 'great'`"),
        (broken_by(counts=[]), "`counts: []`"),
        (broken_by(counts={"passed": "many"}), "`counts: "),
        (broken_by(seconds={"total": "long"}), "`seconds: "),
        (broken_by(failures=[1]), "`failures: [1]`"),
        (broken_by(devices=["cpu"]), "`devices: "),
        (broken_by(bridge=1), "`bridge: 1`"),
        (broken_by(more=1), "`more`"),
        (json.dumps({"schema": results.SCHEMA, "cell": CELL}), "`outcome`"),
        (broken_by(cell="py39-jax0.2.18-cpu"), "is a result of `py39-jax0.2.18-cpu`"),
    ],
)
def test_a_broken_file_is_named_with_the_next_move(tmp_path, text, says):
    path = tmp_path / (CELL + ".json")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ResultError) as caught:
        results.read(CELL, tmp_path)
    assert str(path) in str(caught.value) and says in str(caught.value)
    assert "Delete it and run it again: make cell CELL=" + CELL in str(caught.value)


def test_what_is_no_cell_is_run_again_by_another_command(tmp_path):
    (tmp_path / "py312-jax0.11.2-cuda-found.json").write_text("")
    with pytest.raises(ResultError, match="run it again: make test-here BACKEND=cuda$"):
        results.read("py312-jax0.11.2-cuda-found", tmp_path)


@pytest.mark.parametrize(
    "content, words",
    [
        ("[" * 100000, "nested too deep"),
        ('{"schema": 1, "evidence": {"x": ' + "[" * 900 + "]" * 900 + "}}", "nested too deep"),
        ('{"schema": 1, "reason": "\\ud800"}', "surrogate"),
        ('{"schema": 1, "measures": {"x": NaN}}', "JSON"),
        ("{}", "schema"),
        ("null", "no JSON object"),
        ('"' + "x" * 1000, "JSON"),
    ],
    ids=["deep", "deep evidence", "half a character", "NaN", "no version", "null", "half a file"],
)
def test_a_foreign_file_is_no_result(tmp_path, content, words):
    """It is refused with a reason; who needs no reason takes it for none."""
    (tmp_path / (CELL + ".json")).write_text(content)
    with pytest.raises(ResultError, match=words):
        results.read(CELL, tmp_path)
    assert results.last(CELL, tmp_path) is None


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_file_that_cannot_be_read_is_named(tmp_path, make):
    """A FIFO, too, which would keep the reader waiting."""
    make(tmp_path / (CELL + ".json"))
    with pytest.raises(ResultError, match="can't be read.*Delete it"):
        results.read(CELL, tmp_path)


# ---- Stale -----------------------------------------------------------------------------------------------------------

NOW = {"lock": "l", "source": "s", "image": ""}


def test_nothing_changed_nothing_stale():
    for outcome in Outcome:
        result = replace(FULL, outcome=outcome)
        assert as_of_now(result, NOW) is result


@pytest.mark.parametrize("outcome", [Outcome.PASSED, Outcome.FAILED])
@pytest.mark.parametrize(
    "changes, words",
    [
        ({"source": "S"}, "the source"),
        ({"lock": "L"}, "the lock"),
        ({"lock": ""}, "the lock"),
        ({"image": "I"}, "the image"),
        ({"lock": "L", "source": "S"}, "the source and the lock"),
    ],
)
def test_what_was_shown_for_something_else_is_stale(outcome, changes, words):
    """It says what it was, when, and what changed; all else is kept."""
    stale = as_of_now(replace(FULL, outcome=outcome), {**NOW, **changes})
    reason = "was {} on 2026-11-20; {} changed since".format(outcome.value, words)
    assert stale == replace(FULL, outcome=Outcome.STALE, reason=reason)


def test_on_the_host_an_image_is_not_missed():
    """What a container showed holds where nothing is known of today's image, as long as the rest is the same."""
    shown = replace(FULL, where="container", hashes={**NOW, "image": "sha256:1"})
    assert as_of_now(shown, NOW) is shown
    assert as_of_now(shown, {**NOW, "image": "sha256:2"}).outcome is Outcome.STALE


def test_what_was_shown_on_a_device_holds_on_that_device():
    """Where nothing is asked about the device, as in the table, it is named and doesn't matter."""
    shown = replace(FULL, hashes={**NOW, "device": "NVIDIA H200, driver 570.1"})
    assert as_of_now(shown, NOW) is as_of_now(shown, {**NOW, "device": "NVIDIA H200, driver 570.1"}) is shown
    elsewhere = as_of_now(shown, {**NOW, "device": "NVIDIA T4, driver 570.1"})
    assert elsewhere.outcome is Outcome.STALE
    assert elsewhere.reason == (
        "was {} on 2026-11-20 on NVIDIA H200, driver 570.1; this machine has NVIDIA T4, driver 570.1"
    ).format(FULL.outcome.value)
    assert "this machine has no such device" in as_of_now(shown, {**NOW, "device": ""}).reason


@pytest.mark.parametrize(
    "outcome, changes, goes_stale",
    [
        (Outcome.UNAVAILABLE, {"lock": "L"}, True),
        (Outcome.UNAVAILABLE, {"source": "S"}, False),
        (Outcome.NOT_RUN, {"lock": "L", "source": "S"}, False),
        (Outcome.UNSUPPORTED, {"lock": "L", "source": "S"}, False),
    ],
)
def test_only_what_was_shown_can_go_stale(outcome, changes, goes_stale):
    """That packages can't be had was shown for a lock; that a device is missing, for none."""
    now = as_of_now(replace(FULL, outcome=outcome), {**NOW, **changes})
    assert now.outcome is (Outcome.STALE if goes_stale else outcome)


def test_what_says_nothing_of_its_source_is_no_pass():
    """But that packages can't be had may be known without any lock."""
    assert as_of_now(replace(FULL, hashes={}), NOW).outcome is Outcome.STALE
    unavailable = replace(FULL, outcome=Outcome.UNAVAILABLE, hashes={})
    assert as_of_now(unavailable, NOW) is unavailable

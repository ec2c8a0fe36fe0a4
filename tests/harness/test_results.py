"""Results: a written result is read back, half a file is never seen, and an unusable file is reported."""

import functools
import json
import os
import resource
import signal
from dataclasses import asdict, replace

import pytest
from programs import python

from harness import results
from harness.results import Outcome, Result, ResultError, as_of_now
from harness.system.files import write_whole

CELL = "py311-jax0.4.30-cpu"

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


def test_a_result_file_is_readable(tmp_path):
    """It has one key per line, in order, and the outcome as the user sees it."""
    lines = results.write(FULL, tmp_path).read_text(encoding="utf-8").splitlines()
    keys = [line.split('"')[1] for line in lines if line.startswith('  "')]
    assert keys == sorted(asdict(FULL)) and '  "outcome": "passed",' in lines
    assert any("Ünïcode" in line for line in lines)


# ---- Never half a file -----------------------------------------------------------------------------------------------


def test_a_write_that_fails_midway_leaves_the_last_result(tmp_path):
    """As on a full disk. The test uses a limit on the size of a file."""
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
from harness.system import files
setattr(files.os, sys.argv[1], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
files.write_whole(pathlib.Path(sys.argv[2]), "half of it")
"""


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_is_killed_leaves_the_last_result(tmp_path, step):
    """`kill -9` before the file is on the disk, and before it is renamed. No reader takes the rest for a result."""
    path = results.write(FULL, tmp_path)
    done = python("-c", KILLED_AT, step, path)
    assert done.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 2  # the write had begun
    assert results.read(CELL, tmp_path) == FULL


def test_a_result_is_on_the_disk_before_it_is_renamed(tmp_path, monkeypatch):
    """Its name is on the disk too, before `write` returns."""
    calls = []
    real = {"fsync": os.fsync, "replace": os.replace}
    for name, function in real.items():
        monkeypatch.setattr(os, name, lambda *args, n=name, f=function: (calls.append(n), f(*args)))
    write_whole(tmp_path / "x", "text")
    assert calls == ["fsync", "replace", "fsync"]


# ---- Unusable files --------------------------------------------------------------------------------------------------


def broken_by(**changes):
    return json.dumps({**asdict(FULL), **changes})


DEEP = functools.reduce(lambda inner, _: [inner], range(900), [])


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "isn't JSON"),
        ("null", "no JSON object"),
        ('"' + "x" * 1000, "isn't JSON"),
        (broken_by(measures={"x": float("nan")}), "isn't JSON"),
        (broken_by(reason="\ud800"), "surrogate"),
        pytest.param("[" * 100000, "nested too deep", id="deep"),
        pytest.param(broken_by(evidence={"x": DEEP}), "nested too deep", id="deep evidence"),
        (broken_by()[:-20], "isn't JSON"),
        (b"\xff\xfe", "isn't JSON"),
        ("[]", "no JSON object"),
        ("{}", "schema None"),
        (broken_by(schema=1), "schema 1, and this harness reads schema 2"),
        (broken_by(outcome="great"), "key `outcome`: expected one of passed, failed"),
        (broken_by(counts=[]), "key `counts`: expected a table, and got []"),
        (broken_by(counts={"passed": "many"}), "key `counts`: expected a whole number"),
        (broken_by(seconds={"total": "long"}), "key `seconds`: expected"),
        (broken_by(failures=[1]), "key `failures`: expected a list of strings, and got [1]"),
        (broken_by(devices=["cpu"]), "key `devices`: expected"),
        (broken_by(bridge=1), "key `bridge`: expected true or false, and got 1"),
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
    assert "Delete it and run it again: python -m harness run " + CELL in str(caught.value)
    assert results.last(CELL, tmp_path) is None


def test_a_broken_result_of_a_found_python_names_its_own_command(tmp_path):
    (tmp_path / "py312-jax0.11.2-cuda-found.json").write_text("")
    with pytest.raises(ResultError, match="run it again: python -m harness here cuda$"):
        results.read("py312-jax0.11.2-cuda-found", tmp_path)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_file_that_cannot_be_read_is_named(tmp_path, make):
    """A FIFO too, from which a read would never end."""
    make(tmp_path / (CELL + ".json"))
    with pytest.raises(ResultError, match="can't be read.*Delete it"):
        results.read(CELL, tmp_path)


# ---- Stale -----------------------------------------------------------------------------------------------------------

NOW = {"lock": "l", "source": "s", "image": ""}


def test_a_result_is_valid_while_nothing_changes():
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
def test_a_result_is_stale_if_its_hashes_changed(outcome, changes, words):
    """Its reason gives the old outcome, the date and what changed. All other fields are kept."""
    stale = as_of_now(replace(FULL, outcome=outcome), {**NOW, **changes})
    reason = "was {} on 2026-11-20; {} changed since".format(outcome.value, words)
    assert stale == replace(FULL, outcome=Outcome.STALE, reason=reason)


def test_an_unknown_image_does_not_make_a_result_stale():
    """A result of a container is valid on the host, where today's image isn't known, if all other hashes are equal."""
    shown = replace(FULL, where="container", hashes={**NOW, "image": "sha256:1"})
    assert as_of_now(shown, NOW) is shown
    assert as_of_now(shown, {**NOW, "image": "sha256:2"}).outcome is Outcome.STALE


def test_a_result_is_stale_on_another_device():
    """If today's device isn't given, as in the table, it doesn't matter."""
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
def test_only_results_that_depend_on_a_hash_become_stale(outcome, changes, goes_stale):
    """The outcome unavailable depends on the lock. Not run and unsupported depend on none of the hashes."""
    now = as_of_now(replace(FULL, outcome=outcome), {**NOW, **changes})
    assert now.outcome is (Outcome.STALE if goes_stale else outcome)


def test_a_result_without_hashes_is_stale():
    """An unavailable cell is the exception, because it may have no lock."""
    assert as_of_now(replace(FULL, hashes={}), NOW).outcome is Outcome.STALE
    unavailable = replace(FULL, outcome=Outcome.UNAVAILABLE, hashes={})
    assert as_of_now(unavailable, NOW) is unavailable

"""The published record: the table is drawn from it, it takes newer results, loses none, and never counts as a pass."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console
from six_outcomes import NOW, cell
from test_scheduler import Recorder, Runner

from harness import results, rows
from harness.report import table
from harness.results import Outcome, Result, record
from harness.run import scheduler
from harness.source import snapshot
from harness.source.pages import BEGIN, END
from harness.system.paths import ROOT

CPU, GPU, OTHER = cell("0.10.1"), cell("0.10.1", "cuda"), cell("0.10.2")
CELLS = [CPU, GPU, OTHER]
HASHES = {one.name: NOW for one in CELLS}
PASSED = Result(
    CPU.name,
    Outcome.PASSED,
    started="2026-11-20T10:11:12.000+00:00",
    seconds={"tests": 61.4},
    counts={"passed": 500},
    versions={"jax": "0.10.1"},
    devices=[{"platform": "gpu", "kind": "NVIDIA H200", "id": 0}],
    driver="570.1",
    evidence={"processes": [{"python": "/home/me"}], "unmeasured": {"loop_ratio": "too noisy to tell"}},
    measures={"dispatch_in_100": 1.3},
    hashes={**NOW, "device": "NVIDIA H200, driver 570.1"},
)
LATER = replace(PASSED, started="2026-11-21", counts={"passed": 501})


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """`draw(results...)`: what the page has after `make table`, with these results and the record."""
    page, readme = tmp_path / rows.project().table, tmp_path / rows.project().summary
    page.parent.mkdir()
    for path in (page, readme):
        path.write_text("{}\n{}\n".format(BEGIN, END))

    def draw(*found, hashes=HASHES):
        folder = tmp_path / "results"
        for path in folder.glob("*.json"):
            path.unlink()
        for one in found:
            results.write(one, folder)
        console = Console(file=io.StringIO(), width=200)
        monkeypatch.setattr(table.fingerprint, "hashes_of", lambda cells: hashes)
        table.draw(CELLS, tmp_path, folder, console)
        return page.read_text()

    return draw


def test_published_fields_are_read_back(tmp_path):
    """Fields that are useful only on the machine of the run are left out."""
    path = tmp_path / "record.json"
    assert record.write({CPU.name: PASSED}, path)
    (read,) = record.read(path).values()
    assert read == replace(PASSED, evidence={"unmeasured": {"loop_ratio": "too noisy to tell"}})
    assert not record.write({CPU.name: PASSED}, path)
    assert "/home/me" not in path.read_text()


def test_a_fresh_clone_draws_the_record(draw):
    drawn = draw(PASSED, replace(PASSED, cell=GPU.name))
    assert "2 passed" in drawn and "NVIDIA H200, driver 570.1" in drawn and "too noisy to tell" in drawn
    assert draw() == drawn


def test_a_newer_result_replaces_the_older_and_no_other(draw):
    draw(PASSED, replace(PASSED, cell=GPU.name))
    drawn = draw(LATER)
    assert "501 tests" in drawn and "500 tests" in drawn
    assert draw(PASSED) == drawn  # an older result


@pytest.mark.parametrize("outcome", [Outcome.NOT_RUN, Outcome.UNSUPPORTED, Outcome.UNAVAILABLE])
def test_a_missing_device_does_not_replace_a_recorded_run(draw, outcome):
    drawn = draw(PASSED)
    assert draw(Result(CPU.name, outcome, reason="here", started="2027-01-01")) == drawn
    assert "500 tests" not in draw(replace(LATER, outcome=Outcome.FAILED, reason="t.py::x"))


def test_a_cell_whose_source_has_changed_is_stale_with_its_date(draw):
    drawn = draw(PASSED)
    changed = draw(hashes={**HASHES, CPU.name: {**NOW, "source": "another"}})
    assert "stale<br>2026-11-20, 500 tests, 61 s | too noisy to tell | 1.3 |" in changed
    assert "was passed on 2026-11-20 on NVIDIA H200, driver 570.1; the source changed since" in changed
    assert draw() == drawn


def test_the_record_never_counts_as_a_pass(draw, tmp_path, monkeypatch):
    """A cell without a result in this checkout is run."""
    draw(PASSED)
    (tmp_path / "results" / (CPU.name + ".json")).unlink()
    for name in ("EQX_JOBS", snapshot.EXPECTED):
        monkeypatch.setenv(name, "")
    runner = Runner(tmp_path / "results")
    options = {"folder": tmp_path / "results", "lock": tmp_path / "lock", "jobs": 1}
    assert scheduler.run([CPU], runner, Recorder(), HASHES, **options) == 0 and runner.ran == [CPU]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[",
        "[]",
        "{}",
        '{"schema": 1, "cells": {}}',
        '{"schema": 2, "cells": {"x": {}}}',
        '{"schema": 2, "cells": {"x": []}}',
        '{"schema": 2, "cells": {"x": {"outcome": "fine"}}}',
        '{"schema": 2, "cells": {"x": {"outcome": "passed", "more": {}}}}',
        '{"schema": 2, "cells": {"x": {"outcome": "passed", "seconds": []}}}',
    ],
)
def test_a_broken_record_is_named_with_the_next_move(tmp_path, content):
    (tmp_path / "record.json").write_text(content)
    with pytest.raises(record.RecordError, match="record.json.*git checkout"):
        record.read(tmp_path / "record.json")


def test_the_committed_record_names_only_cells_and_no_paths():
    known = record.read()
    assert known and set(known) <= {one.name for one in rows.load()} | {n for n in known if n.endswith("-found")}
    text = record.RECORD.read_text(encoding="utf-8")
    assert str(ROOT) not in text and "/home/" not in text and "/root/" not in text
    assert len(text) < 100 * 1024 and json.loads(text)["schema"] == record.SCHEMA

"""The report of the benchmarks: verdicts, the record, the table, the gate. The figures are invented."""

import importlib.util
import io
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from speed import contestants, gate, peers, process, record, targets  # noqa: E402
from speed.table import table  # noqa: E402


def figures(ratio, spread=0.01, seconds=1e-6):
    return {"seconds": seconds, "ratio": ratio, "spread": spread, "noisy": spread > 0.15, "rounds": 50}


def result(case, size, **contenders):
    given = {name: value if isinstance(value, dict) else figures(value) for name, value in contenders.items()}
    return {"case": case, "size": size, "unit": "leaves", "contenders": {"floor": figures(1.0), **given}}


def recorded(*results, folder=None):
    kept = record.Record(folder)
    for one in results:
        kept.add(contestants.HERE, one)
    return kept


def shown(content):
    console = Console(width=200, file=io.StringIO())
    console.print(table(content))
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("measured", "outcome"),
    [
        (figures(1.2), targets.MET),
        (figures(1.6), targets.MISSED),
        (figures(1.6, spread=0.3), targets.NOISY),
        (figures(1.2, spread=0.3), targets.NOISY),
        (figures(1.55, spread=0.05), targets.NOISY),  # above the target by less than the halves disagree
    ],
)
def test_the_verdict_is_met_missed_or_noisy(measured, outcome):
    assert targets.verdict(targets.Target(1.5), measured) == outcome


def test_a_target_may_be_a_time():
    target = targets.Target(0.5, unit=targets.MICROSECONDS)
    assert targets.verdict(target, figures(9.0, seconds=0.4e-6)) == targets.MET
    assert targets.verdict(target, figures(1.0, seconds=0.6e-6)) == targets.MISSED


def test_targets_go_by_case_and_size():
    assert targets.target_of("dispatch_in", 100) == targets.TARGETS["dispatch_in"][100]
    assert targets.target_of("dispatch_in", 100) != targets.target_of("dispatch_in", 10)
    assert targets.target_of("dispatch_in, second", 100).first == 1.5
    assert targets.target_of("layer: GRUCell", None).first == 1.05
    assert targets.target_of("compile_sequential", 4) is None


def test_the_record_is_whole_after_each_case(tmp_path):
    """So an interrupted run keeps what it measured. Contenders of the same case are recorded together."""
    kept = recorded(result("dispatch_in", 10, equinox=1.5), folder=tmp_path)
    first = json.loads((tmp_path / record.FILE).read_text())
    assert [case["case"] for case in first["cases"]] == ["dispatch_in"]
    kept.add(contestants.PUBLISHED, result("dispatch_in", 10, equinox=6.0))
    kept.add(contestants.NNX, result("dispatch_in", 10, nnx=70.0))
    (case,) = json.loads((tmp_path / record.FILE).read_text())["cases"]
    assert {name: figure["ratio"] for name, figure in case["contenders"].items()} == {
        contestants.OURS: 1.5,
        "equinox, published": 6.0,
        "Flax NNX": 70.0,
    }


def test_the_table_has_the_targets_and_says_what_is_over_them_or_noisy():
    text = shown(
        recorded(
            result("dispatch_in", 10, equinox=1.5),
            result("dispatch_in", 100, equinox=2.5),
            result("dispatch_in", 1000, equinox=figures(1.5, spread=0.4)),
            result("import", None, equinox=figures(0.1, seconds=0.02)),
        ).content
    )
    rows = {line.split("│")[1].strip(): line for line in text.splitlines() if "│" in line}
    assert "1.7 / 1.5 x" in rows["dispatch_in, 10 leaves"] and "1.50 x " in rows["dispatch_in, 10 leaves"]
    assert "2.50 x !" in rows["dispatch_in, 100 leaves"]
    assert "noisy ~1.50 x" in rows["dispatch_in, 1000 leaves"]
    assert "50 ms" in rows["import"] and "20.0 ms" in rows["import"]


@pytest.mark.parametrize(
    ("measured", "status"),
    [(figures(3.3), 0), (figures(3.5), 1), (figures(3.5, spread=0.2), 0), (figures(3.5, spread=0.05), 0)],
)
def test_the_gate_fails_at_twice_the_target_unless_that_is_noise(measured, status):
    said = []
    content = recorded(result("dispatch_in", 10, equinox=measured), result("dispatch_in", 100, equinox=1.0)).content
    assert gate.judge(content, said.append) == status
    assert any("dispatch_in/10:" in line for line in said) == (measured["ratio"] > 3.4)
    assert not any("dispatch_in/100:" in line for line in said)


def test_the_gate_fails_if_nothing_could_be_measured():
    content = recorded(result("dispatch_in", 10, equinox=figures(1.0, spread=0.5))).content
    said = []
    assert gate.judge(content, said.append) == 1
    assert "noisy" in said[-1]


def test_each_case_of_the_gate_has_a_target():
    for label in gate.CASES:
        case, size = label.split("/")
        assert targets.target_of(case, int(size)) is not None, label


# The processes


def test_the_right_one_of_two_libraries_of_one_name_is_measured():
    ours = {"equinox_file": str(process.ROOT / "equinox" / "__init__.py")}
    theirs = {"equinox_file": "/somewhere/site-packages/equinox/__init__.py"}
    process.check(ours, checkout=True)
    process.check(theirs, checkout=False)
    for versions, checkout in ((ours, False), (theirs, True)):
        with pytest.raises(process.WorkerFailed, match="but expected"):
            process.check(versions, checkout)


def test_the_checkout_is_hidden_from_peers(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(process.ROOT))
    assert process.environment(checkout=True)["PYTHONPATH"] == str(process.ROOT)
    assert "PYTHONPATH" not in process.environment(checkout=False)


def events(*given):
    return lambda *args, **kwargs: iter(given)


@pytest.fixture
def run():
    """`benchmarks/run.py`, imported by another name, because the harness has a `run` too."""
    spec = importlib.util.spec_from_file_location("benchmarks_run", BENCHMARKS / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("ratio", "status"), [(1.5, 0), (9.0, 1)])
def test_the_gate_is_the_exit_status(run, monkeypatch, capsys, tmp_path, ratio, status):
    end = {"event": "end", **result("dispatch_in", 10, equinox=ratio)}
    monkeypatch.setattr(process, "run", events({"event": "ready", "versions": {}, "cases": 1}, end))
    assert run.main(["--gate", "--out", str(tmp_path)]) == status
    assert "dispatch_in" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_what_was_measured(run, monkeypatch, capsys, tmp_path):
    def interrupted(*args, **kwargs):
        yield {"event": "ready", "versions": {}, "cases": 2}
        yield {"event": "end", **result("construct", None, equinox=20.0)}
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "run", interrupted)
    assert run.main(["--out", str(tmp_path)]) == 130
    assert "construct" in capsys.readouterr().out
    assert json.loads((tmp_path / record.FILE).read_text())["cases"][0]["case"] == "construct"


def test_a_library_that_cannot_be_measured_is_reported(run, monkeypatch, capsys, tmp_path):
    def without_uv(*arguments):
        raise OSError("uv isn't here")

    monkeypatch.setattr(process, "run", events({"event": "ready", "versions": {}, "cases": 0}))
    monkeypatch.setattr(peers, "uv", without_uv)
    monkeypatch.setattr(peers, "ENVIRONMENT", tmp_path / "peers")
    monkeypatch.setattr(peers, "version", lambda name: "1.0")
    assert run.main(["--peers", "--out", str(tmp_path)]) == 3
    assert "uv isn't here" in capsys.readouterr().out

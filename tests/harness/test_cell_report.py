"""The cell's report: it counts as pytest does, with and without workers, and is written whatever happens."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import cell_report
import pytest
from programs import run_pytest, write

SUITE = """
import pytest
def test_passes(): pass
def test_fails(): assert False
@pytest.mark.skip(reason="needs several devices")
def test_skipped(): pass
@pytest.mark.xfail
def test_expected_to_fail(): assert False
@pytest.mark.xfail(strict=True)
def test_passes_unexpectedly(): pass
@pytest.fixture
def broken(): raise ValueError
def test_no_setup(broken): pass
@pytest.fixture
def untidy():
    yield
    raise ValueError
def test_no_teardown(untidy): pass
"""
COUNTS = {"passed": 2, "failed": 2, "errors": 2, "skipped": 1, "xfailed": 1}
FAILURES = ["test_fails", "test_passes_unexpectedly", "test_no_setup", "test_no_teardown"]

# Replaces the plugin proof_of_place. Each process sees one GPU of two.
FAKE_PROOF = """
import os
processes = [
    {"process": n, "devices": [{"platform": "gpu", "kind": "H100", "id": n}], "accelerator": {"driver": "580.1"}}
    for n in (0, 1)
]
refusal = os.environ.get("REFUSAL")
"""
FAKE_LOOP_SPEED = """
with open("measured", "a") as f: f.write("once ")
print("a warning")
print('{"loop_ratio": 1.25}')
"""


@pytest.fixture
def run(tmp_path):
    """`run(*args, **env)` runs pytest on SUITE, and returns the exit status, the report and the progress."""
    files = {
        "proof_of_place.py": FAKE_PROOF,
        "loop_speed.py": FAKE_LOOP_SPEED,
        "dispatch_speed.py": 'print(\'{"dispatch_in_100": 1.5, "train_step_100": "too noisy to tell"}\')\n',
        "cell_report.py": Path(cell_report.__file__).read_text(),
    }
    inside = write(tmp_path / "inside", files)
    (tmp_path / "test_suite.py").write_text(SUITE)
    report, progress = tmp_path / "report.json", tmp_path / "progress.json"
    measures = {
        str(inside / "loop_speed.py"): ["loop_ratio"],
        str(inside / "dispatch_speed.py"): ["dispatch_in_100", "train_step_100"],
    }
    expect = {"package": "equinox", "versions": ["hypothesis"], "measures": measures}
    of_cell = {
        "PYTHONPATH": str(inside),
        "EQX_REPORT": str(report),
        "EQX_PROGRESS": str(progress),
        "EQX_EXPECT": json.dumps(expect),
    }

    def run(*args, **env):
        done = run_pytest(tmp_path, ["cell_report"], *args, **{**of_cell, **env})
        read = [json.loads(path.read_text()) if path.exists() else None for path in (report, progress)]
        assert [path.name for path in tmp_path.iterdir() if "unfinished" in path.name] == []
        return SimpleNamespace(status=done.returncode, output=done.stdout, report=read[0], progress=read[1])

    return run


@pytest.mark.parametrize("workers", ["0", "2"])
def test_outcomes_are_counted_as_pytest_counts(run, tmp_path, workers):
    """The counts are those of pytest's last line, with workers too. Failed tests are named."""
    done = run("-n", workers)
    assert done.status == 1
    assert "2 failed, 2 passed, 1 skipped, 1 xfailed, 2 errors" in done.output
    assert done.report["counts"] == COUNTS
    assert sorted(done.report["failures"]) == sorted("test_suite.py::" + name for name in FAILURES)
    assert done.progress == {"done": 7, "total": 7, "failed": 4}
    assert done.report["seconds"]["tests"] > 0
    assert done.report["evidence"]["skipped"] == {"Skipped: needs several devices": 1}
    assert (tmp_path / "measured").read_text() == "once "


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_subtest_is_not_a_test(run, tmp_path, workers):
    """The counts of one suite are the same with pytest 8, which doesn't report subtests."""
    (tmp_path / "test_suite.py").write_text(
        "import unittest\n"
        "class Test(unittest.TestCase):\n"
        "    def test_two_parts(self):\n"
        "        for part in (1, 2):\n"
        "            with self.subTest(part=part): pass\n"
    )
    assert run("-n", workers).report["counts"] == {**dict.fromkeys(COUNTS, 0), "passed": 1}


@pytest.mark.parametrize("workers", ["0", "1"])
def test_errors_in_collection_count(run, tmp_path, workers):
    """A file that can't be imported counts as one error."""
    (tmp_path / "test_suite.py").write_text("import no_such_module")
    done = run("-n", workers)
    assert done.report["counts"]["errors"] == 1
    assert done.report["failures"] == ["test_suite.py"]
    assert done.report["measures"] == {}  # if no test ran, nothing is measured


@pytest.mark.parametrize("workers", ["0", "1"])
def test_an_installed_package_that_cannot_be_imported_is_named(run, tmp_path, workers):
    """pytest only says that the module of tests wasn't found. With pytest-xdist it doesn't say even that."""
    package = tmp_path / "inside" / "broken"
    package.mkdir()
    (package / "__init__.py").write_text("raise AttributeError('jax.x was removed')")
    (package / "some_test.py").write_text("def test_one(): pass")
    done = run("-n", workers, "--pyargs", "broken.some_test")
    assert done.status in (4, 5)
    assert done.report["not_imported"] == "broken.some_test can't be imported: AttributeError: jax.x was removed"


def test_a_file_that_is_skipped_counts_as_one(run, tmp_path):
    (tmp_path / "test_suite.py").write_text("import pytest\npytest.skip('why', allow_module_level=True)\n")
    assert run("-n", "0").report["counts"]["skipped"] == 1


def test_a_crashed_worker_is_a_failure(run, tmp_path):
    """The test that crashed its process is named, and the other tests run."""
    (tmp_path / "test_suite.py").write_text("import os\ndef test_crash(): os._exit(9)\ndef test_passes(): pass\n")
    done = run("-n", "1")
    assert done.report["counts"]["failed"] == 1
    assert done.report["counts"]["passed"] == 1
    assert done.report["failures"] == ["test_suite.py::test_crash"]
    assert done.progress == {"done": 2, "total": 2, "failed": 1}


def test_the_report_holds_versions_devices_and_evidence(run):
    """It also holds the driver and the measures. The devices are those that any process saw."""
    report = run("-k", "passes").report
    assert report["versions"]["pytest"] == pytest.__version__
    assert report["versions"]["python"] == "{}.{}.{}".format(*sys.version_info)
    assert "libtpu" not in report["versions"]
    assert [device["id"] for device in report["devices"]] == [0, 1]
    assert report["driver"] == "580.1"
    assert len(report["evidence"]["processes"]) == 2
    assert report["measures"] == {"loop_ratio": 1.25, "dispatch_in_100": 1.5}
    assert report["evidence"]["unmeasured"] == {"train_step_100": "too noisy to tell"}
    assert report["refusal"] is None


def test_a_refused_run_is_reported(run, tmp_path):
    """The report holds the refusal, which the host shows."""
    (tmp_path / "conftest.py").write_text(
        "import pytest\n@pytest.hookimpl(tryfirst=True)\n"
        "def pytest_collection(): pytest.exit('not here', returncode=70)\n"
    )
    done = run("-n", "0", REFUSAL="not here")
    assert done.status == 70
    assert done.report["refusal"] == "not here"
    assert sum(done.report["counts"].values()) == 0
    assert done.report["measures"] == {}


def test_an_interrupted_run_is_reported(run, tmp_path):
    """The report counts the finished tests. Nothing is measured."""
    (tmp_path / "test_suite.py").write_text(
        "def test_passes(): pass\ndef test_stopped(): raise KeyboardInterrupt\ndef test_never(): pass\n"
    )
    done = run("-n", "0")
    assert done.status == 2
    assert done.report["counts"]["passed"] == 1
    assert done.report["measures"] == {}


def test_nothing_is_written_without_the_variables(run, tmp_path):
    """Nothing is measured either."""
    before = set(tmp_path.iterdir())
    done = run("-n", "0", EQX_REPORT="", EQX_PROGRESS="")
    assert done.status == 1
    assert {path.name for path in set(tmp_path.iterdir()) - before} <= {"__pycache__"}


# The figures that come after the tests


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "print('no JSON')", "pass"])
def test_a_measurement_that_fails_gives_the_reason(code, tmp_path, capsys):
    """The tests still pass, the error is printed, and the other figures are measured."""
    (tmp_path / "bad.py").write_text(code)
    (tmp_path / "good.py").write_text('print(\'{"other": 1.5, "noisy": "too noisy to tell"}\')')
    programs = {"bad.py": ["one", "two"], "good.py": ["other", "noisy"]}
    reason = "the measurement failed; see the log"
    expected = {"one": reason, "two": reason, "other": 1.5, "noisy": "too noisy to tell"}
    assert cell_report.measure_speeds(programs, str(tmp_path)) == expected
    assert "wasn't measured" in capsys.readouterr().err


# Progress


def test_progress_is_written_at_most_twice_a_second(tmp_path):
    """However fast the tests are. The end always writes it once more."""
    now = [0.0]
    path = tmp_path / "progress.json"
    report = cell_report.Report({"EQX_PROGRESS": str(path)}, clock=lambda: now[0], measure=dict)
    written = []
    for step in range(100):
        now[0] = step / 50
        report.pytest_runtest_logreport(
            SimpleNamespace(location=("test_x.py", 0, ""), when="teardown", failed=False, skipped=False, nodeid="x")
        )
        done = json.loads(path.read_text())["done"]
        if not written or done != written[-1]:
            written.append(done)
    assert 3 <= len(written) <= 5  # in two seconds
    config = SimpleNamespace(option=SimpleNamespace(pyargs=False))
    report.pytest_sessionfinish(SimpleNamespace(exitstatus=0, config=config))
    assert json.loads(path.read_text())["done"] == 100


def test_failures_are_named_up_to_a_limit(tmp_path):
    """All failures are counted."""
    report = cell_report.Report({}, measure=dict)
    for number in range(80):
        report.pytest_runtest_logreport(
            SimpleNamespace(
                location=("test_x.py", 0, ""), when="call", failed=True, skipped=False, nodeid="test_{}".format(number)
            )
        )
    assert report.counts["failed"] == 80
    assert len(report.failures) == cell_report.MAX_FAILURES == 50


# Tests in an installed package


@pytest.fixture
def run_installed(run, tmp_path):
    """`run_installed(*args)` runs a failing test of an installed package. `test` is its file."""

    def run_installed(*args, test="def test_x(): assert False\n"):
        package = tmp_path / "site-packages" / "pack"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "x_test.py").write_text(test)
        (tmp_path / "suite").mkdir()
        path = os.pathsep.join([str(tmp_path / "inside"), str(package.parent)])
        rootdir = "--rootdir={}".format(tmp_path / "suite")
        expect = json.dumps({"package": "pack"})
        return run(rootdir, *args, "--pyargs", "pack.x_test", PYTHONPATH=path, EQX_EXPECT=expect)

    return run_installed


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_test_of_an_installed_package_is_named_by_its_place_in_the_package(run_installed, workers):
    """pytest leaves out its file, because that isn't below the root of the suite."""
    done = run_installed("-n", workers)
    assert done.report["failures"] == ["pack/x_test.py::test_x"]


def test_a_file_of_an_installed_package_that_cannot_be_imported_is_named(run_installed):
    """The package can be imported, and its file of tests can't."""
    done = run_installed("-n", "0", test="import no_such_module\n")
    assert done.report["failures"] == ["pack/x_test.py"] and done.report["counts"]["errors"] == 1

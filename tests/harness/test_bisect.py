"""Bisect JAX's releases, from the command line to the output. The results of the tests are invented."""

import datetime
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from harness import rows
from harness.bisect import bisection
from harness.bisect.memory import Memory, Trial
from harness.bisect.plan import Candidate, Plan
from harness.bisect.report import Report
from harness.bisect.search import Verdict
from harness.system.errors import CannotGoOn, WrongUsage

GOOD, BAD, SKIPPED = Verdict.GOOD, Verdict.BAD, Verdict.SKIPPED
DAY = datetime.date(2025, 1, 1)


def candidates(number, refused=(), python="3.11"):
    return [
        Candidate(
            jax="0.5.{}".format(index),
            date=DAY + datetime.timedelta(days=index),
            python=python,
            as_of=DAY,
            refusal="withdrawn" if index in refused else "",
        )
        for index in range(number)
    ]


class Searching:
    """Searches that share one memory on the disk."""

    def __init__(self, folder):
        self.folder = folder
        self.tried = []
        self.said = ""

    def __call__(self, truth, refused=(), stop_at=None, row=None):
        row = row or candidates(len(truth), refused)
        of = {candidate.jax: verdict for candidate, verdict in zip(row, truth, strict=True)}
        self.tried = []

        def try_(candidate, say):
            if len(self.tried) == stop_at:
                raise KeyboardInterrupt
            self.tried.append(candidate.jax)
            verdict = of[candidate.jax]
            if isinstance(verdict, Trial):
                return verdict
            return Trial(verdict, "test_y" if verdict is BAD else "", ("assert 1 == 2",) if verdict is BAD else ())

        memory = Memory(self.folder, ["tests/test_x.py"], "source", "3.11")
        memory.recall()
        output = io.StringIO()
        report = Report(Console(file=output, width=200), Plan(tuple(row), "3.11"), memory.logs)
        try:
            return bisection.search(report.plan, memory, try_, report, ["tests/test_x.py"])
        finally:
            self.said = output.getvalue()


@pytest.fixture
def search(tmp_path):
    return Searching(tmp_path / "bisect")


def test_the_conclusion_names_the_releases_and_where_to_read_on(search):
    assert search([GOOD] * 4 + [BAD] * 3) == 0
    assert "First bad is 0.5.4 (2025-01-05), last good 0.5.3 (2025-01-04)." in search.said
    assert "assert 1 == 2" in search.said
    assert "https://github.com/jax-ml/jax/compare/jax-v0.5.3...jax-v0.5.4" in search.said
    assert "changelog.html#:~:text=jax%200.5.4" in search.said


def test_looks_for_the_first_good_when_good_is_newer(search):
    assert search([GOOD] * 2 + [BAD] * 3, row=candidates(5)[::-1]) == 0
    assert "Good again from 0.5.3 (2025-01-04) on, last bad 0.5.2 (2025-01-03)." in search.said
    assert "compare/jax-v0.5.2...jax-v0.5.3" in search.said


def test_the_conclusion_is_a_range_if_releases_between_cannot_be_tried(search):
    assert search([GOOD, GOOD, SKIPPED, SKIPPED, BAD]) == 1
    assert "one of several releases, because 0.5.2, 0.5.3 can't be tried" in search.said


def test_a_refused_release_is_never_tried(search):
    search([GOOD, GOOD, BAD, BAD, BAD], refused=(2,))
    assert "0.5.2" not in search.tried
    assert "withdrawn" in search.said


@pytest.mark.parametrize("stop_at", range(5))
def test_an_interruption_loses_nothing(search, stop_at):
    truth = [GOOD] * 5 + [BAD] * 7
    search(truth)
    all_at_once = search.tried
    search.folder = search.folder.with_name("interrupted")
    with pytest.raises(KeyboardInterrupt):
        search(truth, stop_at=stop_at)
    before = search.tried
    assert search(truth) == 0
    assert before + search.tried == all_at_once
    assert "First bad is 0.5.5" in search.said


def test_kept_results_are_counted(search):
    truth = [GOOD] * 3 + [BAD] * 3
    search(truth)
    number = len(search.tried)
    assert search(truth) == 0
    assert search.tried == []
    assert "Results of {} releases are kept from before".format(number) in search.said


def test_a_release_that_could_not_be_set_up_is_tried_again_the_next_time(search):
    offline = Trial(SKIPPED, "no network", lasting=False)
    assert search([GOOD, offline, BAD]) == 1
    assert search([GOOD, GOOD, BAD]) == 0
    assert search.tried == ["0.5.1"]


@pytest.mark.parametrize(
    ("truth", "problem", "message"),
    [
        ([BAD, BAD, BAD], WrongUsage, "fails on JAX 0.5.0, which was given as good"),
        ([GOOD, GOOD, GOOD], WrongUsage, "passes on JAX 0.5.2, which was given as bad"),
        ([Trial(SKIPPED, "pytest finds no such test"), GOOD, BAD], WrongUsage, "finds no such test"),
        ([GOOD, GOOD, Trial(SKIPPED, "no network", lasting=False)], CannotGoOn, "no network"),
    ],
)
def test_an_end_whose_result_is_not_as_given_is_refused(search, truth, problem, message):
    with pytest.raises(problem, match=message):
        search(truth)


def test_the_output_of_a_try_is_made_safe(search):
    """A package chooses the names of tests and the errors."""
    assert search([GOOD, Trial(SKIPPED, "\x1b[2Jno \u202e[bold]"), Trial(BAD, "\x1b[2Jtest_y", ("\x1b[2J",))]) == 1
    assert "no \\u202e[bold]" in search.said and "\x1b" not in search.said and "\u202e" not in search.said


def test_an_end_that_is_refused_is_wrong_usage(search):
    with pytest.raises(WrongUsage, match=r"JAX 0\.5\.0, which is an end, can't be tried: withdrawn$"):
        search([GOOD, BAD], refused=(0,))
    assert search.tried == []


def test_the_conclusion_mentions_a_change_of_python(search):
    row = [*candidates(2, python="3.9"), *candidates(4, python="3.12")[2:]]
    search([GOOD, GOOD, BAD, BAD], row=row)
    assert "Python also changes there, from 3.9 to 3.12" in search.said


# The command line


def test_ids_may_come_as_one_word(tmp_path):
    (tmp_path / "tests" / "harness").mkdir(parents=True)
    for name in ("test_x.py", "test_z.py", "harness/test_h.py"):
        (tmp_path / "tests" / name).touch()
    assert bisection.test_ids(["tests/test_x.py::test_y tests/test_z.py"], tmp_path) == [
        "tests/test_x.py::test_y",
        "tests/test_z.py",
    ]
    assert bisection.test_ids(["tests/test_x.py::test_y[a b]"], tmp_path) == ["tests/test_x.py::test_y[a b]"]
    with pytest.raises(WrongUsage, match=r"no file for the test `tests/test_a\.py`.*tests/test_[xz]\.py"):
        bisection.test_ids(["tests/test_a.py"], tmp_path)
    with pytest.raises(WrongUsage, match="no file"):
        bisection.test_ids(["tests/harness/test_h.py"], tmp_path)
    with pytest.raises(WrongUsage, match="Which test"):
        bisection.test_ids([""], tmp_path)


@pytest.mark.parametrize(
    ("tests", "ids"),
    [
        (("tests/c++",), ["tests/c++/test_x.py::test_y", "tests/c++/test_x.py"]),  # not a regular expression
        (
            ("tests/test_x.py", "tests/test_z.py::A"),
            ["tests/test_x.py", "tests/test_z.py::B", "tests/test_x.py::test_y"],
        ),
        (("tests",), ["tests/test_x.py::test_y[a tests b]", "tests/test_z.py"]),
    ],
)
def test_ids_are_split_whatever_the_tests_of_the_project_are(tmp_path, monkeypatch, tests, ids):
    monkeypatch.setattr(rows, "project", lambda: rows.Project(package="tiny", tests=tests))
    for test in ids:
        path = tmp_path / test.partition("::")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert bisection.test_ids([" ".join(ids)], tmp_path) == ids


def test_the_nearest_file_may_be_one_that_the_project_names(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "project", lambda: rows.Project(package="tiny", tests=("tests/test_x.py",)))
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").touch()
    assert bisection.nearest("test_x.py", tmp_path) == ["tests/test_x.py"]


def test_the_nearest_file_is_a_file_of_the_suite(tmp_path):
    """A test that moved to another folder is found by its name. A test of the harness is never suggested."""
    for name in ("transforms/test_jit.py", "transforms/test_vmap.py", "trees/test_at.py", "harness/test_at_it.py"):
        (tmp_path / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tests" / name).touch()
    assert bisection.nearest("tests/test_jit.py", tmp_path) == ["tests/transforms/test_jit.py"]
    assert bisection.nearest("tests/dispatch/test_jit.py", tmp_path) == ["tests/transforms/test_jit.py"]
    assert bisection.nearest("tests/trees/test_a.py", tmp_path)[0] == "tests/trees/test_at.py"
    assert bisection.nearest("tests/harness/test_at_it.py", tmp_path)[0] == "tests/trees/test_at.py"
    assert bisection.nearest("quite another", tmp_path) == []


def test_the_nearest_file_may_be_named_as_unittest_does(tmp_path, monkeypatch):
    """The environments in the folder of the project, which hold thousands of tests, are not searched."""
    monkeypatch.setattr(rows, "project", lambda: rows.Project(package="tiny", tests=("tests",)))
    for name in ("tests/trees/at_test.py", ".tox/x/tests/at_test.py", "tests/conftest.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    looked = []
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: looked.append(self) or self.glob("**/" + pattern))
    assert bisection.nearest("tests/at_test.py", tmp_path) == ["tests/trees/at_test.py"]
    assert set(looked) == {tmp_path / "tests"}


def test_the_file_of_results_is_readable(search):
    search([GOOD, BAD])
    (path,) = search.folder.glob("*.json")
    stored = json.loads(path.read_text())
    assert stored["tests"] == ["tests/test_x.py"]
    assert {jax: trial["verdict"] for jax, trial in stored["trials"].items()} == {"0.5.0": "good", "0.5.1": "bad"}


def test_pytest_finds_installed_tests_by_itself(tmp_path, monkeypatch):
    """They are named by modules. The suite has no files for them."""
    installed = rows.Project(package="tiny", installed=True, tests=("tiny",))
    monkeypatch.setattr(rows, "project", lambda: installed)
    assert bisection.test_ids(["tiny.x_test::Test::test_y"], tmp_path) == ["tiny.x_test::Test::test_y"]

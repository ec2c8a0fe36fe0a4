"""Bisecting JAX's releases: with releases, environments and tests that are made up."""

import datetime
import io
import itertools
import json
import math
import subprocess
from pathlib import Path

import pytest
from harness import bisect
from harness.alone import NotAlone
from harness.bisect.memory import Memory, Trial
from harness.bisect.plan import Candidate, Index, Plan, plan
from harness.bisect.problem import SetupFailed, WrongUsage
from harness.bisect.report import Report
from harness.bisect.search import Verdict, bracket, next_to_try
from harness.bisect.trial import Bench, NotSetUp, environment_variables, verdict_of
from harness.index import File, IndexUnreachable, Release
from harness.rows import Cell, MatrixError
from harness.suite import BuildFailed
from rich.console import Console

GOOD, BAD, SKIPPED = Verdict.GOOD, Verdict.BAD, Verdict.SKIPPED
DAY = datetime.date(2025, 1, 1)


# ---- The search ------------------------------------------------------------------------------------------------------


def truths():
    """Every row of up to 12 releases: where the first bad one is, and which up to two between the ends are skipped."""
    for number in range(2, 13):
        for first_bad in range(1, number):
            inner = range(1, number - 1)
            for skipped in itertools.chain.from_iterable(itertools.combinations(inner, many) for many in range(3)):
                yield [SKIPPED if index in skipped else GOOD if index < first_bad else BAD for index in range(number)]


def linear(truth):
    """The oracle: try all, and look."""
    bad = next(index for index, verdict in enumerate(truth) if verdict is BAD)
    return max(index for index, verdict in enumerate(truth[:bad]) if verdict is GOOD), bad


def halve(truth, known=None):
    """Search to the end; the last good, the first bad, and what was tried in order."""
    verdicts = known or [None] * len(truth)
    tried = []
    while (index := next_to_try(verdicts)) is not None:
        assert verdicts[index] is None, "it is tried twice"
        verdicts[index] = truth[index]
        tried.append(index)
    found = bracket(verdicts)
    return (found.good, found.bad), tried


def test_finds_what_trying_all_finds_in_few_steps():
    for truth in truths():
        found, tried = halve(truth)
        assert found == linear(truth), truth
        assert len(tried) <= math.ceil(math.log2(len(truth))) + truth.count(SKIPPED) + 2, truth


def test_the_ends_are_tried_first():
    for truth in truths():
        assert halve(truth)[1][:2] == [0, len(truth) - 1]


def test_the_number_of_steps_that_is_shown_is_never_exceeded():
    for truth in truths():
        if SKIPPED not in truth:
            ends = [truth[0], *[None] * (len(truth) - 2), truth[-1]]
            assert len(halve(truth, list(ends))[1]) <= bracket(ends).steps


def test_goes_on_from_wherever_it_was_stopped():
    for truth in truths():
        found, tried = halve(truth)
        for stop in range(len(tried)):
            known = [truth[index] if index in tried[:stop] else None for index in range(len(truth))]
            assert halve(truth, known) == (found, tried[stop:])


def test_what_was_tried_between_other_ends_helps():
    truth = [GOOD] * 6 + [BAD] * 6
    known = [None] * 12
    known[5], known[6] = GOOD, BAD
    assert halve(truth, known) == ((5, 6), [0, 11])


# ---- From the first try to what is printed ---------------------------------------------------------------------------


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
    """Searches that share what they remember, as on the disk."""

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
            return bisect.search(report.plan, memory, try_, report, ["tests/test_x.py"])
        finally:
            self.said = output.getvalue()


@pytest.fixture
def search(tmp_path):
    return Searching(tmp_path / "bisect")


def test_says_what_was_found_and_where_to_read_on(search):
    assert search([GOOD] * 4 + [BAD] * 3) == 0
    assert "First bad is 0.5.4 (2025-01-05), last good 0.5.3 (2025-01-04)." in search.said
    assert "assert 1 == 2" in search.said
    assert "https://github.com/jax-ml/jax/compare/jax-v0.5.3...jax-v0.5.4" in search.said
    assert "changelog.html#:~:text=jax%200.5.4" in search.said


def test_looks_for_the_first_good_when_good_is_newer(search):
    assert search([GOOD] * 2 + [BAD] * 3, row=candidates(5)[::-1]) == 0
    assert "Good again from 0.5.3 (2025-01-04) on, last bad 0.5.2 (2025-01-03)." in search.said
    assert "compare/jax-v0.5.2...jax-v0.5.3" in search.said


def test_gives_the_range_when_only_what_cannot_be_tried_is_between(search):
    assert search([GOOD, GOOD, SKIPPED, SKIPPED, BAD]) == 1
    assert "one of several releases, as 0.5.2, 0.5.3 can't be tried" in search.said


def test_what_is_refused_beforehand_is_never_tried(search):
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


def test_says_what_it_remembers(search):
    truth = [GOOD] * 3 + [BAD] * 3
    search(truth)
    number = len(search.tried)
    assert search(truth) == 0
    assert search.tried == []
    assert "{} releases were tried before".format(number) in search.said


def test_what_could_not_be_set_up_is_tried_again_the_next_time(search):
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
        ([GOOD, GOOD, Trial(SKIPPED, "no network", lasting=False)], SetupFailed, "no network"),
    ],
)
def test_ends_that_are_not_as_said(search, truth, problem, message):
    with pytest.raises(problem, match=message):
        search(truth)


def test_an_end_that_is_refused_is_wrong_usage(search):
    with pytest.raises(WrongUsage, match=r"a release that can be tried, and 0\.5\.0 can't: withdrawn"):
        search([GOOD, BAD], refused=(0,))
    assert search.tried == []


def test_says_that_python_changes_too(search):
    row = [*candidates(2, python="3.9"), *candidates(4, python="3.12")[2:]]
    search([GOOD, GOOD, BAD, BAD], row=row)
    assert "Python changes there too, from 3.9 to 3.12" in search.said


# ---- Memory ----------------------------------------------------------------------------------------------------------


def test_memory_is_of_one_test_source_and_python(tmp_path):
    of = {Memory(tmp_path, [test], source, python).path for test in "ab" for source in "cd" for python in "ef"}
    assert len(of) == 8


def test_memory_gives_back_what_it_was_given(tmp_path):
    trial = Trial(BAD, "test_y", ("assert 1", "assert 2"), 3.5)
    Memory(tmp_path, ["a"], "b", "c").remember("0.5.0", trial)
    assert Memory(tmp_path, ["a"], "b", "c").recall() == {"0.5.0": trial}


def test_forgets(tmp_path):
    memory = Memory(tmp_path, ["a"], "b", "c")
    memory.remember("0.5.0", Trial(GOOD))
    memory.forget()
    memory.forget()
    assert memory.recall() == {} == Memory(tmp_path, ["a"], "b", "c").recall()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"trials": {"0.5.0": {"verdict": "odd", "lines": []}}}'])
def test_a_broken_memory_is_named(tmp_path, content):
    memory = Memory(tmp_path, ["a"], "b", "c")
    memory.path.write_text(content)
    with pytest.raises(SetupFailed, match=memory.path.name + ".*--forget"):
        memory.recall()


# ---- The plan --------------------------------------------------------------------------------------------------------


def release(version, *, wheels=(), requires_python=None):
    names = ["jaxlib-{}-cp{}-none-any.whl".format(version, python.replace(".", "")) for python in wheels]
    files = [File(name, "", "", DAY) for name in names or ["jax-{}.tar.gz".format(version)]]
    return Release(version, tuple(files), requires_python)


OLD, NEW = ("3.9", "3.10", "3.11"), ("3.11", "3.12")
LIBRARIES = [
    *(release(version, wheels=OLD) for version in ("0.4.13", "0.4.30")),
    *(release(version, wheels=NEW) for version in ("0.6.2", "0.7.0", "0.9.0")),
    release("0.11.0", wheels=("3.12",)),
]
JAX = [
    release("0.2.18", requires_python=">=3.6"),
    release("0.3.1", requires_python=">=3.7"),
    release("0.4.1", requires_python=">=3.8"),
    release("0.4.9", requires_python=">=3.8"),
    release("0.4.13", requires_python=">=3.8"),
    release("0.4.30", requires_python=">=3.9"),
    release("0.6.2", requires_python=">=3.10"),
    release("0.7.0rc1", requires_python=">=3.11"),
    release("0.7.0", requires_python=">=3.11"),
    release("0.9.0", requires_python=">=3.11"),
    release("0.11.0", requires_python=">=3.12"),
]


def row(jax, python, bridge=False):
    return Cell(jax, python, "cpu", "cpu", "pr", jax, datetime.date(2024, 7, 15), (), bridge)


CELLS = [
    row("0.2.18", "3.9", True),
    row("0.4.1", "3.11", True),
    row("0.4.13", "3.10"),
    row("0.4.30", "3.11"),
    row("0.9.0", "3.12"),
]
HERE = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")


def planned(good, bad, python=None, pythons=HERE, jax=JAX):
    return plan(Index(jax, LIBRARIES), CELLS, good, bad, python, pythons)


def names(made):
    return [candidate.jax for candidate in made.candidates]


def test_all_final_releases_between_are_candidates():
    assert names(planned("0.4.30", "0.9.0")) == ["0.4.30", "0.6.2", "0.7.0", "0.9.0"]
    assert names(planned("0.9.0", "0.4.30")) == ["0.9.0", "0.7.0", "0.6.2", "0.4.30"]
    assert names(planned("0.4.1", "0.2.18")) == ["0.4.1", "0.3.1", "0.2.18"]


@pytest.mark.parametrize("unknown", ["0.6.3", "0.7.0rc1"])
def test_an_unknown_release_is_refused_with_its_neighbours(unknown):
    with pytest.raises(WrongUsage, match=r"GOOD={} .*Nearest to it: 0\.6\.2 and 0\.7\.0\.".format(unknown)):
        planned(unknown, "0.9.0")
    with pytest.raises(WrongUsage, match=r"BAD=99 .*Nearest to it: 0\.11\.0\."):
        planned("0.6.2", "99")


def test_what_is_no_release_is_refused():
    with pytest.raises(WrongUsage, match="BAD is a release of JAX.*`newest`"):
        planned("0.6.2", "newest")
    with pytest.raises(WrongUsage, match="GOOD is a release of JAX"):
        planned("", "0.6.2")
    with pytest.raises(WrongUsage, match=r"both 0\.6\.2"):
        planned("0.6.2", "0.6.2")


def test_one_python_that_runs_both_ends_is_preferred():
    made = planned("0.4.30", "0.9.0")
    assert made.one_python == "3.11"
    assert {candidate.python for candidate in made.candidates} == {"3.11"}


def test_of_several_pythons_the_one_of_the_rows_nearby():
    near = [*JAX, release("0.4.20")]
    assert planned("0.4.13", "0.4.30", jax=near).one_python == "3.10"
    assert planned("0.2.18", "0.4.9").one_python == "3.9"


def test_each_has_its_own_python_when_none_runs_both():
    made = planned("0.4.30", "0.11.0")
    assert made.one_python is None
    pythons = {candidate.jax: candidate.python for candidate in made.candidates}
    assert pythons == {"0.4.30": "3.11", "0.6.2": "3.11", "0.7.0": "3.11", "0.9.0": "3.12", "0.11.0": "3.12"}
    assert not any(candidate.refusal for candidate in made.candidates)


def test_the_python_that_is_asked_for_is_used():
    assert planned("0.4.30", "0.9.0", python="3.11").one_python == "3.11"
    with pytest.raises(
        WrongUsage, match=r"JAX 0\.4\.30 can't be tried: .*no jaxlib.*3\.12.*Choose of 3\.9, 3\.10, 3\.11"
    ):
        planned("0.4.30", "0.9.0", python="3.12")
    with pytest.raises(WrongUsage, match=r"needs Python >=3\.11"):
        planned("0.7.0", "0.6.2", python="3.10")
    with pytest.raises(WrongUsage, match=r"given as in 3\.11, and not `python3`"):
        planned("0.6.2", "0.9.0", python="python3")


def test_what_is_known_to_be_impossible_is_refused_beforehand():
    jax = [*JAX, Release("0.4.0", (File("jax-0.4.0.tar.gz", "", "", DAY, yanked=True),))]
    refused = {each.jax: each.refusal for each in planned("0.2.18", "0.6.2", jax=jax).candidates if each.refusal}
    assert list(refused) == ["0.3.1", "0.4.0"]
    assert "bridge doesn't carry" in refused["0.3.1"]
    assert "withdrawn" in refused["0.4.0"]


def test_the_rest_is_of_a_month_later_and_never_older_than_the_row():
    day = datetime.date(2020, 1, 1)
    early = Release("0.4.31", (File("jax-0.4.31.tar.gz", "", "", day),))
    made = {each.jax: each for each in planned("0.4.9", "0.6.2", jax=[*JAX, early]).candidates}
    assert made["0.6.2"].as_of == DAY + datetime.timedelta(days=30)
    assert made["0.4.31"].as_of == datetime.date(2024, 7, 15)
    assert [each.jax for each in made.values() if each.bridge] == ["0.4.9"]


# ---- A trial ---------------------------------------------------------------------------------------------------------

REPORT = "<testsuites><testsuite>{}</testsuite></testsuites>"
CASE = '<testcase classname="tests.test_x" name="test_y">{}</testcase>'
FAILURE = (
    "<failure message='no'>def test_y():\n&gt;   assert 1 == 2\nE   AssertionError: no\nE   assert 1 == 2\n</failure>"
)


@pytest.mark.parametrize(
    ("status", "cases", "verdict", "reason"),
    [
        (0, [""], GOOD, ""),
        (0, ["", "<skipped/>"], GOOD, ""),
        (1, ["", FAILURE], BAD, "test_y"),
        (1, ["<error message='setup'/>"], BAD, "test_y"),
        (4, ["<error message='collection failure'>E   ImportError: no</error>"], BAD, "test_y"),
        (0, ["<skipped/>"], SKIPPED, "skip themselves"),
        (4, [], SKIPPED, "finds no such test"),
        (5, [], SKIPPED, "finds no such test"),
        (3, [], SKIPPED, "exits with 3"),
        (-11, None, BAD, "died of SIGSEGV"),
        (-9, None, SKIPPED, "stopped by SIGKILL"),
        (4, None, SKIPPED, "can't start"),
    ],
)
def test_verdicts(status, cases, verdict, reason):
    report = None if cases is None else REPORT.format("".join(map(CASE.format, cases))).encode()
    trial = verdict_of(status, report)
    assert trial.verdict is verdict
    assert reason in trial.reason


def test_the_lines_of_the_failed_assertion_are_kept():
    assert verdict_of(1, REPORT.format(CASE.format(FAILURE)).encode()).lines == ("AssertionError: no", "assert 1 == 2")


def test_each_release_has_the_same_random_numbers_and_none_of_our_paths():
    seen = environment_variables({"PYTHONPATH": "docker", "HOME": "/home"})
    assert "PYTHONPATH" not in seen
    assert (seen["EQX_SEED"], seen["JAX_PLATFORMS"], seen["HOME"]) == ("0", "cpu", "/home")
    assert environment_variables({"EQX_SEED": "7"})["EQX_SEED"] == "7"


class Commands:
    """In place of `subprocess.run`: records what is called; makes folders as uv does, and reports as pytest does."""

    def __init__(self, failing=None):
        self.called = []
        self.failing = failing

    def __call__(self, command, stdout, **options):
        words = " ".join(command)
        self.called.append(words)
        if "venv" in command:
            (Path(command[-1]) / "bin").mkdir(parents=True)
        if self.failing and self.failing in words:
            stdout.write(b"error:\n  Because there is\n  no such thing, we can conclude that it fails.\n")
            return subprocess.CompletedProcess(command, 1)
        if "--junitxml" in command:
            with open(command[command.index("--junitxml") + 1], "w") as report:
                report.write(REPORT.format(CASE.format("")))
        return subprocess.CompletedProcess(command, 0)

    def count(self, text):
        return sum(text in words for words in self.called)


@pytest.fixture
def bench(tmp_path):
    def make(run, interpreter=lambda python: "/usr/bin/python" + python, requires=("numpy<2", "pytest")):
        return Bench(
            tests=["tests/test_x.py::test_y"],
            suite=tmp_path,
            wheel=tmp_path / "equinox.whl",
            environments=tmp_path / "environments",
            logs=tmp_path / "logs",
            requires=lambda jax: requires,
            interpreter=interpreter,
            uv="uv",
            run=run,
        )

    return make


ONE = Candidate("0.5.0", DAY, "3.11", datetime.date(2025, 1, 31))


def quietly(doing):
    """Nobody looks."""


def test_an_environment_is_made_once_and_the_library_put_into_it_each_time(bench):
    commands = Commands()
    assert bench(commands)(ONE, quietly).verdict is GOOD
    assert bench(commands)(ONE, quietly).verdict is GOOD
    assert commands.count("uv venv") == commands.count("jax[cpu]==0.5.0") == 1
    assert commands.count("equinox.whl") == commands.count("-m pytest") == 2
    assert commands.count("--exclude-newer 2025-01-31") == 1
    assert commands.count("numpy<2 pytest") == 1


def test_an_environment_is_made_anew_when_it_would_be_made_of_something_else(bench):
    commands = Commands()
    bench(commands)(ONE, quietly)
    bench(commands, requires=("numpy<1.24",))(ONE, quietly)
    assert commands.count("uv venv") == 2


@pytest.mark.parametrize("failing", ["jax[cpu]", "import jax"])
def test_an_environment_that_could_not_be_finished_is_not_trusted(bench, failing):
    trial = bench(Commands(failing))(ONE, quietly)
    assert trial.verdict is SKIPPED
    assert "there is no such thing" in trial.reason
    assert not trial.lasting
    commands = Commands()
    assert bench(commands)(ONE, quietly).verdict is GOOD
    assert commands.count("uv venv") == 1


def test_an_interrupted_environment_is_not_trusted(bench):
    def interrupted(command, **options):
        if "pip" in command:
            raise KeyboardInterrupt
        return Commands()(command, **options)

    with pytest.raises(KeyboardInterrupt):
        bench(interrupted)(ONE, quietly)
    commands = Commands()
    bench(commands)(ONE, quietly)
    assert commands.count("uv venv") == 1


def test_an_old_release_is_made_across_the_bridge(bench):
    commands = Commands()
    bench(commands)(Candidate("0.4.1", DAY, "3.11", DAY, bridge=True), quietly)
    assert commands.count("bridge/requirements.txt") == commands.count("install.py --only-bridge") == 1
    assert commands.count("jax[cpu]") == 0


def test_a_python_that_is_not_here_is_said(bench):
    def missing(python):
        raise NotSetUp("There is no Python {} here".format(python))

    trial = bench(Commands(), interpreter=missing)(ONE, quietly)
    assert (trial.verdict, trial.lasting) == (SKIPPED, False)
    assert "no Python 3.11 here" in trial.reason


# ---- The command line ------------------------------------------------------------------------------------------------


def test_ids_may_come_as_one_word(tmp_path):
    (tmp_path / "tests" / "harness").mkdir(parents=True)
    for name in ("test_x.py", "test_z.py", "harness/test_h.py"):
        (tmp_path / "tests" / name).touch()
    assert bisect.test_ids(["tests/test_x.py::test_y tests/test_z.py"], tmp_path) == [
        "tests/test_x.py::test_y",
        "tests/test_z.py",
    ]
    assert bisect.test_ids(["tests/test_x.py::test_y[a b]"], tmp_path) == ["tests/test_x.py::test_y[a b]"]
    with pytest.raises(WrongUsage, match=r"no file for the test `tests/test_a\.py`.*tests/test_[xz]\.py"):
        bisect.test_ids(["tests/test_a.py"], tmp_path)
    with pytest.raises(WrongUsage, match="no file"):
        bisect.test_ids(["tests/harness/test_h.py"], tmp_path)
    with pytest.raises(WrongUsage, match="Which test"):
        bisect.test_ids([""], tmp_path)


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (WrongUsage("that"), 2),
        (MatrixError("that"), 2),
        (SetupFailed("that"), 3),
        (IndexUnreachable("that"), 3),
        (BuildFailed("that"), 3),
        (NotAlone("that"), 3),
        (OSError(28, "that: no space left"), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_statuses(problem, status, capsys):
    def fail():
        raise problem

    assert bisect.reporting(fail) == status
    said = capsys.readouterr()
    assert ("that" if status != 130 else "the same command goes on") in said.err
    assert said.out == ""


def test_what_is_on_the_disk_can_be_read(search):
    search([GOOD, BAD])
    (path,) = search.folder.glob("*.json")
    stored = json.loads(path.read_text())
    assert stored["tests"] == ["tests/test_x.py"]
    assert {jax: trial["verdict"] for jax, trial in stored["trials"].items()} == {"0.5.0": "good", "0.5.1": "bad"}

"""Try one release: its environment, and the verdict. Fake commands replace uv and pytest."""

import datetime
import os
import subprocess
from pathlib import Path

import pytest

from harness import rows
from harness.bisect.plan import Candidate
from harness.bisect.search import Verdict
from harness.bisect.trial import Bench, NotSetUp, environment_variables, read_report, verdict_of
from harness.system.paths import INSIDE

GOOD, BAD, SKIPPED = Verdict.GOOD, Verdict.BAD, Verdict.SKIPPED
DAY = datetime.date(2025, 1, 1)


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
        (0, ["<skipped/>"], SKIPPED, "tests are skipped"),
        (4, [], SKIPPED, "finds no such test"),
        (5, [], SKIPPED, "finds no such test"),
        (3, [], SKIPPED, "exits with 3"),
        (-11, None, BAD, "crashed with SIGSEGV"),
        (-9, None, SKIPPED, "stopped by SIGKILL"),
        (4, None, SKIPPED, "can't start"),
    ],
)
def test_verdicts(status, cases, verdict, reason):
    report = None if cases is None else REPORT.format("".join(map(CASE.format, cases))).encode()
    trial = verdict_of(status, report)
    assert trial.verdict is verdict
    assert reason in trial.reason


@pytest.mark.parametrize("make", ["link", "fifo", "folder"])
def test_a_report_that_is_no_file_of_the_run_is_not_read(tmp_path, make):
    """A package may write to the place of the report. Nothing waits for a FIFO."""
    path, other = tmp_path / "3.11-0.6.2.xml", tmp_path / "other.xml"
    assert read_report(path) is None
    other.write_text(REPORT.format(CASE.format("")))
    assert verdict_of(0, read_report(other)).verdict is GOOD
    {"link": lambda: path.symlink_to(other), "fifo": lambda: os.mkfifo(path), "folder": path.mkdir}[make]()
    trial = verdict_of(0, read_report(path))
    assert trial.verdict is SKIPPED and "can't be read" in trial.reason and not trial.lasting


def test_the_lines_of_the_failed_assertion_are_kept():
    assert verdict_of(1, REPORT.format(CASE.format(FAILURE)).encode()).lines == ("AssertionError: no", "assert 1 == 2")


def test_each_release_gets_the_same_seed_and_not_the_callers_pythonpath():
    """The tests get only the plugins of the harness."""
    given = {"PYTHONPATH": "docker", "HOME": "/home"}
    assert "PYTHONPATH" not in environment_variables(given, installs=True)
    seen = environment_variables(given)
    assert seen["PYTHONPATH"] == str(INSIDE)
    assert (seen["EQX_SEED"], seen["JAX_PLATFORMS"], seen["HOME"]) == ("0", "cpu", "/home")
    assert environment_variables({"EQX_SEED": "7"})["EQX_SEED"] == "7"


def test_commands_that_run_packages_get_no_secret_of_the_user():
    secrets = {
        "SSH_AUTH_SOCK": "/s",
        "NETRC": "/n",
        "HTTPS_PROXY": "http://me:x@proxy",
        "EQX_INDEX_URL": "https://me:x@i",
    }
    seen = environment_variables({**secrets, "HOME": "/home", "PATH": "/bin"})
    assert not set(secrets) & set(seen) and seen["HOME"] == "/home" and seen["PATH"] == "/bin"
    assert set(secrets) < set(environment_variables(secrets, installs=True))  # an installer must reach the index


@pytest.mark.parametrize(
    "report", [b"", b"<", b'<?xml version="1.0" encoding="utf-7"?><a/>', b'<?xml version="1.0" encoding="no"?><a/>']
)
def test_a_report_that_cannot_be_read_gives_no_verdict(report):
    assert verdict_of(0, report).verdict is SKIPPED


class Commands:
    """Replace `subprocess.run`: record the commands, make a folder like uv, and write a report like pytest."""

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
            wheel=lambda python, interpreter: tmp_path / "equinox.whl",
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
    """Ignore the status text."""


@pytest.mark.parametrize("imported", [True, False])
def test_an_installed_package_that_cannot_be_imported_is_bad(bench, monkeypatch, imported):
    """pytest says only that it finds no such test."""
    project = rows.Project(package="pack", installed=True, cpu_devices=8)
    monkeypatch.setattr(rows, "project", lambda: project)

    def run(command, stdout, env, **options):
        if "--junitxml" in command:
            assert env["XLA_FLAGS"] == "--xla_force_host_platform_device_count=8"
            Path(command[command.index("--junitxml") + 1]).write_text(REPORT.format(""))
            return subprocess.CompletedProcess(command, 4)
        if command[1:] == ["-c", "import pack"] and not imported:
            stdout.write(b"Traceback\nAttributeError: no jax.tree_map\n")
            return subprocess.CompletedProcess(command, 1)
        return Commands()(command, stdout)

    trial = bench(run)(ONE, quietly)
    if imported:
        assert trial.verdict is SKIPPED and "finds no such test" in trial.reason
    else:
        assert (trial.verdict, trial.reason) == (BAD, "pack can't be imported")
        assert trial.lines == ("AttributeError: no jax.tree_map",)


def test_an_environment_is_made_once_and_the_library_is_installed_each_time(bench):
    commands = Commands()
    assert bench(commands)(ONE, quietly).verdict is GOOD
    assert bench(commands)(ONE, quietly).verdict is GOOD
    assert commands.count("uv venv") == commands.count("jax[cpu]==0.5.0") == 1
    assert commands.count("equinox.whl") == commands.count("-m pytest") == 2
    assert commands.count("--exclude-newer 2025-01-31") == 1
    # The same packages as in a lock may be newer: those in `not_before`, and jaxlib, which was uploaded again.
    assert commands.count("--exclude-newer-package=jaxlib=false") == 1
    assert commands.count("--exclude-newer-package=safetensors=2025-04-01T00:00:00Z") == 1
    assert commands.count("numpy<2 pytest") == 1
    # The constraint is an option. uv would split the variable at spaces, and the path of the checkout may hold some.
    assert commands.count("uv pip install") == commands.count("--build-constraint") == 3
    assert "UV_BUILD_CONSTRAINT" not in environment_variables({}, installs=True)


def test_an_environment_is_made_again_when_its_recipe_changes(bench):
    commands = Commands()
    bench(commands)(ONE, quietly)
    bench(commands, requires=("numpy<1.24",))(ONE, quietly)
    assert commands.count("uv venv") == 2


@pytest.mark.parametrize("failing", ["jax[cpu]", "import jax"])
def test_an_incomplete_environment_is_not_trusted(bench, failing):
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


def test_an_old_release_runs_on_the_bridge(bench):
    commands = Commands()
    bench(commands)(Candidate("0.4.1", DAY, "3.11", DAY, bridge=True), quietly)
    assert commands.count("bridge/requirements.txt") == commands.count("install.py --only-bridge") == 1
    assert commands.count("jax[cpu]") == 0


def test_a_missing_python_is_reported(bench):
    def missing(python):
        raise NotSetUp("There is no Python {} here".format(python))

    trial = bench(Commands(), interpreter=missing)(ONE, quietly)
    assert (trial.verdict, trial.lasting) == (SKIPPED, False)
    assert "no Python 3.11 here" in trial.reason

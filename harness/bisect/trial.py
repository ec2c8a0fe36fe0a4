"""Try one release: make its environment if there is none, and run the tests in it."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from harness import rows
from harness.bisect.memory import Trial
from harness.bisect.plan import Candidate
from harness.bisect.search import Verdict
from harness.locks.lock_file import other_dates
from harness.results import run_files
from harness.run.environment import Environment
from harness.system import isolation
from harness.system.paths import BRIDGE, BUILD_CONSTRAINTS, INSIDE

# If JAX itself doesn't run, the result of a test says nothing about the test.
CHECK = """
import jax, jax.numpy as jnp
assert jax.__version__ == {jax!r}, "this is jax " + jax.__version__
assert jax.jit(lambda x: x + 1)(jnp.arange(3)).tolist() == [1, 2, 3], "jit gives wrong numbers"
"""

# These signals come from outside, when somebody stops the process. They say nothing about the tests.
STOPPED = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

NOT_FOUND = (4, 5)  # pytest's exit statuses for a test that it can't find, and for no tests at all

OF_PYTHON = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")  # these would mix two environments

Say = Callable[[str], None]
Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


class NotSetUp(Exception):
    """The environment can't be made. The message says why."""


@dataclass(frozen=True)
class Bench:
    """Tries one release at a time. All tries share these settings."""

    tests: Sequence[str]  # their ids, as pytest takes them
    suite: Path  # a copy of the suite, outside of the source tree; the tests run in it
    wheel: Callable[[str, str], Path]  # the wheel of the project for a Python, from its version and its path
    environments: Path  # one for each Python and release; they are kept
    logs: Path  # one for each release
    requires: Callable[[str], Sequence[str]]  # what else is installed with a release of JAX
    interpreter: Callable[[str], str]  # the path of a Python such as "3.11"
    uv: str
    run: Run = subprocess.run

    def __call__(self, candidate: Candidate, say: Say) -> Trial:
        start = time.monotonic()
        self.logs.mkdir(parents=True, exist_ok=True)
        with log_of(candidate, self.logs).open("wb", buffering=0) as log:
            try:
                python = self._environment(candidate, say, log)
                say("testing")
                trial = self._test(candidate, python, log)
            except NotSetUp as failure:
                trial = Trial(Verdict.SKIPPED, "it can't be set up: {}".format(failure), lasting=False)
        return replace(trial, seconds=round(time.monotonic() - start, 1))

    def _environment(self, candidate: Candidate, say: Say, log: BinaryIO) -> Path:
        """Make the environment unless its mark says that it is complete and made from the same recipe."""
        environment = Environment(self.environments / candidate.environment)
        recipe = self._recipe(candidate, environment.python)
        made_from = {"recipe": "\n".join(map(shlex.join, recipe))}
        if environment.read_mark() != made_from:
            say("setting up")
            interpreter = self.interpreter(candidate.python)
            if environment.folder.exists():
                shutil.rmtree(environment.folder)
            venv = [self.uv, "venv", "--quiet", "--python", interpreter, str(environment.folder)]
            for command in (venv, *recipe):
                self._call(command, log)
            environment.write_mark(made_from)
        # Install the library each time, because it may change from one bisection to the next. Name the wheel without
        # its folder: uv reads a # in a path as the start of a comment.
        wheel = self.wheel(candidate.python, str(environment.python))
        install = [*self._install(environment.python), "--no-deps", "--reinstall", "./" + wheel.name]
        self._call(install, log, cwd=wheel.parent)
        return environment.python

    def _install(self, python: Path) -> list[str]:
        # UV_BUILD_CONSTRAINT would do the same, but uv splits it at spaces, and the path of the checkout may hold some.
        constraint = ["--build-constraint", str(BUILD_CONSTRAINTS)]
        return [self.uv, "pip", "install", "--quiet", "--python", str(python), *constraint]

    def _recipe(self, candidate: Candidate, python: Path) -> list[list[str]]:
        """The commands that make the environment of a release, in order."""
        install = [
            *self._install(python),
            *(("--exclude-newer", candidate.as_of.isoformat()) if candidate.as_of else ()),
            *("--exclude-newer-package={}={}".format(*item) for item in other_dates(candidate.as_of).items()),
            *self.requires(candidate.jax),
        ]
        check = [str(python), "-I", "-c", CHECK.format(jax=candidate.jax)]
        if not candidate.bridge:
            return [[*install, "jax[cpu]==" + candidate.jax], check]
        # The same steps as for a cell on the bridge: see matrix.toml.
        activate = [str(BRIDGE / "install.py"), "--only-bridge", "--python", str(python), "--jax", candidate.jax]
        requirements = ["-r", str(BRIDGE / "requirements.txt"), "jax==" + candidate.jax]
        return [[*install, *requirements], [sys.executable, *activate], check]

    def _call(self, command: Sequence[str], log: BinaryIO, cwd: Path | None = None) -> None:
        status, output = self._execute(command, log, cwd)
        if status != 0:
            raise NotSetUp(summary(output) or "`{}` exits with {}".format(command[0], status))

    def _execute(self, command: Sequence[str], log: BinaryIO, cwd: Path | None = None) -> tuple[int, str]:
        """Run a command. Returns its exit status, and what it added to the log."""
        start = log.seek(0, os.SEEK_END)
        done = self.run(
            command,
            cwd=cwd,
            env=environment_variables(installs=command[0] == self.uv),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
        return done.returncode, Path(log.name).read_bytes()[start:].decode(errors="replace")

    def _test(self, candidate: Candidate, python: Path, log: BinaryIO) -> Trial:
        report = log_of(candidate, self.logs).with_suffix(".xml")
        report.unlink(missing_ok=True)
        project = rows.project()
        pytest = [str(python), "-m", "pytest", "-x", "-p", "no:cacheprovider", "--junitxml", str(report)]
        status, _ = self._execute([*pytest, *project.repeatable, *project.pytest(self.tests)], log, cwd=self.suite)
        if status in NOT_FOUND and project.installed:  # or its package can't be imported, which pytest doesn't say
            failed, output = self._execute([str(python), "-c", "import " + project.package], log, cwd=self.suite)
            if failed:
                reason = "{} can't be imported".format(project.package)
                return Trial(Verdict.BAD, reason, tuple(output.strip().splitlines()[-1:]))
        return verdict_of(status, read_report(report))


def log_of(candidate: Candidate, logs: Path) -> Path:
    """The log of a release: the output of all commands."""
    return logs / (candidate.environment + ".log")


def read_report(path: Path) -> bytes | None:
    """The JUnit report of a run. `None`: there is none. Empty: it can't be used, for example because it is a link."""
    try:
        return run_files.read(path, "junit.xml")
    except FileNotFoundError:
        return None
    except run_files.Unusable:
        return b""


def verdict_of(status: int, report: bytes | None) -> Trial:
    """The verdict from pytest's exit status and its JUnit report.

    A test module that can't be imported counts as a failure, because that is what happens if JAX removes a name. Tests
    that are skipped, or expected to fail, show nothing.
    """
    if status < 0:
        name = signal.Signals(-status).name
        if -status in STOPPED:
            return Trial(Verdict.SKIPPED, "pytest was stopped by {}".format(name), lasting=False)
        return Trial(Verdict.BAD, "pytest crashed with {}".format(name))
    if report is None:
        return Trial(Verdict.SKIPPED, "pytest can't start", lasting=False)
    try:
        cases = list(xml.etree.ElementTree.fromstring(report).iter("testcase"))
    except (xml.etree.ElementTree.ParseError, ValueError, LookupError):  # the last two: a wrong encoding
        return Trial(Verdict.SKIPPED, "pytest's report can't be read", lasting=False)
    for case in cases:
        for failure in (*case.findall("failure"), *case.findall("error")):
            lines = asserted(failure.text or failure.get("message") or "")
            return Trial(Verdict.BAD, case.get("name", "a test"), lines)
    if status == 0:
        ran = any(case.find("skipped") is None for case in cases)
        return Trial(Verdict.GOOD) if ran else Trial(Verdict.SKIPPED, "all of the tests are skipped")
    if status in NOT_FOUND:
        return Trial(Verdict.SKIPPED, "pytest finds no such test")
    return Trial(Verdict.SKIPPED, "pytest exits with {}, and no test failed".format(status), lasting=False)


def asserted(text: str) -> tuple[str, ...]:
    """The lines that pytest marks as the error."""
    marked = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
    return tuple(marked or text.splitlines())[:6]


def summary(output: str) -> str:
    """The message of an installer in one line. If it gives a reason, only the reason is kept."""
    words = " ".join(output.replace("╰─▶", "").split())
    because = re.search(r"\b[Bb]ecause (.+?)(, we can conclude|\. |\.?$)", words)
    summary = because[1] if because else words
    return summary if len(summary) <= 200 else summary[:200] + " ..."


def environment_variables(inherited: Mapping[str, str] = os.environ, *, installs: bool = False) -> dict[str, str]:
    """The environment variables, the same for each release: on the CPU, with the same seed.

    A command that installs packages keeps the caller's variables, because it may need them to reach the index. Other
    commands get only those that the tests of a cell get.
    """
    kept = list(inherited) if installs else isolation.chosen(inherited, [*isolation.REACH_TESTS, "PATH"])
    devices = rows.project().cpu_devices
    flags = "--xla_force_host_platform_device_count={}".format(devices)
    return {
        **{name: inherited[name] for name in kept if name not in OF_PYTHON},
        **({"XLA_FLAGS": flags} if devices > 1 else {}),
        "EQX_SEED": inherited.get("EQX_SEED", "0"),
        "JAX_PLATFORMS": "cpu",
        "JAX_PLATFORM_NAME": "cpu",
        "PYTHONNOUSERSITE": "1",
        **({} if installs else {"PYTHONPATH": str(INSIDE)}),  # a suite may need a plugin of the harness
    }

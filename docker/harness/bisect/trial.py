"""Try one release: make its environment, or take the one that is there, and run the tests in it."""

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

from harness import isolation
from harness.bisect.memory import Trial
from harness.bisect.plan import Candidate
from harness.bisect.search import Verdict
from harness.environment import Environment
from harness.places import BRIDGE, BUILD_CONSTRAINTS

# JAX itself has to run before a test can say anything.
CHECK = """
import jax, jax.numpy as jnp
assert jax.__version__ == {jax!r}, "this is jax " + jax.__version__
assert jax.jit(lambda x: x + 1)(jnp.arange(3)).tolist() == [1, 2, 3], "jit gives wrong numbers"
"""

# These stop a process from outside, and say nothing of what it ran.
STOPPED = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

OF_PYTHON = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")  # these would mix an environment with another

Say = Callable[[str], None]
Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


class NotSetUp(Exception):
    """The environment can't be made; the message says why."""


@dataclass(frozen=True)
class Bench:
    """All that a release is tried with.

    Args:
        tests: the ids, as pytest takes them.
        suite: a copy of the suite, away from the source tree; the tests run in it.
        wheel: the library that is tested.
        environments: where there is one for each Python and release. They are kept.
        logs: where what the commands print goes, a file for each release.
        requires: what is installed beside a release of JAX.
        interpreter: what makes an environment of a Python, "3.11".
    """

    tests: Sequence[str]
    suite: Path
    wheel: Path
    environments: Path
    logs: Path
    requires: Callable[[str], Sequence[str]]
    interpreter: Callable[[str], str]
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
        """The Python of the environment, which is whole if its mark says that it was made from this recipe."""
        environment = Environment(self.environments / candidate.environment)
        recipe = self._recipe(candidate, environment.python)
        made_from = {"recipe": "\n".join(map(shlex.join, recipe))}
        if environment.read_mark() != made_from:
            say("setting up")
            self._make(environment.folder, self.interpreter(candidate.python), recipe, log)
            environment.write_mark(made_from)
        # The library isn't part of what lasts: it changes from one bisection to the next.
        # Its path may hold what uv takes for a comment.
        install = [*self._install(environment.python), "--no-deps", "--reinstall", "./" + self.wheel.name]
        self._call(install, log, cwd=self.wheel.parent)
        return environment.python

    def _make(self, folder: Path, interpreter: str, recipe: Sequence[Sequence[str]], log: BinaryIO) -> None:
        if folder.exists():
            shutil.rmtree(folder)
        self._call([self.uv, "venv", "--quiet", "--python", interpreter, str(folder)], log)
        for command in recipe:
            self._call(command, log)

    def _install(self, python: Path) -> list[str]:
        # Not by UV_BUILD_CONSTRAINT, which uv splits at spaces: where the checkout is may have some.
        constraint = ["--build-constraint", str(BUILD_CONSTRAINTS)]
        return [self.uv, "pip", "install", "--quiet", "--python", str(python), *constraint]

    def _recipe(self, candidate: Candidate, python: Path) -> list[list[str]]:
        install = [
            *self._install(python),
            *(("--exclude-newer", candidate.as_of.isoformat()) if candidate.as_of else ()),
            *("--exclude-newer-package", "jaxlib=false"),  # old wheels of it were uploaded again, years later
            *self.requires(candidate.jax),
        ]
        check = [str(python), "-I", "-c", CHECK.format(jax=candidate.jax)]
        if not candidate.bridge:
            return [[*install, "jax[cpu]==" + candidate.jax], check]
        # As a cell across the bridge is made, see docker/matrix.toml.
        activate = [str(BRIDGE / "install.py"), "--only-bridge", "--python", str(python), "--jax", candidate.jax]
        requirements = ["-r", str(BRIDGE / "requirements.txt"), "jax==" + candidate.jax]
        return [[*install, *requirements], [sys.executable, *activate], check]

    def _call(self, command: Sequence[str], log: BinaryIO, cwd: Path | None = None) -> None:
        start = log.seek(0, os.SEEK_END)
        status = self._execute(command, log, cwd)
        if status != 0:
            said = Path(log.name).read_bytes()[start:].decode(errors="replace")
            raise NotSetUp(_gist(said) or "`{}` exits with {}".format(command[0], status))

    def _execute(self, command: Sequence[str], log: BinaryIO, cwd: Path | None = None) -> int:
        return self.run(
            command,
            cwd=cwd,
            env=environment_variables(installs=command[0] == self.uv),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode

    def _test(self, candidate: Candidate, python: Path, log: BinaryIO) -> Trial:
        report = log_of(candidate, self.logs).with_suffix(".xml")
        report.unlink(missing_ok=True)
        pytest = [str(python), "-m", "pytest", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
        status = self._execute([*pytest, "--junitxml", str(report), *self.tests], log, cwd=self.suite)
        return verdict_of(status, report.read_bytes() if report.exists() else None)


def log_of(candidate: Candidate, logs: Path) -> Path:
    """Where all is that the commands printed."""
    return logs / (candidate.environment + ".log")


def verdict_of(status: int, report: bytes | None) -> Trial:
    """What pytest's exit status and its JUnit report say.

    A test module that can't be imported is as bad as a test that fails: that is how a removed name shows. What was
    skipped, or expected to fail, shows nothing.
    """
    if status < 0:
        name = signal.Signals(-status).name
        if -status in STOPPED:
            return Trial(Verdict.SKIPPED, "pytest was stopped by {}".format(name), lasting=False)
        return Trial(Verdict.BAD, "pytest died of {}".format(name))
    if report is None:
        return Trial(Verdict.SKIPPED, "pytest can't start", lasting=False)
    try:
        cases = list(xml.etree.ElementTree.fromstring(report).iter("testcase"))
    except (xml.etree.ElementTree.ParseError, ValueError, LookupError):  # the last two: of an encoding
        return Trial(Verdict.SKIPPED, "pytest's report can't be read", lasting=False)
    ran = 0
    for case in cases:
        failure = case.find("failure") if case.find("failure") is not None else case.find("error")
        if failure is not None:
            return Trial(
                Verdict.BAD, case.get("name", "a test"), _asserted(failure.text or failure.get("message") or "")
            )
        ran += case.find("skipped") is None
    if status == 0 and ran:
        return Trial(Verdict.GOOD)
    if status == 0:
        return Trial(Verdict.SKIPPED, "the tests skip themselves")
    if status in (4, 5):  # pytest's own numbers for what it can't find, and for finding nothing
        return Trial(Verdict.SKIPPED, "pytest finds no such test")
    return Trial(Verdict.SKIPPED, "pytest exits with {}, and no test failed".format(status), lasting=False)


def _asserted(text: str) -> tuple[str, ...]:
    """The lines that pytest marks as the error."""
    marked = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
    return tuple(marked or text.splitlines())[:6]


def _gist(said: str) -> str:
    """What is left of an installer's message in a line: the reason, if it gives one."""
    words = " ".join(said.replace("╰─▶", "").split())
    because = re.search(r"\b[Bb]ecause (.+?)(, we can conclude|\. |\.?$)", words)
    gist = because[1] if because else words
    return gist if len(gist) <= 200 else gist[:200] + " ..."


def environment_variables(inherited: Mapping[str, str] = os.environ, *, installs: bool = False) -> dict[str, str]:
    """The same for each release: on the CPU, and with the same random numbers, whether or not the user chose them.

    What installs packages has to reach the index. What runs them gets what the tests of a cell get.
    """
    kept = list(inherited) if installs else isolation.chosen(inherited, [*isolation.REACH_TESTS, "PATH"])
    seed = {"EQX_SEED": inherited.get("EQX_SEED", "0")}
    place = {"JAX_PLATFORMS": "cpu", "JAX_PLATFORM_NAME": "cpu", "PYTHONNOUSERSITE": "1"}
    return {**{name: inherited[name] for name in kept if name not in OF_PYTHON}, **seed, **place}

"""Check the library on a machine with an accelerator, within a time limit: `python -m harness here cuda --check`.

The check uses the packages that the machine has, as `harness.run.installed_jax` does. It needs no network and installs
nothing. It has three parts:

1. The proof of place shows that the tests run on the device. Its negative control hides the device: then the same
   proof must fail.
2. The whole suite.
3. The speed of calls and of layers.

The result of the suite goes to a file in `results/`, and `python -m harness table` copies it to the published record.
The folder of the same name holds the two proofs, one line for each test, and one line for each measurement. Each line
is written as soon as it is known, so a run that is cut off loses no finished test.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import rows
from harness.results import Outcome, Result
from harness.run import installed_jax
from harness.run.installed_jax import Prepared
from harness.system.files import from_json
from harness.system.paths import RESULTS, ROOT

PROOF = (sys.executable, "-m", "proof_of_place")
SPEED = rows.project().speed and (sys.executable, str(ROOT / rows.project().speed[0]), *rows.project().speed[1:])
PROOF_S = 120  # enough to start the driver and to compile the first program
END_S = 32  # how long a process may take to end after a signal: see `processes.STOP`
SUITE_SHARE = 0.75  # the suite's share of the time that is left after the proof; the rest is for the speed
# The benchmarks may be stopped quickly: each measurement is in the file already.
STOP_SPEED = ((signal.SIGINT, 5.0), (signal.SIGKILL, 5.0))
END_SPEED_S = 12


@dataclass
class Check:
    """One check of a device."""

    ready: Prepared
    until: float  # on the monotonic clock
    folder: Path
    env: Mapping[str, str]
    proof: Sequence[str] = PROOF
    pytest: Sequence[str] = installed_jax.PYTEST
    speed: Sequence[str] = SPEED

    @property
    def details(self) -> Path:
        return self.folder / self.ready.cell.name

    def run(self) -> int:
        """Run the three parts. Returns the exit status."""
        shutil.rmtree(self.details, ignore_errors=True)
        self.details.mkdir(parents=True)
        wrong = self.prove()
        if wrong is not None:
            return installed_jax.keep(wrong, self.folder)
        statuses = installed_jax.keep(self.test(), self.folder), self.measure()
        return next(filter(None, statuses), 0)

    def prove(self) -> Result | None:
        """Run the proof and its negative control. Returns the result of a failure, or `None` if the place is proven."""
        self.say("proof of place")
        complaints = self.complaints("proof", {})
        if complaints:
            return self.ended(Outcome.FAILED, complaints[0])
        if complaints is None:
            return self.unknown("proof")
        self.say("negative control: the same, with the device hidden")
        complaints = self.complaints("control", hidden(self.ready))
        if complaints is None:  # a control that ends without an answer proves nothing
            return self.unknown("control")
        if not complaints:
            return self.ended(Outcome.FAILED, "the proof of place holds with the device hidden, and so proves nothing")
        return None

    def complaints(self, name: str, env: Mapping[str, str]) -> list[str] | None:
        """Run the proof of place. Returns what it finds wrong, or `None` if it ends without an answer."""
        file = self.details / (name + ".json")
        command = ["env", *("{}={}".format(key, value) for key, value in env.items()), *self.proof, str(file)]
        deadline = min(self.until - END_S, time.monotonic() + PROOF_S)
        status = self.ready.follow(command, self.env, self.details / (name + ".log"), deadline)
        try:
            said: list[str] = from_json(file.read_bytes())["complaints"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return said if said or status == 0 else None

    def unknown(self, name: str) -> Result:
        """The result of a proof or control that ended without an answer. It has failed only if it had enough time."""
        if time.monotonic() > self.until - END_S:
            reason = "the time was over before the {} had ended; allow more time".format(name)
            return self.ended(Outcome.NOT_RUN, reason)
        log = self.details / (name + ".log")
        return self.ended(Outcome.FAILED, "the {} ended, or was stopped, without an answer; see {}".format(name, log))

    def test(self) -> Result:
        self.say("suite")
        now = time.monotonic()
        deadline = now + SUITE_SHARE * (self.until - now - END_S)
        env = {**self.env, "EQX_EACH": str(self.details / "tests.jsonl")}
        result = installed_jax.run_suite(self.ready, self.pytest, self.folder, env, deadline)
        return replace(result, evidence={**result.evidence, "negative_control": "failed, as it must"})

    def measure(self) -> int:
        """Measure the speed. Each measurement is written at once, as a line of JSON. Returns the exit status."""
        if not self.speed:
            return 0
        self.say("speed")
        into = ["sh", "-c", 'exec "$@" 2>"$0"', str(self.details / "speed.log"), *self.speed]
        file, deadline = self.details / "speed.jsonl", self.until - END_SPEED_S
        status = self.ready.follow(into, self.env, file, deadline, STOP_SPEED)
        said = {None: "cut off, because the time was over", 0: "all measured"}.get(status, "failed; see speed.log")
        self.say("speed: {}".format(said))
        return 0 if status == 0 else 3

    def ended(self, outcome: Outcome, reason: str) -> Result:
        """A result without any test."""
        result = Result.of(self.ready.cell, outcome, " ".join(reason.split()))
        return self.ready.started.complete(result, self.ready.hashes)

    def say(self, what: str) -> None:
        print("{:5.0f} s  {}".format(self.ready.started.spent_s, what), flush=True)


def hidden(ready: Prepared) -> dict[str, str]:
    """The environment variables that hide the device. A CPU can't be hidden, so the proof must expect a GPU instead."""
    return {
        "cuda": {"CUDA_VISIBLE_DEVICES": "-1"},
        "tpu": {"JAX_PLATFORMS": "cpu"},
        "cpu": {"EQX_EXPECT": json.dumps({**ready.cell.expects, "backend": "gpu"})},
    }[ready.cell.backend]


def run(
    backend: str, limit_s: float, *, folder: Path = RESULTS, env: Mapping[str, str] = os.environ, **commands: Any
) -> int:
    """Check the device. Returns the exit status.

    0: everything passed. 1: something failed. 3: a part could not run, or the time was over. 130: Ctrl-C.
    """
    until = time.monotonic() + limit_s

    def check(ready: Prepared) -> int:
        check = Check(ready, until, folder, env, **commands)
        try:
            return check.run()
        finally:
            check.say("of {:.0f} s; the details are in {}".format(limit_s, check.details))

    return installed_jax.attempt(backend, check)

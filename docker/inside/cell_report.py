"""A pytest plugin: what happened in this cell, as JSON for the host: `-p cell_report`, after `-p proof_of_place`.

`EQX_REPORT` names the file, written when the tests end, whether they pass, fail or are refused; `EQX_PROGRESS` one that
tells how far they are, at most twice a second. Both are replaced as a whole: who reads them never sees a half.
`EQX_EACH` names one that gets a line of JSON for each test when it has ended: a run that is cut off has lost none.
Without the variables nothing is written. With pytest-xdist the controller writes, to which all results come.
"""

import json
import os
import platform
import subprocess
import sys
import time

import proof_of_place
import pytest

try:
    from importlib.metadata import PackageNotFoundError, version
except ImportError:  # Python 3.7, to which pytest brings it
    from importlib_metadata import PackageNotFoundError, version

PACKAGES = (
    "jax jaxlib libtpu jax-cuda12-plugin jax-cuda13-plugin numpy scipy ml_dtypes optax chex hypothesis matplotlib "
    "pytest pytest-xdist equinox"
).split()
MOST_FAILURES = 50
PROGRESS_EVERY_S = 0.5
HERE = os.path.dirname(os.path.abspath(__file__))
# Each program prints its figures, by these names; in the place of one that it can't tell, the reason.
SPEEDS = {
    (sys.executable, os.path.join(HERE, "loop_speed.py")): ("loop_ratio",),
    (sys.executable, os.path.join(HERE, "dispatch_speed.py")): (
        "dispatch_in_100",
        "dispatch_in_out_100",
        "train_step_100",
    ),
}
SPEED_TIMEOUT_S = 120  # on a healthy JAX each takes 10


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Report(os.environ), "eqx-report")


class Report:
    """Counts as results come in.

    `environ` names the files, `clock` is in seconds, `measure` gives the figures that are taken when all is done.
    """

    def __init__(self, environ, clock=time.monotonic, measure=None):
        self.path = environ.get("EQX_REPORT")
        self.progress_path = environ.get("EQX_PROGRESS")
        self.each_path = environ.get("EQX_EACH")
        self.clock = clock
        self.measure = measure or measure_speeds
        self.counts = dict.fromkeys(["passed", "failed", "errors", "skipped", "xfailed"], 0)
        self.failures = []
        self.why_skipped = {}
        self.measures = {}
        self.total = self.done = 0
        self.started = self.ended = clock()
        self._last_progress = None

    # What pytest calls

    def pytest_sessionstart(self):
        self.started = self.clock()

    def pytest_collection_finish(self, session):
        self.total = max(self.total, len(session.items))
        self.progress(now=True)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids):
        self.total = max(self.total, len(ids))
        self.progress(now=True)

    def pytest_collectreport(self, report):
        if report.failed:
            self._count("errors", report.nodeid)
        elif report.skipped:  # a whole file
            self._skip(report)

    def pytest_runtest_logreport(self, report):
        if self.each_path and (report.when == "call" or report.outcome != "passed"):
            self.add({"test": report.nodeid, "outcome": report.outcome, "seconds": round(report.duration, 3)})
        if report.when not in ("setup", "call", "teardown"):  # the process that ran it crashed
            self._count("failed", report.nodeid)
            self.done += 1
        elif report.failed:
            self._count("failed" if report.when == "call" else "errors", report.nodeid)
        elif report.skipped:
            self._count("xfailed") if hasattr(report, "wasxfail") else self._skip(report)
        elif report.when == "call":
            self._count("passed")
        if report.when == "teardown":
            self.done += 1
        self.progress()

    # Last: after proof_of_place has had its say, and after the workers of pytest-xdist have ended.
    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        self.ended = self.clock()
        self.progress(now=True)
        self.write()  # first, should the measuring take the process down
        if self.path and self.done and session.exitstatus in (0, 1):  # not a run that was stopped
            self.measures = self.measure()
            self.write()

    # What comes of it

    def _count(self, kind, nodeid=None):
        self.counts[kind] += 1
        if nodeid is not None and nodeid not in self.failures and len(self.failures) < MOST_FAILURES:
            self.failures.append(nodeid)

    def _skip(self, report):
        self._count("skipped")
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        self.why_skipped[reason] = self.why_skipped.get(reason, 0) + 1

    def progress(self, now=False):
        if not self.progress_path:
            return
        if now or self._last_progress is None or self.clock() - self._last_progress >= PROGRESS_EVERY_S:
            self._last_progress = self.clock()
            failed = self.counts["failed"] + self.counts["errors"]
            write_whole(self.progress_path, {"done": self.done, "total": self.total, "failed": failed})

    def add(self, line):
        with open(self.each_path, "a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")

    def write(self):
        if self.path:
            write_whole(self.path, self.as_dict())

    def as_dict(self):
        devices, drivers = [], []
        for process in proof_of_place.processes:
            accelerator = process.get("accelerator", {})
            drivers += [accelerator["driver"]] if accelerator.get("driver") else []
            devices += [device for device in process.get("devices", []) if device not in devices]
        return {
            "counts": self.counts,
            "failures": self.failures,
            "versions": versions(),
            "devices": devices,
            "driver": drivers[0] if drivers else "",
            "evidence": {
                "processes": proof_of_place.processes,
                "skipped": self.why_skipped,
                "unmeasured": {name: why for name, why in self.measures.items() if isinstance(why, str)},
            },
            "refusal": proof_of_place.refusal,
            "measures": {name: figure for name, figure in self.measures.items() if not isinstance(figure, str)},
            "seconds": {"tests": round(self.ended - self.started, 3)},
        }


def versions():
    """Of Python and of what is installed; of packages that aren't there, none."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            pass
    return found


def measure_speeds(commands=SPEEDS):
    """Each in a process of its own, after the tests: nothing else runs beside it, and what it takes is given back.

    Returns: the figures, by name; in the place of one that couldn't be taken, the reason.
    """
    measures = {}
    for command, names in commands.items():
        try:
            output = subprocess.check_output(command, timeout=SPEED_TIMEOUT_S, universal_newlines=True)
            measures.update(json.loads(output.splitlines()[-1]))
        except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
            sys.stderr.write("A speed wasn't measured: {}\n".format(error))
            slow = isinstance(error, subprocess.TimeoutExpired)
            reason = "not done in {} s".format(SPEED_TIMEOUT_S) if slow else "the measuring failed; see the log"
            measures.update(dict.fromkeys(names, reason))
    return measures


def write_whole(path, content):
    """Write a file so that a reader finds the old one or the new one."""
    unfinished = "{}.{}.unfinished".format(path, os.getpid())
    with open(unfinished, "w", encoding="utf-8") as out:
        json.dump(content, out, indent=1, sort_keys=True)
        out.flush()
        os.fsync(out.fileno())
    os.replace(unfinished, path)

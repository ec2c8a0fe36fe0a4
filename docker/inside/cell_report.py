"""A pytest plugin that writes a JSON report for the host: `-p cell_report`, after `-p proof_of_place`.

Environment variables name the files to write. Without them the plugin writes nothing.

- `EQX_REPORT`: the report. It is written when the tests end, also if they fail or are refused.
- `EQX_PROGRESS`: how many tests are done. It is replaced at most twice a second.
- `EQX_EACH`: a line of JSON for each test that ended, so that a run that is killed loses none.

`EQX_EXPECT` names the packages whose versions are reported, and the programs that measure speed with the names of their
figures. Instead of a figure that can't be measured, a program prints the reason.

A reader of the first two never sees half a file. With pytest-xdist the controller writes, because it gets all results.
"""

import contextlib
import importlib
import json
import os
import platform
import re
import subprocess
import sys
import time

import proof_of_place
import pytest

try:
    from importlib.metadata import PackageNotFoundError, version
except ImportError:  # Python 3.7, where pytest installs the backport
    from importlib_metadata import PackageNotFoundError, version

PACKAGES = "jax jaxlib libtpu jax-cuda12-plugin jax-cuda13-plugin numpy scipy ml_dtypes pytest pytest-xdist".split()
MAX_FAILURES = 50  # how many failed tests the report names
PROGRESS_EVERY_S = 0.5
SPEED_TIMEOUT_S = 120  # a program usually takes 10 s


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Report(os.environ), "eqx-report")


class Report:
    """The plugin. It counts the results of the tests as they come in. Afterwards it calls `measure` for the figures."""

    def __init__(self, environ, clock=time.monotonic, measure=None):
        self.path = environ.get("EQX_REPORT")
        self.progress_path = environ.get("EQX_PROGRESS")
        self.each_path = environ.get("EQX_EACH")
        self.clock = clock
        expect = json.loads(environ.get("EQX_EXPECT") or "{}")
        self.packages = PACKAGES + list(expect.get("versions", [])) + [expect.get("package", "")]
        suite = os.getcwd()  # here, because a test may go to another folder
        self.measure = measure or (lambda: measure_speeds(expect.get("measures", {}), suite))
        self.counts = dict.fromkeys(["passed", "failed", "errors", "skipped", "xfailed"], 0)
        self.failures = []
        self.why_skipped = {}
        self.not_imported = None
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
            self._count("errors", name_of(report))
        elif report.skipped:  # a whole file
            self._skip(report)

    def pytest_runtest_logreport(self, report):
        if hasattr(report, "context") and not report.failed:  # a subtest: pytest 9 reports it, and then its test
            return
        if self.each_path and (report.when == "call" or report.outcome != "passed"):
            self.add({"test": name_of(report), "outcome": report.outcome, "seconds": round(report.duration, 3)})
        if report.when not in ("setup", "call", "teardown"):  # xdist reports a crashed worker so
            self._count("failed", name_of(report))
            self.done += 1
        elif report.failed:
            self._count("failed" if report.when == "call" else "errors", name_of(report))
        elif report.skipped:
            self._count("xfailed") if hasattr(report, "wasxfail") else self._skip(report)
        elif report.when == "call":
            self._count("passed")
        if report.when == "teardown":
            self.done += 1
        self.progress()

    # Runs last: after proof_of_place, and after the workers of pytest-xdist have ended.
    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        self.ended = self.clock()
        if session.config.option.pyargs and not (self.total or self.failures):
            self.not_imported = why_not_imported(session.config.args)
        self.progress(now=True)
        self.write()  # before measuring, which could crash
        if self.path and self.done and session.exitstatus in (0, 1):  # not if the run was interrupted or refused
            self.measures = self.measure()
            self.write()

    # Counting and writing

    def _count(self, kind, nodeid=None):
        self.counts[kind] += 1
        if nodeid is not None and nodeid not in self.failures and len(self.failures) < MAX_FAILURES:
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
            drivers.append(process.get("accelerator", {}).get("driver"))
            devices += [device for device in process.get("devices", []) if device not in devices]
        return {
            "counts": self.counts,
            "failures": self.failures,
            "versions": versions(self.packages),
            "devices": devices,
            "driver": next(filter(None, drivers), ""),
            "evidence": {
                "processes": proof_of_place.processes,
                "skipped": self.why_skipped,
                "unmeasured": {name: why for name, why in self.measures.items() if isinstance(why, str)},
            },
            "refusal": proof_of_place.refusal,
            "not_imported": self.not_imported,
            "measures": {name: figure for name, figure in self.measures.items() if not isinstance(figure, str)},
            "seconds": {"tests": round(self.ended - self.started, 3)},
        }


def why_not_imported(modules):
    """Why the first of these modules that fails to import does so, or `None`. pytest only says that it wasn't found."""
    for module in modules:
        try:
            importlib.import_module(module.partition("::")[0])
        except Exception as error:  # a module may raise any type
            message = "{} can't be imported: {}: {}"
            return message.format(module, type(error).__name__, " ".join(str(error).split())[:500])
    return None


def name_of(report):
    """The id of a test. For a file of an installed package, pytest's id may lack the file, or begin with `../`."""
    file, colons, test = report.nodeid.partition("::")
    told = report.location[0] if report.location and report.location[0] else str(report.longrepr)
    found = re.search(r"site-packages/([^\s'\":]+)", told)
    return (found.group(1) if found else file) + colons + test


def versions(packages):
    """The versions of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in filter(None, packages):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def measure_speeds(programs, suite):
    """Run the programs that measure speed, one after another, each in its own process.

    `programs` has the names of the figures, by the path of each program in the folder `suite`.

    Returns:
        The figures by name. Instead of a figure that couldn't be measured, the reason.
    """
    measures = {}
    for program, names in programs.items():
        command = [sys.executable, os.path.join(suite, program)]
        try:
            output = subprocess.check_output(command, timeout=SPEED_TIMEOUT_S, universal_newlines=True)
            measures.update(json.loads(output.splitlines()[-1]))
        except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
            sys.stderr.write("A speed wasn't measured: {}\n".format(error))
            slow = isinstance(error, subprocess.TimeoutExpired)
            reason = "not done in {} s".format(SPEED_TIMEOUT_S) if slow else "the measurement failed; see the log"
            measures.update(dict.fromkeys(names, reason))
    return measures


def write_whole(path, content):
    """Write a file so that a reader sees either the whole old content or the whole new content."""
    unfinished = "{}.{}.unfinished".format(path, os.getpid())
    with open(unfinished, "w", encoding="utf-8") as out:
        json.dump(content, out, indent=1, sort_keys=True)
        out.flush()
        os.fsync(out.fileno())
    os.replace(unfinished, path)

"""Make the result of a cell: from the report of its run, or from the error output if it could not be set up."""

import re
import signal

from harness import rows
from harness.locks import package_source
from harness.locks.package_source import Source
from harness.results import Outcome, Result, run_files
from harness.rows import Cell
from harness.run.environment import Environment
from harness.system.outputs import decisive_line, explain, uncoloured

# Exit statuses: two of pytest's, and that of docker/inside/proof_of_place.py.
PASSED, NOTHING_COLLECTED, OUT_OF_PLACE = 0, 5, 70


def of_run(cell: Cell, environment: Environment, status: int) -> Result:
    """The result of a run of the suite that ended by itself. `status` is its exit status."""
    try:
        report = run_files.report(environment.report)
    except run_files.Unusable as error:
        return of_unusable(cell, error)
    failure = why_failed(status, report)
    reason = "; ".join(filter(None, (failure, rows.why_unclaimed(cell))))
    return Result.of(cell, Outcome.FAILED if failure else Outcome.PASSED, reason, **(report.facts if report else {}))


def of_unusable(cell: Cell, error: run_files.Unusable) -> Result:
    """The result of a run whose report can't be used. It counts as failed, whatever its tests did."""
    reason = "what it left can't be used: {}; a package of the cell may write there".format(error)
    return Result.of(cell, Outcome.FAILED, reason)


def why_failed(status: int, report: run_files.Report | None) -> str:
    """One line that says why the run failed, or an empty string if it passed."""
    if report is not None and report.refusal:
        return " ".join(report.refusal.split())
    if status == OUT_OF_PLACE:
        return "the proof of place failed, and left no report; the end of the log says more"
    if report is None:
        if status == PASSED:
            return "pytest passed, but left no report: was docker/inside/cell_report.py loaded?"
        return "the run {} too early, and left no report; the end of the log says more".format(how_it_ended(status))
    failures, counts = report.failures, report.counts
    number = counts.get("failed", 0) + counts.get("errors", 0)
    if status == PASSED and not counts.get("passed"):
        return "pytest ended with exit status 0, but no test passed"
    if status == PASSED and not (number or failures):
        return ""
    if failures:
        others = " and {} more".format(number - 1) if number > 1 else ""
        return "{}{} failed".format(failures[0], others)
    if report.not_imported:
        return report.not_imported
    if status == NOTHING_COLLECTED:
        return "pytest found no test"
    return "pytest ended with exit status {} and names no failed test; the end of the log says more".format(status)


def how_it_ended(status: int) -> str:
    """The exit status of a process in words. A negative status is the number of the signal that killed it."""
    if status >= 0:
        return "ended with exit status {}".format(status)
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = "signal {}".format(-status)
    hint = {"SIGKILL": " (perhaps memory ran out)", "SIGSEGV": " (a crash in compiled code)"}.get(name, "")
    return "was killed by {}{}".format(name, hint)


def of_build(cell: Cell, output: str) -> Result:
    """The result of a cell whose wheel could not be built. `output` is that of the build.

    The source is at fault, so the cell failed. If the tools of the build can't be fetched, the cell is unavailable.
    """
    source = package_source.source_of_build()
    if explain(output, RULES, **vars(source)) is not None:
        return of_setup(cell, output, source)
    causes = [line.strip() for line in output.splitlines() if re.match(r"\s*(error|cause):", line)]
    message = "its wheel could not be built: {}; the whole output is in results/{}.log"
    return Result.of(cell, Outcome.FAILED, message.format(" ".join(causes) or decisive_line(output), cell.name))


def of_setup(cell: Cell, output: str, source: Source | None = None) -> Result:
    """The result of a cell that could not be set up: the cause in the `output` of a command, and the next move.

    `source` is the file that names the packages. By default it is the cell's lock.
    """
    output = uncoloured(output)
    reason = explain(output, RULES, **vars(source or package_source.source_of(cell)))
    if reason is None:
        last = decisive_line(output) or "the output above, or in the log, says why"
        reason = "it could not be set up: {}".format(last)
    return Result.of(cell, Outcome.UNAVAILABLE, reason)


NETWORK = "a download failed: {line}; check the network and the index, and run it again"

# Errors of uv and of the system, as `harness.system.outputs` reads them.
RULES = {
    r"no space left on device|disk quota exceeded": "{line}: free some space on the disk, and run it again",
    r"hash mismatch for .*": (
        "{line}: the file on the index has another hash than in {file}, or that file was edited; {cure}"
    ),
    r"in `--require-hashes` mode.*|couldn't parse requirement.*": "{file}: {line}; {cure}",
    r"failed to lookup address.*|connection refused.*|timed out.*|network is unreachable.*": NETWORK,
    r"failed to fetch.*|request failed.*|error sending request.*": NETWORK,
    r"because .*(there (is|are) no|was not found).*": "{line} {lost}",
}

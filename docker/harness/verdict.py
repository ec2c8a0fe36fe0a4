"""What came of a cell: from what its run has left, or from what was said when it could not be set up, to a result."""

import re
import signal
from collections.abc import Mapping
from typing import Any

from harness import blame, left
from harness.blame import Source
from harness.environment import Environment
from harness.results import Outcome, Result
from harness.rows import Cell

# pytest's exit statuses, and that of docker/inside/proof_of_place.py.
PASSED, NOTHING_COLLECTED, OUT_OF_PLACE = 0, 5, 70


def of_run(cell: Cell, environment: Environment, status: int) -> Result:
    """The result of a run of the suite that ended by itself, with the exit status `status`."""
    try:
        report = left.report(environment.report)
    except left.Unusable as error:
        return of_unusable(cell, error)
    reason = why_failed(status, report)
    facts: dict[str, Any] = {key: report[key] for key in left.REPORTED if report and key in report}
    return Result(
        cell=cell.name,
        outcome=Outcome.FAILED if reason else Outcome.PASSED,
        reason=reason,
        bridge=cell.bridge,
        **facts,
    )


def of_unusable(cell: Cell, error: left.Unusable) -> Result:
    """The result of a run that left something else than a report. Whatever its tests did, it shows nothing."""
    reason = "what it left can't be used: {}; a package of the cell may write there".format(error)
    return Result(cell=cell.name, outcome=Outcome.FAILED, reason=reason, bridge=cell.bridge)


def why_failed(status: int, report: Mapping[str, Any] | None) -> str:
    """One line on why the run counts as failed; nothing if it passed."""
    if report is not None and report.get("refusal"):
        return " ".join(str(report["refusal"]).split())
    if status == OUT_OF_PLACE:
        return "the proof of place failed, and left no report; the end of the log says more"
    if report is None:
        if status == PASSED:
            return "pytest passed, but left no report: was docker/inside/cell_report.py loaded?"
        return "the run {} before its end, and left no report; the end of the log says more".format(
            how_it_ended(status)
        )
    failures, counts = report.get("failures", []), report.get("counts", {})
    number = counts.get("failed", 0) + counts.get("errors", 0)
    if status == PASSED and not counts.get("passed"):
        return "pytest ended as if all were well, and no test passed"
    if status == PASSED and not (number or failures):
        return ""
    if failures:
        others = " and {} more".format(number - 1) if number > 1 else ""
        return "{}{} failed".format(failures[0], others)
    if status == NOTHING_COLLECTED:
        return "pytest found no test"
    return "pytest ended with exit status {} and names no failed test; the end of the log says more".format(status)


def how_it_ended(status: int) -> str:
    """Words for the exit status of a process; negative: the signal that killed it."""
    if status >= 0:
        return "ended with exit status {}".format(status)
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = "signal {}".format(-status)
    hint = {"SIGKILL": ", as when memory runs out", "SIGSEGV": ", a crash in compiled code"}.get(name, "")
    return "was killed by {}{}".format(name, hint)


def of_build(cell: Cell, said: str) -> Result:
    """The result where there is no wheel: the source's fault, unless what it is built with can't be had.

    `said`: the words of the builder.
    """
    if any(re.search(pattern, said, re.IGNORECASE) for pattern, _ in DECISIVE):
        return of_setup(cell, said, blame.BUILD)
    decisive = [line.strip() for line in said.splitlines() if re.match(r"\s*(error|cause):", line)]
    message = "its wheel could not be built: {}; results/{}.log has it all"
    reason = message.format(" ".join(decisive) or said.strip().splitlines()[-1], cell.name)
    return Result(cell=cell.name, outcome=Outcome.FAILED, reason=reason, bridge=cell.bridge)


def of_setup(cell: Cell, said: str, source: Source | None = None) -> Result:
    """The result of a cell that could not be set up.

    `said`: the words of whatever failed. `source`: what names the packages that it was about; its lock, if left out.
    """
    reason = why_no_setup(said, source or blame.source_of(cell))
    return Result(cell=cell.name, outcome=Outcome.UNAVAILABLE, reason=reason, bridge=cell.bridge)


def why_no_setup(said: str, source: Source) -> str:
    """One line: the words that decide, and the next move."""
    said = re.sub(r"\x1b\[[\d;]*m", "", said)
    for pattern, message in DECISIVE:
        found = re.search(pattern, said, re.IGNORECASE)
        if found:
            line = " ".join(found[0].split())
            return message.format(line=line, **source.of_messages())
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error:")]
    last = (errors or lines or ["what is above, or in the log, says why"])[-1]
    return "it could not be set up: {}".format(last)


NETWORK = "a download failed: {line}; see whether the network and the index can be reached, and run it again"

# What the words of uv, and of the system, come to; what lies deeper stands before what follows from it.
DECISIVE = (
    (r"no space left on device|disk quota exceeded", "{line}: make room on the disk, and run it again"),
    (
        r"hash mismatch for .*",
        "{line}: the index has another file than {file}, or that was edited; {cure}",
    ),
    (
        r"in `--require-hashes` mode.*|couldn't parse requirement.*",
        "{file}: {line}; {cure}",
    ),
    (r"failed to lookup address.*|connection refused.*|timed out.*|network is unreachable.*", NETWORK),
    (r"failed to fetch.*|request failed.*|error sending request.*", NETWORK),
    (r"because .*(there (is|are) no|was not found).*", "{line} {lost}"),
)

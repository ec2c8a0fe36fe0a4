"""Run one cell on this host: tox does it, in processes of its own that can be stopped.

What tox sets up, runs and writes is in `tox.ini` and `toxfile.py`, the same as when a user types `tox -e CELL`.
"""

import functools
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from harness import fingerprint, hardware, interpreters, left, locks, results, snapshot, verdict
from harness.environment import Environment
from harness.places import LOCKS, RESULTS, ROOT, WORK
from harness.results import Outcome, Result
from harness.resume import displaces
from harness.rows import Cell

OnProgress = Callable[[str, int, int, int], None]  # phase, tests done, tests in all (0: not known), tests failed

# Exit statuses of toxfile.py after which there is no result, and the last one stays.
BUSY, CHANGED, INTERRUPTED = 75, 76, 130
NO_RESULT = {
    BUSY: "it is being run by somebody else in this checkout",
    CHANGED: snapshot.CHANGED,
    INTERRUPTED: "it was interrupted",
}
POLL_S, STEP_S = 0.5, 0.05
Stop = Sequence[tuple[signal.Signals, float]]
# What a process group gets, one after the other, to end by itself. tox itself gives pytest 10 and then 5 seconds.
STOP: Stop = ((signal.SIGINT, 20.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


def preflight(cell: Cell) -> Result | None:
    """Why the cell can't be run here, as far as that is known before anything is made."""
    refusal = hardware.check(cell) or without_lock(cell)
    if refusal is not None:
        return refusal
    if cell.floating and os.environ.get("UV_OFFLINE"):
        reason = "what JAX {} is today can't be asked with UV_OFFLINE set; unset it".format(cell.jax)
        return Result(cell=cell.name, outcome=Outcome.NOT_RUN, reason=reason, bridge=cell.bridge)
    if interpreters.obtain(cell.python) is None:
        reason = interpreters.missing(cell.python)
        return Result(cell=cell.name, outcome=Outcome.NOT_RUN, reason=reason, bridge=cell.bridge)
    return None


def without_lock(cell: Cell) -> Result | None:
    """What a cell is that has no lock, and needs one."""
    if cell.floating or preferred(cell).lock.is_file():
        return None
    known = locks.unresolved(LOCKS).get(cell.name)
    known = known and "{}. Where that has changed: make lock CELL={}".format(known.rstrip("."), cell.name)
    reason = known or "it has no lock; make it: make lock CELL={}".format(cell.name)
    return Result(cell=cell.name, outcome=Outcome.UNAVAILABLE, reason=reason, bridge=cell.bridge)


def preferred(cell: Cell) -> Cell:
    """The cell as it runs here: on the jaxlib of its own time, rather than across the bridge, where that can be had."""
    return locks.preferred(cell, _reachable)


@functools.cache
def _reachable(url: str) -> bool:
    return locks.reachable(url)


def hashes_of(cells: Iterable[Cell], source: Path = ROOT) -> dict[str, dict[str, str]]:
    """What results of cells, run on this host now, would be shown for, by their names."""
    cells = list(cells)
    hashes = fingerprint.hashes_of(cells, source)
    return {cell.name: {**hashes[cell.name], **hardware.identity(cell)} for cell in cells}


def keep(result: Result, folder: Path = RESULTS) -> None:
    """Write what is known before a run, unless it says less than the last result."""
    if displaces(result, results.last(result.cell, folder)):
        results.write(result, folder)


def run(
    cell: Cell,
    on_progress: OnProgress,
    cancel: threading.Event,
    *,
    command: Sequence[str] = (sys.executable, "-m", "tox", "run", "--colored", "no", "-e"),
    env: Mapping[str, str] = os.environ,
    folder: Path = RESULTS,
    work: Path = WORK,
    stop: Stop = STOP,
) -> Result:
    """Run the cell and write its result. Once `cancel` is set, stop, and write none; nor if tox couldn't go on.

    Raises: OSError: the log, or the result, can't be written.
    """
    environment = Environment(work / cell.name)
    environment.progress.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / (cell.name + ".log")
    hashes = hashes_of([cell])[cell.name]  # for want of toxfile.py's, which are of its snapshot
    clock, began = time.monotonic(), datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    this_run = uuid.uuid4().hex
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, cell.name],
            cwd=ROOT,
            env={**clean(env, folder), "EQX_RUN": this_run},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            on_progress("environment", 0, 0, 0)
            while not ended(process, cancel):
                tell(environment.progress, on_progress)
        finally:
            end(process, stop)
    status = INTERRUPTED if cancel.is_set() else process.returncode
    if status in NO_RESULT:
        return Result(cell=cell.name, outcome=Outcome.NOT_RUN, reason=NO_RESULT[status], bridge=cell.bridge)
    result = results.last(cell.name, folder)
    if result is not None and result.run == this_run:  # its date says little: it may be of another clock
        return result
    result = replace(
        without_result(cell, status, log),
        started=began,
        seconds={"total": round(time.monotonic() - clock, 1)},
        hashes=hashes,
        run=this_run,
    )
    results.write(result, folder)
    return result


def clean(env: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment variables for tox: not those that would have it do something else."""
    kept = {name: value for name, value in env.items() if not name.startswith("TOX")}
    return {**kept, "EQX_RESULTS": str(folder), "EQX_PARENT": str(os.getpid()), "PYTHONUNBUFFERED": "1"}


def ended(process: "subprocess.Popen[bytes]", cancel: threading.Event) -> bool:
    """Wait a little, and say whether there is nothing more to wait for. `end` has to follow."""
    return gone(process, POLL_S) or cancel.is_set()


def gone(process: "subprocess.Popen[bytes]", patience_s: float) -> bool:
    """Wait for a process to end. It stays a zombie: its number, which is that of its group, is given to no other."""
    if process.returncode is not None:
        return True
    deadline, step_s = time.monotonic() + patience_s, 0.001
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(step_s)
        step_s = min(2 * step_s, STEP_S)
    return True


def tell(progress: Path, on_progress: OnProgress) -> None:
    """Pass on what docker/inside/cell_report.py says; nothing before the tests have begun."""
    said = left.read_progress(progress)
    if said is not None:
        on_progress("tests", *said)


def end(process: "subprocess.Popen[bytes]", stop: Stop = STOP) -> None:
    """Leave nothing of the process group behind, not even what outlives its leader."""
    if process.returncode is not None:
        return  # it was waited for: its number may be another's
    try:
        if not gone(process, 0):
            for number, patience_s in stop:
                os.killpg(process.pid, number)
                if gone(process, patience_s):
                    break
    finally:  # whoever loses patience meanwhile presses Ctrl-C again
        os.killpg(process.pid, signal.SIGKILL)
        if gone(process, 5.0):  # else the kernel holds it
            process.wait()


def without_result(cell: Cell, status: int, log: Path) -> Result:
    """tox went without leaving a result."""
    said = log.read_text(encoding="utf-8", errors="replace")
    if status < 0:
        reason = "tox {}; the end of {} says more".format(verdict.how_it_ended(status), log)
        return Result(cell=cell.name, outcome=Outcome.FAILED, reason=reason, bridge=cell.bridge)
    return verdict.of_setup(cell, said)

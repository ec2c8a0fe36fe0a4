"""Run one cell on this host with tox, in a process group that can be stopped.

The `tox.ini` and `toxfile.py` of the harness define what tox does, whatever tox.ini the project has. If the project is
this repository, it is the same as when a user types `tox -e CELL`.
"""

import functools
import os
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness import locks, results
from harness.results import Outcome, Result, run_files
from harness.results.started import Started
from harness.rows import Cell
from harness.run import hardware, verdict
from harness.run.environment import Environment
from harness.run.scheduler import OnProgress
from harness.source import fingerprint, snapshot
from harness.system import interpreters, processes, signals
from harness.system.paths import LOCKS, PROJECT, RESULTS, ROOT, TOX_INI, WORK
from harness.system.program import typed

TOX = (sys.executable, "-m", "tox", "run", "-c", str(TOX_INI), "--root", str(ROOT), "--workdir", str(WORK))

# With these exit statuses toxfile.py has written no result. The last result stays.
BUSY, CHANGED = 75, 76
NO_RESULT = {
    BUSY: "another process is running it in this checkout",
    CHANGED: snapshot.CHANGED,
    signals.INTERRUPTED: "it was interrupted",
}


def preflight(cell: Cell) -> Result | None:
    """Say why the cell can't run here. `None`: no reason is known before the run."""
    refusal = hardware.check(cell) or without_lock(cell)
    if refusal is not None:
        return refusal
    if cell.floating and os.environ.get("UV_OFFLINE"):
        reason = "UV_OFFLINE is set, so uv can't look up which release JAX {} is today; unset it".format(cell.jax)
    elif interpreters.obtain(cell.python) is None:
        reason = interpreters.missing(cell.python)
    else:
        return None
    return Result.of(cell, Outcome.NOT_RUN, reason)


def without_lock(cell: Cell) -> Result | None:
    """The result of a cell that needs a lock and has none. `None`: it has one, or needs none."""
    if cell.floating or preferred(cell).lock.is_file():
        return None
    make, known = typed("lock", cell.name), locks.unresolved(LOCKS).get(cell.name)
    if known:
        reason = "{}. If that has changed: {}".format(known.rstrip("."), make)
    else:
        reason = "it has no lock; make it: {}".format(make)
    return Result.of(cell, Outcome.UNAVAILABLE, reason)


def preferred(cell: Cell) -> Cell:
    """The cell as it runs here: with the jaxlib of its own time if that can be downloaded, otherwise on the bridge."""
    return locks.preferred(cell, _reachable)


@functools.cache
def _reachable(url: str) -> bool:
    return locks.reachable(url)


def hashes_of(cells: Iterable[Cell], source: Path = ROOT) -> dict[str, dict[str, str]]:
    """For each cell, by name: the hashes that its result would have if it ran on this host now."""
    cells = list(cells)
    hashes = fingerprint.hashes_of(cells, source)
    return {cell.name: {**hashes[cell.name], **hardware.identity(cell)} for cell in cells}


def run(
    cell: Cell,
    on_progress: OnProgress,
    cancel: threading.Event,
    *,
    command: Sequence[str] = (*TOX, "--colored", "no", "-e"),
    env: Mapping[str, str] = os.environ,
    folder: Path = RESULTS,
    work: Path = WORK,
    stop: processes.Stop = processes.STOP,
) -> Result:
    """Run the cell and write its result, as `scheduler.Runner` says. No result is written if tox can't go on."""
    environment = Environment(work / cell.name)
    environment.progress.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / (cell.name + ".log")
    hashes = hashes_of([cell])[cell.name]  # used only if toxfile.py, which hashes its snapshot, writes no result
    started = Started()
    env = {**tox_variables(env, folder), "EQX_RUN": started.run}
    with (
        log.open("wb") as file,
        processes.group([*command, cell.name], stop=stop, cwd=ROOT, env=env, stdout=file) as process,
    ):
        on_progress("environment", 0, 0, 0)
        while not processes.wait_briefly(process, cancel):
            tests = run_files.read_progress(environment.progress)  # `None`: the tests haven't begun
            if tests is not None:
                on_progress("tests", *tests)
    status = signals.INTERRUPTED if cancel.is_set() else process.returncode
    if status in NO_RESULT:
        return Result.of(cell, Outcome.NOT_RUN, NO_RESULT[status])
    result = results.last(cell.name, folder)
    if result is not None and result.run == started.run:  # not by its date, which may come from a wrong clock
        return result
    result = started.complete(without_result(cell, status, log), hashes)
    results.write(result, folder)
    return result


def run_part(cells: Sequence[Cell], arguments: Sequence[str]) -> int:
    """Run the part of the suite that pytest's arguments choose, in the terminal of the user, on one cell after another.

    No result is written. Returns the exit status of tox. After Ctrl-C, tox has the time to end pytest.
    """
    names = ",".join(cell.name for cell in cells)
    env = {**without_tox_settings(os.environ), PROJECT: str(ROOT)}
    patience_s = processes.STOP[0][1]
    return signals.call([*TOX, "-e", names, "--", *arguments], patience_s, cwd=ROOT, env=env)


def tox_variables(env: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment variables for tox."""
    own = {PROJECT: str(ROOT), "EQX_RESULTS": str(folder), "EQX_PARENT": str(os.getpid()), "PYTHONUNBUFFERED": "1"}
    return {**without_tox_settings(env), **own}


def without_tox_settings(env: Mapping[str, str]) -> dict[str, str]:
    """The environment variables without the user's settings of tox, and without the user's file of them.

    They change what tox does.
    """
    kept = {name: value for name, value in env.items() if not name.startswith("TOX")}
    return {**kept, "TOX_USER_CONFIG_FILE": os.devnull}


def without_result(cell: Cell, status: int, log: Path) -> Result:
    """Make the result if tox ended and wrote none."""
    if status < 0:
        reason = "tox {}; the end of {} says more".format(verdict.how_it_ended(status), log)
        return Result.of(cell, Outcome.FAILED, reason)
    return verdict.of_setup(cell, log.read_text(encoding="utf-8", errors="replace"))

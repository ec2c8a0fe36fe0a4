"""Run many cells: decide which to run, in which order, and how many in parallel.

A `Runner` runs one cell: `harness.run.host` on this host, `harness.containers.container` in a container.

Each cell runs in a thread of its own. Those threads, and the handlers of signals, put calls into one queue. The thread
that called `run` takes them out and makes them. It alone changes the `Scheduler` and writes to the display.
"""

import os
import queue
import threading
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from harness import results
from harness.results import Outcome, Result, as_of_now
from harness.results.resume import RAN, Decision, Rerun, Step, decide, displaces, keep
from harness.rows import Cell
from harness.source import snapshot
from harness.system import signals
from harness.system.errors import explain_os_error
from harness.system.inside import capacity
from harness.system.paths import RESULTS, WORK
from harness.system.run_lock import hold_lock
from harness.system.safe_text import safe

Hashes = Mapping[str, Mapping[str, str]]
OnProgress = Callable[[str, int, int, int], None]  # phase, tests done, total tests (0: not known yet), tests failed

MEMORY_PER_CELL_MIB = 2560  # for one cell's workers while they compile
TICK_S = 0.1


class Runner(Protocol):
    """Runs one cell. A module with these two functions is a runner too."""

    def preflight(self, cell: Cell) -> Result | None:
        """The result that says why the cell can't run here, or `None` if no reason is known. It makes nothing."""

    def run(self, cell: Cell, on_progress: OnProgress, cancel: threading.Event) -> Result:
        """Run the cell and write its result. Call `on_progress` at once, then repeatedly.

        When `cancel` is set, stop the cell within seconds, leave nothing behind, and write no result.

        Raises:
            OSError: A file can't be written.
        """


class Display(Protocol):
    """Shows the user what happens. All calls come from one thread, inside the context `live()`."""

    def live(self) -> AbstractContextManager[object]: ...
    def begin(self, kept: Sequence[Decision], waiting: Sequence[Decision], jobs: int) -> None: ...
    def started(self, cell: Cell) -> None: ...
    def progress(self, cell: Cell, phase: str, done: int, total: int, failed: int) -> None: ...
    def finished(self, cell: Cell, result: Result) -> None: ...
    def say(self, text: str) -> None: ...
    def tick(self) -> None: ...
    def end(self, summary: "Summary") -> None: ...


@dataclass(frozen=True)
class Summary:
    """What is known about all cells when the run ends. The sets hold names of cells."""

    cells: Sequence[Cell]
    results: Mapping[str, Result]
    hashes: Hashes  # at the start of the run
    ran: frozenset[str] = frozenset()
    kept: Sequence[str] = ()  # not run, because their last result is still valid; they count for the exit status
    skipped: frozenset[str] = frozenset()  # the user didn't ask for them; they don't count
    named: frozenset[str] = frozenset()  # named by the user
    signal: int | None = None  # the signal that ended the run
    error: str = ""  # the error that ended the run
    unresolved: frozenset[str] = frozenset()  # listed in unresolved.toml: they have no lock, for a known reason

    @property
    def status(self) -> int:
        """The exit status.

        - 128 + n: signal n ended the run.
        - 1: a cell failed.
        - 3: an error ended the run, no cell ran, or a cell that the user named did not run. Also if the source changed
          during the run, or if a cell is unavailable that `unresolved.toml` doesn't list.
        - 0: none of these.

        Canary cells don't count. The cells that `--rerun failed` doesn't select don't count either.
        """
        if self.signal is not None:
            return 128 + self.signal
        counted = {
            cell.name: self.results[cell.name].outcome
            for cell in self.cells
            if cell.tier != "canary" and cell.name not in self.skipped
        }
        outcomes = set(counted.values())
        if Outcome.FAILED in outcomes:
            return 1
        missing = {name for name, outcome in counted.items() if outcome is Outcome.UNAVAILABLE}
        named_not_run = any(counted[name] not in RAN for name in self.named & counted.keys())
        changed = any(counted[name] is Outcome.STALE for name in self.ran & counted.keys())
        nothing_ran = bool(counted) and outcomes.isdisjoint(RAN)
        return 3 if self.error or missing - self.unresolved or named_not_run or changed or nothing_ran else 0


def run(
    cells: Sequence[Cell],
    runner: Runner,
    display: Display,
    hashes: Hashes,
    *,
    jobs: int | None = None,
    rerun: Rerun = Rerun.NOTHING,
    named: Sequence[str] = (),
    unresolved: Collection[str] = (),
    folder: Path = RESULTS,
    lock: Path = WORK / "run.lock",
) -> int:
    """Run the cells that have no valid result, and return the exit status.

    Args:
        cells: All cells that count for the exit status.
        runner: It runs one cell.
        display: It shows the user what happens.
        hashes: Today's hashes of each cell, by its name.
        jobs: How many cells may run in parallel. By default it depends on cores and memory.
        rerun: Which cells with a valid result to run again.
        named: The cells that the user named.
        unresolved: The cells that have no lock for a known reason.
        folder: The folder of the results.
        lock: The file that keeps two runs from going on at the same time.

    Raises:
        AlreadyRunning: Another run is going on.
        OSError: A file can't be written.
        KeyboardInterrupt: The user pressed Ctrl-C before any cell was started.
    """
    with hold_lock(lock), display.live():
        decisions = [decide(cell, last_result(cell, folder, display), hashes[cell.name], rerun) for cell in cells]
        known, start = check_all(decisions, runner, folder)
        kept = [each for each in decisions if each.step is Step.KEEP]
        jobs = min(jobs or default_jobs(), max_parallel([each.cell for each in start]))
        os.environ["EQX_JOBS"] = str(jobs)  # each cell reads it to take its share of the cores
        snapshot.expect(hashes)
        display.begin(kept, start, jobs)
        for cell in cells:
            if cell.name in known:
                display.finished(cell, known[cell.name])
        scheduler = Scheduler(runner, display, jobs, start, hashes)
        with signals.heard_by(scheduler.hear):
            scheduler.run()
        summary = Summary(
            cells,
            results={each.cell.name: each.known for each in decisions} | known | scheduler.results,
            hashes=hashes,
            ran=frozenset(scheduler.results),
            kept=[each.cell.name for each in kept],
            skipped=frozenset(each.cell.name for each in decisions if each.step is Step.SKIP),
            named=frozenset(named),
            unresolved=frozenset(unresolved).intersection(cell.name for cell in cells),
            signal=scheduler.signal,
            error=scheduler.error,
        )
    display.end(summary)
    return summary.status


def stale_if_changed(result: Result, hashes: Mapping[str, str]) -> Result:
    """The result, marked stale if the source changed during the run: cells that start afterwards test another one."""
    if as_of_now(result, hashes).outcome is not Outcome.STALE:
        return result
    reason = "its source, lock or image changed after this run began; run it again"
    return replace(result, outcome=Outcome.STALE, reason=reason)


def last_result(cell: Cell, folder: Path, display: Display) -> Result | None:
    """The last result of the cell, or `None`. Tell the user about a result that can't be read."""
    try:
        return results.read(cell.name, folder)
    except results.ResultError as error:
        display.say("{} The cell counts as never run.".format(error))
        return None


def check_all(decisions: Sequence[Decision], runner: Runner, folder: Path) -> tuple[dict[str, Result], list[Decision]]:
    """Find the cells that can't run here, before any cell is started.

    Returns:
        The results of the cells that can't run here, by name; and the other cells, in the order to start them: longest
        first, by their last run. Cells that never ran may take longest, so they come before all others.
    """
    known, start = {}, []
    for decision in decisions:
        refusal = runner.preflight(decision.cell) if decision.step is Step.RUN else None
        if refusal is not None:
            known[decision.cell.name] = with_last_result(refusal, decision)
            keep(refusal, folder)
        elif decision.step is Step.RUN:
            start.append(decision)
    return known, sorted(start, key=lambda decision: -(decision.last_s or float("inf")))


def with_last_result(refusal: Result, decision: Decision) -> Result:
    """The refusal. Its reason also says what an earlier run showed, perhaps on another machine."""
    if decision.last is None or displaces(refusal, decision.last) or decision.known.outcome is not Outcome.STALE:
        return refusal
    return replace(refusal, reason="{}; it {}".format(refusal.reason, decision.known.reason))


@dataclass
class Scheduler:
    """The cells that wait, the cells that run in parallel, and the results so far."""

    runner: Runner
    display: Display
    jobs: int  # how many may run in parallel
    waiting: list[Decision]
    hashes: Hashes  # of the source, locks and images to be tested
    running: dict[str, Cell] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    cancel: threading.Event = field(default_factory=threading.Event)
    signal: int | None = None
    error: str = ""
    calls: "queue.SimpleQueue[Callable[[], None]]" = field(default_factory=queue.SimpleQueue)

    def run(self) -> None:
        """Run all cells. Return when none runs or waits."""
        while self.start_some() or self.running:
            try:
                call = self.calls.get(timeout=TICK_S)
            except queue.Empty:
                call = self.display.tick
            call()

    def hear(self, number: int) -> None:
        """Hear a signal. It is safe to put a call into the queue while a signal is handled."""
        self.calls.put(partial(self.interrupt, number))

    def start_some(self) -> bool:
        """Start as many cells as may run now. Returns whether one was started."""
        before = len(self.waiting)
        for decision in list(self.waiting):
            if len(self.running) < self.jobs and self.may_start(decision.cell):
                self.waiting.remove(decision)
                self.start(decision.cell)
        return len(self.waiting) < before

    def may_start(self, cell: Cell) -> bool:
        """Whether the cell may run beside those that run now. Only one cell uses an accelerator at a time.

        Two cells would run out of its memory, or the second couldn't open it.
        """
        return cell.backend == "cpu" or all(other.backend != cell.backend for other in self.running.values())

    def start(self, cell: Cell) -> None:
        """Run the cell in a new thread."""

        def on_progress(phase: str, done: int, total: int, failed: int) -> None:
            self.calls.put(partial(self.display.progress, cell, phase, done, total, failed))

        def work() -> None:
            try:
                end = partial(self.finish, cell, self.runner.run(cell, on_progress, self.cancel))
            except OSError as error:
                end = partial(self.fail, cell, explain_os_error(error))
            except BaseException:  # a bug of the harness: show the whole traceback
                end = partial(self.fail, cell, safe(traceback.format_exc()))
            self.calls.put(end)

        self.running[cell.name] = cell
        self.display.started(cell)
        # A daemon thread: a cell that can't be stopped must not keep this process from ending.
        threading.Thread(target=work, name=cell.name, daemon=True).start()

    def finish(self, cell: Cell, result: Result) -> None:
        del self.running[cell.name]
        self.results[cell.name] = result = stale_if_changed(result, self.hashes[cell.name])
        self.display.finished(cell, result)

    def fail(self, cell: Cell, error: str) -> None:
        """End the run at the first error: the other cells would most likely fail in the same way."""
        del self.running[cell.name]
        if not self.error:
            self.error = "{}: {}".format(cell.name, error)
            self.stop("The run can't go on.")

    def interrupt(self, number: int) -> None:
        """The first signal stops the cells. The second ends the run at once: the cells' processes end by themselves."""
        if self.signal is not None:
            self.running.clear()
            return
        self.signal = number
        self.stop("Interrupted. Interrupt again to leave at once.")

    def stop(self, why: str) -> None:
        self.waiting.clear()
        self.cancel.set()
        if self.running:
            self.display.say("{} Stopping {}.".format(why, ", ".join(self.running)))


def default_jobs(cores: int | None = None, memory_mib: int | None = None) -> int:
    """How many cells to run in parallel: each gets two cores and `MEMORY_PER_CELL_MIB`."""
    by_cores = (cores or capacity.cores()) // 2
    memory_mib = memory_mib or capacity.memory_mib()
    return max(1, by_cores if memory_mib is None else min(by_cores, memory_mib // MEMORY_PER_CELL_MIB))


def max_parallel(cells: Sequence[Cell]) -> int:
    """How many of the cells may run at the same time: all on the CPU, and one on each kind of accelerator."""
    backends = [cell.backend for cell in cells]
    return max(1, backends.count("cpu") + len(set(backends) - {"cpu"}))

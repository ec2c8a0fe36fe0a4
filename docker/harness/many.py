"""Run many cells: in which order, how many side by side, until the end or until somebody stops it.

How one cell is run is somebody else's matter, a `Runner`'s: on this host it is `harness.host`.

One thread runs each cell. All else, what is shown included, happens in the thread that calls `run`, which waits for
what the others, and signals, put into one queue.
"""

import errno
import os
import queue
import threading
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from inside import capacity

from harness import results, signals, snapshot
from harness.alone import alone
from harness.places import RESULTS, WORK
from harness.results import Outcome, Result, as_of_now
from harness.resume import RAN, Decision, Rerun, Step, decide, displaces
from harness.rows import Cell
from harness.shown import safe

Hashes = Mapping[str, Mapping[str, str]]
OnProgress = Callable[[str, int, int, int], None]  # phase, tests done, tests in all (0: not known), tests failed

MEMORY_PER_CELL_MIB = 2560  # one cell's workers, while they compile
TICK_S = 0.1


class Runner(Protocol):
    """How one cell is run. A module with these two functions is one."""

    def preflight(self, cell: Cell) -> Result | None:
        """Say in a moment, and before anything is made, why this cell can't be run here; None: nothing is known."""

    def run(self, cell: Cell, on_progress: OnProgress, cancel: threading.Event) -> Result:
        """Run the cell and write its result, and say at once, and then now and again, how far it is.

        Once `cancel` is set, stop it within seconds, leave nothing behind, and write no result.

        Raises: OSError: something can't be written.
        """


class Display(Protocol):
    """Who is told what happens. All calls come from one thread, inside the context."""

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
    """What is known of the cells at the end, by their names."""

    cells: Sequence[Cell]
    results: Mapping[str, Result]
    hashes: Hashes  # of now
    ran: frozenset[str] = frozenset()
    kept: Sequence[str] = ()  # their results hold, and count
    left: frozenset[str] = frozenset()  # not asked for, and not counted
    named: frozenset[str] = frozenset()  # by the user
    signal: int | None = None  # that ended the run
    trouble: str = ""  # that ended the run
    unresolved: frozenset[str] = frozenset()  # has no lock, and the project knows why: that is no news

    @property
    def status(self) -> int:
        """The exit status.

        Canary cells are shown and don't count, and neither do those that `RERUN=failed` leaves alone.
        """
        if self.signal is not None:
            return 128 + self.signal
        counted = {
            cell.name: self.results[cell.name].outcome
            for cell in self.cells
            if cell.tier != "canary" and cell.name not in self.left
        }
        outcomes = set(counted.values())
        if Outcome.FAILED in outcomes:
            return 1
        missing = {name for name, outcome in counted.items() if outcome is Outcome.UNAVAILABLE}
        named_not_run = any(counted[name] not in RAN for name in self.named & counted.keys())
        changed = any(counted[name] is Outcome.STALE for name in self.ran & counted.keys())
        nothing_ran = bool(counted) and outcomes.isdisjoint(RAN)
        return 3 if self.trouble or missing - self.unresolved or named_not_run or changed or nothing_ran else 0


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
    """Run the cells that have to be run, and return the exit status.

    Args: hashes: of each cell as it is now, by name. named: the cells that the user asked for by name.

    Raises: NotAlone: another run is going on. OSError: something can't be written. KeyboardInterrupt: before any cell
        was started.
    """
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with alone(lock), display.live():
        decisions = [decide(cell, last_result(cell, folder, display), hashes[cell.name], rerun) for cell in cells]
        known, start = look_ahead(decisions, runner, folder)
        kept = [each for each in decisions if each.step is Step.KEEP]
        jobs = min(jobs or default_jobs(), at_once([each.cell for each in start]))
        os.environ["EQX_JOBS"] = str(jobs)  # the cells share the cores by it
        snapshot.ask_for(hashes)
        display.begin(kept, start, jobs)
        for cell in cells:
            if cell.name in known:
                display.finished(cell, known[cell.name])
        with signals.heard_by(lambda number: events.put(Signal(number))):  # `put` may be called from a handler
            race = Race(runner, display, events, jobs, start, hashes)
            race.run()
        summary = Summary(
            cells,
            results={decision.cell.name: decision.known for decision in decisions} | known | race.results,
            hashes=hashes,
            ran=frozenset(race.results),
            kept=[each.cell.name for each in kept],
            left=frozenset(each.cell.name for each in decisions if each.step is Step.LEAVE),
            named=frozenset(named),
            unresolved=frozenset(unresolved).intersection(cell.name for cell in cells),
            signal=race.signal,
            trouble=race.trouble,
        )
    display.end(summary)
    return summary.status


def as_asked(result: Result, hashes: Mapping[str, str]) -> Result:
    """The result, marked stale if it shows something else than what was asked for.

    A cell that began after the source had changed ran the changed source. The hashes of its result say so.
    """
    if as_of_now(result, hashes).outcome is not Outcome.STALE:
        return result
    reason = "what it is made from changed after this run began; run it again"
    return replace(result, outcome=Outcome.STALE, reason=reason)


def last_result(cell: Cell, folder: Path, display: Display) -> Result | None:
    """The last result. One that can't be read is as none: the cell is run again, and it replaced."""
    try:
        return results.read(cell.name, folder)
    except results.ResultError as error:
        display.say("{} The cell is taken as never run.".format(error))
        return None


def look_ahead(decisions: Sequence[Decision], runner: Runner, folder: Path) -> tuple[dict[str, Result], list[Decision]]:
    """Sort out what can't be run here: what is known of those, by name, and the others, the longest first.

    How long a cell takes is how long it took. One that never ran may be the longest: those come first of all, in
    the order of the list.
    """
    known: dict[str, Result] = {}
    start = []
    for decision in decisions:
        if decision.step is not Step.RUN:
            continue
        refusal = runner.preflight(decision.cell)
        if refusal is None:
            start.append(decision)
            continue
        known[decision.cell.name] = and_before(refusal, decision)
        if displaces(refusal, decision.last):
            results.write(refusal, folder)
    return known, sorted(start, key=lambda decision: -(decision.last_s or float("inf")))


def and_before(refusal: Result, decision: Decision) -> Result:
    """Why the cell can't be run here, and what an earlier run has shown, maybe on another machine."""
    if decision.last is None or displaces(refusal, decision.last) or decision.known.outcome is not Outcome.STALE:
        return refusal
    return replace(refusal, reason="{}; it {}".format(refusal.reason, decision.known.reason))


# ---- Side by side ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    cell: Cell
    phase: str
    done: int
    total: int
    failed: int


@dataclass(frozen=True)
class Finished:
    cell: Cell
    result: Result | None
    trouble: str = ""


@dataclass(frozen=True)
class Signal:
    number: int


Event = Progress | Finished | Signal


@dataclass
class Race:
    """Cells that run side by side."""

    runner: Runner
    display: Display
    events: "queue.SimpleQueue[Event]"
    jobs: int
    waiting: list[Decision]
    hashes: Hashes  # what the results are to be of
    running: dict[str, Cell] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    cancel: threading.Event = field(default_factory=threading.Event)
    signal: int | None = None
    trouble: str = ""

    def run(self) -> None:
        """Run them all."""
        while self.start_some() or self.running:
            try:
                event = self.events.get(timeout=TICK_S)
            except queue.Empty:
                self.display.tick()
                continue
            match event:
                case Progress(cell, phase, done, total, failed):
                    self.display.progress(cell, phase, done, total, failed)
                case Finished(cell, result, trouble):
                    self.finish(cell, result, trouble)
                case Signal(number):
                    self.interrupt(number)

    def start_some(self) -> bool:
        """Start as many as may run now; whether any did."""
        started = False
        while len(self.running) < self.jobs:
            decision = next((each for each in self.waiting if self.may_start(each.cell)), None)
            if decision is None:
                break
            self.waiting.remove(decision)
            self.start(decision.cell)
            started = True
        return started

    def may_start(self, cell: Cell) -> bool:
        """An accelerator is given to one cell at a time: two would be short of its memory, or not get it at all."""
        return cell.backend == "cpu" or all(other.backend != cell.backend for other in self.running.values())

    def start(self, cell: Cell) -> None:
        def on_progress(phase: str, done: int, total: int, failed: int) -> None:
            self.events.put(Progress(cell, phase, done, total, failed))

        def work() -> None:
            try:
                self.events.put(Finished(cell, self.runner.run(cell, on_progress, self.cancel)))
            except OSError as error:
                self.events.put(Finished(cell, None, cannot_go_on(error)))
            except BaseException:  # a mistake of ours: it is shown whole
                self.events.put(Finished(cell, None, safe(traceback.format_exc())))

        self.running[cell.name] = cell
        self.display.started(cell)
        # A daemon, so that a cell that can't be stopped doesn't keep this process when it is told to go.
        threading.Thread(target=work, name=cell.name, daemon=True).start()

    def finish(self, cell: Cell, result: Result | None, trouble: str) -> None:
        del self.running[cell.name]
        if result is not None:
            result = as_asked(result, self.hashes[cell.name])
            self.results[cell.name] = result
            self.display.finished(cell, result)
        elif not self.trouble:  # the first one: it ends the run, since the others would most likely meet it too
            self.trouble = "{}: {}".format(cell.name, trouble)
            self.stop("It can't go on.")

    def interrupt(self, number: int) -> None:
        if self.signal is not None:  # the second time: go, now. The cells' processes see to themselves.
            self.running.clear()
            return
        self.signal = number
        self.stop("Interrupted. Once more leaves at once.")

    def stop(self, why: str) -> None:
        self.waiting.clear()
        self.cancel.set()
        if self.running:
            self.display.say("{} Stopping {}.".format(why, ", ".join(self.running)))


# ---- What fits ------------------------------------------------------------------------------------------------------


def default_jobs(cores: int | None = None, memory_mib: int | None = None) -> int:
    """How many cells to run side by side: two cores for each, and the memory that its workers need."""
    cores = capacity.cores() if cores is None else cores
    memory_mib = capacity.memory_mib() if memory_mib is None else memory_mib
    by_memory = cores if memory_mib is None else memory_mib // MEMORY_PER_CELL_MIB
    return max(1, min(cores // 2, by_memory))


def at_once(cells: Sequence[Cell]) -> int:
    """How many of the cells can run at the same time, at most: all on the CPU, and one on each kind of accelerator."""
    on_cpu = sum(1 for cell in cells if cell.backend == "cpu")
    return max(1, on_cpu + len({cell.backend for cell in cells} - {"cpu"}))


def cannot_go_on(error: OSError) -> str:
    """What the system refused, in its words, which name the file; and the next move."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    message = "It can't go on: {}. {}, and give the same command again: what is done isn't done again."
    return message.format(error, "Make room on that disk" if full else "Mend that")

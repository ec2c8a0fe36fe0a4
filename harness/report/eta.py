"""Estimate how much time the running and waiting cells still need."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.results.resume import Decision
from harness.rows import Cell

MIN_SHARE_DONE = 0.05  # of the tests; if fewer are done, their speed says little about the other tests


@dataclass
class Running:
    """A cell that runs, with its progress. Times are those of the clock, in seconds."""

    cell: Cell
    started: float
    phase: str = "starting"
    phase_started: float = 0.0
    done: int = 0
    total: int = 0
    failed: int = 0


@dataclass
class Eta:
    """All cells that are not finished. The expected time of a cell is that of its last run, or else the average."""

    clock: Callable[[], float] = time.monotonic
    jobs: int = 1
    last_s: dict[str, float] = field(default_factory=dict)  # how long each cell took in its last run
    waiting: dict[str, Cell] = field(default_factory=dict)
    running: dict[str, Running] = field(default_factory=dict)

    def begin(self, waiting: Sequence[Decision], jobs: int) -> None:
        self.jobs = jobs
        self.waiting = {each.cell.name: each.cell for each in waiting}
        self.last_s = {each.cell.name: each.last_s for each in waiting if each.last_s is not None}

    def start(self, cell: Cell) -> None:
        self.waiting.pop(cell.name, None)
        self.running[cell.name] = Running(cell, self.clock(), phase_started=self.clock())

    def progress(self, cell: Cell, phase: str, done: int, total: int, failed: int) -> Running:
        running = self.running[cell.name]
        if phase != running.phase:
            running.phase, running.phase_started = phase, self.clock()
        running.done, running.total, running.failed = done, total, failed
        return running

    def finish(self, cell: Cell) -> float:
        """How long the cell took, in seconds; 0 if it was never started."""
        self.waiting.pop(cell.name, None)
        if cell.name not in self.running:
            return 0.0
        self.last_s[cell.name] = self.spent(self.running.pop(cell.name))
        return self.last_s[cell.name]

    def spent(self, running: Running) -> float:
        return self.clock() - running.started

    def remaining_of(self, running: Running) -> float | None:
        """How long a running cell will still take, in seconds; `None` if nothing is known."""
        if running.total and running.done >= max(1, MIN_SHARE_DONE * running.total):
            spent = self.clock() - running.phase_started
            return spent / running.done * (running.total - running.done)
        expected = self.expected(running.cell.name)
        return None if expected is None else max(0.0, expected - self.spent(running))

    def remaining(self) -> float | None:
        """How long all cells together will still take, in seconds; `None` if nothing is known of one of them."""
        lefts = [self.remaining_of(running) for running in self.running.values()]
        lefts += [self.expected(name) for name in self.waiting]
        known = [left for left in lefts if left is not None]
        return max(*known, sum(known) / self.jobs) if known and len(known) == len(lefts) else None

    def expected(self, name: str) -> float | None:
        """How long a whole run of a cell takes, in seconds; `None` if no cell has ever run."""
        typical = sum(self.last_s.values()) / len(self.last_s) if self.last_s else None
        return self.last_s.get(name, typical)

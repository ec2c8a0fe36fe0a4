"""A cell of the table, with what is shown of its result."""

from dataclasses import dataclass

from harness.results import Outcome, Result
from harness.results.resume import RAN
from harness.rows import Cell
from harness.run.installed_cell import InstalledCell
from harness.system.paths import ROOT

SHOWN = (*RAN, Outcome.STALE)  # the facts of the run are shown; those of a stale result with their date


@dataclass(frozen=True)
class Entry:
    """A cell and its result, as of now."""

    cell: Cell
    result: Result
    note: int = 0  # the number of the footnote with its remark; 0: it has none
    skips_show: bool = False  # see `skips`

    @property
    def outcome(self) -> Outcome:
        return self.result.outcome

    @property
    def shown(self) -> bool:
        return self.outcome in SHOWN

    @property
    def bridged(self) -> bool:
        return self.result.bridge and self.shown

    @property
    def found(self) -> bool:
        """Whether this ran with the packages of a machine (see `harness.run.installed_cell`), and not in a cell."""
        return isinstance(self.cell, InstalledCell)

    @property
    def words(self) -> str:
        note = " (note {})".format(self.note) if self.note else ""
        return self.outcome.value + " (bridge)" * self.bridged + " (as found)" * self.found + note

    @property
    def reason(self) -> str:
        """The reason for the outcome, without the folder of the checkout."""
        return self.result.reason.replace(str(ROOT) + "/", "")

    @property
    def remark(self) -> str:
        """What there is to say of a cell that passed, such as that the project doesn't claim its JAX."""
        return self.reason if self.outcome is Outcome.PASSED else ""

    @property
    def tests(self) -> str:
        """How many tests ran, as in "512 tests"; or how many of them failed, as in "2 of 512 tests"."""
        counts = self.result.counts
        wrong = counts.get("failed", 0) + counts.get("errors", 0)
        run = wrong + counts.get("passed", 0) + counts.get("xfailed", 0)
        if not self.shown or not run:
            return ""
        return "{} of {} tests".format(wrong, run) if wrong else "{} test{}".format(run, "s" * (run != 1))

    @property
    def skipped(self) -> str:
        return "{} skipped".format(self.result.counts.get("skipped", 0)) if self.skips_show else ""

    @property
    def time(self) -> str:
        seconds = self.result.seconds.get("tests", self.result.seconds.get("total"))
        return "{:.0f} s".format(seconds) if seconds and self.shown else ""

    @property
    def device(self) -> str:
        """The accelerator of the run, as in "NVIDIA H200" or "4 x TPU v4"; empty for a CPU."""
        if self.cell.backend == "cpu" or not self.shown:
            return ""
        kinds = [str(device.get("kind", "")) for device in self.result.devices]
        times = {kind: kinds.count(kind) for kind in kinds if kind}
        return ", ".join(kind if count == 1 else "{} x {}".format(count, kind) for kind, count in times.items())

    @property
    def facts(self) -> list[str]:
        """What the table shows beside the outcome of a cell that was run."""
        where = "container" if self.result.where == "container" and self.shown else ""
        driver = "driver " + self.result.driver if self.device and self.result.driver else ""
        date = self.result.started[:10] if self.outcome is Outcome.STALE else ""
        return [fact for fact in (date, self.tests, self.skipped, self.time, self.device, driver, where) if fact]

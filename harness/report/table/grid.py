"""The content of the table, the same for each of its three forms: a row per JAX, with an entry for each cell."""

import math
import re
import statistics
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.results import Outcome, Result, as_of_now
from harness.results.resume import RAN
from harness.rows import BACKENDS, Cell, Measure, project
from harness.run.installed_cell import InstalledCell
from harness.system.paths import ROOT
from harness.system.program import typed

LONGEST_REASON = 240  # characters, in Markdown and in the terminal
TITLES = {"cpu": "CPU", "cuda": "CUDA", "tpu": "TPU"}
SHOWN = (*RAN, Outcome.STALE)  # the facts of the run are shown; those of a stale result with their date
WHY_NOT_RUN = {
    "cpu": "It hasn't been run yet: `{}`.".format(typed("run", "{}")),
    "cuda": "It needs an NVIDIA GPU, and hasn't been run on one yet: `{}`.".format(typed("run --backend cuda")),
    "tpu": "It needs a TPU, and hasn't been run on one yet: `{}`.".format(typed("run --backend tpu")),
}


FOUND = "(as found): with the packages that were already installed on a machine, without a lock"
BRIDGED = "(bridge): this JAX's own Python code, on jaxlib 0.4.13"


@dataclass(frozen=True)
class Entry:
    """A cell and its result, as of now."""

    cell: Cell
    result: Result

    @property
    def outcome(self) -> Outcome:
        return self.result.outcome

    @property
    def bridged(self) -> bool:
        """Whether the cell ran on the bridge."""
        return self.result.bridge and self.outcome in SHOWN

    @property
    def found(self) -> bool:
        """Whether this ran with the packages of a machine (see `harness.run.installed_cell`), and not in a cell."""
        return isinstance(self.cell, InstalledCell)

    @property
    def words(self) -> str:
        return self.outcome.value + " (bridge)" * self.bridged + " (as found)" * self.found

    @property
    def reason(self) -> str:
        """The reason for the outcome, without the folder of the checkout."""
        return self.result.reason.replace(str(ROOT) + "/", "")

    @property
    def tests(self) -> str:
        """How many tests ran, as in "512 tests"; or how many of them failed, as in "2 of 512 tests"."""
        counts = self.result.counts
        wrong = counts.get("failed", 0) + counts.get("errors", 0)
        run = wrong + counts.get("passed", 0) + counts.get("xfailed", 0)
        if self.outcome not in SHOWN or not run:
            return ""
        return "{} of {} tests".format(wrong, run) if wrong else "{} test{}".format(run, "s" * (run != 1))

    @property
    def time(self) -> str:
        seconds = self.result.seconds.get("tests", self.result.seconds.get("total"))
        return "{:.0f} s".format(seconds) if seconds and self.outcome in SHOWN else ""

    @property
    def device(self) -> str:
        """The accelerator of the run, as in "NVIDIA H200" or "4 x TPU v4"; empty for a CPU."""
        if self.cell.backend == "cpu" or self.outcome not in SHOWN:
            return ""
        kinds = [str(device.get("kind", "")) for device in self.result.devices]
        times = {kind: kinds.count(kind) for kind in kinds if kind}
        return ", ".join(kind if count == 1 else "{} x {}".format(count, kind) for kind, count in times.items())

    @property
    def facts(self) -> list[str]:
        """What the table shows beside the outcome of a cell that was run."""
        where = "container" if self.result.where == "container" and self.outcome in SHOWN else ""
        driver = "driver " + self.result.driver if self.device and self.result.driver else ""
        date = self.result.started[:10] if self.outcome is Outcome.STALE else ""
        return [fact for fact in (date, self.tests, self.time, self.device, driver, where) if fact]


@dataclass(frozen=True)
class Row:
    """A JAX on its Python, with an entry per backend. Runs of `harness.run.installed_cell` have their own rows."""

    jax: str
    python: str
    entries: Mapping[str, Entry]

    @property
    def found(self) -> bool:
        return any(entry.found for entry in self.entries.values())

    @property
    def remark(self) -> str:
        """The JAX that a floating row ran with, and whether the row is a canary. A canary can't fail the whole run."""
        found = [entry for entry in self.entries.values() if entry.cell.floating]
        releases = {entry.result.versions["jax"] for entry in found if "jax" in entry.result.versions}
        canary = any(entry.cell.tier == "canary" for entry in self.entries.values())
        return ", ".join(sorted(releases) + ["canary"] * canary)

    def measured(self, measure: Measure) -> float | None:
        """The figure on the CPU, where all releases can be compared; `None` if there is none."""
        entry = self.entries.get("cpu")
        value = entry.result.measures.get(measure.key) if entry and entry.outcome in SHOWN else None
        return value if value is not None and math.isfinite(value) else None

    def was_measured(self, measure: Measure) -> bool:
        """Whether the row has the figure, or a reason why it couldn't be measured."""
        entry = self.entries.get("cpu")
        reasons = entry.result.evidence.get("unmeasured") if entry else None
        return self.measured(measure) is not None or (isinstance(reasons, dict) and measure.key in reasons)

    def why_unmeasured(self, measure: Measure) -> str:
        """Why the row doesn't have the figure."""
        entry = self.entries.get("cpu")
        if entry is None:
            return "not on the CPU"
        if entry.outcome not in SHOWN:
            return entry.outcome.value
        reasons = entry.result.evidence.get("unmeasured")
        return str(reasons.get(measure.key, "not measured")) if isinstance(reasons, dict) else "not measured"


@dataclass(frozen=True)
class Note:
    """The cells that have not passed for the same reason."""

    outcome: Outcome
    reason: str
    entries: Sequence[Entry]

    @property
    def short(self) -> str:
        """The reason, shortened. The message of a resolver can be long."""
        return textwrap.shorten(self.reason, LONGEST_REASON, placeholder=" ...")

    @property
    def cells(self) -> str:
        """The cells in words, as in "CUDA 0.4.30, 0.4.38; TPU 0.4.30"."""
        by_backend: dict[str, list[str]] = {}
        for entry in self.entries:
            by_backend.setdefault(TITLES[entry.cell.backend], []).append(entry.cell.jax + " as found" * entry.found)
        return "; ".join("{} {}".format(title, ", ".join(found)) for title, found in by_backend.items())


@dataclass(frozen=True)
class Grid:
    """All rows of the table."""

    rows: Sequence[Row]

    @classmethod
    def of(
        cls,
        cells: Iterable[Cell],
        results: Mapping[str, Result],
        hashes: Mapping[str, Mapping[str, str]],
        unresolved: Mapping[str, str],
    ) -> "Grid":
        """Make the rows.

        Args:
            cells: The cells, in the order of the table.
            results: The results, by the names of their cells.
            hashes: Today's hashes of each cell, by its name.
            unresolved: The reasons for missing locks, by the names of cells.
        """
        rows: dict[tuple[str, str, bool], dict[str, Entry]] = {}
        for cell in cells:
            entry = Entry(cell, result_to_show(cell, results.get(cell.name), hashes.get(cell.name, {}), unresolved))
            rows.setdefault((cell.jax, cell.python, entry.found), {})[cell.backend] = entry
        return cls([Row(jax, python, entries) for (jax, python, _), entries in rows.items()])

    @property
    def entries(self) -> list[Entry]:
        return [entry for row in self.rows for entry in row.entries.values()]

    @property
    def cells(self) -> list[Entry]:
        """The entries of the matrix, without the runs of `harness.run.installed_cell`."""
        return [entry for entry in self.entries if not entry.found]

    @property
    def backends(self) -> list[str]:
        return [backend for backend in BACKENDS if any(backend in row.entries for row in self.rows)]

    @property
    def measures(self) -> list[Measure]:
        """The measures for which at least one row has a figure, or a reason why it has none."""
        return [one for one in project().measure if any(row.was_measured(one) for row in self.rows)]

    @property
    def bridged(self) -> bool:
        return any(entry.bridged for entry in self.entries)

    @property
    def found(self) -> bool:
        return any(entry.found for entry in self.entries)

    @property
    def found_count(self) -> str:
        """How many runs of `harness.run.installed_cell` there are, in words that follow the number of cells."""
        return ", and {} as found".format(len(self.entries) - len(self.cells)) if self.found else ""

    def tally(self, backend: str = "") -> dict[Outcome, int]:
        """How many cells have each of the six outcomes. Without a backend, all cells count."""
        found = [entry.outcome for entry in self.cells if backend in ("", entry.cell.backend)]
        return {outcome: found.count(outcome) for outcome in Outcome}

    @property
    def dates(self) -> str:
        """The dates of the runs, as in "2026-11-20 to 2026-11-22"; empty if there was no run."""
        days = sorted({entry.result.started[:10] for entry in self.entries if entry.result.started})
        return " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""

    @property
    def notes(self) -> list[Note]:
        """Why cells have not passed, in the order of the outcomes."""
        groups: dict[tuple[Outcome, str], list[Entry]] = {}
        for entry in self.entries:
            if entry.outcome is not Outcome.PASSED:
                groups.setdefault((entry.outcome, reason_without_name(entry)), []).append(entry)
        order = list(Outcome)
        notes = [Note(outcome, reason, entries) for (outcome, reason), entries in groups.items()]
        return sorted(notes, key=lambda note: order.index(note.outcome))

    def is_far(self, measure: Measure, row: Row) -> bool:
        """Whether a row's figure is far above those of the other rows."""
        value = row.measured(measure)
        others = [other.measured(measure) for other in self.rows if other is not row]
        taken = [other for other in others if other is not None]
        return value is not None and bool(taken) and value > measure.far * statistics.median(taken)


def reason_without_name(entry: Entry) -> str:
    """The reason, with `...` for the name of the cell, so that cells with the same reason can share a note.

    A file whose name contains that of the cell keeps its name.
    """
    return re.sub(r"(?<![\w/.-]){}(?![\w.-]*\w)".format(re.escape(entry.cell.name)), "...", entry.reason)


def result_to_show(
    cell: Cell, result: Result | None, hashes: Mapping[str, str], unresolved: Mapping[str, str]
) -> Result:
    """The result to show for a cell, even if it was never run."""
    if result is not None:
        return as_of_now(result, hashes)
    if cell.name in unresolved:
        return Result(cell.name, Outcome.UNAVAILABLE, reason=unresolved[cell.name])
    return Result(cell.name, Outcome.NOT_RUN, reason=WHY_NOT_RUN[cell.backend].format(cell.name))

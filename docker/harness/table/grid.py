"""What is drawn, whatever it is drawn in: a row for each JAX, with what is known of each of its cells."""

import math
import re
import statistics
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.found import Found
from harness.places import ROOT
from harness.results import Outcome, Result, as_of_now
from harness.rows import BACKENDS, Cell

LONGEST_REASON = 240  # where there is little room
TITLES = {"cpu": "CPU", "cuda": "CUDA", "tpu": "TPU"}
RAN = (Outcome.PASSED, Outcome.FAILED)
SHOWN = (*RAN, Outcome.STALE)  # what a run has shown stays in view, with its date, when it no longer holds
LACKING = {
    "cpu": "It hasn't been run yet: `make cell CELL={}`.",
    "cuda": "It needs an NVIDIA GPU, and hasn't been run on one yet: `make test-gpu` where there is one.",
    "tpu": "It needs a TPU, and hasn't been run on one yet: `make test-tpu` where there is one.",
}


@dataclass(frozen=True)
class Measure:
    """A figure that has a column: to add one, add it to `MEASURES`."""

    key: str  # in `Result.measures`
    title: str
    meaning: str
    far: float  # flagged when it is more than so many times the median of the other rows

    def explained(self, flag: str) -> str:
        return "{}: {}. {}: more than {:g} times the median of the others.".format(
            self.title, self.meaning, flag, self.far
        )


FOUND = "(as found): with the JAX, and the packages, that a machine had, and no lock"
BRIDGED = "(bridge): this JAX's own Python code, on jaxlib 0.4.13"
MEASURES = (
    Measure(
        "loop_ratio",
        title="Loops",
        meaning="how much longer a step of a long loop takes than one of a short loop; 1 is ideal",
        far=4.0,
    ),
    Measure(
        "dispatch_in_100",
        title="Call",
        meaning="how much longer a filtered call with a model of 100 arrays takes than `jax.jit` with the bare arrays",
        far=2.0,
    ),
    Measure(
        "dispatch_in_out_100",
        title="Update",
        meaning="the same, of a call that takes a model and returns one",
        far=2.0,
    ),
    Measure(
        "train_step_100",
        title="Training",
        meaning="the same, of a step of training with Adam",
        far=2.0,
    ),
)


@dataclass(frozen=True)
class Entry:
    """A cell, and what is known of it now."""

    cell: Cell
    result: Result

    @property
    def outcome(self) -> Outcome:
        return self.result.outcome

    @property
    def bridged(self) -> bool:
        """Whether what is known was shown across the bridge. What was never run was never on it."""
        return self.result.bridge and self.outcome in SHOWN

    @property
    def found(self) -> bool:
        return isinstance(self.cell, Found)

    @property
    def words(self) -> str:
        return self.outcome.value + " (bridge)" * self.bridged + " (as found)" * self.found

    @property
    def reason(self) -> str:
        """Without the folder of the checkout, which means nothing elsewhere."""
        return self.result.reason.replace(str(ROOT) + "/", "")

    @property
    def tests(self) -> str:
        """Those that ran, as in "512 tests"; or "2 of 512 tests", the ones that went wrong."""
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
        """The accelerator that it ran on, as in "NVIDIA H200", or "4 x TPU v4"; empty for a CPU."""
        if self.cell.backend == "cpu" or self.outcome not in SHOWN:
            return ""
        kinds = [str(device.get("kind", "")) for device in self.result.devices]
        times = {kind: kinds.count(kind) for kind in kinds if kind}
        return ", ".join(kind if count == 1 else "{} x {}".format(count, kind) for kind, count in times.items())

    @property
    def facts(self) -> list[str]:
        """What a cell that was run says beside its outcome."""
        where = "container" if self.result.where == "container" and self.outcome in SHOWN else ""
        driver = "driver " + self.result.driver if self.device and self.result.driver else ""
        date = self.result.started[:10] if self.outcome is Outcome.STALE else ""
        return [fact for fact in (date, self.tests, self.time, self.device, driver, where) if fact]


@dataclass(frozen=True)
class Row:
    """A JAX on its Python, on each backend; what was found on machines has rows of its own."""

    jax: str
    python: str
    entries: Mapping[str, Entry]

    @property
    def found(self) -> bool:
        return any(entry.found for entry in self.entries.values())

    @property
    def remark(self) -> str:
        """What a floating release was when it ran; whether it is a canary, which is shown and fails nothing."""
        found = [entry for entry in self.entries.values() if entry.cell.floating]
        releases = {entry.result.versions["jax"] for entry in found if "jax" in entry.result.versions}
        canary = any(entry.cell.tier == "canary" for entry in self.entries.values())
        return ", ".join(sorted(releases) + ["canary"] * canary)

    def measured(self, measure: Measure) -> float | None:
        """On the CPU, on which all releases can be compared."""
        entry = self.entries.get("cpu")
        value = entry.result.measures.get(measure.key) if entry and entry.outcome in SHOWN else None
        return value if value is not None and math.isfinite(value) else None

    def was_measured(self, measure: Measure) -> bool:
        """Whether there is such a figure, or a reason why it couldn't be taken."""
        entry = self.entries.get("cpu")
        reasons = entry.result.evidence.get("unmeasured") if entry else None
        return self.measured(measure) is not None or (isinstance(reasons, dict) and measure.key in reasons)

    def why_unmeasured(self, measure: Measure) -> str:
        """Why there is no such figure."""
        entry = self.entries.get("cpu")
        if entry is None:
            return "not on the CPU"
        if entry.outcome not in SHOWN:
            return entry.outcome.value
        reasons = entry.result.evidence.get("unmeasured")
        return str(reasons.get(measure.key, "not measured")) if isinstance(reasons, dict) else "not measured"


@dataclass(frozen=True)
class Note:
    """Why some cells have not passed: all that are as they are for the same reason."""

    outcome: Outcome
    reason: str
    entries: Sequence[Entry]

    @property
    def short(self) -> str:
        """The reason, or how it begins: what a resolver says can be long."""
        return textwrap.shorten(self.reason, LONGEST_REASON, placeholder=" ...")

    @property
    def cells(self) -> str:
        """As in "CUDA 0.4.30, 0.4.38; TPU 0.4.30"."""
        by_backend: dict[str, list[str]] = {}
        for entry in self.entries:
            by_backend.setdefault(TITLES[entry.cell.backend], []).append(entry.cell.jax + " as found" * entry.found)
        return "; ".join("{} {}".format(title, ", ".join(found)) for title, found in by_backend.items())


@dataclass(frozen=True)
class Grid:
    """All that is known of all cells, as of now."""

    rows: Sequence[Row]

    @classmethod
    def of(
        cls,
        cells: Iterable[Cell],
        results: Mapping[str, Result],
        hashes: Mapping[str, Mapping[str, str]],
        unresolved: Mapping[str, str],
    ) -> "Grid":
        """From results by the names of their cells, of today's hashes or not, and the reasons for missing locks."""
        rows: dict[tuple[str, str, bool], dict[str, Entry]] = {}
        for cell in cells:
            entry = Entry(cell, known(cell, results.get(cell.name), hashes.get(cell.name, {}), unresolved))
            rows.setdefault((cell.jax, cell.python, entry.found), {})[cell.backend] = entry
        return cls([Row(jax, python, entries) for (jax, python, _), entries in rows.items()])

    @property
    def entries(self) -> list[Entry]:
        return [entry for row in self.rows for entry in row.entries.values()]

    @property
    def cells(self) -> list[Entry]:
        """Those of the matrix."""
        return [entry for entry in self.entries if not entry.found]

    @property
    def backends(self) -> list[str]:
        return [backend for backend in BACKENDS if any(backend in row.entries for row in self.rows)]

    @property
    def measures(self) -> list[Measure]:
        """Those that were taken, or that somebody tried to take."""
        return [one for one in MEASURES if any(row.was_measured(one) for row in self.rows)]

    @property
    def bridged(self) -> bool:
        return any(entry.bridged for entry in self.entries)

    @property
    def found(self) -> bool:
        return any(entry.found for entry in self.entries)

    @property
    def besides(self) -> str:
        """How many there are that are no cells, to follow the number of cells."""
        return ", and {} as found".format(len(self.entries) - len(self.cells)) if self.found else ""

    def tally(self, backend: str = "") -> dict[Outcome, int]:
        """How many cells, of one backend or of all, have each outcome: all six, in their order."""
        found = [entry.outcome for entry in self.cells if backend in ("", entry.cell.backend)]
        return {outcome: found.count(outcome) for outcome in Outcome}

    @property
    def dates(self) -> str:
        """Of the runs, as in "2026-11-20 to 2026-11-22"; empty: there was none."""
        days = sorted({entry.result.started[:10] for entry in self.entries if entry.result.started})
        return " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""

    @property
    def notes(self) -> list[Note]:
        """Why cells have not passed, in the order of the outcomes."""
        groups: dict[tuple[Outcome, str], list[Entry]] = {}
        for entry in self.entries:
            if entry.outcome is not Outcome.PASSED:
                groups.setdefault((entry.outcome, unnamed(entry)), []).append(entry)
        order = list(Outcome)
        notes = [Note(outcome, reason, entries) for (outcome, reason), entries in groups.items()]
        return sorted(notes, key=lambda note: order.index(note.outcome))

    def is_far(self, measure: Measure, row: Row) -> bool:
        """Whether a row's figure stands out from those of all the others."""
        value = row.measured(measure)
        others = [other.measured(measure) for other in self.rows if other is not row]
        taken = [other for other in others if other is not None]
        return value is not None and bool(taken) and value > measure.far * statistics.median(taken)


def unnamed(entry: Entry) -> str:
    """Its reason without its name, as in `make cell CELL=...`: else no two were the same. Files keep theirs."""
    return re.sub(r"(?<![\w/.-]){}(?![\w.-]*\w)".format(re.escape(entry.cell.name)), "...", entry.reason)


def known(cell: Cell, result: Result | None, hashes: Mapping[str, str], unresolved: Mapping[str, str]) -> Result:
    """What is known of a cell, whether or not it was ever run."""
    if result is not None:
        return as_of_now(result, hashes)
    if cell.name in unresolved:
        return Result(cell.name, Outcome.UNAVAILABLE, reason=unresolved[cell.name])
    return Result(cell.name, Outcome.NOT_RUN, reason=LACKING[cell.backend].format(cell.name))

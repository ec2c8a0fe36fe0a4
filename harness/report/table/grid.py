"""The content of the table, the same for each of its three forms: a row per JAX, with an entry for each cell."""

import math
import re
import statistics
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.report.table import skips
from harness.report.table.entry import Entry
from harness.results import Outcome, Result, as_of_now
from harness.rows import BACKENDS, Cell, Measure, project
from harness.system.program import typed

LONGEST_REASON = 240  # characters, in Markdown and in the terminal
TITLES = {"cpu": "CPU", "cuda": "CUDA", "tpu": "TPU"}
WHY_NOT_RUN = {
    "cpu": "It hasn't been run yet: `{}`.".format(typed("run", "{}")),
    "cuda": "It needs an NVIDIA GPU, and hasn't been run on one yet: `{}`.".format(typed("run --backend cuda")),
    "tpu": "It needs a TPU, and hasn't been run on one yet: `{}`.".format(typed("run --backend tpu")),
}

BRIDGED = "(bridge): this JAX's own Python code, on jaxlib 0.4.13, across docker/bridge."
FOUND = "(as found): with the packages that were already installed on a machine, without a lock."


@dataclass(frozen=True)
class Row:
    """A JAX on its Python, with an entry per backend. Runs of `harness.run.installed_cell` have their own rows."""

    jax: str
    python: str
    entries: Mapping[str, Entry]

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
        value = entry.result.measures.get(measure.key) if entry and entry.shown else None
        return value if value is not None and math.isfinite(value) else None

    def why_unmeasured(self, measure: Measure) -> str:
        """Why the row doesn't have the figure."""
        entry = self.entries.get("cpu")
        if entry is None:
            return "not on the CPU"
        return self.said(measure) or ("not measured" if entry.shown else entry.outcome.value)

    def said(self, measure: Measure) -> str:
        """What the run said about a figure that could not be measured."""
        entry = self.entries.get("cpu")
        reasons = entry.result.evidence.get("unmeasured") if entry and entry.shown else None
        return str(reasons.get(measure.key, "")) if isinstance(reasons, dict) else ""


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
        unresolved: Mapping[str, str] | None = None,
    ) -> "Grid":
        """Make the rows.

        Args:
            cells: The cells, in the order of the table.
            results: The results, by the names of their cells.
            hashes: Today's hashes of each cell, by its name.
            unresolved: The reasons for missing locks, by the names of cells.
        """
        entries = [
            Entry(cell, result_to_show(cell, results.get(cell.name), hashes.get(cell.name, {}), unresolved or {}))
            for cell in cells
        ]
        remarks = remarks_of(entries)
        rows: dict[tuple[str, str, bool], dict[str, Entry]] = {}
        for entry in entries:
            note = remarks.index(entry.remark) + 1 if entry.remark else 0
            marked = replace(entry, note=note, skips_show=skips.stand_out(entry, entries))
            rows.setdefault((entry.cell.jax, entry.cell.python, entry.found), {})[entry.cell.backend] = marked
        return cls([Row(jax, python, of_row) for (jax, python, _), of_row in rows.items()])

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
    def columns(self) -> list[str | Measure]:
        """The backends, and the measures after the first backend, the CPU, on which they are taken."""
        measures = [
            one for one in project().measure if any(row.measured(one) is not None or row.said(one) for row in self.rows)
        ]
        return [*self.backends[:1], *measures, *self.backends[1:]]

    @property
    def found_count(self) -> str:
        """How many runs of `harness.run.installed_cell` there are, in words that follow the number of cells."""
        count = len(self.entries) - len(self.cells)
        return ", and {} as found".format(count) if count else ""

    def tally(self, backend: str = "") -> dict[Outcome, int]:
        """How many cells have each of the six outcomes. Without a backend, all cells count."""
        found = [entry.outcome for entry in self.cells if backend in ("", entry.cell.backend)]
        return {outcome: found.count(outcome) for outcome in Outcome}

    @property
    def dates(self) -> str:
        """The dates of the runs, as in "Runs of 2026-11-20 to 2026-11-22."."""
        days = sorted(entry.result.started[:10] for entry in self.entries if entry.result.started)
        return "Runs of {}.".format(span(days)) if days else "No runs yet."

    def footnotes(self, flag: str) -> list[str]:
        """What the marks in the table mean. `flag` is the mark of a figure that is far above the others."""
        said = [BRIDGED] * any(entry.bridged for entry in self.entries)
        said += [FOUND] * any(entry.found for entry in self.entries)
        said += ["(note {}): {}.".format(*one) for one in enumerate(remarks_of(self.entries), 1)]
        said += [skips.MEANING] * any(entry.skips_show for entry in self.entries)
        return said + [column.explained(flag) for column in self.columns if isinstance(column, Measure)]

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


def title(column: str | Measure) -> str:
    return column.title if isinstance(column, Measure) else TITLES[column]


def span(in_order: Sequence[str]) -> str:
    """The first and the last, as in "0.2.18 to 0.12.0.1"; empty if there is none."""
    return " to ".join(dict.fromkeys((*in_order[:1], *in_order[-1:])))


def remarks_of(entries: Iterable[Entry]) -> list[str]:
    """The remarks on cells that passed. Their places in this list are the numbers of the footnotes."""
    return list(dict.fromkeys(entry.remark for entry in entries if entry.remark))


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

"""`python -m harness doctor`: show the project, what this machine has, and which of the cells can run on it.

It changes nothing and downloads nothing. Each check has a short time limit.
"""

import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.version import Version
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness import locks, rows
from harness.containers import engine
from harness.containers.docker_errors import DockerError
from harness.locks import index
from harness.results import Outcome
from harness.rows import BACKENDS, Cell, Project
from harness.run import hardware
from harness.run.hardware import Hardware
from harness.system import interpreters
from harness.system.interpreters import Interpreter
from harness.system.paths import LOCKS, ROOT
from harness.system.program import GET_TOOLS, typed
from harness.system.safe_text import redact, safe
from harness.system.uv import uv_path

WhyUnclaimed = Callable[[Cell, Path], str]
Find = Callable[[str], Interpreter | None]
Reach = Callable[[str], str]  # says why a page can't be reached; "": it can

REACH_S = 5
NAMED = 9  # if a backend has more cells, those that can run are counted, and not named
DISK_GIB_PER_CELL = 0.7  # an environment for the CPU; CUDA's wheels need several times as much


@dataclass(frozen=True)
class Line:
    """One line of the report. `ok` is `None` if the fact is neutral."""

    what: str
    ok: bool | None
    says: str


def reach(url: str, opener: index.Opener = urllib.request.urlopen) -> str:
    try:
        with opener(index.request(url, "*/*", method="HEAD"), timeout=REACH_S):
            return ""
    except urllib.error.HTTPError as error:  # 403 and 405: the server answers, but not to this kind of request
        return "" if error.code in (403, 405) else "HTTP status {}".format(error.code)
    except index.UNREACHABLE as error:
        return str(getattr(error, "reason", error))


def tested(what: Project, cells: Sequence[Cell], root: Path, why_unclaimed: WhyUnclaimed) -> Iterator[Line]:
    """Lines about the project: its folder, its tests, and the cells with a JAX that it doesn't claim to run on."""
    yield Line("project", True, "{}, in {}".format(what.package, root))
    tests = ", ".join(what.tests)
    if what.installed:
        yield Line("tests", True, "{}, as the wheel installs them".format(tests))
    else:
        lost = [test for test in what.tests if not (root / test.partition("::")[0]).exists()]
        says = "{} not found; correct `tests` in matrix.toml".format(", ".join(lost)) if lost else tests
        yield Line("tests", not lost, says)
    reasons: dict[str, list[Cell]] = {}
    for cell in cells:
        reasons.setdefault(why_unclaimed(cell, root), []).append(cell)
    for reason, refused in reasons.items():
        if reason:
            names = ", ".join(cell.name for cell in refused)
            yield Line("claims", None, "{}: {}, and tested anyway".format(names, reason))


def pythons(cells: Sequence[Cell], find: Find) -> Iterator[Line]:
    """One line for each Python that a cell needs."""
    for python in rows.pythons(cells):
        found = find(python)
        missing = "not here; uv downloads it if it can, or install it: pyenv install {}".format(python)
        says = "{} at {}".format(found.version, found.path) if found else missing
        yield Line("Python " + python, True if found else None, says)


def tools(uv: str | None) -> Iterator[Line]:
    yield Line("uv", uv is not None, uv or "not here; it makes the environments. {}".format(GET_TOOLS))
    try:
        yield Line("tox", True, version("tox"))
    except PackageNotFoundError:
        yield Line("tox", False, "not here; it runs the cells. {}".format(GET_TOOLS))


def containers(check: Callable[[], str]) -> Iterator[Line]:
    """One line about the Docker engine. Without one, cells run on this host."""
    try:
        yield Line("docker", True, check())
    except DockerError as error:
        yield Line("docker", None, str(error))


def accelerators(here: Hardware) -> Iterator[Line]:
    for gpu in here.gpus:
        capability = "unknown" if gpu.compute_capability is None else "{}.{}".format(*gpu.compute_capability)
        memory = "" if gpu.memory_mib is None else ", {:.0f} GiB".format(gpu.memory_mib / 1024)
        says = "{}{}, compute capability {}, driver {}".format(gpu.name, memory, capability, gpu.driver)
        yield Line("GPU", True, says)
    if not here.gpus:
        yield Line("GPU", None, here.why_no_gpu)
    if here.tpu is None:
        yield Line("TPU", None, here.why_no_tpu)
    else:
        says = "{}, {} chips".format(here.tpu.generation or "unknown generation", here.tpu.chips)
        yield Line("TPU", True, says)


def machine(here: Hardware, free_gib: float) -> Iterator[Line]:
    yield Line("cores", True, str(here.cores))
    if here.memory_mib is not None:
        gib = here.memory_mib / 1024
        yield Line("memory", gib >= 2, "{:.1f} GiB available; each worker of a cell takes 1.5 GiB".format(gib))
    says = "{:.1f} GiB free for {}; a cell takes about {} GiB, and with CUDA several times as much"
    yield Line("disk", free_gib >= 3, says.format(free_gib, ROOT, DISK_GIB_PER_CELL))


def pages(cells: Sequence[Cell], env: Mapping[str, str]) -> dict[str, str]:
    """The pages that packages come from, each with what it is.

    JAX has archives of its own. They hold releases that the index has no longer, or not yet.
    """
    found = {index.index_url(env): THE_INDEX}
    for cell in cells:
        for way in (cell, cell.original):
            for page in sources(way) if way else ():
                found.setdefault(page, "JAX's own archive")
    return found


THE_INDEX = "the package index"


def sources(cell: Cell) -> tuple[str, ...]:
    """The pages that a cell needs in addition to the index."""
    return (*cell.find_links, *([cell.index_url] if cell.index_url else []))


def reach_all(pages: Iterable[str], reach: Reach) -> dict[str, str]:
    """For each page, say why it can't be reached. An empty string means that it can."""
    pages = list(pages)
    with ThreadPoolExecutor() as pool:
        return dict(zip(pages, pool.map(reach, pages), strict=True))


def network(pages: Mapping[str, str], problems: Mapping[str, str]) -> Iterator[Line]:
    for page, what in pages.items():
        problem, is_index = problems[page], what == THE_INDEX
        lost = "nothing can be installed" if is_index else "cells that need it are unavailable"
        says = "can't be reached ({}); {}".format(problem, lost) if problem else "answers"
        yield Line(what, None if problem and not is_index else not problem, "{} {}".format(redact(page), says))


@dataclass(frozen=True)
class Here:
    """All that decides which cells can run."""

    hardware: Hardware
    find: Find
    unresolved: Mapping[str, str]  # why a cell has no lock
    problems: Mapping[str, str]  # why a page can't be reached

    def why_not(self, cell: Cell) -> tuple[Outcome, str] | None:
        """Say why a cell can't run here. `None` means that it can."""
        refused = hardware.check(cell, self.hardware)
        if refused is not None:
            return refused.outcome, refused.reason
        if cell.floating and any(self.problems.get(page) for page in sources(cell)):
            return Outcome.UNAVAILABLE, "{} can't be reached".format(", ".join(sources(cell)))
        if not cell.floating and not any(way.lock.is_file() for way in (cell, cell.original) if way is not None):
            reason = self.unresolved.get(cell.name, "no lock; this makes all locks: {}".format(typed("lock")))
            return Outcome.UNAVAILABLE, reason
        if self.find(cell.python) is None:
            return Outcome.NOT_RUN, "there is no Python {} here yet; `run` lets uv download it".format(cell.python)
        return None


@dataclass(frozen=True)
class Backend:
    name: str
    needs: str
    can_run: str
    others: str  # why the other cells can't run, a line for each reason


def backends(cells: Sequence[Cell], here: Here) -> Iterator[Backend]:
    for backend in BACKENDS:
        own = [cell for cell in cells if cell.backend == backend]
        if not own:
            continue
        can, reasons = [], dict[tuple[Outcome, str], list[Cell]]()
        for cell in own:
            reason = here.why_not(cell)
            (can if reason is None else reasons.setdefault(reason, [])).append(cell)
        names = [cell.name for cell in can] if len(own) <= NAMED else []
        lines = [
            "{} {}: {}".format(_names_or_number(refused, own), outcome.value, reason)
            for (outcome, reason), refused in reasons.items()
        ]
        number = "{} of {}".format(len(can), len(own))
        yield Backend(backend, needs(backend, own), "\n".join([number, *names]), "\n".join(lines))


def needs(backend: str, cells: Sequence[Cell]) -> str:
    """What the cells of a backend need, as a range from the oldest cell to the newest."""
    if backend == "cuda":
        drivers = sorted({cell.supports.driver_min for cell in cells if cell.supports.driver_min}, key=Version)
        lowest = [cell.supports.compute_capability_min for cell in cells if cell.supports.compute_capability_min]
        driver = ", driver {} or later".format(_range(drivers)) if drivers else ""
        capability = ", compute capability {}.{} or higher".format(*min(lowest)) if lowest else ""
        return "an NVIDIA GPU" + driver + capability
    if backend == "tpu":
        generations = sorted({generation for cell in cells for generation in cell.supports.tpu})
        return "a TPU VM" + (", {}".format(", ".join(generations)) if generations else "")
    return "Python " + _range(rows.pythons(cells))


def _range(versions: Sequence[str]) -> str:
    only, both = "{0}", "{0} (the oldest cell) to {1} (the newest)"
    return (only if len(versions) == 1 else both).format(versions[0], versions[-1])


def _names_or_number(refused: Sequence[Cell], own: Sequence[Cell]) -> str:
    if len(refused) == len(own):
        return "all"
    return ", ".join(cell.name for cell in refused) if len(refused) < 4 else str(len(refused))


def show(
    cells: Sequence[Cell],
    console: Console | None = None,
    here: Hardware | None = None,
    find: Find = interpreters.find,
    reach: Reach = reach,
    check: Callable[[], str] = engine.check,
    env: Mapping[str, str] = os.environ,
    folder: Path = ROOT,
    what: Project | None = None,
    why_unclaimed: WhyUnclaimed = rows.why_unclaimed,
) -> None:
    """Print the whole report."""
    console = console or Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    with console.status("Looking around ..."):
        here = hardware.here() if here is None else here
        found_pages = pages(cells, env)
        problems = reach_all(found_pages, reach)
        sections = {
            "Project": list(tested(what or rows.project(), cells, folder, why_unclaimed)),
            "Pythons": list(pythons(cells, find)),
            "Tools": list(tools(uv_path(env))),
            "Containers": list(containers(check)),
            "Accelerators": list(accelerators(here)),
            "Network": list(network(found_pages, problems)),
            "Machine": list(machine(here, shutil.disk_usage(folder).free / 2**30)),
        }
    for title, lines in sections.items():
        console.print("[bold]{}[/bold]".format(title))
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for line in lines:
            table.add_row(MARKS[line.ok], escape(line.what), escape(safe(line.says)))
        console.print(table)
        console.print()

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("Backend", "Its cells need", "Can run here", "The others"):
        table.add_column(column, overflow="fold")
    for row in backends(cells, Here(here, find, locks.unresolved(LOCKS), problems)):
        table.add_row(row.name, escape(row.needs), row.can_run, escape(safe(row.others)))
    console.print(table)


PLAIN_WIDTH = 120  # the width of the output if it doesn't go to a terminal
MARKS = {True: "[green]✓[/green]", False: "[bold red]✗[/bold red]", None: "[dim]·[/dim]"}

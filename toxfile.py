"""tox's side of the matrix: `tox.ini` says what all cells share, and this what docker/matrix.toml says of each.

In the order in which tox calls: the names of the cells; which of them are to run, and what they are made of; then,
when tox has made an environment and installed the lock into it, what completes it; and, after the run, the result.

Exit status of one cell: 0 passed, 1 failed, 2 there is no such cell, 3 it could not be set up, 75 it is being run by
somebody else, 76 the source is not the one that was asked for, 130 interrupted.
"""

import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tox.config.loader.memory import MemoryLoader
from tox.config.sets import ConfigSet
from tox.config.types import EnvList
from tox.execute import Outcome as Executed
from tox.plugin import impl
from tox.session.state import State
from tox.tox_env.api import ToxEnv

sys.path.insert(0, str(Path(__file__).resolve().parent / "docker"))

from harness import (
    environment,
    host,
    interpreters,
    isolation,
    left,
    results,
    rows,
    snapshot,
    suite,
    verdict,
)
from harness.alone import NotAlone, alone
from harness.environment import Environment
from harness.places import RESULTS
from harness.results import Outcome, Result
from harness.rows import Cell
from harness.shown import safe

PYTEST_INTERRUPTED = 2  # its exit status at Ctrl-C, and where tests can't be collected
RUNS = ("run", "r", "run-parallel", "p", "legacy", "le")


@dataclass
class Chosen:
    """A cell that is to run."""

    cell: Cell
    environment: Environment
    source: Path  # the snapshot that it is made from
    made_from: dict[str, str]
    hashes: dict[str, str]
    began: float
    set_up_s: float | None = None  # not yet
    ended: bool = False


@dataclass
class Session:
    """This run of tox."""

    chosen: dict[str, Chosen] = field(default_factory=dict)
    part: bool = False  # arguments for pytest were given: it isn't the whole suite, and makes no result
    interrupted: threading.Event = field(default_factory=threading.Event)
    locks: ExitStack = field(default_factory=ExitStack)


def stop(status: int, message: str) -> NoReturn:
    print(safe(message), file=sys.stderr)
    raise SystemExit(status)


if isolation.why_not_at():
    stop(2, isolation.why_not_at())
isolation.isolate()  # here too, as a user may type `tox` instead of make
try:
    CELLS = {cell.name: cell for cell in rows.load()}
except rows.MatrixError as error:
    stop(2, str(error))
SESSION = Session()


@impl
def tox_extend_envs() -> Iterable[str]:
    return list(CELLS)


@impl
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:
    core_conf.loaders.insert(0, MemoryLoader(env_list=EnvList(list(CELLS))))  # for `tox -l`
    for cell in CELLS.values():
        description = "JAX {0.jax} on Python {0.python}, tier {0.tier}".format(cell)
        state.conf.memory_seed_loaders[cell.name].append(MemoryLoader(description=description))
    options = state.conf.options
    names = list(options.env) if hasattr(options, "env") and not options.env.is_all else []
    names = names or os.environ.get("TOXENV", "").replace(",", " ").split()
    for name in names:
        if name not in CELLS:  # tox takes what is made of parts that it knows, as py39-jax0.12.0.1-cpu, for a name
            try:
                rows.select(list(CELLS.values()), [name])
            except rows.UnknownCell as error:
                stop(2, str(error))
            stop(2, "`{0}` is a pattern, and tox wants the names of cells. Type: make cell CELL='{0}'".format(name))
    if options.command not in RUNS or getattr(options, "list_envs", False) or getattr(options, "show_config", False):
        return
    if not names:
        stop(2, "Name the cells: tox -e CELL,CELL. `tox -l` lists them all, and `make matrix` runs those that matter.")
    side_by_side = min(getattr(options, "parallel", None) or 1, len(names))
    os.environ.setdefault("EQX_JOBS", str(side_by_side))  # the cells share the cores by it
    SESSION.part = bool(state.conf.pos_args(None))
    if os.environ.get("EQX_PARENT"):
        threading.Thread(target=follow, args=[int(os.environ["EQX_PARENT"])], daemon=True).start()
    listen()
    for cell in can_run_here([CELLS[name] for name in names]):
        choose(cell, state, Path(core_conf["work_dir"]), options.recreate)


def can_run_here(cells: Sequence[Cell]) -> list[Cell]:
    """Stop, before anything is made, if some of the cells can't be run here."""
    refusals = [result for result in map(host.preflight, cells) if result is not None]
    for result in refusals:
        if not SESSION.part:
            host.keep(result)
    if refusals:
        stop(3, "\n".join("{0.cell}: {1}: {0.reason}".format(result, result.outcome.value) for result in refusals))
    return [host.preferred(cell) for cell in cells]


def choose(cell: Cell, state: State, folder: Path, recreate: bool) -> None:
    """Say what the cell's environment is made of, and whether the one that is there will do."""
    interpreter = interpreters.obtain(cell.python)
    assert interpreter is not None, "preflight has seen it"
    try:
        # A user is told at once; docker/run.py, which is alone, waits for what a killed one has left to go.
        patience_s = 30 if "EQX_PARENT" in os.environ else 0
        SESSION.locks.enter_context(alone(folder / (cell.name + ".lock"), patience_s))
    except NotAlone as error:
        stop(host.BUSY, "{}: {}".format(cell.name, error))
    source = snapshot.take(folder / (cell.name + ".source"), cell)
    hashes = host.hashes_of([CELLS[cell.name]], source)[cell.name]
    if not snapshot.is_asked_for(hashes):
        stop(host.CHANGED, "{}: {}".format(cell.name, snapshot.CHANGED))
    chosen = Chosen(
        cell,
        Environment(folder / cell.name),
        source,
        environment.made_from(cell, interpreter, source),
        hashes,
        time.time(),
        ended=state.conf.options.no_test,  # then there is nothing that could have a result
    )
    SESSION.chosen[cell.name] = chosen
    recreate = recreate or not chosen.environment.is_made_from(chosen.made_from)
    if recreate:
        chosen.environment.remove_mark()  # first, because removing the environment may be interrupted
    state.conf.memory_seed_loaders[cell.name].append(
        MemoryLoader(deps="\n".join(environment.requirements(cell, source)), recreate=recreate)
    )
    # tox-uv asks uv for a version, and uv takes the first that it finds.
    os.environ["PATH"] = os.pathsep.join([str(interpreter.folder), os.environ["PATH"]])


@impl
def tox_before_run_commands(tox_env: ToxEnv) -> None:
    chosen = SESSION.chosen.get(tox_env.name)
    if chosen is None:
        return
    uv = interpreters.uv_path()
    assert uv is not None, "tox-uv brings it"
    try:
        environment.complete(chosen.cell, chosen.environment, chosen.made_from, uv, chosen.source)
        suite.copy(chosen.environment.suite, chosen.source)
        chosen.environment.remove_reports()
    except suite.BuildFailed as error:
        print(safe(str(error)), file=sys.stderr)
        chosen.ended = True
        result = verdict.of_build(chosen.cell, str(error))
        if not SESSION.part:
            write(chosen, result)
        raise SystemExit(1 if result.outcome is Outcome.FAILED else 3) from None
    except (environment.SetupFailed, OSError) as error:
        print(safe(str(error)), file=sys.stderr)
        not_set_up(chosen, str(error))
    passed = tox_env.conf["pass_env"]  # for the tests. What was run before had to reach the index, by a proxy
    of_tox = set(tox_env._default_pass_env()) - set(isolation.REACH_TESTS)
    passed[:] = [name for name in passed if name not in of_tox]
    tox_env.conf["set_env"].update(environment.variables(chosen.cell, chosen.environment))
    chosen.set_up_s = time.time() - chosen.began


@impl
def tox_after_run_commands(tox_env: ToxEnv, exit_code: int, outcomes: list[Executed]) -> None:
    chosen = SESSION.chosen.get(tox_env.name)
    if chosen is None:
        return
    chosen.ended = True
    if was_interrupted(exit_code):
        print("{}: interrupted; no result is written.".format(tox_env.name))
        raise SystemExit(host.INTERRUPTED)
    if SESSION.part:
        print("{}: a part of the suite; no result is written.".format(tox_env.name))
        return
    result = verdict.of_run(chosen.cell, chosen.environment, exit_code)
    write(chosen, result)
    left.keep_junit(chosen.environment.junit, RESULTS / (tox_env.name + ".xml"))
    if result.outcome is Outcome.FAILED:
        raise SystemExit(1)


@impl
def tox_env_teardown(tox_env: ToxEnv) -> None:
    chosen = SESSION.chosen.get(tox_env.name)
    if chosen is not None and chosen.set_up_s is None and not chosen.ended and not SESSION.interrupted.is_set():
        not_set_up(chosen, environment.last_log(chosen.environment))


def was_interrupted(exit_code: int) -> bool:
    """Whether Ctrl-C was pressed. It goes to pytest too, which may have ended before the main thread here heard it."""
    return SESSION.interrupted.wait(timeout=5 if exit_code == PYTEST_INTERRUPTED else 0)


def not_set_up(chosen: Chosen, said: str) -> NoReturn:
    chosen.ended = True
    if not SESSION.part:
        write(chosen, verdict.of_setup(chosen.cell, said))
    raise SystemExit(3)


def write(chosen: Chosen, result: Result) -> None:
    """Keep the result, and say it."""
    total_s = time.time() - chosen.began
    seconds = {"setup": chosen.set_up_s or total_s, **result.seconds, "total": total_s}
    path = results.write(
        replace(
            result,
            started=datetime.fromtimestamp(chosen.began, timezone.utc).isoformat(timespec="milliseconds"),
            seconds={name: round(value, 1) for name, value in seconds.items()},
            hashes=chosen.hashes,
            run=os.environ.get("EQX_RUN") or uuid.uuid4().hex,  # no cell sees it: tox lets only named variables through
        )
    )
    reason = result.reason and ": " + result.reason
    print("{}: {}{}\n  {}".format(result.cell, result.outcome.value, reason, path))


def listen() -> None:
    """Remember that Ctrl-C was pressed: what pytest says then is no result."""
    before = signal.getsignal(signal.SIGINT)

    def heard(number: int, frame: FrameType | None) -> None:
        SESSION.interrupted.set()
        if callable(before):
            before(number, frame)

    if callable(before):  # not where it is ignored
        signal.signal(signal.SIGINT, heard)


def follow(parent: int) -> None:
    """When the process that started this one is no more, however that came about, go as at Ctrl-C."""
    if os.getppid() != parent:
        return  # tox has started another tox, as it does to provide itself with plugins
    while os.getppid() == parent:
        time.sleep(1)
    os.killpg(os.getpgrp(), signal.SIGINT)
    time.sleep(20)
    os.killpg(os.getpgrp(), signal.SIGKILL)

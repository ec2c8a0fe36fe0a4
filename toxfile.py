"""The matrix as a plugin of tox. `tox.ini` has the settings that all cells share. matrix.toml has the cells.

tox calls the hooks below in this order:

1. `tox_extend_envs` gives tox the names of the cells.
2. `tox_add_core_config` chooses the cells to run, and what their environments are made from.
3. `tox_before_run_commands` completes an environment after tox has installed its lock.
4. `tox_after_run_commands` writes the result.
5. `tox_env_teardown` writes a result if tox could not install the lock.

Exit status of one cell: 0 passed, 1 failed, 2 there is no such cell, 3 it could not be set up, 75 another process is
running it, 76 the source changed after the run began. After Ctrl-C: 130, or tox's own 1.
"""

import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tox.config.loader.memory import MemoryLoader
from tox.config.sets import ConfigSet
from tox.config.types import Command, EnvList
from tox.execute import Outcome as Executed
from tox.plugin import impl
from tox.session.state import State
from tox.tox_env.api import ToxEnv

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import results, rows
from harness.results import Outcome, Result, run_files
from harness.results.resume import keep
from harness.results.started import Started
from harness.rows import Cell
from harness.run import environment, host, set_up, verdict
from harness.run.environment import Environment
from harness.source import fingerprint, snapshot, suite
from harness.source.wheel import BuildFailed
from harness.system import interpreters, isolation, signals
from harness.system.paths import RESULTS
from harness.system.program import typed
from harness.system.run_lock import AlreadyRunning, hold_lock
from harness.system.safe_text import safe
from harness.system.uv import uv_path

PYTEST_INTERRUPTED = 2  # pytest's exit status after Ctrl-C, and if tests can't be collected
RUNS = ("run", "r", "run-parallel", "p", "legacy", "le")


@dataclass
class Chosen:
    """A cell that will run."""

    cell: Cell
    environment: Environment
    source: Path  # the snapshot that it is made from
    made_from: dict[str, str]  # what the environment is made from; see `environment.made_from`
    hashes: dict[str, str]
    started: Started
    set_up_s: float | None = None  # None: the environment isn't complete yet
    ended: bool = False


@dataclass
class Session:
    """This run of tox."""

    chosen: dict[str, Chosen] = field(default_factory=dict)
    part: bool = False  # pytest got arguments, so it may run only a part of the suite; no result is written
    interrupted: threading.Event = field(default_factory=threading.Event)
    locks: ExitStack = field(default_factory=ExitStack)


def stop(status: int, message: str) -> NoReturn:
    print(safe(message), file=sys.stderr)
    raise SystemExit(status)


if isolation.why_not_in():
    stop(2, isolation.why_not_in())
isolation.isolate()  # make does this too, but a user may call tox directly
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
        if name not in CELLS:  # tox would accept any combination of known parts, such as py39-jax0.12.0.1-cpu
            try:
                rows.select(list(CELLS.values()), [name])
            except rows.UnknownCell as error:
                stop(2, str(error))
            message = "`{}` is a pattern, and tox needs names of cells. Type: {}"
            stop(2, message.format(name, typed("run", "'{}'".format(name))))
    if options.command not in RUNS or getattr(options, "list_envs", False) or getattr(options, "show_config", False):
        return
    if not names:
        message = "Name the cells: tox -e CELL,CELL. `tox -l` lists them. `{}`: those of a pull request."
        stop(2, message.format(typed("run")))
    limit = getattr(options, "parallel", 1)  # 0: one after another; None: all at the same time
    side_by_side = len(names) if limit is None else min(limit or 1, len(names))
    os.environ.setdefault("EQX_JOBS", str(side_by_side))  # each cell divides the cores by this number
    SESSION.part = bool(state.conf.pos_args(None))
    if os.environ.get("EQX_PARENT"):
        threading.Thread(target=end_with_parent, args=[int(os.environ["EQX_PARENT"])], daemon=True).start()
    note_ctrl_c()
    for cell in can_run_here([CELLS[name] for name in names]):
        choose(cell, state, Path(core_conf["work_dir"]), options.recreate)


def can_run_here(cells: Sequence[Cell]) -> list[Cell]:
    """Stop before anything is made if one of the cells can't run here."""
    refusals = [result for result in map(host.preflight, cells) if result is not None]
    for result in () if SESSION.part else refusals:
        keep(result)
    if refusals:
        stop(3, "\n".join(result.line for result in refusals))
    return [host.preferred(cell) for cell in cells]


def choose(cell: Cell, state: State, folder: Path, recreate: bool) -> None:
    """Lock the cell, and tell tox what its environment is made from and whether to make it again."""
    interpreter = interpreters.obtain(cell.python)
    assert interpreter is not None, "preflight has checked it"
    try:
        # A user gets the message at once. `harness run` waits, because a killed run may hold the lock a little longer.
        patience_s = 30 if "EQX_PARENT" in os.environ else 0
        SESSION.locks.enter_context(hold_lock(folder / (cell.name + ".lock"), patience_s))
    except AlreadyRunning as error:
        stop(host.BUSY, "{}: {}".format(cell.name, error))
    source = snapshot.take(folder / (cell.name + ".source"), cell)
    hashes = host.hashes_of([CELLS[cell.name]], source)[cell.name]
    if not snapshot.is_expected(hashes):
        stop(host.CHANGED, "{}: {}".format(cell.name, snapshot.CHANGED))
    chosen = Chosen(
        cell,
        Environment(folder / cell.name),
        source,
        set_up.made_from(cell, interpreter, source),
        hashes,
        Started(run=os.environ.get("EQX_RUN") or uuid.uuid4().hex),  # the tests get only variables that tox names
        ended=state.conf.options.no_test,  # without tests there is no result
    )
    SESSION.chosen[cell.name] = chosen
    recreate = recreate or not chosen.environment.is_made_from(chosen.made_from)
    if recreate:
        chosen.environment.remove_mark()  # first, because removing the environment may be interrupted
    arguments = environment.pytest_arguments(chosen.environment, state.conf.pos_args(None) or ())
    state.conf.memory_seed_loaders[cell.name].append(
        MemoryLoader(
            deps="\n".join(set_up.requirements(cell, source)),
            recreate=recreate,
            commands=[Command(["python", "-m", "pytest", *arguments])],
        )
    )
    # tox-uv asks uv for a version of Python, and uv takes the first one on the PATH.
    os.environ["PATH"] = os.pathsep.join([str(interpreter.folder), os.environ["PATH"]])


@impl
def tox_before_run_commands(tox_env: ToxEnv) -> None:
    chosen = SESSION.chosen.get(tox_env.name)
    if chosen is None:
        return
    uv = uv_path()
    assert uv is not None, "tox-uv depends on uv"
    try:
        set_up.complete(chosen.cell, chosen.environment, chosen.made_from, uv, chosen.source)
        suite.copy(chosen.environment.suite, chosen.source)
        suite.copy_plugins(chosen.environment.plugins, fingerprint.home_of(chosen.source))
        chosen.environment.remove_reports()
    except (BuildFailed, set_up.SetupFailed, OSError) as error:
        print(safe(str(error)), file=sys.stderr)
        result_of = verdict.of_build if isinstance(error, BuildFailed) else verdict.of_setup
        end_before_tests(chosen, result_of(chosen.cell, str(error)))
    passed = tox_env.conf["pass_env"]  # the tests get fewer variables than the installation, which may need a proxy
    of_tox = set(tox_env._default_pass_env()) - set(isolation.REACH_TESTS)
    passed[:] = [name for name in passed if name not in of_tox]
    tox_env.conf["set_env"].update(environment.variables(chosen.cell, chosen.environment))
    chosen.set_up_s = chosen.started.spent_s


@impl
def tox_after_run_commands(tox_env: ToxEnv, exit_code: int, outcomes: list[Executed]) -> None:
    chosen = SESSION.chosen.get(tox_env.name)
    if chosen is None:
        return
    chosen.ended = True
    if was_interrupted(exit_code):
        print("{}: interrupted; no result is written.".format(tox_env.name))
        raise SystemExit(signals.INTERRUPTED)
    if SESSION.part:
        print("{}: a part of the suite; no result is written.".format(tox_env.name))
        return
    result = verdict.of_run(chosen.cell, chosen.environment, exit_code)
    write(chosen, result)
    run_files.keep_junit(chosen.environment.junit, RESULTS / (tox_env.name + ".xml"))
    if result.outcome is Outcome.FAILED:
        raise SystemExit(1)


@impl
def tox_env_teardown(tox_env: ToxEnv) -> None:
    chosen = SESSION.chosen.get(tox_env.name)
    if chosen is not None and chosen.set_up_s is None and not chosen.ended and not SESSION.interrupted.is_set():
        end_before_tests(chosen, verdict.of_setup(chosen.cell, set_up.last_log(chosen.environment)))


def was_interrupted(exit_code: int) -> bool:
    """Whether Ctrl-C was pressed. pytest gets the signal too, and may end before the main thread here handles it."""
    return SESSION.interrupted.wait(timeout=5 if exit_code == PYTEST_INTERRUPTED else 0)


def end_before_tests(chosen: Chosen, result: Result) -> NoReturn:
    chosen.ended = True
    if not SESSION.part:
        write(chosen, result)
    raise SystemExit(1 if result.outcome is Outcome.FAILED else 3)


def write(chosen: Chosen, result: Result) -> None:
    """Write the result and print it."""
    path = results.write(chosen.started.complete(result, chosen.hashes, chosen.set_up_s))
    print("{}\n  {}".format(result.line, path))


def note_ctrl_c() -> None:
    """Note when Ctrl-C is pressed. Then no result is written."""
    before = signal.getsignal(signal.SIGINT)

    def heard(number: int, frame: FrameType | None) -> None:
        SESSION.interrupted.set()
        if callable(before):
            before(number, frame)

    if callable(before):  # it isn't if the signal is ignored
        signal.signal(signal.SIGINT, heard)


def end_with_parent(parent: int) -> None:
    """Wait until the process that started this one has ended. Then end this process group, as Ctrl-C would."""
    if os.getppid() != parent:
        return  # tox has started a second tox, to install plugins for itself
    while os.getppid() == parent:
        time.sleep(1)
    os.killpg(os.getpgrp(), signal.SIGINT)
    time.sleep(20)
    os.killpg(os.getpgrp(), signal.SIGKILL)

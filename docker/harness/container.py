"""Run one cell in a container: build its image, run the suite in it, take out what it has left.

No folder of this machine is mounted, so that the engine may be anywhere. And no container stays, see `engine.removed`.
"""

import contextlib
import datetime
import functools
import hashlib
import json
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from harness import (
    bases,
    blame,
    devices,
    engine,
    fingerprint,
    hardware,
    host,
    image,
    isolation,
    left,
    results,
    snapshot,
    verdict,
)
from harness.environment import Environment
from harness.host import OnProgress
from harness.places import RESULTS, ROOT
from harness.results import Outcome, Result
from harness.resume import displaces
from harness.rows import Cell
from harness.trouble import Trouble, failed_step, understand

# A regular file, and not more of it than there should be; `timeout` in case it becomes a FIFO in between.
READ_PROGRESS = '[ -f "$0" ] && exec timeout 5 head -c {} "$0"'.format(left.MOST_BYTES["progress.json"])
PROGRESS_EVERY_S = 2.0  # each look is a process in the container, and may be a connection by ssh


def hashes_of(cells: Iterable[Cell], source: Path = ROOT) -> dict[str, dict[str, str]]:
    """What results of cells, run in containers now, would be shown for, by their names."""
    cells = list(cells)
    of_all = fingerprint.hashes_of(cells, source)
    on = {backend: identity(next(cell for cell in cells if cell.backend == backend)) for backend in backends(cells)}
    return {cell.name: {**of_all[cell.name], "image": recipe(cell, source), **on[cell.backend]} for cell in cells}


def backends(cells: Iterable[Cell]) -> set[str]:
    return {cell.backend for cell in cells}


def identity(cell: Cell) -> dict[str, str]:
    """The device that a container of the engine gets, see `hardware.identity`."""
    if cell.backend == "cpu":
        return {}
    try:
        if engine.is_local():
            return hardware.identity(cell)
        with open(os.devnull, "wb") as log:
            return hardware.identity(cell, devices.seen(cell, log, threading.Event()))
    except Trouble:
        return {"device": ""}


def recipe(cell: Cell, source: Path = ROOT) -> str:
    """A hash of what makes the image, which is known before it is built: the Dockerfile, and what it is told.

    The lock and the source go into the image, too; they have hashes of their own.
    """
    told = image.build_args(cell, today=datetime.date.min)
    del told["LOCK"]
    made_by = (image.dockerfile(cell, source), *(source / one for one in (*fingerprint.BUILT_BY, ".dockerignore")))
    files = [file.read_bytes() for file in made_by]
    return hashlib.sha256(b"".join([json.dumps(told, sort_keys=True).encode(), *files])).hexdigest()


def preflight(cell: Cell) -> Result | None:
    """Why the cell can't be run in a container, as far as that is known before anything is made."""
    try:
        begin()
        local = engine.is_local()
    except Trouble as trouble:
        return _result(cell, trouble)
    # What this machine has says nothing of another's devices: those are looked at by `devices.check`.
    refusal = (hardware.check(cell) if local else None) or host.without_lock(cell)
    return refusal and replace(refusal, where="container")


@functools.cache
def begin() -> None:
    """Once, before the first cell."""
    engine.check()
    engine.remove_leftovers()


def run(cell: Cell, on_progress: OnProgress, cancel: threading.Event, *, folder: Path = RESULTS) -> Result:
    """Run the cell and write its result. Once `cancel` is set, stop, and write none.

    Raises: OSError: the log, or the result, can't be written.
    """
    clock = time.monotonic()
    started = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    now: dict[str, str] = {}
    try:
        with new_log(cell, folder) as log, tempfile.TemporaryDirectory(prefix="equinox-") as scratch:
            source = snapshot.take(Path(scratch), cell)
            now = hashes_of([cell], source)[cell.name]
            if not snapshot.is_asked_for(now):
                raise Trouble(snapshot.CHANGED)
            on_progress("image", 0, 0, 0)
            ways = devices.check(cell, log, cancel)
            made = build(cell, log, cancel, source)
            set_up_s = time.monotonic() - clock
            on_progress("tests", 0, 0, 0)
            result = test(cell, made, ways, on_progress, log, cancel, folder)
            result = replace(result, evidence={**result.evidence, "image": made})
    except engine.Interrupted:
        return Result(cell.name, Outcome.NOT_RUN, "it was interrupted", where="container", bridge=cell.bridge)
    except Trouble as trouble:
        result, set_up_s = _result(cell, trouble), time.monotonic() - clock
    seconds = {"setup": set_up_s, **result.seconds, "total": time.monotonic() - clock}
    result = replace(
        result,
        started=started,
        seconds={name: round(value, 1) for name, value in seconds.items()},
        hashes=now,
        run=uuid.uuid4().hex,
    )
    if displaces(result, results.last(cell.name, folder)):
        results.write(result, folder)
    return result


def _result(cell: Cell, trouble: Trouble) -> Result:
    return Result(cell.name, trouble.outcome, str(trouble), where="container", bridge=cell.bridge)


def new_log(cell: Cell, folder: Path) -> BinaryIO:
    """A new file: whatever may still write to the old one doesn't write to this one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (cell.name + ".log")
    path.unlink(missing_ok=True)
    return path.open("wb")


# ---- The three steps -------------------------------------------------------------------------------------------------


def build(cell: Cell, log: BinaryIO, cancel: threading.Event, source: Path = ROOT) -> str:
    """Build the image of the cell, or what of it isn't in the engine's cache, and return its id.

    `source`: a snapshot, or the checkout.

    Raises: Interrupted. Trouble: it can't be built.
    """
    cell = host.preferred(cell)
    for base in bases.of(cell):
        if bases.floats(base):
            log.write("{}: {}\n".format(base, bases.FLOATS).encode())
            log.flush()
    with tempfile.TemporaryDirectory(prefix="equinox-") as scratch:
        id_file = Path(scratch) / "id"
        where = ["--file", str(image.dockerfile(cell, source)), "--target", "cell", "--iidfile", str(id_file)]
        told = image.build_args(cell, image.revision(), source=source)
        made_from = ["--build-arg={}={}".format(key, value) for key, value in told.items()]
        name = ["--tag", image.tag(cell), "--label", engine.ours()]
        command = ["build", "--progress=plain", *where, *name, *secrets(Path(scratch)), *made_from, str(source)]
        ended = engine.follow(*command, log=log, cancel=cancel)
        if ended.status == 0:
            engine.remove_replaced("equinox.cell=" + cell.name)
            return id_file.read_text(encoding="ascii")
    said = failed_step(ended.said)
    trouble = understand(said, **blame.source_of(cell).of_messages()) or understand(ended.said)
    if trouble is not None:
        raise trouble
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["nothing was said"]
    decisive = next((line for line in lines if line.lower().startswith("error")), lines[-1])
    message = "its image could not be built: {}; results/{}.log has it all"
    raise Trouble(message.format(decisive, cell.name), Outcome.UNAVAILABLE)


def test(
    cell: Cell,
    made: str,
    ways: Sequence[Sequence[str]],
    on_progress: OnProgress,
    log: BinaryIO,
    cancel: threading.Event,
    folder: Path,
) -> Result:
    """Run the suite in the image of that id, in the first of the ways by which the container gets its device.

    Raises: Interrupted. Trouble: the container can't be started, or the engine was lost.
    """
    way, *others = ways
    try:
        result, status = test_by(cell, made, way, on_progress, log, cancel, folder)
        why = result.reason if status == verdict.OUT_OF_PLACE else ""
    except Trouble as trouble:
        if not others:
            raise
        why = str(trouble)
    if not (why and others):
        return result
    log.write("By {}: {}. Another way is tried.\n".format(" ".join(way), why).encode())
    log.flush()
    return test(cell, made, others, on_progress, log, cancel, folder)


def test_by(
    cell: Cell,
    made: str,
    way: Sequence[str],
    on_progress: OnProgress,
    log: BinaryIO,
    cancel: threading.Event,
    folder: Path,
) -> tuple[Result, int]:
    """The same, in one way, which the result names; and the exit status."""
    with engine.container(
        made, options=(*way, *devices.NO_PROXIES, *devices.passed_on()), log=log, cancel=cancel
    ) as name:
        status = engine.execute(name, log, cancel, Progress(name, on_progress).tell).status
        try:
            with taken_out(name) as place:
                result = verdict.of_run(host.preferred(cell), place, status)
                left.keep_junit(place.junit, folder / (cell.name + ".xml"))
        except left.Unusable as error:
            result = verdict.of_unusable(cell, error)
    return replace(result, where="container", evidence={**result.evidence, "options": [*way]}), status


def secrets(scratch: Path, env: Mapping[str, str] = os.environ) -> list[str]:
    """What the build needs to reach an index of the user's own, see `isolation`. No image keeps it."""
    files = {"ca.pem": Path(env.get("SSL_CERT_FILE") or os.devnull)}
    if env.get(isolation.INDEX):
        files["pip.conf"] = scratch / "pip.conf"
        files["pip.conf"].write_text("[global]\nindex-url = {}\n".format(env[isolation.INDEX]), encoding="utf-8")
    return ["--secret=id={},src={}".format(name, path) for name, path in files.items() if path.is_file()]


@contextlib.contextmanager
def taken_out(name: str) -> Iterator[Environment]:
    """What the run has left in the container, for a while here.

    Raises: Unusable: a run doesn't leave such files. Trouble: the engine doesn't give them.
    """
    with tempfile.TemporaryDirectory(prefix="equinox-") as scratch:
        folder = Path(scratch)
        # As an archive: docker, when it writes the files itself, makes the links among them, too.
        engine.receive("cp", "{}:{}".format(name, image.INSIDE.folder), "-", take=lambda it: left.unpack(it, folder))
        yield Environment(folder)


@dataclass
class Progress:
    """How far the tests are, asked of the container that runs them."""

    name: str
    on_progress: OnProgress
    asked: float = 0.0

    def tell(self) -> None:
        if time.monotonic() - self.asked < PROGRESS_EVERY_S:
            return
        try:
            said = left.progress(engine.ask("exec", self.name, "sh", "-c", READ_PROGRESS, str(image.INSIDE.progress)))
        except Trouble:  # it hasn't begun, or has just ended
            return
        finally:
            self.asked = time.monotonic()
        if said is not None:
            self.on_progress("tests", *said)

"""Run one cell in a container: build its image, run the suite in it, copy the results out.

No folder of this machine is mounted, so the engine may be on another machine. Every container is removed at the end:
see `engine.remove_at_end`. The functions raise what those of `engine` raise.
"""

import datetime
import functools
import io
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from harness import rows
from harness.containers import bases, devices, engine, image
from harness.containers.docker_errors import DockerError, failed_step, understand
from harness.locks import package_source
from harness.results import Outcome, Result, run_files
from harness.results.resume import keep
from harness.results.started import Started
from harness.rows import Cell
from harness.run import hardware, host, verdict
from harness.run.environment import Environment, pytest_arguments
from harness.run.scheduler import OnProgress
from harness.source import fingerprint, hashing, snapshot
from harness.system import isolation
from harness.system.outputs import decisive_line
from harness.system.paths import RESULTS, ROOT

# Print only a regular file, and only so many bytes. `timeout` ends `head` if a FIFO replaces the file after the check.
READ_PROGRESS = '[ -f "$0" ] && exec timeout 5 head -c {} "$0"'.format(run_files.MAX_BYTES["progress.json"])
PROGRESS_EVERY_S = 2.0  # each question starts a process in the container, and may open a connection by ssh


def hashes_of(cells: Iterable[Cell], source: Path = ROOT) -> dict[str, dict[str, str]]:
    """For each cell, by name: the hashes that its result would have if it ran in a container now."""
    cells = list(cells)
    hashes = fingerprint.hashes_of(cells, source)
    found = {backend: identity(cell) for backend, cell in {cell.backend: cell for cell in cells}.items()}
    return {cell.name: {**hashes[cell.name], "image": recipe(cell, source), **found[cell.backend]} for cell in cells}


def identity(cell: Cell) -> dict[str, str]:
    """Name the device that a container gets. See `hardware.identity`."""
    try:
        if cell.backend == "cpu" or engine.is_local():
            return hardware.identity(cell)
        return hardware.identity(cell, devices.seen(cell, io.BytesIO(), threading.Event()))
    except DockerError:
        return {"device": ""}


def recipe(cell: Cell, source: Path = ROOT) -> str:
    """Hash the Dockerfile, the build arguments and the files that the build reads. No image has to be built for it.

    The lock and the source go into the image too. They have hashes of their own.
    """
    build_args = image.build_args(cell, today=datetime.date.min, source=source)
    for changing in ("HARNESS", "LOCK"):
        del build_args[changing]
    read = [image.dockerfile(cell, source), fingerprint.home_of(source) / fingerprint.BUILDERS]
    read += [source / file for file in [rows.project().build_constraints] if file]
    files = [(file.name, file.read_bytes()) for file in read]
    return hashing.digest([("arguments", json.dumps(build_args, sort_keys=True).encode()), *files])


def preflight(cell: Cell) -> Result | None:
    """Say why the cell can't run in a container. `None`: no reason is known before the build."""
    try:
        prepare_engine()
        local = engine.is_local()
    except DockerError as error:
        return Result.of(cell, error.outcome, str(error), where="container")
    # If the engine is on another machine, `devices.check` looks at its devices later.
    refusal = (hardware.check(cell) if local else None) or host.without_lock(cell)
    return refusal and replace(refusal, where="container")


@functools.cache
def prepare_engine() -> None:
    """Check the engine and remove old containers. This happens once, before the first cell."""
    engine.check()
    engine.remove_leftovers()


def run(cell: Cell, on_progress: OnProgress, cancel: threading.Event, *, folder: Path = RESULTS) -> Result:
    """Run the cell and write its result, as `scheduler.Runner` says."""
    started, set_up_s = Started(), None
    now: dict[str, str] = {}
    try:
        with new_log(cell, folder) as log, tempfile.TemporaryDirectory(prefix="harness-") as scratch:
            source = snapshot.take(Path(scratch), cell)
            now = hashes_of([cell], source)[cell.name]
            if not snapshot.is_expected(now):
                raise DockerError(snapshot.CHANGED)
            on_progress("image", 0, 0, 0)
            option_sets = devices.check(cell, log, cancel)
            image_id = build(cell, log, cancel, source)
            set_up_s = started.spent_s
            on_progress("tests", 0, 0, 0)
            result = test(cell, image_id, option_sets, on_progress, log, cancel, folder)
            result = replace(result, evidence={**result.evidence, "image": image_id})
    except engine.Interrupted:
        return Result.of(cell, Outcome.NOT_RUN, "it was interrupted", where="container")
    except DockerError as error:
        result = Result.of(cell, error.outcome, str(error), where="container")
    result = started.complete(result, now, set_up_s)
    keep(result, folder)
    return result


def new_log(cell: Cell, folder: Path) -> BinaryIO:
    """Create a new log file. A process of an earlier run may still write to the old file, but not to this one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (cell.name + ".log")
    path.unlink(missing_ok=True)
    return path.open("wb")


def build(cell: Cell, log: BinaryIO, cancel: threading.Event, source: Path = ROOT) -> str:
    """Build the image of the cell and return its id. The engine takes from its cache what hasn't changed."""
    cell = host.preferred(cell)
    for base in bases.base_images(cell):
        if bases.floats(base):
            log.write("{}: {}\n".format(base, bases.FLOATS).encode())
            log.flush()
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
        id_file = Path(scratch) / "id"
        where = ["--file", str(image.dockerfile(cell, source)), "--target", "cell", "--iidfile", str(id_file)]
        build_args = image.build_args(cell, image.revision(), source=source)
        arguments = ["--build-arg={}={}".format(key, value) for key, value in build_args.items()]
        name = ["--tag", image.tag(cell), "--label", engine.checkout_label()]
        command = ["build", "--progress=plain", *where, *name, *secrets(Path(scratch)), *arguments, str(source)]
        completed = engine.follow(*command, log=log, cancel=cancel)
        if completed.status == 0:
            engine.remove_replaced("harness.cell=" + cell.name)
            return id_file.read_text(encoding="ascii")
    output = failed_step(completed.output)
    error = understand(output, **vars(package_source.source_of(cell))) or understand(completed.output)
    if error is not None:
        raise error
    message = "its image could not be built: {}; the whole output is in results/{}.log"
    reason = decisive_line(output) or "docker printed nothing"
    raise DockerError(message.format(reason, cell.name), Outcome.UNAVAILABLE)


def test(
    cell: Cell,
    image_id: str,
    option_sets: Sequence[Sequence[str]],
    on_progress: OnProgress,
    log: BinaryIO,
    cancel: threading.Event,
    folder: Path,
) -> Result:
    """Run the suite in an image. Try one set of docker options after another, until one gives the device."""

    def test_with(options: Sequence[str]) -> tuple[Result, int]:
        """Return the result, which names the options, and the exit status."""
        every = (*options, *devices.NO_PROXIES, *devices.passed_on())
        command = ("python", "-m", "pytest", *pytest_arguments(image.INSIDE))
        with (
            engine.container(image_id, *command, options=every, log=log, cancel=cancel) as name,
            tempfile.TemporaryDirectory(prefix="harness-") as scratch,
        ):
            status = engine.execute(name, log, cancel, Progress(name, on_progress).ask).status
            try:
                place = copy_results(name, Path(scratch))
                result = verdict.of_run(host.preferred(cell), place, status)
                run_files.keep_junit(place.junit, folder / (cell.name + ".xml"))
            except run_files.Unusable as error:
                result = verdict.of_unusable(cell, error)
        return replace(result, where="container", evidence={**result.evidence, "options": [*options]}), status

    for options in option_sets[:-1]:
        try:
            result, status = test_with(options)
            if status != verdict.OUT_OF_PLACE:
                return result
            why = result.reason
        except DockerError as error:
            why = str(error)
        log.write("With the options {}: {}. Trying the next options.\n".format(" ".join(options), why).encode())
        log.flush()
    return test_with(option_sets[-1])[0]


def secrets(scratch: Path, env: Mapping[str, str] = os.environ) -> list[str]:
    """The docker options that give the build the user's own index and CA. No image keeps them. See `isolation`."""
    files = {"ca.pem": Path(env.get("SSL_CERT_FILE") or os.devnull)}
    if env.get(isolation.INDEX):
        files["pip.conf"] = scratch / "pip.conf"
        files["pip.conf"].write_text("[global]\nindex-url = {}\n".format(env[isolation.INDEX]), encoding="utf-8")
    return ["--secret=id={},src={}".format(name, path) for name, path in files.items() if path.is_file()]


def copy_results(name: str, folder: Path) -> Environment:
    """Copy what the run left in the container to a folder. Raises `run_files.Unusable` for files that no run leaves."""
    # Take them as an archive. If docker wrote the files itself, it would create the links among them too.
    source = "{}:{}".format(name, image.INSIDE.folder)
    engine.receive("cp", source, "-", take=lambda archive: run_files.unpack(archive, folder))
    return Environment(folder)


@dataclass
class Progress:
    """Ask the container how many tests are done, and pass the answer on."""

    name: str
    on_progress: OnProgress
    asked: float = 0.0

    def ask(self) -> None:
        if time.monotonic() - self.asked < PROGRESS_EVERY_S:
            return
        try:
            said = engine.ask("exec", self.name, "sh", "-c", READ_PROGRESS, str(image.INSIDE.progress))
        except DockerError:  # the tests haven't begun, or have just ended
            return
        finally:
            self.asked = time.monotonic()
        counts = run_files.progress(said)
        if counts is not None:
            self.on_progress("tests", *counts)

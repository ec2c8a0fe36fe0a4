"""Run the suite on what a machine has, as it was found: on the JAX, and with the packages, of this very Python.

No cell of the matrix, whose packages are those of a lock, but proven like one: the same suite, the same proof of place,
and a result that lists all that was installed. Its name says so: `py312-jax0.11.2-cuda-found`.

What this module imports is in the standard library, or comes with pytest.
"""

import codecs
import contextlib
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from inside import inventory
from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from harness import environment, hardware, host, isolation, left, rows, signals, snapshot, suite, verdict
from harness.environment import Environment
from harness.files import write_whole
from harness.matrix_file import Matrix
from harness.places import MATRIX, RESULTS, ROOT
from harness.results import Outcome, Result
from harness.rows import Cell
from harness.shown import safe

NAME = re.compile(r"py(\d)(\d+)-jax([\w.]+)-(cpu|cuda|tpu)-found")
# Of the plugins of pytest that happen to be here, only what the suite needs.
PYTEST = (sys.executable, "-m", "pytest", "-p", "xdist", "-p", "hypothesispytest")
PLUGINS = ("-p", "proof_of_place", "-p", "cell_report", "-p", "workers", "-n", "auto")
NEVER = threading.Event()


@dataclass(frozen=True)
class Found(Cell):
    """What a machine has, in the place of a row's cell."""

    @property
    def name(self) -> str:
        return super().name + "-found"

    @property
    def floating(self) -> bool:
        return False  # it is of that JAX, whatever comes


def cell(python: str, jax: str, backend: str, jaxlib: str | None = None) -> Found:
    platform = Matrix(MATRIX).backends[backend]["platform"]
    return Found(jax, python, backend, platform, tier="nightly", jaxlib=jaxlib, as_of=None, requires=())


def this_python(backend: str) -> Found:
    python = "{}.{}".format(*sys.version_info)
    return cell(python, version("jax").split("+")[0], backend, version("jaxlib").split("+")[0])


def among(cells: Iterable[Cell], folder: Path = RESULTS, recorded: Iterable[str] = ()) -> list[Cell]:
    """The cells, and what was found on machines, each behind the last JAX before it.

    That are the runs whose results are in the folder, and those whose names are `recorded`.
    """
    found = list(cells)
    names = dict.fromkeys([*recorded, *(path.stem for path in sorted(folder.glob("*-found.json")))])
    new = list(filter(None, map(named, names)))
    for one in sorted(new, key=lambda one: (Version(one.jax), one.name)):
        before = [i for i, other in enumerate(found) if not other.floating and Version(other.jax) <= Version(one.jax)]
        found.insert(max(before, default=-1) + 1, one)
    return found


def named(name: str) -> Found | None:
    """What has that name; None: nothing has, as no release of JAX is called so."""
    match = NAME.fullmatch(name)
    try:
        return match and cell("{}.{}".format(match[1], match[2]), str(Version(match[3])), match[4])
    except InvalidVersion:
        return None


def missing(project: Path = ROOT / "pyproject.toml") -> list[str]:
    """What the library and its suite need, and this Python hasn't, or has in a release that won't do."""
    return [
        line for line in ("jax", "jaxlib", *rows.suite_requires(project, markers=True)) if not met(Requirement(line))
    ]


def met(requirement: Requirement) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True  # it is for other Pythons
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False


def installed() -> list[str]:
    """All that this Python has. What has no name is none: an interrupted pip leaves such a folder behind."""
    return inventory.lines(one for one in distributions() if "Name" in one.metadata)


def run(
    backend: str,
    args: Sequence[str] = (),
    *,
    pytest: Sequence[str] = PYTEST,
    folder: Path = RESULTS,
    env: Mapping[str, str] = os.environ,
) -> int:
    """Run the suite, in full view; keep its result, unless `args` make it a part of the suite. The exit status."""

    def test(found: Found, heard: Sequence[int]) -> int:
        with prepared(found) as ready:
            if not args:
                return keep(run_suite(ready, pytest, folder, env, heard), folder)
            status = ready.follow([*pytest, *PLUGINS, *args], env, folder / (found.name + ".log"), heard)
        print("{}: a part of the suite; no result is written.".format(found.name))
        return 1 if status else 0

    return attempt(backend, test)


def attempt(backend: str, run: Callable[[Found, Sequence[int]], int]) -> int:
    """Run what is here, if it can be run, with the signals that were heard meanwhile. The exit status.

    `run` may raise Interrupted: by a signal. OSError: something can't be written.
    """
    lacking = missing()
    if lacking:
        message = "{0} lacks what the suite needs: {1}. Install it, {0} -m pip install {2}, or choose another Python."
        quoted = " ".join("'{}'".format(line) for line in lacking)
        print(message.format(sys.executable, ", ".join(lacking), quoted), file=sys.stderr)
        return 3
    found = this_python(backend)
    refusal = hardware.check(found)
    if refusal is not None:
        print("{0.cell}: {0.outcome.value}: {0.reason}".format(refusal), file=sys.stderr)
        return 3
    print("{}: JAX {} of {}, as it is".format(found.name, found.jax, sys.executable), flush=True)

    heard: list[int] = []

    def hear(number: int) -> None:
        # `follow` looks there: an exception, just when a process is started, would lose sight of it.
        heard.append(number)
        if len(heard) > 1:
            raise Interrupted(number)

    try:
        with signals.heard_by(hear):
            return run(found, heard)
    except Interrupted as ended:
        print("{}: interrupted; no result is written.".format(found.name), file=sys.stderr)
        return 128 + ended.number
    except BrokenPipeError:  # nobody reads what it says, as behind `| head`
        return 128 + signal.SIGPIPE
    except OSError as error:
        print("It can't go on: {}. Mend that, and run it again.".format(error), file=sys.stderr)
        return 3


@dataclass(frozen=True)
class Prepared:
    """The suite, and the library, in a folder of their own."""

    found: Found
    place: Environment
    hashes: dict[str, str]
    installed: list[str]
    began: float

    def follow(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        heard: Sequence[int],
        deadline: float = math.inf,
        stop: host.Stop = host.STOP,
    ) -> int | None:
        """Run a command there, see `follow`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        return follow(command, self.place, variables(self.found, self.place, env), log, heard, deadline, stop)


@contextlib.contextmanager
def prepared(found: Found) -> Iterator[Prepared]:
    began, inventoried = time.monotonic(), installed()  # as it is before the suite
    with tempfile.TemporaryDirectory(prefix="equinox-") as scratch:
        place = Environment(Path(scratch))
        source = snapshot.take(place.folder / "source", found)
        suite.copy(place.suite, source)
        install(place.folder / "site-packages", source)
        yield Prepared(found, place, host.hashes_of([found], source)[found.name], inventoried, began)


def run_suite(
    ready: Prepared,
    pytest: Sequence[str],
    folder: Path,
    env: Mapping[str, str],
    heard: Sequence[int],
    deadline: float = math.inf,
) -> Result:
    """The result of the whole suite; of as much of it as was done by the deadline, on the monotonic clock.

    Raises: Interrupted: by a signal. OSError: something can't be written.
    """
    found, place, clock = ready.found, ready.place, time.monotonic()
    started = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    command = [*pytest, *PLUGINS, "--junitxml={}".format(place.junit), "tests"]
    status = ready.follow(command, env, folder / (found.name + ".log"), heard, deadline)
    result = verdict.of_run(found, place, host.INTERRUPTED if status is None else status)
    result = cut_off(result) if status is None else result
    left.keep_junit(place.junit, folder / (found.name + ".xml"))
    seconds = {"setup": clock - ready.began, **result.seconds, "total": time.monotonic() - ready.began}
    return replace(
        result,
        started=started,
        seconds={name: round(value, 1) for name, value in seconds.items()},
        hashes=ready.hashes,
        run=uuid.uuid4().hex,
        evidence={**result.evidence, "installed": ready.installed},  # there is no lock
    )


def cut_off(result: Result) -> Result:
    """What is known where the time was over: that a test has failed, or nothing of the whole."""
    if result.failures:
        return result
    message = "the time was over after {} tests, of which none had failed; give it more"
    return replace(result, outcome=Outcome.NOT_RUN, reason=message.format(sum(result.counts.values())))


def keep(result: Result, folder: Path) -> int:
    """Write the result, unless it says less than the last one, and say it. The exit status."""
    host.keep(result, folder)
    reason = result.reason and ": " + result.reason
    path = folder / (result.cell + ".json")
    print("{}: {}{}\n  {}".format(result.cell, result.outcome.value, reason, path), flush=True)
    return {Outcome.PASSED: 0, Outcome.NOT_RUN: 3}.get(result.outcome, 1)


def install(folder: Path, source: Path) -> None:
    """Put the library where pip would: its files, and its name and version.

    No wheel is built, as what builds it can't be had here. The wheel holds these very files, which pyproject.toml asks
    for and nothing else; and each cell of the matrix tests that.
    """
    shutil.copytree(source / "equinox", folder / "equinox", ignore=shutil.ignore_patterns("__pycache__"))
    text = (folder / "equinox" / "__init__.py").read_text(encoding="utf-8")
    number = re.findall(r'^__version__ = "(.*)"$', text, re.MULTILINE)[0]
    # Else another `equinox`, which this Python may have, would give its own.
    facts = folder / "equinox-{}.dist-info".format(number) / "METADATA"
    write_whole(facts, "Metadata-Version: 2.1\nName: equinox\nVersion: {}\n".format(number))


def variables(found: Found, place: Environment, env: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of the run: of the machine's, those that its libraries may need."""
    kept = {name: env[name] for name in isolation.chosen(env, isolation.REACH_TESTS + isolation.REACH_FOUND)}
    kept.pop(isolation.INDEX, None)  # it may have a password
    own = environment.variables(found, place)
    del own["PYTHONNOUSERSITE"]  # JAX may be the user's own
    path = [str(place.folder / "site-packages"), own["PYTHONPATH"], *filter(None, [env.get("PYTHONPATH")])]
    return {
        **kept,
        **own,
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONUNBUFFERED": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }


def follow(
    command: Sequence[str],
    place: Environment,
    env: Mapping[str, str],
    log: Path,
    heard: Sequence[int],
    deadline: float = math.inf,
    stop: host.Stop = host.STOP,
) -> int | None:
    """Run a command, and show what it writes to the log. However this ends, so does the command.

    Returns: the exit status; None: the time was over, by the monotonic clock.

    Raises: Interrupted: a signal was heard. OSError: the log can't be written.
    """
    with log.open("wb") as written, log.open("rb") as said, gone_with_this(place.folder) as tell:
        process = subprocess.Popen(
            command,
            cwd=place.suite,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        try:
            tell(process.pid)
            while True:
                ended = host.ended(process, NEVER)
                sys.stdout.buffer.write(safe(decoder.decode(said.read())).encode("utf-8"))
                sys.stdout.flush()
                if heard:
                    raise Interrupted(heard[0])
                if ended:
                    break
                if time.monotonic() > deadline:
                    return None
        finally:
            host.end(process, stop)
    return process.returncode


@contextlib.contextmanager
def gone_with_this(folder: Path) -> Iterator[Callable[[int], None]]:
    """Should this process be killed meanwhile, the folder goes, and so does the process group that one is told of.

    A small process reads from a pipe between it and this one, which the kernel closes for a process that was killed:
    the number of the group, and then, if all goes well, that it has ended.
    """
    script = 'read -r group; read -r ended || { kill -s KILL -- "-$group"; rm -rf -- "$0"; }'
    watcher = subprocess.Popen(
        ["sh", "-c", script, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert watcher.stdin is not None
    pipe = watcher.stdin.fileno()

    def tell(group: int) -> None:
        os.write(pipe, b"%d\n" % group)

    try:
        yield tell
    finally:
        watcher.communicate(b"ended\n")


class Interrupted(BaseException):
    """A signal wants this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

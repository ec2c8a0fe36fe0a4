"""Run the suite with the JAX and the packages that are installed in this Python.

It is the same suite with the same proof of place as in a cell of the matrix. There is no lock, so the result lists all
installed packages. A signal raises `Interrupted` in the functions that run something.

This module imports only the standard library and packages that come with pytest.
"""

import codecs
import contextlib
import math
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from packaging.requirements import Requirement

from harness import rows
from harness.results import Outcome, Result, resume, run_files
from harness.results.started import Started
from harness.run import environment, hardware, verdict
from harness.run.environment import Environment
from harness.run.installed_cell import InstalledCell, this_python
from harness.source import fingerprint, snapshot, suite
from harness.system import isolation, processes, signals
from harness.system.errors import CannotGoOn
from harness.system.files import write_whole
from harness.system.inside import inventory
from harness.system.paths import RESULTS, ROOT
from harness.system.safe_text import safe

# Load only the pytest plugins that the suite needs, even if more are installed.
PYTEST = (sys.executable, "-m", "pytest", *(word for plugin in rows.project().plugins for word in ("-p", plugin)))
NEVER = threading.Event()


def missing(root: Path = ROOT) -> list[str]:
    """The requirements of the library and its suite that this Python doesn't meet."""
    return [line for line in ("jax", "jaxlib", *rows.suite_requires(root)) if not is_met(Requirement(line))]


def is_met(requirement: Requirement) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True  # it is a requirement for other Pythons only
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False


def installed() -> list[str]:
    """The installed packages. An interrupted pip leaves folders without a name: they don't count."""
    return inventory.lines(one for one in distributions() if "Name" in one.metadata)


def run(
    backend: str,
    args: Sequence[str] = (),
    *,
    pytest: Sequence[str] = PYTEST,
    folder: Path = RESULTS,
    env: Mapping[str, str] = os.environ,
) -> int:
    """Run the suite, show its output and write its result. With `args` for pytest, write no result.

    Returns the exit status.
    """

    def test(ready: Prepared) -> int:
        if not args:
            return keep(run_suite(ready, pytest, folder, env), folder)
        name = ready.cell.name
        command = [*pytest, *environment.pytest_arguments(ready.place, args)]
        status = ready.follow(command, env, folder / (name + ".log"))
        print("{}: a part of the suite; no result is written.".format(name))
        return 1 if status else 0

    return attempt(backend, test)


def attempt(backend: str, run: "Callable[[Prepared], int]") -> int:
    """Prepare a run, and then call `run`. Returns the exit status.

    Raises:
        CannotGoOn: Something that the suite needs is missing.
    """
    not_met = missing()
    if not_met:
        message = "{0} lacks what the suite needs: {1}. Install it, {0} -m pip install {2}, or choose another Python."
        quoted = " ".join("'{}'".format(line) for line in not_met)
        raise CannotGoOn(message.format(sys.executable, ", ".join(not_met), quoted))
    cell = this_python(backend)
    refusal = hardware.check(cell)
    if refusal is not None:
        raise CannotGoOn(refusal.line)
    print("{}: JAX {} of {}, as installed".format(cell.name, cell.jax, sys.executable), flush=True)

    heard: list[int] = []

    def hear(number: int) -> None:
        # Only note the first signal: `follow` reads the list. An exception could come while a process is starting, and
        # then nothing would stop that process.
        heard.append(number)
        if len(heard) > 1:
            raise Interrupted(number)

    try:
        with signals.heard_by(hear), prepared(cell, heard) as ready:
            return run(ready)
    except Interrupted as ended:
        print("{}: interrupted; no result is written.".format(cell.name), file=sys.stderr)
        return 128 + ended.number


@dataclass(frozen=True)
class Prepared:
    """A temporary folder with the suite and the library."""

    cell: InstalledCell
    place: Environment
    hashes: dict[str, str]
    installed: list[str]
    started: Started
    heard: Sequence[int]  # the signals that have come

    def follow(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        deadline: float = math.inf,
        stop: processes.Stop = processes.STOP,
    ) -> int | None:
        """Run a command in the folder, and show what it writes to the log. It is always stopped before this ends.

        Returns the exit status, or `None` if the deadline on the monotonic clock has passed.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        # The helper reads the number of the process group, and then "ended". If the second line is missing, this
        # process was killed.
        script = 'read -r group; read -r ended || { kill -s KILL -- "-$group"; rm -rf -- "$0"; }'
        own, decoder = variables(self.cell, self.place, env), codecs.getincrementaldecoder("utf-8")("replace")
        with (
            log.open("wb") as written,
            log.open("rb") as said,
            processes.helper(script, str(self.place.folder)) as tell,
        ):
            try:
                with processes.group(command, stop=stop, cwd=self.place.suite, env=own, stdout=written) as process:
                    tell("{}\n".format(process.pid))
                    while True:
                        ended = processes.wait_briefly(process, NEVER)
                        sys.stdout.buffer.write(safe(decoder.decode(said.read())).encode("utf-8"))
                        sys.stdout.flush()
                        if self.heard:
                            raise Interrupted(self.heard[0])
                        if ended:
                            break
                        if time.monotonic() > deadline:
                            return None
            finally:
                tell("ended\n")
        return process.returncode


@contextlib.contextmanager
def prepared(cell: InstalledCell, heard: Sequence[int]) -> Iterator[Prepared]:
    """Copy the source, the suite and the library to a temporary folder, and remove it at the end."""
    started, inventoried = Started(), installed()  # list the packages before the suite can change them
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
        place = Environment(Path(scratch))
        source = snapshot.take(place.folder / "source", cell)
        suite.copy(place.suite, source)
        suite.copy_plugins(place.plugins, fingerprint.home_of(source))
        install(place.folder / "site-packages", source)
        hashes = {**fingerprint.hashes(cell, source), **hardware.identity(cell)}
        yield Prepared(cell, place, hashes, inventoried, started, heard)


def run_suite(
    ready: Prepared, pytest: Sequence[str], folder: Path, env: Mapping[str, str], deadline: float = math.inf
) -> Result:
    """Run the whole suite, or as much of it as is done by the deadline on the monotonic clock. Returns the result."""
    cell, place, set_up_s = ready.cell, ready.place, ready.started.spent_s
    command = [*pytest, *environment.pytest_arguments(place)]
    status = ready.follow(command, env, folder / (cell.name + ".log"), deadline)
    result = verdict.of_run(cell, place, signals.INTERRUPTED if status is None else status)
    result = cut_off(result) if status is None else result
    run_files.keep_junit(place.junit, folder / (cell.name + ".xml"))
    result = replace(result, evidence={**result.evidence, "installed": ready.installed})  # there is no lock
    return ready.started.complete(result, ready.hashes, set_up_s)


def cut_off(result: Result) -> Result:
    """The result of a suite that was cut off: failed if a test has failed, and otherwise not run."""
    if result.failures:
        return result
    message = "the time was over after {} tests, and none had failed; allow more time"
    return replace(result, outcome=Outcome.NOT_RUN, reason=message.format(sum(result.counts.values())))


def keep(result: Result, folder: Path) -> int:
    """Print the result, and write it as `resume.keep` does. Returns the exit status."""
    resume.keep(result, folder)
    print("{}\n  {}".format(result.line, folder / (result.cell + ".json")), flush=True)
    return {Outcome.PASSED: 0, Outcome.NOT_RUN: 3}.get(result.outcome, 1)


def install(folder: Path, source: Path) -> None:
    """Copy the package to where pip would install it, with its name and version.

    No wheel is built, because the build tool may not be installed here. The wheel would hold the same files, and the
    cells of the matrix test that.
    """
    name = rows.project().package
    package = next((one for one in (source / name, source / "src" / name) if one.is_dir()), None)
    if package is None:
        message = "There is no folder `{0}` or `src/{0}` to test. Correct `package` in matrix.toml."
        raise CannotGoOn(message.format(name))
    shutil.copytree(package, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    init = package / "__init__.py"
    text = init.read_text(encoding="utf-8") if init.is_file() else ""
    number = re.search(r'^__version__ = "(.*)"$', text, re.MULTILINE)
    version = number[1] if number else "0"
    # Without this file, Python would report the version of another installed package of that name.
    facts = folder / "{}-{}.dist-info".format(name, version) / "METADATA"
    write_whole(facts, "Metadata-Version: 2.1\nName: {}\nVersion: {}\n".format(name, version))


def variables(cell: InstalledCell, place: Environment, env: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of the run. They include the variables of this machine that its libraries may need."""
    kept = {name: env[name] for name in isolation.chosen(env, isolation.REACH_TESTS + isolation.REACH_FOUND)}
    kept.pop(isolation.INDEX, None)  # its URL may hold a password
    own = environment.variables(cell, place)
    del own["PYTHONNOUSERSITE"]  # JAX may be in the user's own site-packages
    path = [str(place.folder / "site-packages"), own["PYTHONPATH"], *filter(None, [env.get("PYTHONPATH")])]
    own.update(PYTHONPATH=os.pathsep.join(path), PYTHONUNBUFFERED="1", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    return {**kept, **own}


class Interrupted(BaseException):
    """A signal asks this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

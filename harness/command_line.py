"""The command line of the harness: `python -m harness COMMAND`.

A command imports what it needs when it runs. So `--help` needs only the standard library, and `here` needs only what
the suite needs. The modules know the root of the project as soon as they are imported. So `--project` starts the
command again, in an environment that names the root.
"""

import argparse
import functools
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.system import isolation, safe_text, signals
from harness.system.errors import CannotGoOn, HarnessError, WrongUsage, explain_os_error
from harness.system.paths import HOME, PROJECT
from harness.system.program import PROGRAM, typed

if TYPE_CHECKING:
    from harness.rows import Cell

DESCRIPTION = """\
Run one suite of tests on many releases of JAX: on the CPU, on NVIDIA GPUs and on TPUs.

A *cell* is one Python, one JAX and one backend, such as py311-jax0.4.30-cpu. matrix.toml lists the cells. Each
cell has its own environment, or its own container, with the exact packages of its lock. The result of a cell goes to
results/, with a proof that the tests ran on the device of the cell.
"""
EPILOG = """\
To begin:
  {program} doctor                        what this machine has, and which cells can run on it
  {program} run py311-jax0.4.30-cpu       run one cell
  {program} run --tier nightly --backend cpu
  {program} table                         the results of all cells

The project is in the current folder, or in the nearest folder above it with a matrix.toml. `--project` names another:
  {program} --project ../distrax run
  {program} --project pypi:distrax==0.1.5 run

To run some tests of one cell, or to use a debugger: {program} run CELL -- -k NAME --pdb

Exit status: 0 no problem; 1 a test or a check failed; 2 wrong usage; 3 it can't be done here, for example without a
device or a network; 130 after Ctrl-C. You can stop at any time: the same command goes on later.
"""
RUN_EPILOG = """\
What follows `--` are arguments for pytest, which choose a part of the suite. Then the output is shown, and no result is
written.

Without a cell or a tier, the cells of a pull request run. A cell that has a result and hasn't changed isn't run again.

Exit status: 0 no cell failed, though some may be "not run" because this machine lacks a device; 1 a cell failed;
2 wrong usage; 3 a cell that you named can't run here, or no cell could run; 130 after Ctrl-C. Canary cells are shown,
but they don't change the exit status.
"""
INIT_EPILOG = """\
It reads pyproject.toml, or the PKG-INFO of a source distribution. If only a build of the project says what it requires,
it is built. Then: `doctor` shows which cells can run here, `lock` resolves their packages, and `run` runs them.
"""
WRITTEN = """\
{path} is written. Read it, and correct it where it guesses. Then, in its folder:
  {program} doctor    which cells can run here
  {program} lock      resolve the packages of each cell
  {program} run       run the cells of a pull request
Commit matrix.toml and the folder locks. Add .tox and results to .gitignore."""
HERE_EPILOG = "This is for a machine without a Docker engine and a package index. It needs only what the suite needs."

Arguments = Callable[[argparse.ArgumentParser], None]
Command = Callable[[argparse.Namespace], "int | None"]  # returns the exit status; `None` is 0
COMMANDS: dict[str, tuple[Command, Arguments, str]] = {}

ON_THE_INDEX = "pypi:"  # begins the name of a project that is a release on the package index


def command(arguments: Arguments = lambda parser: None, epilog: str = "") -> Callable[[Command], Command]:
    """Make a function a command. Its docstring is the help text. The command `list` is the function `list_`."""

    def add(function: Command) -> Command:
        COMMANDS[function.__name__.rstrip("_")] = function, arguments, epilog
        return function

    return add


def cells_argument(parser: argparse.ArgumentParser, tier: str = "all") -> None:
    """Add CELL, --tier and --backend. The help text names `tier`, which is used without --tier."""
    add = parser.add_argument
    add("cells", nargs="*", metavar="CELL", help="a name, or a pattern such as 'py311-*'")
    add("--tier", help="the cells of this tier and of those before it: pr, nightly, canary; default: {}".format(tier))
    add("--backend", help="only the cells of this backend: cpu, cuda or tpu; default: all")


def run_arguments(parser: argparse.ArgumentParser) -> None:
    cells_argument(parser, tier="pr, or all if cells are named")
    parser.usage = "%(prog)s [options] [CELL ...] [-- ARG ...]"
    add = parser.add_argument
    rerun = "failed: run failed and unavailable cells again, even if nothing has changed; all: run all cells again"
    add("--rerun", choices=("failed", "all"), help=rerun)
    add("--jobs", type=positive, metavar="N", help="how many cells run at a time; default: as many as fit")
    where = "auto: in containers if a Docker engine answers, and otherwise on this host; default: %(default)s"
    add("--where", choices=("host", "container", "auto"), default="host", help=where)


def here_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("backend", choices=("cpu", "cuda", "tpu"), help="the device that runs the tests")
    check = "also run the negative control of the proof of place and the benchmarks, within a time limit"
    add("--check", action="store_true", help=check)
    add("--limit-s", type=positive, default=480, metavar="S", help="the limit of --check in seconds: %(default)s")
    fits = "run nothing; exit status 0: no Docker engine answers, and this Python has a JAX for the backend"
    add("--fits", action="store_true", help=fits)
    add("args", nargs="*", metavar="ARG", help="an argument for pytest, after --; no result is written then")


def bisect_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    test = "a test as pytest takes it: tests/test_x.py::test_y; a release is bad if any of several tests fails"
    add("test", nargs="+", metavar="TEST", help=test)
    add("--good", required=True, metavar="JAX", help="a release that passes the test, such as 0.6.2")
    add("--bad", required=True, metavar="JAX", help="a release that fails the test")
    add("--python", metavar="3.12", help="the Python to use; default: one that runs both releases")
    add("--forget", action="store_true", help="forget the results of earlier tries")


def image_arguments(parser: argparse.ArgumentParser) -> None:
    cells_argument(parser, tier="only the newest cell, if none is named")
    args = "build nothing; print the build arguments of the image of one cell, one KEY=value a line"
    parser.add_argument("--print-args", action="store_true", help=args)


def init_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    folder = "the folder of the project; default: the one of --project, or else the current folder"
    add("folder", nargs="?", metavar="FOLDER", type=Path, help=folder)
    add("--force", action="store_true", help="replace the matrix.toml that is there")
    add("--package", default="", metavar="NAME", help="the package to test, if there are several")
    tests = "a folder or a file of tests, below FOLDER; default: they are searched"
    add("--tests", action="append", default=[], metavar="PATH", help=tests)


def github_arguments(parser: argparse.ArgumentParser) -> None:
    jobs = parser.add_subparsers(required=True, dest="job", metavar="JOB")
    add = functools.partial(jobs.add_parser, allow_abbrev=False)  # `without_project` knows only the whole option
    cells = add("cells", help="print the outputs of a job, for $GITHUB_OUTPUT: the cells as JSON, and `call`")
    cells_argument(cells)
    collect = add("collect", help="copy the results from the artifacts of jobs to results/")
    collect.add_argument("folder", metavar="FOLDER", type=Path, help="it holds one folder for each artifact")
    add("summary", help="print the table as Markdown for $GITHUB_STEP_SUMMARY, and write no file")
    comment = add("comment", help="write the table as the comment on the pull request that started the job")
    comment.add_argument("table", metavar="FILE", type=Path, help="the table as Markdown")
    backend = "the backend of the cells that ran; each has its own comment; default: %(default)s"
    comment.add_argument("--backend", default="cpu", help=backend)
    for job in (cells, comment):
        about = "what is tested, if a repository has several; each has its own artifacts and its own comment"
        job.add_argument("--about", metavar="PROJECT", default=".", help=about)
    for job in jobs.choices.values():
        project_argument(job)


def project_argument(parser: argparse.ArgumentParser) -> None:
    project = "the folder of the project, or pypi:NAME==VERSION for a release on the package index"
    # Without a default, the option after the command doesn't undo the one before it.
    parser.add_argument("--project", metavar="PROJECT", default=argparse.SUPPRESS, help=project)


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError("expected a whole number of at least 1, and got {!r}".format(text))
    return int(text)


@command(run_arguments, RUN_EPILOG)
def run(options: argparse.Namespace) -> int:
    """Run cells, on this host or in containers, and show the results."""
    from harness import locks
    from harness.containers import container
    from harness.report.display import display
    from harness.results.resume import Rerun
    from harness.run import host, scheduler

    cells = chosen(options, tier="pr")
    if options.part:
        if options.where == "container":
            raise WrongUsage("A part of the suite runs on this host only. Leave out `--where container`.")
        return host.run_part(cells, options.part)
    runner = container if use_containers(options.where) else host
    return scheduler.run(
        cells,
        runner=runner,
        display=display(),
        hashes=runner.hashes_of(cells),
        jobs=options.jobs,
        rerun=Rerun(options.rerun or ""),
        named=options.cells,
        unresolved=locks.unresolved(),
    )


@command(here_arguments, HERE_EPILOG)
def here(options: argparse.Namespace) -> int:
    """Run the suite with the JAX that this Python has. Nothing is installed, and no environment is made."""
    from harness.run import which_jax

    try:
        if options.fits:
            return 0 if fits(options.backend) else 1
        from harness.run import device_check, installed_jax
    except ModuleNotFoundError as error:
        message = "This Python has no `{}`, which comes with pytest. Install it: {} -m pip install pytest pytest-xdist"
        raise CannotGoOn(message.format(error.name, sys.executable)) from error
    which_jax.require(options.backend)
    if options.check:
        return device_check.run(options.backend, options.limit_s)
    return installed_jax.run(options.backend, options.args)


@command()
def table(options: argparse.Namespace) -> None:
    """Draw the results: on the screen, in the pages of the project, and as the page results/index.html."""
    from harness import rows
    from harness.report import table

    table.draw(rows.load())


@command(cells_argument)
def list_(options: argparse.Namespace) -> None:
    """Print the names of cells, one a line."""
    for cell in chosen(options):
        print(cell.name)


@command(bisect_arguments)
def bisect(options: argparse.Namespace) -> int:
    """Find the first release of JAX on which a test fails."""
    from harness.bisect import bisection

    return bisection.run(options.test, options.good, options.bad, options.python, options.forget)


@command()
def doctor(options: argparse.Namespace) -> None:
    """Show what this machine has (Pythons, containers, accelerators), and what each backend needs."""
    from harness import rows
    from harness.report import doctor

    doctor.show(rows.load())


@command(init_arguments, INIT_EPILOG)
def init(options: argparse.Namespace) -> None:
    """Write the matrix.toml of another project from what is found in its folder."""
    from harness.init import matrix_text

    root = (options.folder or Path(os.environ.get(PROJECT, "."))).resolve()
    print(WRITTEN.format(path=matrix_text.init(root, options.force, options.package, options.tests), program=PROGRAM))


@command(cells_argument)
def lock(options: argparse.Namespace) -> int:
    """Resolve the packages of cells as of the day in their rows, and write their locks."""
    from harness import locks
    from harness.containers import bases

    everything = not (options.cells or options.tier or options.backend)
    cells = chosen(options)
    if everything:
        bases.lock(cells)
    return locks.make(cells, everything=everything)


@command(cells_argument)
def verify(options: argparse.Namespace) -> int:
    """List files of locks that can no longer be downloaded, and locks that are out of date."""
    from harness import locks

    return locks.verify(chosen(options))


@command(image_arguments)
def image(options: argparse.Namespace) -> int:
    """Build the images of cells."""
    from harness.containers import image, interactive

    cells = newest(options)
    if not options.print_args:
        return interactive.images(cells)
    for key, value in image.build_args(only_one(cells), image.revision()).items():
        print("{}={}".format(key, value))
    return 0


@command(cells_argument)
def shell(options: argparse.Namespace) -> int:
    """Open a shell in the image of one cell, with the source."""
    from harness.containers import interactive

    return interactive.shell(only_one(newest(options)))


@command(github_arguments)
def github(options: argparse.Namespace) -> None:
    """Do the work of a GitHub job: list the cells, collect the results, print the summary, write the comment."""
    if options.job == "cells":
        from harness import locks

        keys = ("name", "python", "backend", "tier")
        # A cell that has no lock for a known reason can't run. Its job would fail each time. The table says why.
        known = locks.unresolved()
        cells = chosen(options)
        cells = [cell for cell in cells if cell.name not in known] or cells
        print("cells=" + json.dumps([{key: getattr(cell, key) for key in keys} for cell in cells]))
        # One run may call the workflow several times, and no two artifacts of a run have the same name.
        words = [options.about, (options.backend or "cpu").replace("cpu", "")]
        print("call=" + "".join(word + "-" for word in re.findall(r"\w+", " ".join(words))))
    elif options.job == "collect":
        from harness.results import artifacts

        artifacts.collect(options.folder)
    elif options.job == "summary":
        from harness import rows
        from harness.report import table

        print(table.summary(rows.load()))
    else:  # where the job has no project
        from harness.report import pull_request

        text = options.table.read_text(encoding="utf-8")
        print(pull_request.comment(text, options.about, options.backend, pull_request.PullRequest.of_this_job()))


def chosen(options: argparse.Namespace, tier: str | None = None) -> "list[Cell]":
    """The cells that the user chose. `tier` counts if the user names no cells and no tier.

    Raises:
        WrongUsage: No cell fulfils all options together, or a name is wrong.
    """
    from harness import rows

    tier = options.tier or (None if options.cells else tier)
    cells = rows.select(rows.load(), options.cells, tier, options.backend)
    if not cells:
        asked = [", ".join(options.cells)] * bool(options.cells)
        asked += ["of the backend {}".format(options.backend)] * bool(options.backend)
        asked += ["of the tier {}".format(tier)] * bool(tier)
        message = "There is no cell that is {}. `{}` lists all cells."
        raise WrongUsage(message.format(" and ".join(asked), typed("list")))
    return cells


def newest(options: argparse.Namespace) -> "list[Cell]":
    """The cells that the user named. If there is none, the newest cell of the backend, which is the CPU by default.

    A floating cell is that only if there is no other.
    """
    from packaging.version import Version

    options.backend = options.backend or (None if options.cells else "cpu")
    cells = chosen(options)
    if options.cells or options.tier:
        return cells
    with_lock = sorted((cell for cell in cells if not cell.floating), key=lambda cell: Version(cell.jax))
    return (with_lock or cells)[-1:]


def only_one(cells: "list[Cell]") -> "Cell":
    if len(cells) != 1:
        message = "This needs exactly one cell, and these are {}: {}."
        raise WrongUsage(message.format(len(cells), ", ".join(cell.name for cell in cells)))
    return cells[0]


def use_containers(where: str) -> bool:
    """Decide whether cells run in containers. Print the decision if `where` leaves it open.

    Raises:
        CannotGoOn: The user asked for containers, or named an engine, and no engine answers.
    """
    from harness.containers import engine
    from harness.containers.docker_errors import DockerError

    if where == "host":
        return False
    try:
        why = engine.why_none() if where == "auto" else ""
        found = "" if why else engine.check()
    except DockerError as error:
        raise CannotGoOn("No containers: {}.".format(error)) from error
    print("On this host, not in containers: {}.".format(why) if why else "In containers: {}.".format(found), flush=True)
    return not why


def fits(backend: str) -> bool:
    """Whether to test with the JAX of this Python, and not in cells. If so, the reason is printed."""
    from harness.containers import engine
    from harness.containers.docker_errors import DockerError
    from harness.run import which_jax

    jax = which_jax.jax_for(backend)
    try:
        why = engine.why_none() if jax else ""
    except DockerError:
        return False
    if why:
        message = "Using {} of {}, because: {}. `{}` runs the cells of the matrix."
        print(message.format(jax, sys.executable, why, typed("run")))
    return bool(why)


def parser() -> argparse.ArgumentParser:
    shared: dict[str, Any] = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
    epilog = EPILOG.format(program=PROGRAM)
    result = argparse.ArgumentParser(prog=PROGRAM, description=DESCRIPTION, epilog=epilog, **shared)
    project_argument(result)
    subcommands = result.add_subparsers(required=True, title="Commands", metavar="COMMAND")
    for name, (function, arguments, epilog) in COMMANDS.items():
        text = function.__doc__
        sub = subcommands.add_parser(name, help=text, description=text, epilog=epilog, **shared)
        arguments(sub)
        project_argument(sub)
        sub.set_defaults(function=function)
    return result


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The options of a command. argparse would take pytest's arguments of `run` for names of cells."""
    ours, of_pytest = split(argv) if argv[:1] == ["run"] else (argv, [])
    options = parser().parse_args(ours)
    options.part = of_pytest[1:]
    return options


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments before `--`, and those from `--` on, which are for pytest."""
    end = argv.index("--") if "--" in argv else len(argv)
    return list(argv[:end]), list(argv[end:])


def main(argv: Sequence[str]) -> int:
    """Do a command. Returns the exit status."""
    return do(parse(argv))


def do(options: argparse.Namespace) -> int:
    try:
        return options.function(options) or 0
    except HarnessError as error:
        print(error, file=sys.stderr)
        return error.status
    except BrokenPipeError:
        raise
    except OSError as error:
        print(explain_os_error(error), file=sys.stderr)
        return CannotGoOn.status
    except KeyboardInterrupt:
        print("Interrupted. Finished work is kept.", file=sys.stderr)
        return signals.INTERRUPTED


def start(argv: Sequence[str]) -> int:
    """Do a command as a program: signals and tracebacks are handled, and the settings of the user are kept out.

    `here` needs the settings of the user, and handles signals itself.
    """
    options = parse(argv)
    safe_text.make_tracebacks_safe()
    if options.function is not here:
        isolation.isolate()
        signals.as_ctrl_c()
    if "project" in options:
        options.function = functools.partial(start_again, argv=argv, command=options.function)
    return do(options)


def start_again(options: argparse.Namespace, argv: Sequence[str], command: Command) -> int:
    """Start the command again, for the project that `--project` names.

    Raises:
        WrongUsage: There is no such project.
        CannotGoOn: The project can't be downloaded.
    """
    if options.project.startswith(ON_THE_INDEX):
        from harness.locks import source_release

        name = options.project.removeprefix(ON_THE_INDEX)
        root = source_release.unpacked(name) if command is init else source_release.obtain(name)
    else:
        root = Path(options.project).expanduser().resolve()
        if not root.is_dir():
            message = "There is no folder {}. `--project` takes a folder, or {}NAME==VERSION."
            raise WrongUsage(message.format(root, ON_THE_INDEX))
    os.environ[PROJECT] = str(root)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, str(HOME / "harness"), *without_project(argv)])


def without_project(argv: Sequence[str]) -> list[str]:
    ours, of_pytest = split(argv)
    only = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    project_argument(only)
    return [*only.parse_known_args(ours)[1], *of_pytest]

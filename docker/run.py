"""Run cells of the matrix, on this host or in containers, and show the results.

    python docker/run.py                              # the cells of a pull request
    python docker/run.py --tier nightly --backend cpu
    python docker/run.py py311-jax0.4.30-cpu 'py312-*'
    python docker/run.py --rerun failed
    python docker/run.py --where container py311-jax0.4.30-cpu
    python docker/run.py --shell py311-jax0.4.30-cpu

A cell that has a result and hasn't changed isn't run again. You can stop at any time: the same command goes on later.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.system import isolation, missing_tools, pipes, safe_text, signals

try:
    from harness import locks, rows
    from harness.containers import container, engine, interactive
    from harness.containers.docker_errors import DockerError
    from harness.report.display import display
    from harness.results.resume import Rerun
    from harness.rows import Cell, cell_arguments
    from harness.run import host, scheduler
    from harness.system.run_lock import AlreadyRunning
except ModuleNotFoundError as error:
    missing_tools.report_and_exit(error)

EPILOG = """\
Exit status: 0 no cell failed, though some may be "not run" because this machine lacks a device; 1 a cell failed;
2 wrong usage; 3 packages are missing, a cell that you named can't run here, or no cell could run; 130 after Ctrl-C.
Canary cells are shown, but they don't change the exit status.

To run some tests of one cell, or to use a debugger: tox -e CELL -- -k tree_at --pdb
"""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cell_arguments.add_arguments(parser, default="pr, or all if cells are named")
    parser.add_argument(
        "--rerun",
        choices=("failed", "all"),
        help="failed: run failed and unavailable cells again, even if nothing has changed; all: run all cells again",
    )
    parser.add_argument(
        "--jobs", type=positive, metavar="N", help="how many cells run at a time; default: as many as fit"
    )
    parser.add_argument(
        "--where",
        choices=("host", "container", "auto"),
        default="host",
        help="auto: in containers if a Docker engine answers, and otherwise on this host; default: %(default)s",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--list", action="store_true", help="print the names of the cells, and run nothing")
    instead.add_argument("--image-only", action="store_true", help="build the images of the cells, and run nothing")
    instead.add_argument("--shell", action="store_true", help="open a shell in the image of one cell, with the source")
    return parser.parse_args(argv)


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError("expected a whole number of at least 1, and got {!r}".format(text))
    return int(text)


def main(argv: Sequence[str] | None = None, run: Callable[..., int] = scheduler.run) -> int:
    options = parse(argv)
    try:
        tier = options.tier or (None if options.cells else "pr")
        cells = rows.select(rows.load(), options.cells, tier, options.backend)
    except rows.MatrixError as error:
        print(error, file=sys.stderr)
        return 2
    if not cells:
        print(no_such_cell(options), file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(cell.name for cell in cells))
        return 0
    if (options.image_only or options.shell) and not options.cells:  # the newest cell
        cells = rows.select(cells, backend=options.backend or "cpu")[-1:]
    try:
        if options.image_only or options.shell:
            return images_or_shell(cells, options.shell)
        in_containers = use_containers(options.where)
        return run(
            cells,
            runner=container if in_containers else host,
            display=display(),
            hashes=(container if in_containers else host).hashes_of(cells),
            jobs=options.jobs,
            rerun=Rerun(options.rerun or ""),
            named=options.cells,
            unresolved=locks.unresolved(),
        )
    except DockerError as error:
        print("No containers: {}.".format(error), file=sys.stderr)
        return 3
    except AlreadyRunning as error:
        print(error, file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("Interrupted before any cell was started.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        raise
    except OSError as error:
        print(scheduler.explain_os_error(error), file=sys.stderr)
        return 3


def no_such_cell(options: argparse.Namespace) -> str:
    """The message for options that no cell fulfils together."""
    asked = [", ".join(options.cells)] * bool(options.cells)
    asked += ["of the backend {}".format(options.backend)] * bool(options.backend)
    asked += ["of the tier {}".format(options.tier)] * bool(options.tier)
    message = "There is no cell that is {}. `make cell` lists all cells."
    return message.format(" and ".join(asked))


def use_containers(where: str) -> bool:
    """Decide whether cells run in containers. Print the decision if `where` leaves it open.

    Raises:
        DockerError: The user asked for containers, or named an engine, and no engine answers.
    """
    if where == "host":
        return False
    try:
        found = engine.check()
    except DockerError as error:
        if where == "container" or "DOCKER_HOST" in os.environ or "DOCKER_CONTEXT" in os.environ:
            raise  # the user asked for containers, or named an engine
        print("On this host, not in containers: {}.".format(error), flush=True)
        return False
    print("In containers: {}.".format(found), flush=True)
    return True


def images_or_shell(cells: Sequence[Cell], shell: bool) -> int:
    if shell and len(cells) != 1:
        message = "A shell needs exactly one cell, and these are {}: {}."
        print(message.format(len(cells), ", ".join(cell.name for cell in cells)), file=sys.stderr)
        return 2
    try:
        return interactive.shell(cells[0]) if shell else interactive.images(cells)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    isolation.isolate()
    signals.as_ctrl_c()
    safe_text.make_tracebacks_safe()
    sys.exit(pipes.quietly(main))

"""The command line of the matrix. `python docker/matrix.py --help` lists the commands. `make` has shorter names.

Exit status: 0 no problem; 1 a problem was found; 2 wrong usage; 3 the command could not be done.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.system import isolation, missing_tools, pipes, safe_text, signals

try:
    from harness import bisect, locks, rows
    from harness.containers import bases, image
    from harness.locks.index import IndexUnreachable
    from harness.report import doctor, table
    from harness.results import artifacts
    from harness.results.record import RecordError
    from harness.rows import cell_arguments
    from harness.run import scheduler
    from harness.source import fingerprint
    from harness.source.pages import PageError
except ModuleNotFoundError as error:
    missing_tools.report_and_exit(error)

Command = Callable[[argparse.Namespace], int]
Arguments = Callable[[argparse.ArgumentParser], None]
COMMANDS: dict[str, tuple[Command, Arguments]] = {}


def command(arguments: Arguments) -> Callable[[Command], Command]:
    """Make a function a subcommand. Its docstring is the help text. `verify_locks` becomes `verify-locks`."""

    def add(function: Command) -> Command:
        COMMANDS[function.__name__.rstrip("_").replace("_", "-")] = function, arguments
        return function

    return add


def chosen(options: argparse.Namespace) -> list[rows.Cell]:
    return rows.select(rows.load(), options.cells, options.tier, options.backend)


@command(cell_arguments.add_arguments)
def list_(options: argparse.Namespace) -> int:
    """Print the names of cells, one a line."""
    for cell in chosen(options):
        print(cell.name)
    return 0


@command(cell_arguments.add_arguments)
def github(options: argparse.Namespace) -> int:
    """Print the cells as JSON for $GITHUB_OUTPUT, with the key `cells`."""
    keys = ("name", "python", "backend", "tier")
    print("cells=" + json.dumps([{key: getattr(cell, key) for key in keys} for cell in chosen(options)]))
    return 0


@command(cell_arguments.add_arguments)
def lock(options: argparse.Namespace) -> int:
    """Resolve the packages of cells as of the day in their rows, and write docker/locks."""
    everything = not (options.cells or options.tier or options.backend)
    cells = chosen(options)
    if everything:
        bases.lock(cells)
    return locks.make(cells, everything=everything)


@command(cell_arguments.add_arguments)
def verify_locks(options: argparse.Namespace) -> int:
    """List files that can no longer be downloaded, and locks that are out of date."""
    return locks.verify(chosen(options))


def cell_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cell", metavar="CELL", help="the name of a cell")


@command(cell_argument)
def build_args(options: argparse.Namespace) -> int:
    """Print the build arguments of a cell's image, one KEY=value a line."""
    cell, *others = rows.select(rows.load(), [options.cell])
    if others:
        message = "Expected the name of one cell, but `{}` matches {}."
        raise rows.MatrixError(message.format(options.cell, 1 + len(others)))
    for key, value in image.build_args(cell, image.revision()).items():
        print("{}={}".format(key, value))
    return 0


def table_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown, and write no file")


@command(table_arguments)
def table_(options: argparse.Namespace) -> int:
    """Draw the results: on the screen, in docs/matrix.md and README.md, and as the page results/index.html."""
    cells = rows.load()
    if options.markdown:
        cells, known = table.known(cells)
        print(table.markdown(cells, known, fingerprint.hashes_of(cells), locks.unresolved()))
    else:
        table.draw(cells)
    return 0


def folder_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a folder that holds one folder for each artifact")


@command(folder_argument)
def collect(options: argparse.Namespace) -> int:
    """Copy the results from the artifacts of GitHub jobs to results/."""
    artifacts.collect(options.folder)
    return 0


@command(bisect.add_arguments)
def bisect_(options: argparse.Namespace) -> int:
    """Find the first release of JAX on which a test fails."""
    return bisect.run(options)


@command(lambda parser: None)
def doctor_(options: argparse.Namespace) -> int:
    """Show what this machine has (Pythons, containers, accelerators), and what each backend needs."""
    doctor.show(rows.load())
    return 0


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    subcommands = result.add_subparsers(required=True, metavar="COMMAND")
    for name, (function, arguments) in COMMANDS.items():
        sub = subcommands.add_parser(name, help=function.__doc__, description=function.__doc__)
        arguments(sub)
        sub.set_defaults(function=function)
    return result


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    try:
        status: int = options.function(options)
        return status
    except (rows.MatrixError, PageError, RecordError) as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:
        print(scheduler.explain_os_error(error), file=sys.stderr)
        return 3
    except IndexUnreachable as error:
        print(error, file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("Interrupted. Finished work is kept.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    isolation.isolate()
    signals.as_ctrl_c()
    safe_text.make_tracebacks_safe()
    sys.exit(pipes.quietly(main))

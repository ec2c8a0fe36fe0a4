"""The matrix from the command line. `python docker/matrix.py --help` lists what it can do; `make` has shorter names.

Exit status: 0 all is well, 1 it isn't, 2 wrong usage, 3 it could not be found out.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import isolation, lacking, pipes, shown, signals

try:
    from harness import artifacts, bases, bisect, choice, doctor, fingerprint, image, locks, many, rows, table
    from harness.index import IndexUnreachable
    from harness.pages import PageError
    from harness.record import RecordError
except ModuleNotFoundError as error:
    lacking.leave(error)

Command = Callable[[argparse.Namespace], int]
Arguments = Callable[[argparse.ArgumentParser], None]
COMMANDS: dict[str, tuple[Command, Arguments]] = {}


def command(arguments: Arguments) -> Callable[[Command], Command]:
    """Make a subcommand of a function, whose docstring is its help: `verify_locks` is `verify-locks`."""

    def add(function: Command) -> Command:
        COMMANDS[function.__name__.rstrip("_").replace("_", "-")] = function, arguments
        return function

    return add


def chosen(options: argparse.Namespace) -> list[rows.Cell]:
    return rows.select(rows.load(), options.cells, options.tier, options.backend)


@command(choice.add_arguments)
def list_(options: argparse.Namespace) -> int:
    """Print the names of cells, one on a line."""
    for cell in chosen(options):
        print(cell.name)
    return 0


@command(choice.add_arguments)
def github(options: argparse.Namespace) -> int:
    """Print the cells for $GITHUB_OUTPUT, as `cells`: JSON for `fromJson`."""
    keys = ("name", "python", "backend", "tier")
    print("cells=" + json.dumps([{key: getattr(cell, key) for key in keys} for cell in chosen(options)]))
    return 0


@command(choice.add_arguments)
def lock(options: argparse.Namespace) -> int:
    """Resolve cells as of the day their rows say, into docker/locks."""
    everything = not (options.cells or options.tier or options.backend)
    cells = chosen(options)
    if everything:
        bases.lock(cells)
    return locks.make(cells, everything=everything)


@command(choice.add_arguments)
def verify_locks(options: argparse.Namespace) -> int:
    """Say which files can no longer be fetched, and which locks are out of date."""
    return locks.verify(chosen(options))


def choosing_one(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cell", metavar="CELL", help="a cell's name")


@command(choosing_one)
def build_args(options: argparse.Namespace) -> int:
    """Print the build arguments of a cell's image, each as KEY=value on a line."""
    cell, *others = rows.select(rows.load(), [options.cell])
    if others:
        raise rows.MatrixError("Expected the name of one cell, and `{}` fits {}.".format(options.cell, 1 + len(others)))
    for key, value in image.build_args(cell, image.revision()).items():
        print("{}={}".format(key, value))
    return 0


def how_to_draw(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--markdown", action="store_true", help="print it, as for the summary of a job, and no more")


@command(how_to_draw)
def table_(options: argparse.Namespace) -> int:
    """Draw what the cells gave: here, in docs/matrix.md and README.md, and as the page results/index.html."""
    cells = rows.load()
    if options.markdown:
        cells, known = table.known(cells)
        print(table.markdown(cells, known, fingerprint.hashes_of(cells), locks.unresolved()))
    else:
        table.draw(cells)
    return 0


def from_a_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="with a folder for each artifact")


@command(from_a_folder)
def collect(options: argparse.Namespace) -> int:
    """Take over the results that the jobs of a run on GitHub have left as artifacts."""
    artifacts.collect(options.folder)
    return 0


@command(bisect.add_arguments)
def bisect_(options: argparse.Namespace) -> int:
    """Find the release of JAX from which on a test fails."""
    return bisect.run(options)


@command(lambda parser: None)
def doctor_(options: argparse.Namespace) -> int:
    """Say what is here - Pythons, containers, accelerators - and what each backend would need."""
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
        print(many.cannot_go_on(error), file=sys.stderr)
        return 3
    except IndexUnreachable as error:
        print(error, file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("Interrupted. What was finished stays.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    isolation.isolate()
    signals.as_ctrl_c()
    shown.tell_of_errors()
    sys.exit(pipes.quietly(main))

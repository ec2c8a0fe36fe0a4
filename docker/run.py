"""Run cells of the matrix, on this host or in containers, and show what comes of it.

    python docker/run.py                              # the cells of a pull request
    python docker/run.py --tier nightly --backend cpu
    python docker/run.py py311-jax0.4.30-cpu 'py312-*'
    python docker/run.py --rerun failed
    python docker/run.py --where container py311-jax0.4.30-cpu
    python docker/run.py --shell py311-jax0.4.30-cpu

What has been run, and hasn't changed since, isn't run again. Stop it whenever you like: the same command goes on.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import isolation, lacking, pipes, shown, signals

try:
    from harness import by_hand, choice, container, engine, host, locks, many, rows
    from harness.alone import NotAlone
    from harness.display import display
    from harness.resume import Rerun
    from harness.rows import Cell
    from harness.trouble import Trouble
except ModuleNotFoundError as error:
    lacking.leave(error)

EPILOG = """\
Exit status: 0 all passed, or honestly not run; 1 a cell failed; 2 this can't be asked for; 3 something could not be
set up: packages can't be had, a cell that you named can't be run here, or none could; 130 after Ctrl-C. Canary cells
are shown, and don't count.

One cell with a debugger, or only some of its tests: tox -e CELL -- -k tree_at --pdb
"""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    choice.add_arguments(parser, default="pr, unless cells are named: then all")
    parser.add_argument(
        "--rerun", choices=("failed", "all"), help="again, though nothing has changed: only what failed, or everything"
    )
    parser.add_argument(
        "--jobs", type=positive, metavar="N", help="how many cells at a time; as many as fit, if left out"
    )
    parser.add_argument(
        "--where",
        choices=("host", "container", "auto"),
        default="host",
        help="auto: in containers where a Docker engine answers, else on this host",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--list", action="store_true", help="name the cells that this would be about, and run none")
    instead.add_argument("--image-only", action="store_true", help="build the images of the cells, and run none")
    instead.add_argument("--shell", action="store_true", help="open a shell in the image of one cell, with the source")
    return parser.parse_args(argv)


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError("expected a number from 1 on, and got {!r}".format(text))
    return int(text)


def main(argv: Sequence[str] | None = None, run: Callable[..., int] = many.run) -> int:
    options = parse(argv)
    try:
        tier = options.tier or (None if options.cells else "pr")
        cells = rows.select(rows.load(), options.cells, tier, options.backend)
    except rows.MatrixError as error:
        print(error, file=sys.stderr)
        return 2
    if not cells:
        print(none_of(options), file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(cell.name for cell in cells))
        return 0
    if (options.image_only or options.shell) and not options.cells:  # the newest
        cells = rows.select(cells, backend=options.backend or "cpu")[-1:]
    try:
        if options.image_only or options.shell:
            return by_hand_instead(cells, options.shell)
        in_containers = choose(options.where)
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
    except Trouble as trouble:
        print("No containers: {}.".format(trouble), file=sys.stderr)
        return 3
    except NotAlone as error:
        print(error, file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("Interrupted before any cell was started.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        raise
    except OSError as error:
        print(many.cannot_go_on(error), file=sys.stderr)
        return 3


def none_of(options: argparse.Namespace) -> str:
    """What was asked for at once, and the next move."""
    asked = [", ".join(options.cells)] * bool(options.cells)
    asked += ["of the backend {}".format(options.backend)] * bool(options.backend)
    asked += ["of the tier {}".format(options.tier)] * bool(options.tier)
    message = "There is no cell that is {}. `make cell` names all that there are."
    return message.format(" and ".join(asked))


def choose(where: str) -> bool:
    """Whether to run in containers, and a word on it where that wasn't said.

    Raises: Trouble: that was said, and no engine answers.
    """
    if where == "host":
        return False
    try:
        found = engine.check()
    except Trouble as trouble:
        if where == "container" or "DOCKER_HOST" in os.environ or "DOCKER_CONTEXT" in os.environ:
            raise  # containers were asked for, or an engine was
        print("On this host, not in containers: {}.".format(trouble), flush=True)
        return False
    print("In containers: {}.".format(found), flush=True)
    return True


def by_hand_instead(cells: Sequence[Cell], shell: bool) -> int:
    if shell and len(cells) != 1:
        message = "A shell is in the image of one cell, and these are {}: {}."
        print(message.format(len(cells), ", ".join(cell.name for cell in cells)), file=sys.stderr)
        return 2
    try:
        return by_hand.shell(cells[0]) if shell else by_hand.images(cells)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    isolation.isolate()
    signals.as_ctrl_c()
    shown.tell_of_errors()
    sys.exit(pipes.quietly(main))

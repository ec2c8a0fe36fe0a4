"""Run cells of the matrix on this host, and show what comes of it.

    python docker/run.py                              # the cells of a pull request
    python docker/run.py --tier nightly --backend cpu
    python docker/run.py py311-jax0.4.30-cpu 'py312-*'
    python docker/run.py --rerun failed

What has been run, and hasn't changed since, isn't run again. Stop it whenever you like: the same command goes on.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import fingerprint, host, many, rows
from harness.alone import NotAlone
from harness.display import display
from harness.resume import Rerun

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
    parser.add_argument("cells", nargs="*", metavar="CELL", help="a name, or a pattern such as 'py311-*'")
    parser.add_argument(
        "--tier", choices=rows.TIERS, help="each with those before it; pr, unless cells are named: then all"
    )
    parser.add_argument("--backend", choices=rows.BACKENDS, help="only its cells; all, if left out")
    parser.add_argument(
        "--rerun", choices=("failed", "all"), help="again, though nothing has changed: only what failed, or everything"
    )
    parser.add_argument(
        "--jobs", type=positive, metavar="N", help="how many cells at a time; as many as fit, if left out"
    )
    parser.add_argument("--list", action="store_true", help="name the cells that this would be about, and run none")
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
        print("No cell is all of that: leave out --tier or --backend, or name another cell.", file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(cell.name for cell in cells))
        return 0
    try:
        return run(
            cells,
            runner=host,
            display=display(),
            hashes=fingerprint.hashes_of(cells),
            jobs=options.jobs,
            rerun=Rerun(options.rerun or ""),
            named=options.cells,
        )
    except NotAlone as error:
        print(error, file=sys.stderr)
        return 3
    except OSError as error:
        print(many.cannot_write(error), file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())

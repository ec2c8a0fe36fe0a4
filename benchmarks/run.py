"""Measure how fast the library is: `python run.py`, or `make bench`. See the README beside this file.

Exit status: 0 all was measured, and with `--gate` nothing is too slow; 1 something is too slow; 2 wrong usage; 3 a
library couldn't be measured; 130 interrupted. What was measured before an interrupt is shown and written.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "benchmarks" / "in_cells"))

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from speed import gate, peers, process
from speed.contestants import HERE, PEERS, Contestant
from speed.record import FILE, Record
from speed.table import table

OUT = process.ROOT / ".bench"


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    console = Console(width=None if sys.stdout.isatty() else 150)  # CI has no terminal whose width could be used
    record = Record(None if args.gate else args.out)
    status = 0
    try:
        measure(HERE, sys.executable, gate.OPTIONS if args.gate else options(args), record, console)
        for peer in PEERS if args.peers else ():
            measure(peer, peers.python(peer, console), options(args, peer), record, console)
    except KeyboardInterrupt:
        console.print("Interrupted. This was measured before:")
        status = 130
    except process.WorkerFailed as error:
        console.print(str(error), style="red")
        status = 3
    console.print(table(record.content))
    if args.gate:
        return status or gate.judge(record.content, console.print)
    if record.content["cases"]:
        written = [args.out / FILE, *drawn(record, console)]
        console.print("Written: " + ", ".join(map(str, written)))
    return status


def drawn(record: Record, console: Console) -> list[Path]:
    """Draw the plots, if there is something to draw and matplotlib is installed. Returns their files."""
    try:
        from speed import plot  # noqa: PLC0415 - importing matplotlib takes long
    except ImportError as error:
        console.print("No plot is drawn: {}. Try `pip install matplotlib`.".format(error))
        return []
    return plot.draw(record.content, record.folder) if record.folder else []


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", metavar="CASE", help="patterns of cases, for example 'dispatch_*' train_step/100"
    )
    parser.add_argument("--peers", action="store_true", help="measure the peers too; they are installed if necessary")
    parser.add_argument("--speed", type=float, default=1.0, help="factor for the measuring time; 0.3 for a quick look")
    parser.add_argument(
        "--out", type=Path, default=OUT, help="where to write speed.json and the plots: {}".format(OUT.name)
    )
    parser.add_argument(
        "--gate", action="store_true", help="measure a subset in a minute, and fail if anything takes twice its target"
    )
    return parser.parse_args(arguments)


def options(args: argparse.Namespace, peer: Contestant | None = None) -> list[str]:
    chosen = ["--speed", str(args.speed)]
    chosen += ["--only", *args.only] if args.only else []
    chosen += ["--cases", *peer.cases] if peer and peer.cases else []
    return chosen + (["--contenders", *peer.shown] if peer else [])


def measure(contestant: Contestant, python: str, chosen: list[str], record: Record, console: Console) -> None:
    columns = TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(contestant.name, total=None)
        for event in process.run(python, contestant.library, *chosen, checkout=contestant.checkout):
            if event["event"] == "ready":
                record.ready(contestant, event["versions"])
                progress.update(task, total=event["cases"])
            elif event["event"] == "begin":
                name = event["case"] + ("/{}".format(event["size"]) if event["size"] else "")
                progress.update(task, description="{}: {}".format(contestant.name, name))
                if not console.is_terminal:
                    console.print("{}: {}".format(contestant.name, name), highlight=False)
            else:
                record.add(contestant, event)
                progress.advance(task)


if __name__ == "__main__":
    sys.exit(main())

"""Measure one library, in this process: `python worker.py equinox|nnx [--only NAME ...]`. Mostly started by `run.py`.

It uses only the standard library, JAX and the library that it measures, so it runs in any environment. It measures the
`equinox` of that environment. It prints lines of JSON: first the versions and the number of cases, then one line when a
case begins, and one with its result.
"""

import argparse
import fnmatch
import importlib
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "benchmarks" / "in_cells"))

from speed import machine

CASES = {
    "equinox": [
        "dispatch",
        "optimizer",
        "nodes",
        "trees",
        "files",
        "tracing",
        "derivatives",
        "custom",
        "loops",
        "mapping",
        "sharding",
        "overlap",
        "imports",
        "layers",
        "compiling",
    ],
    "nnx": ["nnx", "layers.nnx"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", choices=CASES)
    parser.add_argument("--only", nargs="*", default=["*"], help="patterns of cases: train_step, 'dispatch_*', '*/100'")
    parser.add_argument("--contenders", nargs="*", help="measure only these and the floor")
    parser.add_argument("--speed", type=float, default=1.0, help="factor for the measuring time")
    parser.add_argument("--cases", nargs="*", help="files of cases, instead of all of the library's")
    args = parser.parse_args()
    contenders = frozenset(args.contenders) if args.contenders else None
    modules = [importlib.import_module("speed.cases." + name) for name in args.cases or CASES[args.library]]
    cases = [case for module in modules for case in module.cases()]
    cases = [case for case in cases if any(fnmatch.fnmatch(label, p) for p in args.only for label in labels(case))]
    say("ready", versions=machine.versions(), cases=len(cases))
    for case in cases:
        say("begin", case=case.name, size=case.size)
        say("end", **case.measure(contenders, args.speed))


def labels(case: Any) -> tuple[str, str]:
    return case.name, "{}/{}".format(case.name, case.size)


def say(event: str, **content: Any) -> None:
    print(json.dumps({"event": event, **content}), flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)

"""Run a worker in its own process, with the Python of the library that it measures."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORKER = ROOT / "benchmarks" / "worker.py"


class WorkerFailed(Exception):
    """A worker couldn't measure its library."""


def run(python: str, library: str, *options: str, checkout: bool) -> Iterator[dict[str, Any]]:
    """Yield the events that `worker.py` prints. With `checkout` it measures this library, else the installed one.

    Raises:
        WorkerFailed: The worker failed, or it would measure the wrong library.
    """
    command = [python, str(WORKER), library, *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment(checkout), cwd=WORKER.parent
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                event = json.loads(line)
                if event["event"] == "ready":
                    check(event["versions"], checkout)
                yield event
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        raise WorkerFailed("`{}` ended with status {}; see above.".format(" ".join(command), process.returncode))


def environment(checkout: bool) -> dict[str, str]:
    environ = {**os.environ, "JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", "cpu")}
    environ.pop("PYTHONPATH", None)
    if checkout:
        environ["PYTHONPATH"] = str(ROOT)
    return environ


def check(versions: dict[str, str], checkout: bool) -> None:
    """Raise `WorkerFailed` if the worker imports the wrong one of the two libraries named `equinox`."""
    file = versions.get("equinox_file")
    if file is not None and Path(file).is_relative_to(ROOT / "equinox") != checkout:
        expected = "the one of this checkout" if checkout else "a published one, installed beside that Python"
        raise WorkerFailed("`import equinox` found {}, but expected {}.".format(file, expected))

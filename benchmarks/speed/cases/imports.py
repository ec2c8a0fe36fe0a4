"""The time of `import equinox` after `import jax`, each time in a new process."""

import subprocess
import sys
from collections.abc import Callable, Iterator

from interleaved import FLOOR

from speed.case import EQUINOX, Case

MEASURE = """
import sys, time
for name in {before!r}:
    __import__(name)
start = time.perf_counter()
import {name}
print(time.perf_counter() - start)
"""


def cases() -> Iterator[Case]:
    # The floor is the import of JAX itself; the target is in milliseconds.
    yield Case(
        "import", lambda: {FLOOR: importing("jax"), EQUINOX: importing("equinox", "jax")}, timed=reported, seconds=12
    )


def importing(name: str, *before: str) -> Callable[[], float]:
    command = [sys.executable, "-c", MEASURE.format(name=name, before=before)]
    return lambda: float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def reported(call: Callable[[], float], repeats: int) -> float:
    """The time that the processes report, without their start."""
    return sum(call() for _ in range(repeats))

"""Allow one run at a time in a checkout. Two runs would write the same environments and results."""

import fcntl
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.system.errors import CannotGoOn

STEP_S = 0.2


class AlreadyRunning(CannotGoOn):
    """Another process holds the lock. The message names that process."""


@contextmanager
def hold_lock(path: Path, patience_s: float = 0.0, sleep: Callable[[float], object] = time.sleep) -> Iterator[None]:
    """Hold the lock file `path`. The file names the process that holds it.

    The kernel keeps the lock and releases it when this process ends, even if it is killed. The file stays. A file
    without a holder means nothing. Child processes don't inherit the lock.

    Args:
        path: The lock file.
        patience_s: How long to wait for the process that holds the lock. If a parent process was killed, its child
            may hold a lock of its own for some seconds longer.
        sleep: How to wait.

    Raises:
        AlreadyRunning: Another process still holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        for _ in range(round(patience_s / STEP_S)):
            if try_lock(file.fileno()):
                break
            sleep(STEP_S)
        else:
            if not try_lock(file.fileno()):
                file.seek(0)
                holder = file.read().strip() or "another process"
                message = "It is already running in this checkout, by {}. Wait for it or stop it, then try again."
                raise AlreadyRunning(message.format(holder))
        file.truncate(0)
        file.write("process {}: {}\n".format(os.getpid(), shlex.join(sys.argv)))
        file.flush()
        yield


def try_lock(handle: int) -> bool:
    """Try to take the lock. Returns whether this process holds it now."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

"""One run at a time in a checkout: two would write the same environments and results."""

import fcntl
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

STEP_S = 0.2


class NotAlone(Exception):
    """Another process is at it. The message says which."""


@contextmanager
def alone(path: Path, patience_s: float = 0.0, sleep: Callable[[float], object] = time.sleep) -> Iterator[None]:
    """Hold the lock file `path`, with a word on who does. `patience_s`: how long to wait for whoever holds it.

    The lock is the kernel's, on the open file: it goes when this process does, however that comes about. The file
    itself stays, and means nothing. Children don't inherit it; a child that holds one of its own may outlive by some
    seconds a parent that was killed, which is what patience is for.

    Raises: NotAlone: another process holds it, and goes on to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        for _ in range(round(patience_s / STEP_S)):
            if taken(file.fileno()):
                break
            sleep(STEP_S)
        else:
            if not taken(file.fileno()):
                file.seek(0)
                holder = file.read().strip() or "another process"
                message = "It is already being run in this checkout, by {}. Wait for that or stop it, then try again."
                raise NotAlone(message.format(holder))
        file.truncate(0)
        file.write("process {}: {}\n".format(os.getpid(), shlex.join(sys.argv)))
        file.flush()
        yield


def taken(handle: int) -> bool:
    """Whether the lock is ours now."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

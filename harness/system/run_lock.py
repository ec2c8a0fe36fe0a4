"""Allow one run at a time in a checkout. Two runs would write the same environments and results."""

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from harness.system.errors import CannotGoOn


class AlreadyRunning(CannotGoOn):
    """Another process holds the lock. The message names that process."""


@contextmanager
def hold_lock(path: Path, patience_s: float = 0.0) -> Iterator[None]:
    """Hold the lock file `path`. The file names the process that holds it.

    The kernel releases the lock when this process ends, even if it is killed. The file stays. A file without a holder
    means nothing. Child processes don't inherit the lock.

    If another process holds the lock after `patience_s`, raise `AlreadyRunning`. Patience helps if a parent process was
    killed: its child may hold a lock of its own for some seconds longer.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=patience_s):
            path.write_text("process {}: {}\n".format(os.getpid(), shlex.join(sys.argv)), encoding="utf-8")
            yield
    except Timeout:
        holder = path.read_text(encoding="utf-8").strip() or "another process"
        message = "It is already running in this checkout, by {}. Wait for it or stop it, then try again."
        raise AlreadyRunning(message.format(holder)) from None

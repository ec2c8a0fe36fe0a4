"""One run at a time in a checkout: two would write the same environments and results."""

import fcntl
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NotAlone(Exception):
    """Somebody else runs cells here. The message says who."""


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, with a word on who does.

    The lock is the kernel's, on the open file: it goes when this process does, however that comes about. The file
    itself stays, and means nothing. Children don't inherit it.

    Raises: NotAlone: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            message = "Cells are already being run in this checkout, by {}. Wait for it, or stop it; then try again."
            raise NotAlone(message.format(holder)) from None
        file.truncate(0)
        file.write("process {}: {}\n".format(os.getpid(), shlex.join(sys.argv)))
        file.flush()
        yield

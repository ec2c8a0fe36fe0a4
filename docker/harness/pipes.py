"""Commands whose output nobody reads any more, as behind `| head`. Old Pythons read this file, too."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable


def quietly(main: Callable[[], int]) -> int:
    """The exit status of `main`, or that of a process that SIGPIPE ended: no words are needed."""
    try:
        try:
            status = main()
        finally:  # `--help` ends by an exception
            sys.stdout.flush()
    except BrokenPipeError:
        status = 128 + signal.SIGPIPE
    if status == 128 + signal.SIGPIPE:  # else Python complains when it ends, as there may be more to be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status

"""Commands whose reader stops early, as `| head` does. This file must run on old Pythons too."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable


def quietly(main: Callable[[], int]) -> int:
    """Run `main` and return its exit status. If the pipe is closed, return the status of SIGPIPE without a message."""
    try:
        try:
            status = main()
        finally:  # `--help` leaves `main` by an exception
            sys.stdout.flush()
    except BrokenPipeError:
        status = 128 + signal.SIGPIPE
    if status == 128 + signal.SIGPIPE:  # at its end Python flushes again; without this it prints an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status

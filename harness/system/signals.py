"""Handle the signals that would end this process, so that it can end its work in order first.

This file must run on old Pythons too.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTED = 130  # the exit status after Ctrl-C
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _handled(numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Within this context, the handler gets these signals."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, replaced in before.items():
            signal.signal(number, replaced)


@contextmanager
def heard_by(listener: Callable[[int], object]) -> Iterator[None]:
    """Within this context, call the listener with the number of each signal.

    A signal that is ignored on entry, as under nohup, stays ignored. The context ignores it with a handler instead of
    SIG_IGN. A child process inherits SIG_IGN, but not a handler, so the signal can still stop the children.
    """
    ignored = [number for number in NUMBERS if signal.getsignal(number) is signal.SIG_IGN]

    def hear(number: int, frame: FrameType | None) -> None:
        if number not in ignored:
            listener(number)

    with _handled(NUMBERS, hear):
        yield


def as_ctrl_c() -> None:
    """Make each signal raise KeyboardInterrupt, as Ctrl-C does. `subprocess.run` then ends the process it waits for."""
    for number in NUMBERS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def call(command: list[str], patience_s: float = 0.0, **options: Any) -> int:
    """`subprocess.call` that always ends the program if a signal interrupts it.

    With patience, the program is interrupted, and has so much time to end in order. A second signal ends it at once.

    `subprocess.call` leaves the program running if the signal comes while `Popen` still waits for it to start.
    """
    process: subprocess.Popen[bytes] | None = None
    try:
        with postponed():
            process = subprocess.Popen(command, **options)
        return process.wait()
    except BaseException:
        if process is not None:
            try:
                if patience_s:
                    process.send_signal(signal.SIGINT)
                    process.wait(patience_s)
            except subprocess.TimeoutExpired:
                pass
            finally:
                process.kill()
                process.wait()
        raise


@contextmanager
def postponed() -> Iterator[None]:
    """Within this context, hold back each signal. Handle it when the context ends."""
    came: list[int] = []
    # An ignored signal stays ignored, and the programs that start within the context inherit that.
    observed = [number for number in NUMBERS if signal.getsignal(number) is not signal.SIG_IGN]
    try:
        with _handled(observed, lambda number, frame: came.append(number)):
            yield
    finally:
        for sent in came:
            os.kill(os.getpid(), sent)

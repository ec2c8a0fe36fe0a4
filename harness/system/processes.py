"""Wait for processes and stop them, with all that they have started. Each has its own process group."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

POLL_S, STEP_S = 0.5, 0.05
Stop = Sequence[tuple[signal.Signals, float]]
# The signals that stop a process group, and how long each may take. tox gives pytest 10 and then 5 seconds.
STOP: Stop = ((signal.SIGINT, 20.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


@contextmanager
def helper(script: str, *arguments: str) -> Iterator[Callable[[str], None]]:
    """Run a shell script in a process that outlives this one. Yields a function that tells the script some text.

    At the end the script's standard input is closed. The kernel closes it too if this process is killed.
    """
    process = subprocess.Popen(
        ["sh", "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdin is not None
    pipe = process.stdin.fileno()

    def tell(text: str) -> None:
        with suppress(BrokenPipeError):  # somebody has killed the helper
            os.write(pipe, text.encode())

    try:
        yield tell
    finally:
        process.stdin.close()
        process.wait()


@contextmanager
def group(command: Sequence[str], *, stop: Stop = STOP, **options: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a process in a group of its own, so that Ctrl-C at the terminal reaches only this process.

    At the end the whole group is stopped. The two outputs of the process are one.
    """
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True, **options
    )
    try:
        yield process
    finally:
        stop_group(process, stop)


def wait_briefly(process: "subprocess.Popen[bytes]", cancel: threading.Event) -> bool:
    """Wait a little. Returns whether the process has ended or `cancel` is set."""
    return ends_within(process, POLL_S) or cancel.is_set()


def ends_within(process: "subprocess.Popen[bytes]", patience_s: float) -> bool:
    """Wait for a process to end. Returns whether it has ended.

    An ended process stays a zombie until it is waited for. So the kernel can't give its number to another process. This
    number is also that of its process group.
    """
    if process.returncode is not None:
        return True
    deadline, step_s = time.monotonic() + patience_s, 0.001
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(step_s)
        step_s = min(2 * step_s, STEP_S)
    return True


def stop_group(process: "subprocess.Popen[bytes]", stop: Stop = STOP) -> None:
    """Stop the whole process group, including processes that outlive its leader."""
    if process.returncode is not None:
        return  # the process was waited for, so its number may belong to another process now
    try:
        if not ends_within(process, 0):
            for number, patience_s in stop:
                os.killpg(process.pid, number)
                if ends_within(process, patience_s):
                    break
    finally:  # also if a second Ctrl-C interrupts the loop
        os.killpg(process.pid, signal.SIGKILL)
        if ends_within(process, 5.0):  # if not, the process hangs in the kernel
            process.wait()

"""Commands whose reader stops early end without a traceback."""

import os
import signal
import subprocess
import sys

import pytest

from harness import rows
from harness.system.paths import ROOT

CELL = next(cell.name for cell in rows.load())


@pytest.mark.parametrize(
    "command",
    [
        ["list"],
        ["github", "cells"],
        ["github", "summary"],
        ["image", "--print-args", CELL],
        ["--help"],
        ["here", "--help"],
    ],
    ids=" ".join,
)
def test_a_closed_pipe_gives_no_traceback(command, tmp_path):
    """The reader closes the pipe before the command writes its first line."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "harness", *command],
            cwd=ROOT,
            env={**buffered, "EQX_RESULTS": str(tmp_path)},
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(write)
    assert done.stderr == "" and done.returncode in (0, 128 + signal.SIGPIPE)

"""Commands whose output nobody reads any more: no traceback, whatever the command."""

import os
import signal
import subprocess
import sys

import pytest
from harness import rows
from harness.places import DOCKER

CELL = next(cell.name for cell in rows.load())


@pytest.mark.parametrize(
    "command",
    [
        ["matrix.py", "list"],
        ["matrix.py", "github"],
        ["matrix.py", "build-args", CELL],
        ["matrix.py", "table", "--markdown"],
        ["matrix.py", "--help"],
        ["run.py", "--list", "--tier", "canary"],
        ["run.py", "--help"],
        ["here.py", "--help"],
    ],
    ids=" ".join,
)
def test_nobody_who_reads_is_no_trouble(command, tmp_path):
    """The reader has gone before the command writes its first line."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, str(DOCKER / command[0]), *command[1:]],
            env={**buffered, "EQX_RESULTS": str(tmp_path)},
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(write)
    assert done.stderr == "" and done.returncode in (0, 128 + signal.SIGPIPE)

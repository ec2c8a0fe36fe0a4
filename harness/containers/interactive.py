"""Commands for a person at a terminal: build the images of cells, or open a shell in an image with the source."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import BinaryIO, cast

from harness.containers import container, devices, engine, image
from harness.containers.docker_errors import DockerError
from harness.rows import Cell
from harness.run import host
from harness.system.paths import ROOT
from harness.system.safe_text import Terminal

SCREEN = cast(BinaryIO, Terminal())
NEVER = threading.Event()  # Ctrl-C raises KeyboardInterrupt


def images(cells: Sequence[Cell]) -> int:
    """Build the images of cells and show docker's output. Returns the exit status: 0, or 3 if one can't be built."""
    failed = 0
    for cell in cells:
        try:
            image_id = build(cell)
            print("{}: {}, {}".format(cell.name, image.tag(cell), image_id), flush=True)
        except DockerError as error:
            failed += 1
            print("{}: {}".format(cell.name, error), file=sys.stderr, flush=True)
    return 3 if failed else 0


def build(cell: Cell) -> str:
    """Build the image of a cell and return its id.

    Raises:
        DockerError: No engine answers, the cell has no lock or no device there, or the image can't be built.
    """
    engine.check()
    refusal = host.without_lock(cell)
    if refusal is not None:
        raise DockerError(refusal.reason, refusal.outcome)
    return container.build(cell, SCREEN, NEVER)


def shell(cell: Cell) -> int:
    """Open a shell in the cell's image. Returns the shell's exit status.

    The checkout is mounted. What the shell changes, it changes in the checkout, as this user.

    Raises:
        DockerError: There can be no shell.
    """
    engine.check()
    if not engine.is_local():
        message = "the engine at {} is on another machine and can't mount this folder; open the shell there"
        raise DockerError(message.format(engine.endpoint()))
    devices.check(cell, SCREEN, NEVER)
    image_id = build(cell)
    user = () if cell.backend == "tpu" else ("--user={}:{}".format(os.getuid(), os.getgid()), "--env=HOME=/tmp")
    mount = '--mount=type=bind,"source={}",target=/source'.format(str(ROOT).replace('"', '""'))
    terminal = ("--interactive", "--tty") if sys.stdin.isatty() else ("--interactive",)
    options = (*devices.options(cell), *user, mount, *terminal, "--workdir=/source")
    name = engine.new_name()
    with engine.remove_at_end(name):
        return subprocess.call([engine.program(), "run", "--rm", "--name", name, *options, image_id, "bash"])

"""Commands for a person at a terminal: build the images of cells, or open a shell in an image with the source."""

import contextlib
import os
import subprocess
import sys
import tarfile
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
NOT_SOURCE = ("results", "build", "dist", "__pycache__")


def images(cells: Sequence[Cell]) -> int:
    """Build the images of cells and show docker's output. Returns the exit status: 0, or 3 if one can't be built."""
    failed = 0
    for cell in cells:
        try:
            can_be_built(cell)
            image_id = container.build(cell, SCREEN, threading.Event())
            print("{}: {}, {}".format(cell.name, image.tag(cell), image_id), flush=True)
        except DockerError as error:
            failed += 1
            print("{}: {}".format(cell.name, error), file=sys.stderr, flush=True)
    return 3 if failed else 0


def shell(cell: Cell) -> int:
    """Open a shell in the cell's image, with the source. Returns the shell's exit status.

    Raises:
        DockerError: There can be no shell.
    """
    can_be_built(cell)
    devices.check(cell, SCREEN, threading.Event())
    image_id = container.build(cell, SCREEN, threading.Event())
    return shell_with_mount(cell, image_id) if engine.is_local() else shell_with_copy(cell, image_id)


def can_be_built(cell: Cell) -> None:
    """Check what a build needs.

    Raises:
        DockerError: No engine answers, or the cell has no lock.
    """
    engine.check()
    refusal = host.without_lock(cell)
    if refusal is not None:
        raise DockerError(refusal.reason, refusal.outcome)


def shell_with_mount(cell: Cell, image_id: str) -> int:
    """Open the shell with the checkout mounted. What the shell changes, it changes in the checkout, as this user."""
    user = () if cell.backend == "tpu" else ("--user={}:{}".format(os.getuid(), os.getgid()), "--env=HOME=/tmp")
    mount = '--mount=type=bind,"source={}",target=/source'.format(str(ROOT).replace('"', '""'))
    options = (*devices.options(cell), *user, mount)
    name = engine.new_name()
    with engine.remove_at_end(name):
        command = ["run", "--rm", "--name", name, *terminal_options(), *options, "--workdir=/source", image_id, "bash"]
        return subprocess.call([engine.program(), *command])


def shell_with_copy(cell: Cell, image_id: str) -> int:
    """Open the shell with a copy of the checkout, because the engine's machine can't mount folders of this one."""
    print("The engine is on another machine. The shell has a copy of the source. Changes there are lost.", flush=True)
    name = engine.new_name()
    options = (*devices.options(cell), "--workdir=/source")
    with engine.remove_at_end(name):
        engine.ask("create", "--name", name, *terminal_options(), *options, image_id, "bash")
        with subprocess.Popen([engine.program(), "cp", "-", name + ":/"], stdin=subprocess.PIPE) as copying:
            assert copying.stdin is not None
            with contextlib.suppress(BrokenPipeError), tarfile.open(fileobj=copying.stdin, mode="w|") as tar:
                tar.add(ROOT, "source", filter=only_source)
        if copying.returncode != 0:
            raise DockerError("the source could not be copied into the container; see above")
        return subprocess.call([engine.program(), "start", "--attach", "--interactive", name])


def terminal_options() -> tuple[str, ...]:
    return ("--interactive", "--tty") if sys.stdin.isatty() else ("--interactive",)


def only_source(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out hidden files and generated ones. The rest belongs to the user of the image."""
    last = member.name.rpartition("/")[2]
    if last.startswith(".") or last in NOT_SOURCE:
        return None
    member.uid = member.gid = 1000
    member.uname = member.gname = ""
    return member

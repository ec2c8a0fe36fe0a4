"""For a person at a terminal: build the images of cells, and open a shell in one, with the source at hand."""

import contextlib
import os
import subprocess
import sys
import tarfile
import threading
import uuid
from collections.abc import Sequence
from typing import BinaryIO, cast

from harness import container, devices, engine, host, image
from harness.places import ROOT
from harness.rows import Cell
from harness.shown import Terminal
from harness.trouble import Trouble

SCREEN = cast(BinaryIO, Terminal())
NOT_SOURCE = ("results", "build", "dist", "__pycache__")


def images(cells: Sequence[Cell]) -> int:
    """Build the images of cells, in full view. The exit status: 0, or 3 where one can't be built."""
    failed = 0
    for cell in cells:
        try:
            can_be_built(cell)
            made = container.build(cell, SCREEN, threading.Event())
            print("{}: {}, {}".format(cell.name, image.tag(cell), made), flush=True)
        except Trouble as trouble:
            failed += 1
            print("{}: {}".format(cell.name, trouble), file=sys.stderr, flush=True)
    return 3 if failed else 0


def shell(cell: Cell) -> int:
    """A shell in the cell's image, where the source is. The exit status: the shell's, or 3 where there is none."""
    try:
        can_be_built(cell)
        devices.check(cell, SCREEN, threading.Event())
        made = container.build(cell, SCREEN, threading.Event())
        return in_mounted(cell, made) if engine.is_local() else in_copied(cell, made)
    except Trouble as trouble:
        print("{}: {}".format(cell.name, trouble), file=sys.stderr)
        return 3


def can_be_built(cell: Cell) -> None:
    """Raises: Trouble: no engine answers, or the cell has no lock."""
    engine.check()
    refusal = host.without_lock(cell)
    if refusal is not None:
        raise Trouble(refusal.reason, refusal.outcome)


def in_mounted(cell: Cell, made: str) -> int:
    """What is written there is written here, by the same user."""
    user = () if cell.backend == "tpu" else ("--user={}:{}".format(os.getuid(), os.getgid()), "--env=HOME=/tmp")
    mount = '--mount=type=bind,"source={}",target=/source'.format(str(ROOT).replace('"', '""'))
    options = (*devices.options(cell), *user, mount)
    name = a_name()
    with engine.removed(name):
        command = ["run", "--rm", "--name", name, *terminal(), *options, "--workdir=/source", made, "bash"]
        return subprocess.call([engine.program(), *command])


def in_copied(cell: Cell, made: str) -> int:
    """The engine is on another machine, that knows no folder of this one."""
    print("The engine is elsewhere: the shell has a copy of the source, and what is changed there is lost.", flush=True)
    name = a_name()
    options = (*devices.options(cell), "--workdir=/source")
    with engine.removed(name):
        engine.ask("create", "--name", name, *terminal(), *options, made, "bash")
        with subprocess.Popen([engine.program(), "cp", "-", name + ":/"], stdin=subprocess.PIPE) as copying:
            assert copying.stdin is not None
            with contextlib.suppress(BrokenPipeError), tarfile.open(fileobj=copying.stdin, mode="w|") as tar:
                tar.add(ROOT, "source", filter=only_source)
        if copying.returncode != 0:
            raise Trouble("the source could not be copied into the container; see above")
        return subprocess.call([engine.program(), "start", "--attach", "--interactive", name])


def a_name() -> str:
    return "equinox-" + uuid.uuid4().hex[:12]


def terminal() -> tuple[str, ...]:
    return ("--interactive", "--tty") if sys.stdin.isatty() else ("--interactive",)


def only_source(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """As the image's user has it; nothing that is hidden, or was made."""
    last = member.name.rpartition("/")[2]
    if last.startswith(".") or last in NOT_SOURCE:
        return None
    member.uid = member.gid = 1000
    member.uname = member.gname = ""
    return member

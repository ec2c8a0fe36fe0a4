"""The devices of a backend in a container: how they come in, and whether the engine's machine has those of a cell.

They are looked at before gigabytes are downloaded, wherever the engine is: in a container of the image that the cell's
begins with, which is needed anyway.
"""

import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from harness import engine, hardware, image
from harness.hardware import Hardware
from harness.rows import Cell
from harness.trouble import Trouble

# What of this machine's environment reaches the tests; TPU_* does, too.
PASSED_ON = ("CUDA_VISIBLE_DEVICES", "EQX_JOBS", "EQX_SEED", "EQX_WORKERS", "NVIDIA_TF32_OVERRIDE")
# How the devices of a backend come into a container. A TPU: as Google's documentation has it; its nodes in /dev may be
# root's, and `--privileged` leaves nothing to be guarded by another user.
DEVICES = {
    "cpu": (),
    "cuda": ("--gpus=all", "--env=NVIDIA_DRIVER_CAPABILITIES=compute,utility"),
    "tpu": ("--privileged", "--network=host", "--user=root"),
}
# The files by which harness.hardware knows a TPU, each as `path=content`.
TPU_FILES = """\
bus=/sys/bus/pci/devices
for file in /dev/accel[0-9]* /dev/vfio/[0-9]* $bus/*/vendor $bus/*/device $bus/*/subsystem_device; do
  [ ! -e "$file" ] || echo "$file=$([ ! -f "$file" ] || cat "$file")"
done
"""

Look = Callable[..., engine.Ended]


def options(cell: Cell, env: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """How `docker create` is to make a container for the cell."""
    passed_on = sorted(name for name in env if name in PASSED_ON or name.startswith("TPU_"))
    return (*DEVICES[cell.backend], *("--env=" + name for name in passed_on))


def check(cell: Cell, log: BinaryIO, cancel: threading.Event) -> None:
    """See whether a container gets the devices, and whether the row is for them.

    Raises: Interrupted. Trouble: no.
    """
    if cell.backend == "cpu":
        return

    def look(*command: str) -> engine.Ended:
        with engine.container(image.bases(cell)[0], *command, options=options(cell), log=log, cancel=cancel) as name:
            return engine.execute(name, log, cancel)

    refusal = hardware.check(cell, _gpus(look) if cell.backend == "cuda" else _tpu(look))
    if refusal is not None:
        raise Trouble(refusal.reason, refusal.outcome)


def _gpus(look: Look) -> Hardware:
    def ask(command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        ended = look(*command)
        return subprocess.CompletedProcess(command, ended.status, ended.said, "")

    return hardware.look(run=ask, which=lambda name: name, root=Path("/nowhere"))


def _tpu(look: Look) -> Hardware:
    """Raises: Trouble: there is none."""
    with tempfile.TemporaryDirectory(prefix="equinox-") as root:
        for path, content in re.findall(r"^/((?:dev|sys)/\S+)=(\S*)$", look("sh", "-c", TPU_FILES).said, re.MULTILINE):
            copy = Path(root, path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(content, encoding="ascii")
        found = hardware.look(which=lambda name: None, root=Path(root))
    if found.tpu is None:
        raise Trouble("as a container of the engine sees it, {}".format(found.why_no_tpu))
    return found

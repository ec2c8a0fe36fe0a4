"""The devices of a backend in a container: how they come in, and whether the engine's machine has those of a cell.

They are looked at before gigabytes are downloaded, wherever the engine is: in a container of the image that the cell's
begins with, which is needed anyway.
"""

import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from harness import engine, hardware, image
from harness.hardware import Hardware
from harness.results import Result
from harness.rows import Cell
from harness.trouble import Trouble, understand

# What of this machine's environment reaches the tests; TPU_* does, too.
PASSED_ON = ("CUDA_VISIBLE_DEVICES", "EQX_JOBS", "EQX_SEED", "EQX_WORKERS", "NVIDIA_TF32_OVERRIDE")
# How the devices of a backend come into a container. `--privileged` gives a TPU as Google's documentation has it. Such
# a container is root on the machine: it can read and write all of its disks, and load modules into its kernel.
PRIVILEGED = ("--privileged", "--network=host", "--user=root")
DEVICES = {
    "cpu": (),
    "cuda": ("--gpus=all", "--env=NVIDIA_DRIVER_CAPABILITIES=compute,utility"),
    "tpu": PRIVILEGED,
}
# What a run of the suite may do: compute, and no more. Its packages come from an index, and run their own code.
UNABLE = ("--cap-drop=ALL", "--security-opt=no-new-privileges", "--pids-limit=4096")
CONFINED = ("--network=none", *UNABLE)
CONFINED_WITH_GPU = (*CONFINED, *DEVICES["cuda"])
# Without these, docker gives each container the proxies of its own configuration, with their passwords.
NO_PROXIES = tuple(
    "--env={}=".format(name)
    for proxy in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY")
    for name in (proxy, proxy.lower())
)
# The files by which harness.hardware knows a TPU, each as `path=content`. The kernel names the nodes in /dev in every
# container, also where they can't be opened.
TPU_FILES = """\
bus=/sys/bus/pci/devices
for file in /dev/accel[0-9]* /dev/vfio/[0-9]* $bus/*/vendor $bus/*/device $bus/*/subsystem_device; do
  [ ! -e "$file" ] || echo "$file=$([ ! -f "$file" ] || cat "$file")"
done
for node in /sys/class/accel/accel[0-9]* /sys/class/vfio/[0-9]*; do
  [ ! -e "$node" ] || { node=${node#/sys/class/}; echo "/dev/${node#accel/}="; }
done
"""

TPU_FILE = re.compile(r"^/(dev/accel\d+|dev/vfio/\d+|sys/bus/pci/devices/[\w:.]+/\w+)=(\S*)$", re.MULTILINE)

Look = Callable[..., engine.Ended]


def options(cell: Cell, env: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """How `docker` is to make a container of the cell for a person, who may want the network in it."""
    return (*DEVICES[cell.backend], *passed_on(env))


def passed_on(env: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    return tuple("--env=" + name for name in sorted(env) if name in PASSED_ON or name.startswith("TPU_"))


def check(cell: Cell, log: BinaryIO, cancel: threading.Event) -> tuple[tuple[str, ...], ...]:
    """See whether a container gets the devices, and whether the row is for them.

    Returns: how `docker create` may make a container for the suite: each way with its options, the one with the fewest
        rights first. One after the other is to be tried.

    Raises: Interrupted. Trouble: no.
    """
    if cell.backend == "cpu":
        return (CONFINED,)
    if cell.backend == "cuda":
        _refuse(hardware.check(cell, seen(cell, log, cancel)))
        return (CONFINED_WITH_GPU,)
    for way in (CONFINED, PRIVILEGED):
        found, nodes = _tpu(_looking(cell, way, log, cancel))
        if found.tpu is not None:
            _refuse(hardware.check(cell, found))
            return (with_nodes(nodes), PRIVILEGED)
    raise Trouble("as a container of the engine sees it, {}".format(found.why_no_tpu))


def seen(cell: Cell, log: BinaryIO, cancel: threading.Event) -> Hardware:
    """What a container of the engine gets of the cell's devices.

    Raises: Interrupted. Trouble: no container can be made.
    """
    if cell.backend == "cuda":
        return _gpus(_looking(cell, CONFINED_WITH_GPU, log, cancel))
    looks = (_tpu(_looking(cell, way, log, cancel))[0] for way in (CONFINED, PRIVILEGED))
    return next((found for found in looks if found.tpu is not None), Hardware(0, None))


def with_nodes(nodes: Sequence[str]) -> tuple[str, ...]:
    """The TPU's device nodes, and no other rights than to open them, as root, whose they may be.

    The network is the machine's: libtpu asks its metadata server what the TPU is. `/results` is another user's.
    """
    if any(node.startswith("/dev/vfio/") for node in nodes):
        nodes = (*nodes, "/dev/vfio/vfio")
    devices = ["--device=" + node for node in nodes]
    return (*devices, "--network=host", "--user=root", *UNABLE, "--cap-add=DAC_OVERRIDE", "--ulimit=memlock=-1:-1")


def _refuse(refusal: Result | None) -> None:
    if refusal is not None:
        raise Trouble(refusal.reason, refusal.outcome)


def _looking(cell: Cell, options: Sequence[str], log: BinaryIO, cancel: threading.Event) -> Look:
    """What runs a command in a container with these options."""

    def look(*command: str) -> engine.Ended:
        made = engine.container(
            image.bases(cell)[0], *command, options=(*options, *passed_on()), log=log, cancel=cancel
        )
        with made as name:
            return engine.execute(name, log, cancel)

    return look


def _gpus(look: Look) -> Hardware:
    def ask(command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        ended = look(*command)
        known = understand(ended.said) if ended.status else None
        if known is not None:
            raise known
        return subprocess.CompletedProcess(command, ended.status, ended.said, "")

    return hardware.look(run=ask, which=lambda name: name, root=Path("/nowhere"))


def _tpu(look: Look) -> tuple[Hardware, list[str]]:
    """What is there, and its nodes in /dev."""
    with tempfile.TemporaryDirectory(prefix="equinox-") as root:
        told = dict(TPU_FILE.findall(look("sh", "-c", TPU_FILES).said))
        for path, content in told.items():
            copy = Path(root, path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(content, encoding="ascii")
        found = hardware.look(which=lambda name: None, root=Path(root))
    return found, ["/" + path for path in told if path.startswith("dev/")]

"""How a container gets its device, and whether the engine's machine has the device that a cell needs.

The check happens before gigabytes are downloaded. It runs in a container of the cell's base image, which the build
needs anyway. So it works even if the engine is on another machine. The functions raise what those of `engine` raise.
"""

import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from harness.containers import engine
from harness.containers.bases import base_images, pinned
from harness.containers.docker_errors import DockerError, understand
from harness.rows import Cell
from harness.run import hardware
from harness.run.hardware import Hardware

# The environment variables of this machine that the tests get. They also get TPU_*.
PASSED_ON = ("CUDA_VISIBLE_DEVICES", "EQX_JOBS", "EQX_SEED", "EQX_WORKERS", "NVIDIA_TF32_OVERRIDE")
# The docker options that give a container its device. Google's documentation uses `--privileged` for a TPU. Such a
# container is root on the machine: it can read and write all disks, and load kernel modules.
PRIVILEGED = ("--privileged", "--network=host", "--user=root")
DEVICES = {
    "cpu": (),
    "cuda": ("--gpus=all", "--env=NVIDIA_DRIVER_CAPABILITIES=compute,utility"),
    "tpu": PRIVILEGED,
}
# The suite runs code of packages from an index. So it may compute, but it has no network and no other rights.
UNABLE = ("--cap-drop=ALL", "--security-opt=no-new-privileges", "--pids-limit=4096")
CONFINED = ("--network=none", *UNABLE)
CONFINED_WITH_GPU = (*CONFINED, *DEVICES["cuda"])
# Without these options, docker gives each container the proxies from its own configuration, with their passwords.
NO_PROXIES = tuple(
    "--env={}=".format(name)
    for proxy in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY")
    for name in (proxy, proxy.lower())
)
# A shell script. It prints the files by which `harness.run.hardware` knows a TPU, each as `path=content`. Some device
# nodes exist only in /sys: a container without rights doesn't have them in /dev.
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

RunInContainer = Callable[..., engine.Completed]


def options(cell: Cell, env: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The docker options for a container that a person uses. It has a network."""
    return (*DEVICES[cell.backend], *passed_on(env))


def passed_on(env: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    return tuple("--env=" + name for name in sorted(env) if name in PASSED_ON or name.startswith("TPU_"))


def check(cell: Cell, log: BinaryIO, cancel: threading.Event) -> tuple[tuple[str, ...], ...]:
    """Check that a container gets the device, and that the cell's JAX supports that device.

    Returns sets of options for `docker create`. The caller tries one after another. The first has the fewest rights.
    """
    if cell.backend == "cpu":
        return (CONFINED,)
    found, nodes = _look(cell, log, cancel)
    refusal = hardware.check(cell, found)
    if refusal is not None:
        raise DockerError("as a container of the engine sees it, {}".format(refusal.reason), refusal.outcome)
    return (CONFINED_WITH_GPU,) if cell.backend == "cuda" else (with_nodes(nodes), PRIVILEGED)


def seen(cell: Cell, log: BinaryIO, cancel: threading.Event) -> Hardware:
    """The devices that a container of the engine sees."""
    return _look(cell, log, cancel)[0]


def _look(cell: Cell, log: BinaryIO, cancel: threading.Event) -> tuple[Hardware, list[str]]:
    """The devices that a container of the engine sees, and the TPU's nodes in /dev."""

    def with_options(options: Sequence[str]) -> RunInContainer:
        def run(*command: str) -> engine.Completed:
            base = pinned(base_images(cell)[0])
            every = (*options, *passed_on())
            with engine.container(base, *command, options=every, log=log, cancel=cancel) as name:
                return engine.execute(name, log, cancel)

        return run

    if cell.backend == "cuda":
        return _gpus(with_options(CONFINED_WITH_GPU)), []
    found, nodes = _tpu(with_options(CONFINED))
    return (found, nodes) if found.tpu is not None else _tpu(with_options(PRIVILEGED))


def with_nodes(nodes: Sequence[str]) -> tuple[str, ...]:
    """The docker options for the TPU's device nodes, with as few other rights as possible.

    The container runs as root, because the nodes may belong to root. `DAC_OVERRIDE` lets it write `/results`, which
    belongs to another user. It uses the machine's network, because libtpu asks a metadata server about the TPU.
    """
    if any(node.startswith("/dev/vfio/") for node in nodes):
        nodes = (*nodes, "/dev/vfio/vfio")
    devices = ["--device=" + node for node in nodes]
    return (*devices, "--network=host", "--user=root", *UNABLE, "--cap-add=DAC_OVERRIDE", "--ulimit=memlock=-1:-1")


def _gpus(run: RunInContainer) -> Hardware:
    def ask(command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        completed = run(*command)
        known = understand(completed.output) if completed.status else None
        if known is not None:
            raise known
        return subprocess.CompletedProcess(command, completed.status, completed.output, "")

    return hardware.look(run=ask, which=lambda name: name, root=Path("/nowhere"))


def _tpu(run: RunInContainer) -> tuple[Hardware, list[str]]:
    """Return the hardware that the container sees, and the TPU's nodes in /dev."""
    with tempfile.TemporaryDirectory(prefix="harness-") as root:
        files = dict(TPU_FILE.findall(run("sh", "-c", TPU_FILES).output))
        for path, content in files.items():
            copy = Path(root, path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(content, encoding="ascii")
        found = hardware.look(which=lambda name: None, root=Path(root))
    return found, ["/" + path for path in files if path.startswith("dev/")]

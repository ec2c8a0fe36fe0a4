"""Find the accelerators and drivers of this machine, and decide whether a cell's wheels run on them.

The facts come from the driver and the kernel. CUDA, libtpu and a network are not needed.
"""

import functools
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

from harness.results import Outcome, Result
from harness.rows import Cell
from harness.system.inside import capacity, visible

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Which = Callable[[str], str | None]
Capability = tuple[int, int]

ASK_S = 60  # the first call of nvidia-smi starts the driver
# TPU generations by PCI device number, for Google's vendor number. v2 and v3 differ in the subsystem number only.
GOOGLE = "0x1ae0"
TPU_GENERATIONS = {"0x005e": "v4", "0x0062": "v5p", "0x0063": "v5e", "0x006f": "v6e", "0x0076": "v7x"}
TPU_SUBSYSTEMS = {"0x004e": "v2", "0x004f": "v3"}


@dataclass(frozen=True)
class GPU:
    name: str
    compute_capability: Capability | None  # None: the driver is too old to report it
    driver: str
    memory_mib: int | None


@dataclass(frozen=True)
class TPU:
    generation: str | None  # "v5e"; None: unknown
    chips: int


@dataclass(frozen=True)
class Hardware:
    """The hardware of a machine. If there is no GPU or TPU, `why_no_...` gives the reason and the next move."""

    cores: int
    memory_mib: int | None
    gpus: tuple[GPU, ...] = ()
    why_no_gpu: str = ""
    tpu: TPU | None = None
    why_no_tpu: str = ""


@functools.cache
def here() -> Hardware:
    """The hardware of this machine. It is looked up once."""
    return look()


def look(
    run: Run = subprocess.run,
    which: Which = shutil.which,
    root: Path = Path("/"),
    env: Mapping[str, str] = os.environ,
) -> Hardware:
    """Look up the hardware of a machine, by the commands and the files that the arguments give."""
    gpus, why_no_gpu = _gpus(run, which, root, env)
    tpu, why_no_tpu = _tpu(root, env)
    cores, memory_mib = capacity.cores(str(root)), capacity.memory_mib(str(root))
    return Hardware(cores, memory_mib, gpus, why_no_gpu, tpu, why_no_tpu)


def _gpus(run: Run, which: Which, root: Path, env: Mapping[str, str]) -> tuple[tuple[GPU, ...], str]:
    """The GPUs that CUDA_VISIBLE_DEVICES doesn't hide, or why there are none."""
    if visible.gpus(env) == []:
        return (), "{0}={1} hides all GPUs; unset it".format(visible.VARIABLE, shlex.quote(env[visible.VARIABLE]))
    program = visible.nvidia_smi(which, str(root))
    if program is None:
        if any((root / "dev").glob("nvidia[0-9]*")):
            return (), (
                "there is a GPU (/dev/nvidia0), but no nvidia-smi to ask about it; install the NVIDIA driver's "
                "utilities; a container needs NVIDIA_DRIVER_CAPABILITIES=compute,utility"
            )
        return (), "there is no NVIDIA GPU here; run it on a machine that has one"
    query = [program, "--format=csv,noheader,nounits", *visible.choose(env)]
    fields = "name,driver_version,memory.total,compute_cap"
    try:
        said = _ask(run, [*query, "--query-gpu=" + fields])
        if "not a valid field" in said:  # drivers before 510 don't report the compute capability
            said = _ask(run, [*query, "--query-gpu=" + fields.removesuffix(",compute_cap")])
        gpus = tuple(_gpu(line) for line in said.splitlines() if line.strip())
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        words = " ".join(str(error).split())
        return (), "nvidia-smi doesn't list the GPUs ({}); run it by itself to see its whole output".format(words)
    return gpus, "" if gpus else "nvidia-smi finds no GPU; run it by itself to see its whole output"


def _ask(run: Run, command: list[str]) -> str:
    done = run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=ASK_S, check=False)
    if done.returncode != 0 and "not a valid field" not in done.stdout:
        raise ValueError(done.stdout.strip() or "exit status {}".format(done.returncode))
    return done.stdout


def _gpu(line: str) -> GPU:
    name, driver, memory, *more = (part.strip() for part in line.split(","))
    capability = re.fullmatch(r"(\d+)\.(\d+)", more[0]) if more else None
    return GPU(
        name,
        (int(capability[1]), int(capability[2])) if capability else None,
        driver,
        int(memory) if memory.isdigit() else None,
    )


def _tpu(root: Path, env: Mapping[str, str]) -> tuple[TPU | None, str]:
    chips = list((root / "dev").glob("accel[0-9]*"))
    generations = set(_generations_on_the_bus(root))
    if generations:  # without a TPU on the bus, /dev/vfio belongs to other devices
        chips = chips or list((root / "dev" / "vfio").glob("[0-9]*"))
    if not chips:
        if generations:
            return (
                None,
                "there is a TPU on the bus, but no /dev/accel* and no /dev/vfio/*; a container needs --privileged",
            )
        return None, "there is no TPU here; run it on a TPU VM"
    kind = env.get("TPU_ACCELERATOR_TYPE", "").split("-")[0]  # "v4-8", "v5litepod-4"
    generation = {"v5litepod": "v5e", "tpu7x": "v7x"}.get(kind, kind)
    return TPU(generations.pop() if len(generations) == 1 else generation or None, len(chips)), ""


def _generations_on_the_bus(root: Path) -> Iterator[str]:
    for device in (root / "sys" / "bus" / "pci" / "devices").glob("*"):
        if _word(device / "vendor") == GOOGLE:
            generation = TPU_GENERATIONS.get(_word(device / "device"))
            generation = generation or TPU_SUBSYSTEMS.get(_word(device / "subsystem_device"))
            if generation is not None:
                yield generation


def _word(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def identity(cell: Cell, hardware: Hardware | None = None) -> dict[str, str]:
    """Name the device that the cell runs on. The name is stored with the hashes of a result.

    It is empty if there is no such device. A cell on the CPU is the same on all machines, so it has no entry.
    """
    if cell.backend == "cpu":
        return {}
    hardware = here() if hardware is None else hardware
    if cell.backend == "tpu":
        tpu = hardware.tpu
        return {"device": "" if tpu is None else "{} x TPU {}".format(tpu.chips, tpu.generation or "not known")}
    found = ["{}, driver {}".format(gpu.name, gpu.driver) for gpu in hardware.gpus]
    counted = {one: found.count(one) for one in found}
    return {"device": "; ".join(one if count == 1 else "{} x {}".format(count, one) for one, count in counted.items())}


def check(cell: Cell, hardware: Hardware | None = None) -> Result | None:
    """Say why this hardware can't run the cell. `None` means that it may.

    The outcome is "not run" if the device is missing, and "unsupported" if the device can't run this JAX.
    """
    if cell.backend == "cpu":
        return None
    hardware = here() if hardware is None else hardware
    if cell.backend == "cuda":
        missing = "" if hardware.gpus else hardware.why_no_gpu
        reason = next(filter(None, (_refuses_gpu(cell, gpu) for gpu in hardware.gpus)), "")
        if reason and len(hardware.gpus) > 1:
            reason += "; if the others can, choose among them with CUDA_VISIBLE_DEVICES"
    else:
        missing = "" if hardware.tpu else hardware.why_no_tpu
        reason = _refuses_tpu(cell, hardware.tpu)
    outcome = Outcome.NOT_RUN if missing else Outcome.UNSUPPORTED
    return Result.of(cell, outcome, missing or reason) if missing or reason else None


def _refuses_gpu(cell: Cell, gpu: GPU) -> str:
    """Why the cell can't run on the GPU, or an empty string if it can."""
    low, high = cell.supports.compute_capability_min, cell.supports.compute_capability_max
    found = gpu.compute_capability
    jax = "JAX {}".format(cell.jax)
    if found is not None:
        this = "the {} here (compute capability {}) can't run {}".format(gpu.name, _text(found), jax)
        if high is not None and found > high:
            return "{}, whose wheels go up to {}; choose a later JAX".format(this, _text(high))
        if low is not None and found < low:
            return "{}, whose wheels begin at {}; choose an earlier JAX".format(this, _text(low))
    needed = cell.supports.driver_min
    if needed is not None and _is_older(gpu.driver, needed):
        message = "the NVIDIA driver here is {}, and the CUDA of {} needs {} or later; update the driver"
        return message.format(gpu.driver, jax, needed)
    return ""


def _refuses_tpu(cell: Cell, tpu: TPU | None) -> str:
    known = cell.supports.tpu
    if tpu is None or tpu.generation is None or not known or tpu.generation in known:
        return ""
    message = "the TPU here is a {}, and the libtpu of JAX {} is for {}; choose another JAX"
    return message.format(tpu.generation, cell.jax, ", ".join(known))


def _is_older(driver: str, needed: str) -> bool:
    try:
        return Version(driver) < Version(needed)
    except InvalidVersion:
        return False


def _text(capability: Capability) -> str:
    return "{}.{}".format(*capability)

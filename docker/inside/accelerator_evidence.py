"""What others say of this process's accelerator: the driver of a GPU, the kernel for a TPU. For proof_of_place.

JAX may say that it runs on a GPU; the driver has to see it too. `nvidia-smi`, which comes with the driver, is asked
which processes hold memory and how busy the GPU is. In a container the process numbers that it knows are those of the
host: then the GPU's own memory has to rise by what an array takes that is made for the purpose.

Some drivers don't tell: of a part of a GPU (MIG) in a container, or of a GPU that shares the host's memory. That is
noted, and is no sign that the GPU wasn't used.
"""

import glob
import importlib
import os
import re
import shutil
import subprocess
import threading
import time

import visible

CANARY_MIB = 256
BUSY_TIMEOUT_S = 20  # nvidia-smi tells how busy the GPU was in its last sample, up to a second ago

NVIDIA_SMI = "nvidia-smi"
NVIDIA_SMI_ELSEWHERE = ("/usr/local/nvidia/bin/nvidia-smi", "/usr/lib/wsl/lib/nvidia-smi")
GPU_FIELDS = ("index", "uuid", "name", "driver_version", "memory.used", "utilization.gpu")


def gather(backend):
    """What was seen, and what was missed: `(evidence, [what is wrong and the next move, ...])`."""
    if backend == "gpu":
        return gpu(ask_nvidia_smi, Canary())
    if backend == "tpu":
        return tpu("/proc/self")
    return {}, []


# GPU


def ask_nvidia_smi(*query):
    """Rows of what `nvidia-smi --query-...` answers. Raises: OSError, subprocess.SubprocessError: it doesn't."""
    program = shutil.which(NVIDIA_SMI) or next(filter(os.path.exists, NVIDIA_SMI_ELSEWHERE), NVIDIA_SMI)
    command = [program, "--format=csv,noheader,nounits"] + list(query) + visible.choose(os.environ)
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60, text=True).stdout
    return [[cell.strip() for cell in line.split(",")] for line in output.splitlines() if line.strip()]


class Canary:
    """Work for the GPU that can be seen from outside."""

    def hold(self):
        """Take `CANARY_MIB` of the device's memory, and keep it."""
        jax = importlib.import_module("jax")
        self._held = jax.jit(lambda: jax.numpy.ones((CANARY_MIB, 1024, 256), "float32"))()
        self._held.block_until_ready()

    def work(self, until):
        """Multiply matrices until the event is set."""
        jax = importlib.import_module("jax")
        multiply = jax.jit(lambda x: jax.lax.fori_loop(0, 20, lambda _, y: (y @ x) / 2048, x))
        x = jax.numpy.ones((2048, 2048), "float32")
        while not until.is_set():
            multiply(x).block_until_ready()


def gpu(ask, canary, pid=None, clock=time.monotonic):
    """`ask(*query)` answers as nvidia-smi does; `canary` makes the work."""
    pid = os.getpid() if pid is None else pid
    query = "--query-gpu=" + ",".join(GPU_FIELDS)
    try:
        before = _by_uuid(ask(query))
        canary.hold()
        after = _by_uuid(ask(query))
        listed = [row for row in _processes(ask) if row[0] == str(pid)]
        busy = _busy(lambda: _by_uuid(ask(query)), canary, clock)
    except (OSError, subprocess.SubprocessError) as error:
        return {}, [
            "the driver can't be asked what it sees: {}. `nvidia-smi` has to work here; a container needs "
            "NVIDIA_DRIVER_CAPABILITIES=compute,utility.".format(error)
        ]
    except Exception as error:  # whatever JAX raises, as where another process holds the memory
        return {}, ["the GPU can't be computed on: {}. See by `nvidia-smi` who else is on it.".format(error)]
    rises = {uuid: _difference(after[uuid], before[uuid]) for uuid in after if uuid in before}
    told = bool(rises) and None not in rises.values()
    # Half of it: some of it may have been taken before, as part of a larger piece.
    rose = {uuid: rise for uuid, rise in rises.items() if rise is not None and rise >= CANARY_MIB / 2}
    evidence = {
        "gpus": [gpu["name"] for gpu in after.values()],
        "driver": next((gpu["driver_version"] for gpu in after.values()), ""),
        "seen_by": "process" if listed else "memory" if rose else "nothing" if told else "not told",
        "process_memory_mib": [row[2] for row in listed],
        "memory_rise_mib": rises,
        "busy_percent": busy,
    }
    missing = []
    if told and not listed and not rose:
        missing.append(
            "the driver sees none of its memory held: process {} isn't in `nvidia-smi --query-compute-apps`, and {} "
            "MiB for an array left the memory used as it was ({} MiB more). Is preallocation off "
            "(XLA_PYTHON_CLIENT_PREALLOCATE=false)?".format(pid, CANARY_MIB, rises)
        )
    if busy == 0:
        missing.append("the driver saw the GPU idle while it was to multiply matrices for {} s.".format(BUSY_TIMEOUT_S))
    return evidence, missing


def _busy(ask, canary, clock):
    """How busy the GPU is, in percent, when first seen at work; `None` where the driver doesn't tell."""
    enough = threading.Event()
    worker = threading.Thread(target=canary.work, args=(enough,), daemon=True)
    worker.start()
    try:
        deadline = clock() + BUSY_TIMEOUT_S
        while True:
            seen = [_number(gpu["utilization.gpu"]) for gpu in ask().values()]
            told = [percent for percent in seen if percent is not None]
            if not told:
                return None
            if max(told) > 0:
                return max(told)
            if clock() > deadline:
                return 0 if len(told) == len(seen) else None  # it may be the one that isn't told of
    finally:
        enough.set()
        worker.join()


def _processes(ask):
    """Those that the driver lists; none where it doesn't tell of processes, but does of GPUs."""
    try:
        return ask("--query-compute-apps=pid,gpu_uuid,used_memory")
    except subprocess.CalledProcessError:
        return []


def _by_uuid(rows):
    gpus = [dict(zip(GPU_FIELDS, row)) for row in rows]
    return {gpu["uuid"]: gpu for gpu in gpus}


def _difference(after, before):
    after, before = _number(after["memory.used"]), _number(before["memory.used"])
    return None if after is None or before is None else after - before


def _number(text):
    """`None` for `[N/A]`, as a part of a GPU, or a GPU that shares the host's memory, has it."""
    return int(text) if text.isdigit() else None


# TPU


def tpu(process):
    """`process`: the folder of this process under /proc."""
    with open(os.path.join(process, "maps")) as maps:
        libraries = sorted({os.path.basename(line.split()[-1]) for line in maps if "libtpu" in line})
    opened = set()
    for link in glob.glob(os.path.join(process, "fd", "*")):
        try:
            opened.add(os.readlink(link))
        except OSError:  # it was closed meanwhile
            pass
    devices = sorted(path for path in opened if re.match(r"/dev/(accel|vfio/)\d", path))
    missing = []
    if not libraries:
        missing.append("libtpu isn't loaded. Install the cell's own, from its lock.")
    if not devices:
        missing.append("it has neither /dev/accel* nor /dev/vfio/* open. A container needs `--privileged`.")
    return {"libtpu": libraries, "devices": devices}, missing

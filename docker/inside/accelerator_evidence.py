"""Evidence, independent of JAX, that this process uses an accelerator. `proof_of_place` uses it.

For a GPU the evidence comes from its driver: `nvidia-smi` says which processes hold memory, and how busy the GPU is. In
a container `nvidia-smi` shows the process numbers of the host, so the process can't find its own. Then this module
makes an array, and checks that the used memory of the GPU rises. For a TPU the evidence comes from the kernel.

Some drivers don't report: for a part of a GPU (MIG) in a container, or for a GPU that shares the host's memory. This is
recorded as "not told". It doesn't mean that the GPU wasn't used.
"""

import contextlib
import glob
import importlib
import os
import re
import subprocess
import threading
import time

import visible

CANARY_MIB = 256  # the size of the array that is made to see the used memory rise
BUSY_TIMEOUT_S = 20  # long, because nvidia-smi reports a sample that may be a second old

GPU_FIELDS = ("index", "uuid", "name", "driver_version", "memory.used", "utilization.gpu")


def gather(backend):
    """The evidence for a backend, as a dictionary; and complaints about missing evidence, each with the next move."""
    if backend == "gpu":
        return gpu(ask_nvidia_smi, Canary())
    if backend == "tpu":
        return tpu("/proc/self")
    return {}, []


# GPU


def ask_nvidia_smi(*query):
    """The rows of `visible.query` for the GPUs that this process sees."""
    return visible.query(*query, *visible.choose(os.environ))


class Canary:
    """Work for the GPU that the driver can see."""

    def hold(self):
        """Allocate `CANARY_MIB` of the device's memory, and keep it."""
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
    """The evidence for a GPU. `ask(*query)` answers as nvidia-smi does; `canary` is a `Canary`."""
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
            "the driver can't be queried: {}. `nvidia-smi` has to work here; a container needs "
            "NVIDIA_DRIVER_CAPABILITIES=compute,utility.".format(error)
        ]
    except Exception as error:  # JAX raises many types, for example when another process holds the memory
        return {}, ["JAX can't compute on the GPU: {}. `nvidia-smi` shows which other processes use it.".format(error)]
    rises = {uuid: _difference(after[uuid], before[uuid]) for uuid in after if uuid in before}
    told = bool(rises) and None not in rises.values()
    # Half the size is enough: JAX allocates in large pieces, and part of the array may fit into an earlier piece.
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
            "the driver doesn't see this process use GPU memory: process {} isn't in `nvidia-smi "
            "--query-compute-apps`, and an array of {} MiB raised the used memory only by {} MiB. Is preallocation off "
            "(XLA_PYTHON_CLIENT_PREALLOCATE=false)?".format(pid, CANARY_MIB, rises)
        )
    if busy == 0:
        missing.append("the driver saw an idle GPU while JAX multiplied matrices for {} s.".format(BUSY_TIMEOUT_S))
    return evidence, missing


def _busy(ask, canary, clock):
    """How busy the GPU is while the canary works, in percent; `None` if the driver doesn't report it."""
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
                return 0 if len(told) == len(seen) else None  # a GPU without a report may be the busy one
    finally:
        enough.set()
        worker.join()


def _processes(ask):
    """The processes that the driver lists. Empty if the driver reports no processes."""
    try:
        return ask("--query-compute-apps=pid,gpu_uuid,used_memory")
    except subprocess.CalledProcessError:
        return []


def _by_uuid(rows):
    return {gpu["uuid"]: gpu for gpu in (dict(zip(GPU_FIELDS, row)) for row in rows)}


def _difference(after, before):
    after, before = _number(after["memory.used"]), _number(before["memory.used"])
    return None if after is None or before is None else after - before


def _number(text):
    """The number, or `None` for `[N/A]`: parts of a GPU and GPUs that share the host's memory have no number."""
    return int(text) if text.isdigit() else None


# TPU


def tpu(process):
    """The evidence for a TPU. `process` is the folder of this process under /proc."""
    with open(os.path.join(process, "maps")) as maps:
        libraries = sorted({os.path.basename(line.split()[-1]) for line in maps if "libtpu" in line})
    opened = set()
    for link in glob.glob(os.path.join(process, "fd", "*")):
        with contextlib.suppress(OSError):  # the file was closed in the meantime
            opened.add(os.readlink(link))
    devices = sorted(path for path in opened if re.match(r"/dev/(accel|vfio/)\d", path))
    missing = []
    if not libraries:
        missing.append("libtpu isn't loaded. Install the libtpu of the cell's lock.")
    if not devices:
        missing.append("this process has opened no /dev/accel* or /dev/vfio/*. A container needs `--privileged`.")
    return {"libtpu": libraries, "devices": devices}, missing

"""A pytest plugin: how many processes share the tests of a cell, and which device each has: `-p workers -n auto`.

On the CPU as many as cores and memory allow. On GPUs, too: most of a test is compiling, which one core does while the
others and the GPU wait, so that several workers share each GPU, and its memory by equal fractions. On TPUs one for each
chip, which it has for itself. (A single one is still a process of its own: should it crash, that test fails and the
others go on.) `EQX_WORKERS` overrides; `EQX_JOBS` says how many cells run side by side and share the machine.
"""

import glob
import json
import os
import subprocess

import capacity
import pytest
import visible

MEMORY_MIB = 1536  # of one worker: JAX with the programs that the suite has compiled
GPU_MEMORY_MIB = 4096  # of one worker: its context, what its programs and tests hold, and the canary of the proof
GPU_SHARED = 0.9  # of a GPU's memory; the contexts of CUDA take the rest
MOST = 4  # on the CPU; more save no time: each has to import JAX, and to compile what it needs, for itself


@pytest.hookimpl(optionalhook=True, tryfirst=True)  # pytest-xdist has an answer itself
def pytest_xdist_auto_num_workers():
    return number(os.environ, capacity.cores(), capacity.memory_mib(), device_ids, gpu_memory_mib)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests():
    """In a worker, before anything imports JAX: choose its device."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker.startswith("gw"):
        backend = backend_of(os.environ)
        ids = device_ids(backend, os.environ)
        count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        os.environ.update(own_device(backend, int(worker[2:]), ids, count))


def number(environ, cores, memory_mib, device_ids, gpu_memory_mib):
    """How many workers; 0: the tests run in pytest's own process."""
    if environ.get("EQX_WORKERS"):
        return int(environ["EQX_WORKERS"])
    backend = backend_of(environ)
    devices = [] if backend == "cpu" else device_ids(backend, environ)
    if backend == "tpu":
        return len(devices) or 1  # proof_of_place says it better than we do if there is none
    by_memory = cores if memory_mib is None else memory_mib // MEMORY_MIB
    share = min(cores, by_memory) // max(1, int(environ.get("EQX_JOBS") or 1))
    most = MOST if backend == "cpu" else sum(gpu_memory_mib(own) // GPU_MEMORY_MIB or 1 for own in devices)
    return max(1, len(devices), min(most, share))


def backend_of(environ):
    """What the cell says that it runs on. Nonsense is for proof_of_place to refuse."""
    try:
        return json.loads(environ["EQX_EXPECT"])["backend"]
    except (KeyError, TypeError, ValueError):
        return "cpu"


def own_device(backend, worker, ids, workers=1):
    """The environment that leaves this one of the `workers` one device of those with `ids`, or its share of it.

    Read when the backend starts.
    """
    if not ids:
        return {}
    own = ids[worker % len(ids)]
    if backend == "gpu":
        order = {"CUDA_VISIBLE_DEVICES": own, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}  # that of nvidia-smi
        share = -(-workers // len(ids))
        return order if share == 1 else dict(order, XLA_PYTHON_CLIENT_MEM_FRACTION=str(round(GPU_SHARED / share, 3)))
    return {"TPU_VISIBLE_CHIPS": own, "ALLOW_MULTIPLE_LIBTPU_LOAD": "true"}


def device_ids(backend, environ=os.environ):
    """The devices that this process, and the workers it starts, may share out."""
    # What was already chosen, by the user or by the controller of this worker, or else all there are.
    if backend == "gpu":
        chosen = visible.gpus(environ)
        return _gpus() if chosen is None else chosen
    if backend == "tpu":
        chosen = environ.get("TPU_VISIBLE_CHIPS")
        return _tpu_chips() if chosen is None else [name for name in chosen.split(",") if name]
    return []


def _gpus():
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        output = subprocess.check_output(command, timeout=60, universal_newlines=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return output.split()


def gpu_memory_mib(own):
    """The free memory of a GPU; 0 where the driver doesn't tell, as of one that shares the host's."""
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits", "--id=" + own]
    try:
        output = subprocess.check_output(command, timeout=60, universal_newlines=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return int(output) if output.strip().isdigit() else 0


def _tpu_chips():
    chips = glob.glob("/dev/accel[0-9]*") or glob.glob("/dev/vfio/[0-9]*")
    return [str(i) for i in range(len(chips))]

"""A pytest plugin: how many processes share the tests of a cell, and which device each has: `-p workers -n auto`.

On the CPU as many as cores and memory allow; on GPUs and TPUs one for each device, which it has for itself. (A single
one is still a process of its own: should it crash, that test fails and the others go on.) `EQX_WORKERS` overrides;
`EQX_JOBS` says how many cells run side by side and share the machine.
"""

import glob
import json
import os
import subprocess

import capacity
import pytest
import visible

MEMORY_MIB = 1536  # of one worker: JAX with the programs that the suite has compiled
MOST = 4  # more save no time: each has to import JAX, and to compile what it needs, for itself


@pytest.hookimpl(optionalhook=True, tryfirst=True)  # pytest-xdist has an answer itself
def pytest_xdist_auto_num_workers():
    return number(os.environ, capacity.cores(), capacity.memory_mib(), device_ids)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests():
    """In a worker, before anything imports JAX: choose its device."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker.startswith("gw"):
        backend = backend_of(os.environ)
        for name, value in own_device(backend, int(worker[2:]), device_ids(backend, os.environ)).items():
            os.environ[name] = value


def number(environ, cores, memory_mib, device_ids):
    """How many workers; 0: the tests run in pytest's own process."""
    if environ.get("EQX_WORKERS"):
        return int(environ["EQX_WORKERS"])
    backend = backend_of(environ)
    if backend != "cpu":
        return len(device_ids(backend, environ)) or 1  # proof_of_place says it better than we do if there is none
    by_memory = cores if memory_mib is None else memory_mib // MEMORY_MIB
    share = min(cores, by_memory) // max(1, int(environ.get("EQX_JOBS") or 1))
    return max(1, min(MOST, share))


def backend_of(environ):
    """What the cell says that it runs on. Nonsense is for proof_of_place to refuse."""
    try:
        return json.loads(environ["EQX_EXPECT"])["backend"]
    except (KeyError, TypeError, ValueError):
        return "cpu"


def own_device(backend, worker, ids):
    """The environment that leaves this worker one device of those with `ids`. Read when the backend starts."""
    if not ids:
        return {}
    own = ids[worker % len(ids)]
    if backend == "gpu":
        return {"CUDA_VISIBLE_DEVICES": own, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}  # the order of nvidia-smi
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


def _tpu_chips():
    chips = glob.glob("/dev/accel[0-9]*") or glob.glob("/dev/vfio/[0-9]*")
    return [str(i) for i in range(len(chips))]

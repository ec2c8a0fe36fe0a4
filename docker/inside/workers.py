"""A pytest plugin that decides how many workers run the tests of a cell, and on which devices: `-p workers -n auto`.

- On the CPU, cores and memory limit the number of workers.
- On GPUs, cores and memory limit it too. Most of a test is compilation, which uses one core and no GPU. So several
  workers share each GPU. Each may use an equal part of its memory.
- On TPUs, one worker for each chip. Even a single worker is a process of its own: if it crashes, only one test fails.

`EQX_WORKERS` sets the number. `EQX_JOBS` says how many cells run in parallel and share the machine.
"""

import glob
import json
import os
import subprocess

import capacity
import pytest
import visible

MEMORY_MIB = 1536  # for one worker: JAX with the programs that it compiles for the suite
GPU_MEMORY_MIB = 4096  # for one worker: the CUDA context, its programs and arrays, and the canary of proof_of_place
GPU_SHARED = 0.9  # the part of a GPU's memory that the workers share; the CUDA contexts take the rest
MAX_CPU_WORKERS = 4  # more save no time, because each worker imports JAX and compiles for itself


@pytest.hookimpl(optionalhook=True, tryfirst=True)  # before pytest-xdist's own implementation
def pytest_xdist_auto_num_workers():
    return number(os.environ, capacity.cores(), capacity.memory_mib(), device_ids, gpu_memory_mib)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests():
    """Choose the devices before anything imports JAX: how many CPUs there are, and the accelerator of a worker."""
    os.environ.update(cpu_devices(os.environ))
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker.startswith("gw"):
        backend = backend_of(os.environ)
        ids = device_ids(backend, os.environ)
        count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        os.environ.update(own_device(backend, int(worker[2:]), ids, count))


def number(environ, cores, memory_mib, device_ids, gpu_memory_mib):
    """How many workers to start. With 0 the tests run in pytest's own process."""
    if environ.get("EQX_WORKERS"):
        return int(environ["EQX_WORKERS"])
    backend = backend_of(environ)
    devices = [] if backend == "cpu" else device_ids(backend, environ)
    if backend == "tpu":
        return len(devices) or 1  # without a chip, one worker starts, and proof_of_place reports what is missing
    by_memory = cores if memory_mib is None else memory_mib // MEMORY_MIB
    share = min(cores, by_memory) // max(1, int(environ.get("EQX_JOBS") or 1))
    most = MAX_CPU_WORKERS if backend == "cpu" else sum(gpu_memory_mib(own) // GPU_MEMORY_MIB or 1 for own in devices)
    return max(1, len(devices), min(most, share))


def expected(environ):
    """What the cell expects. If EQX_EXPECT can't be read, proof_of_place refuses the run later."""
    try:
        return dict(json.loads(environ["EQX_EXPECT"]))
    except (KeyError, TypeError, ValueError):
        return {}


def backend_of(environ):
    return expected(environ).get("backend", "cpu")


def cpu_devices(environ):
    """The variable that gives JAX several devices on the CPU, if the cell expects them. Other flags in it stay."""
    number, flags = expected(environ).get("cpu_devices", 1), environ.get("XLA_FLAGS", "")
    flag = "--xla_force_host_platform_device_count={}".format(number)
    if number == 1 or flag in flags.split() or backend_of(environ) != "cpu":
        return {}
    return {"XLA_FLAGS": (flags + " " + flag).strip()}


def own_device(backend, worker, ids, workers=1):
    """The environment variables that give one worker its device, or its share of a device's memory.

    JAX reads them when its backend starts. `worker` counts from 0. All `workers` share the devices `ids`.
    """
    if not ids:
        return {}
    own = ids[worker % len(ids)]
    if backend == "gpu":
        order = {"CUDA_VISIBLE_DEVICES": own, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}  # the order of nvidia-smi
        share = -(-workers // len(ids))
        return order if share == 1 else dict(order, XLA_PYTHON_CLIENT_MEM_FRACTION=str(round(GPU_SHARED / share, 3)))
    return {"TPU_VISIBLE_CHIPS": own, "ALLOW_MULTIPLE_LIBTPU_LOAD": "true"}


def device_ids(backend, environ=os.environ):
    """The devices that this process and its workers may use.

    These are the devices that the user, or the controller of this worker, made visible. The default is all devices.
    """
    if backend == "gpu":
        chosen = visible.gpus(environ)
        return _gpus() if chosen is None else chosen
    if backend == "tpu":
        chosen = environ.get("TPU_VISIBLE_CHIPS")
        return _tpu_chips() if chosen is None else [name for name in chosen.split(",") if name]
    return []


def _gpus():
    return [row[0] for row in _ask("--query-gpu=index") if row[0].isdigit()]


def gpu_memory_mib(own):
    """The free memory of a GPU in MiB, or 0 if the driver doesn't say, as for a GPU that shares the host's memory."""
    return sum(int(row[0]) for row in _ask("--query-gpu=memory.free", "--id=" + own) if row[0].isdigit())


def _ask(*query):
    """The rows that nvidia-smi prints, or none if it fails."""
    try:
        return visible.query(*query)
    except (OSError, subprocess.SubprocessError):
        return []


def _tpu_chips():
    chips = glob.glob("/dev/accel[0-9]*") or glob.glob("/dev/vfio/[0-9]*")
    return [str(i) for i in range(len(chips))]

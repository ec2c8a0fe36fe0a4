"""How many workers run a cell's tests. It depends on cores, memory and devices, in a container too."""

import json
import os
import re

import pytest
import workers
from programs import run_pytest

from harness.system.inside import capacity
from harness.system.paths import INSIDE

# Cores and memory


HERE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.parametrize(
    ("expect", "flags", "given"),
    [
        ({}, "", None),
        ({"backend": "cpu"}, "--a", None),
        ({"backend": "cpu", "cpu_devices": 8}, "", "--xla_force_host_platform_device_count=8"),
        ({"backend": "cpu", "cpu_devices": 8}, "--a", "--a --xla_force_host_platform_device_count=8"),
        ({"backend": "cpu", "cpu_devices": 8}, "--xla_force_host_platform_device_count=8", None),  # of the controller
        ({"backend": "gpu", "cpu_devices": 8}, "", None),
    ],
)
def test_a_cell_on_the_cpu_may_have_several_devices(expect, flags, given):
    found = workers.cpu_devices({"EQX_EXPECT": json.dumps(expect), "XLA_FLAGS": flags})
    assert found == ({} if given is None else {"XLA_FLAGS": given})


V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/cpu/cpu.cfs_{}_us"
IN_V2 = {"proc/self/cgroup": "0::/a/b"}
IN_V1 = {"proc/self/cgroup": "11:memory:/a/b\n4:cpu,cpuacct:/a/b\n1:name=systemd:/c"}
V1_MEMORY = "sys/fs/cgroup/memory/memory.{}_in_bytes"


def machine(root, files):
    """A root folder with files like those under /proc and /sys."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("{}\n".format(text))
    return str(root)


@pytest.mark.parametrize(
    "files, cores",
    [
        ({}, HERE),
        ({V2 + "/cpu.max": "max 100000"}, HERE),
        ({V2 + "/cpu.max": "100000 100000"}, 1),
        ({V2 + "/cpu.max": "50000 100000"}, 1),  # half a core counts as one
        ({V2 + "/cpu.max": "6400000 100000"}, min(64, HERE)),
        ({V1.format("quota"): "-1", V1.format("period"): "100000"}, HERE),
        ({V1.format("quota"): "100000", V1.format("period"): "100000"}, 1),
        # Nested groups, as in a systemd slice or a Slurm job. The lowest limit counts.
        ({**IN_V2, V2 + "/a/cpu.max": "100000 100000", V2 + "/a/b/cpu.max": "max 100000"}, 1),
        ({**IN_V2, V2 + "/a/b/cpu.max": "100000 100000"}, 1),
        ({**IN_V2, V2 + "/a/c/cpu.max": "100000 100000"}, HERE),  # of another group
        ({**IN_V1, V2 + "/cpu/a/cpu.cfs_quota_us": "100000", V2 + "/cpu/a/cpu.cfs_period_us": "100000"}, 1),
        (
            {**IN_V1, V1.format("quota"): "100000", V1.format("period"): "100000"},
            1,
        ),  # names of the host, which don't exist here
    ],
)
def test_cores(tmp_path, files, cores):
    """The cores that the process may use, or the quota of its control group, in version 1 or 2."""
    assert capacity.cores(machine(tmp_path, files)) == cores


GIB = 2**30
V1_IN_A = V1_MEMORY.replace("memory/", "memory/a/")
CACHE = "anon 7\n{0}active_file {1}\n{0}inactive_file {1}\nshmem {1}"
MEMINFO = {"proc/meminfo": "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB"}


@pytest.mark.parametrize(
    "files, gib",
    [
        ({}, None),
        (MEMINFO, 4),
        ({**MEMINFO, V2 + "/memory.max": "max", V2 + "/memory.current": GIB}, 4),
        ({**MEMINFO, V2 + "/memory.max": 3 * GIB, V2 + "/memory.current": GIB}, 2),
        ({**MEMINFO, V1_MEMORY.format("limit"): 2 * GIB, V1_MEMORY.format("usage"): GIB}, 1),
        ({**MEMINFO, V1_MEMORY.format("limit"): 2**63 - 4096, V1_MEMORY.format("usage"): GIB}, 4),  # no limit
        ({V2 + "/memory.max": GIB, V2 + "/memory.current": 2 * GIB}, 0),
        ({**MEMINFO, V2 + "/memory.max": 4 * GIB, V2 + "/memory.high": 2 * GIB, V2 + "/memory.current": GIB}, 1),
        # Nested groups
        ({**IN_V2, V2 + "/a/memory.max": 3 * GIB, V2 + "/a/memory.current": GIB, V2 + "/a/b/memory.max": "max"}, 2),
        ({**IN_V2, V2 + "/a/b/memory.max": 2 * GIB, V2 + "/a/b/memory.current": GIB}, 1),
        ({**IN_V2, V2 + "/a/c/memory.max": GIB, V2 + "/a/c/memory.current": GIB}, None),
        ({**IN_V1, V1_IN_A.format("limit"): 2 * GIB, V1_IN_A.format("usage"): GIB}, 1),
        ({**IN_V1, V1_MEMORY.format("limit"): 2 * GIB, V1_MEMORY.format("usage"): GIB}, 1),
        # The kernel can free the cache of files, but not files in /dev/shm.
        ({V2 + "/memory.max": 4 * GIB, V2 + "/memory.current": 4 * GIB, V2 + "/memory.stat": CACHE.format("", GIB)}, 2),
        (
            {
                V1_MEMORY.format("limit"): 4 * GIB,
                V1_MEMORY.format("usage"): 4 * GIB,
                V2 + "/memory/memory.stat": CACHE.format("total_", GIB),
            },
            2,
        ),
    ],
)
def test_memory(tmp_path, files, gib):
    """The available memory, or what the limit of the control group leaves, whichever is less."""
    assert capacity.memory_mib(machine(tmp_path, files)) == (None if gib is None else gib * 1024)


# How many workers


@pytest.mark.parametrize(
    "cores, memory_gib, jobs, number",
    [
        (1, 64, None, 1),
        (2, 64, None, 2),
        (64, 64, None, workers.MAX_CPU_WORKERS),
        (64, None, None, workers.MAX_CPU_WORKERS),
        (4, 3.2, None, 2),  # 1.5 GiB for each worker
        (4, 1, None, 1),  # at least one
        (4, 64, "2", 2),  # cells that run in parallel share the machine
        (2, 64, "8", 1),
        (16, 12, "2", 4),
        (4, 64, "", 4),
    ],
)
def test_the_number_of_workers_on_the_cpu(cores, memory_gib, jobs, number):
    """As many as the cell's share of cores and memory allows."""
    environ = {} if jobs is None else {"EQX_JOBS": jobs}
    memory_mib = None if memory_gib is None else int(memory_gib * 1024)
    assert workers.number(environ, cores, memory_mib, no_devices, no_memory) == number


def no_memory(own):
    raise AssertionError("the CPU needs no look for the memory of GPUs")


def no_devices(backend, environ):
    raise AssertionError("the CPU needs no look for devices")


@pytest.mark.parametrize("ids, number", [(["0"], 1), (["0", "1", "2"], 3), ([], 1)])
def test_the_number_of_workers_on_tpus(ids, number):
    """One for each chip, however many cores there are."""
    environ = {"EQX_EXPECT": '{"backend": "tpu"}', "EQX_JOBS": "4"}
    assert workers.number(environ, 64, 2**20, lambda asked, _: ids, no_memory) == number


@pytest.mark.parametrize(
    "ids, cores, memory_gib, gpu_gib, jobs, number",
    [
        (["0"], 16, 128, 139, 1, 16),  # a worker for each core
        (["0"], 16, 128, 16, 1, 4),
        (["0"], 16, 6, 139, 1, 4),
        (["0"], 16, 128, 139, 2, 8),
        (["0"], 16, 128, 0, 1, 1),  # the driver doesn't report memory
        (["0"], 1, 2, 139, 1, 1),
        (["0", "1", "2"], 2, 128, 139, 1, 3),  # a worker for each GPU, however many cores there are
        (["0", "1"], 16, 128, 16, 1, 8),
        ([], 16, 128, 139, 1, 1),
    ],
)
def test_the_number_of_workers_on_gpus(ids, cores, memory_gib, gpu_gib, jobs, number):
    """As many as cores, memory and the memory of the GPUs allow."""
    environ = {"EQX_EXPECT": '{"backend": "gpu"}', "EQX_JOBS": str(jobs)}
    found = workers.number(environ, cores, memory_gib * 1024, lambda asked, _: ids, lambda own: gpu_gib * 1024)
    assert found == number


@pytest.mark.parametrize(
    "count, ids, fraction", [(1, ["0"], None), (2, ["0", "1"], None), (16, ["0"], 0.056), (3, ["0", "1"], 0.45)]
)
def test_workers_on_one_gpu_share_its_memory(count, ids, fraction):
    """No worker takes more than its share."""
    share = workers.own_device("gpu", 0, ids, count).get("XLA_PYTHON_CLIENT_MEM_FRACTION")
    assert share == (None if fraction is None else str(fraction))


def test_the_user_may_set_the_number():
    """`EQX_WORKERS` sets it on each backend."""
    for expect in ("{}", '{"backend": "gpu"}', "nonsense"):
        assert workers.number({"EQX_WORKERS": "0", "EQX_EXPECT": expect}, 8, 2**20, no_devices, no_memory) == 0
        assert workers.number({"EQX_WORKERS": "9", "EQX_EXPECT": expect}, 8, 2**20, no_devices, no_memory) == 9


# Which device


def test_each_worker_has_its_own_device():
    """No two workers share one, as long as there are no more workers than devices."""
    ids = ["3", "GPU-a", "7"]
    own = [workers.own_device("gpu", worker, ids)["CUDA_VISIBLE_DEVICES"] for worker in range(3)]
    assert own == ids
    assert workers.own_device("gpu", 3, ids)["CUDA_VISIBLE_DEVICES"] == "3"  # replaces a worker that crashed
    assert workers.own_device("gpu", 0, ids)["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert workers.own_device("tpu", 1, ["0", "1"]) == {"TPU_VISIBLE_CHIPS": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "true"}
    assert workers.own_device("gpu", 0, []) == {}


def test_only_visible_devices_are_shared_out():
    """Devices that the user has hidden stay hidden."""
    assert workers.device_ids("gpu", {"CUDA_VISIBLE_DEVICES": "2,GPU-x"}) == ["2", "GPU-x"]
    for hidden in ("", "-1,0", "none", "NoDevFiles"):  # CUDA stops at the first name that isn't a GPU
        assert workers.device_ids("gpu", {"CUDA_VISIBLE_DEVICES": hidden}) == []
    assert workers.device_ids("gpu", {"CUDA_VISIBLE_DEVICES": "1, 2,-1,0"}) == ["1", "2"]
    assert workers.device_ids("tpu", {"TPU_VISIBLE_CHIPS": "1"}) == ["1"]
    assert workers.device_ids("cpu", {}) == []


def test_gpus_are_found_where_nvidia_smi_is_not_on_the_path(tmp_path, monkeypatch):
    """As on Windows (WSL). All who ask nvidia-smi look in the same places."""
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\ncase "$*" in *memory.free*) echo 1024;; *) echo 0; echo 1;; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(workers.visible, "NOT_ON_THE_PATH", (str(program),))
    assert workers.device_ids("gpu", {}) == ["0", "1"] and workers.gpu_memory_mib("0") == 1024
    monkeypatch.setattr(workers.visible, "NOT_ON_THE_PATH", ())
    assert workers.device_ids("gpu", {}) == [] and workers.gpu_memory_mib("0") == 0


def test_workers_of_xdist_choose_a_device_before_the_first_conftest(tmp_path):
    """`-n auto` asks the plugin for the number."""
    (tmp_path / "conftest.py").write_text(
        "import os\n"
        "AT_IMPORT = os.environ['CUDA_VISIBLE_DEVICES']\n"
        "def pytest_collection_modifyitems(items):\n"
        "    for item in items: item.user_properties.append(('saw', AT_IMPORT))\n"
    )
    (tmp_path / "test_it.py").write_text("def test_it(): pass")
    env = {"EQX_EXPECT": '{"backend": "gpu"}', "CUDA_VISIBLE_DEVICES": "5,6,7", "PYTHONPATH": str(INSIDE)}
    done = run_pytest(tmp_path, ["workers"], "-n", "auto", "--dist=each", "--junitxml=j.xml", **env)
    assert done.returncode == 0, done.stdout
    junit = (tmp_path / "j.xml").read_text()
    assert sorted(re.findall('name="saw" value="(.*?)"', junit)) == ["5", "6", "7"]

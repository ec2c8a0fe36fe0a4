"""The devices of the engine's machine, looked at before anything is built; a fake `docker` plays the engine."""

import io
import threading

import pytest
from fake_docker import FakeDocker
from harness import devices, engine, host, rows
from harness.results import Outcome
from harness.trouble import Trouble

CELLS = {cell.name: cell for cell in rows.load()}
ON_GPU = CELLS["py313-jax0.12.0.1-cuda"]
ON_TPU = CELLS["py312-jax0.6.2-tpu"]
BUS = "/sys/bus/pci/devices/0000:00:05.0/"
V5E, V7X = (BUS + "vendor=0x1ae0\n" + BUS + "device=" + number + "\n" for number in ("0x0063", "0x0076"))


@pytest.fixture
def docker(tmp_path, monkeypatch):
    docker = FakeDocker(tmp_path / "docker")
    monkeypatch.setenv("PATH", docker.path)
    monkeypatch.setattr(engine, "checkout", lambda: "mine")
    monkeypatch.setattr(host, "POLL_S", 0.02)
    return docker


def refusal(cell):
    """Why the cell isn't built, or None."""
    try:
        devices.check(cell, io.BytesIO(), threading.Event())
    except Trouble as trouble:
        return trouble
    return None


def test_what_reaches_the_tests():
    """Of the environment what tox lets through; each backend's devices, and no others."""
    env = {"EQX_SEED": "1", "TPU_NAME": "x", "HOME": "/home/me", "JAX_PLATFORMS": "cpu"}
    assert devices.options(CELLS["py311-jax0.4.30-cpu"], env) == ("--env=EQX_SEED", "--env=TPU_NAME")
    assert "--gpus=all" in devices.options(ON_GPU, {})
    assert "--privileged" in devices.options(ON_TPU, {})


def test_a_cpu_is_everywhere(docker):
    assert refusal(CELLS["py311-jax0.4.30-cpu"]) is None and docker.calls == []


@pytest.mark.parametrize(
    "state, said, outcome, reason",
    [
        ("exited 0", "NVIDIA A100, 580.65.06, 40960, 8.0\n", None, ""),
        ("exited 0", "Tesla P100, 580.65.06, 16384, 6.0\n", Outcome.UNSUPPORTED, "6.0"),
        ("exited 0", "NVIDIA A100, 450.0, 40960, 8.0\n", Outcome.UNSUPPORTED, "driver"),
        ("exited 9", "NVIDIA-SMI has failed\n", Outcome.NOT_RUN, "NVIDIA-SMI has failed"),
        ("exited 255", "Failed to initialize NVML: Unknown Error\n", Outcome.NOT_RUN, "no-cgroups"),
        ("created 128", 'could not select device driver "" with capabilities: [[gpu]]', Outcome.NOT_RUN, "Toolkit"),
    ],
)
def test_gpu(docker, state, said, outcome, reason):
    """In a container, wherever the engine is; in the small image that the cell's begins with."""
    docker.answer("start", out=said, status=int(state.split()[1] != "0"))
    docker.answer("inspect", out=state + "\n")
    found = refusal(ON_GPU)
    assert docker.containers == []
    create = docker.call("create")
    assert "--gpus=all" in create and "python:3.13-slim-bookworm" in " ".join(create) and "nvidia-smi" in create
    assert (found and found.outcome) is outcome and reason in str(found)


@pytest.mark.parametrize(
    "said, outcome, reason",
    [
        ("/dev/accel0=\n", None, ""),
        ("/dev/accel0=\n" + V5E, None, ""),
        ("/dev/vfio/0=\n" + V5E, None, ""),
        ("/dev/vfio/0=\n" + V7X, Outcome.UNSUPPORTED, "is a v7x"),
        ("/dev/vfio/0=\n", Outcome.NOT_RUN, "no TPU"),  # it is of something else
        (V5E, Outcome.NOT_RUN, "there is a TPU on the bus, but neither /dev/accel"),
        ("sh: 1: cat: not found\n", Outcome.NOT_RUN, "no TPU"),
    ],
)
def test_tpu(docker, monkeypatch, said, outcome, reason):
    """Its generation is as the bus of the engine's machine has it, and not that of this machine."""
    monkeypatch.delenv("TPU_ACCELERATOR_TYPE", raising=False)
    docker.answer("start", out=said)
    found = refusal(ON_TPU)
    assert docker.containers == []
    assert (found and found.outcome) is outcome and reason in str(found)


def test_a_tpu_comes_by_its_nodes_before_all_rights_are_given(docker):
    """They are found in a container that has no rights; only where that names none, by one that has all."""
    docker.answer("start", out="/dev/vfio/0=\n/dev/vfio/1=\n" + V5E)
    nodes, all_rights = devices.check(ON_TPU, io.BytesIO(), threading.Event())
    assert "--privileged" not in docker.call("create") and "--cap-drop=ALL" in docker.call("create")
    assert {"--device=/dev/vfio/0", "--device=/dev/vfio/1", "--device=/dev/vfio/vfio", "--cap-drop=ALL"} <= set(nodes)
    assert "--privileged" in all_rights and "--privileged" not in nodes
    docker.answer("start", out=V5E)
    assert refusal(ON_TPU) is not None and "--privileged" in docker.call("create")


def test_what_a_container_says_names_no_other_file(docker, tmp_path):
    """What it answers becomes names of files in a folder of this machine."""
    docker.answer("start", out="/dev/accel0=\n/dev/../../../../../../../../..{}/made=x\n".format(tmp_path))
    assert refusal(ON_TPU) is None and not (tmp_path / "made").exists()


@pytest.mark.parametrize("cell", [CELLS["py311-jax0.4.30-cpu"], ON_GPU])
def test_the_suite_may_compute_and_no_more(docker, cell):
    """Its packages come from an index. No network, no capability, no new rights, and so many processes."""
    docker.answer("start", out="NVIDIA A100, 580.65.06, 40960, 8.0\n")
    (way,) = devices.check(cell, io.BytesIO(), threading.Event())
    assert {"--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges"} < set(way)
    assert any(option.startswith("--pids-limit=") for option in way)
    if cell is ON_GPU:
        assert set(way) < set(docker.call("create")) and "--gpus=all" in way

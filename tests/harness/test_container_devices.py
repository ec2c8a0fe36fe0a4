"""The devices of the engine's machine are checked before anything is built. The tests use a fake `docker`."""

import io
import threading

import pytest

from harness import rows
from harness.containers import devices
from harness.containers.docker_errors import DockerError
from harness.results import Outcome

CELLS = {cell.name: cell for cell in rows.load()}
ON_GPU = CELLS["py313-jax0.12.0.1-cuda"]
ON_TPU = CELLS["py312-jax0.6.2-tpu"]
BUS = "/sys/bus/pci/devices/0000:00:05.0/"
V5E, V7X = (BUS + "vendor=0x1ae0\n" + BUS + "device=" + number + "\n" for number in ("0x0063", "0x0076"))


def refusal(cell):
    """Why the cell can't run on the device, or None."""
    try:
        devices.check(cell, io.BytesIO(), threading.Event())
    except DockerError as error:
        return error
    return None


def test_options_pass_chosen_variables_and_the_device():
    """A container gets the same variables that tox passes on, and only the device of its backend."""
    env = {"EQX_SEED": "1", "TPU_NAME": "x", "HOME": "/home/me", "JAX_PLATFORMS": "cpu"}
    assert devices.options(CELLS["py311-jax0.4.30-cpu"], env) == ("--env=EQX_SEED", "--env=TPU_NAME")
    assert "--gpus=all" in devices.options(ON_GPU, {})
    assert "--privileged" in devices.options(ON_TPU, {})


def test_a_cpu_needs_no_check(docker):
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
    """nvidia-smi runs in a container of the small base image, so this works with an engine on another machine."""
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
        ("/dev/vfio/0=\n", Outcome.NOT_RUN, "no TPU"),  # this node belongs to another device
        (V5E, Outcome.NOT_RUN, "there is a TPU on the bus, but no /dev/accel"),
        ("sh: 1: cat: not found\n", Outcome.NOT_RUN, "no TPU"),
    ],
)
def test_tpu(docker, monkeypatch, said, outcome, reason):
    """The generation comes from the PCI bus of the engine's machine, not of this machine."""
    monkeypatch.delenv("TPU_ACCELERATOR_TYPE", raising=False)
    docker.answer("start", out=said)
    found = refusal(ON_TPU)
    assert docker.containers == []
    assert (found and found.outcome) is outcome and reason in str(found)


def test_device_nodes_are_tried_before_privileged(docker):
    """A container without rights looks for the nodes. A privileged one looks only if the first finds none."""
    docker.answer("start", out="/dev/vfio/0=\n/dev/vfio/1=\n" + V5E)
    nodes, all_rights = devices.check(ON_TPU, io.BytesIO(), threading.Event())
    assert "--privileged" not in docker.call("create") and "--cap-drop=ALL" in docker.call("create")
    assert {"--device=/dev/vfio/0", "--device=/dev/vfio/1", "--device=/dev/vfio/vfio", "--cap-drop=ALL"} <= set(nodes)
    assert "--privileged" in all_rights and "--privileged" not in nodes
    docker.answer("start", out=V5E)
    assert refusal(ON_TPU) is not None and "--privileged" in docker.call("create")


def test_the_answer_of_a_container_cannot_name_other_files(docker, tmp_path):
    """The paths in the answer become files in a temporary folder, so `..` in a path must not lead out of it."""
    docker.answer("start", out="/dev/accel0=\n/dev/../../../../../../../../..{}/made=x\n".format(tmp_path))
    assert refusal(ON_TPU) is None and not (tmp_path / "made").exists()


@pytest.mark.parametrize("cell", [CELLS["py311-jax0.4.30-cpu"], ON_GPU])
def test_the_suite_is_confined(docker, cell):
    """The suite has no network, no capabilities, no new rights, and a limit of processes: it runs foreign packages."""
    docker.answer("start", out="NVIDIA A100, 580.65.06, 40960, 8.0\n")
    (options,) = devices.check(cell, io.BytesIO(), threading.Event())
    assert {"--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges"} < set(options)
    assert any(option.startswith("--pids-limit=") for option in options)
    if cell is ON_GPU:
        assert set(options) < set(docker.call("create")) and "--gpus=all" in options

"""Accelerators and drivers are found, and cells that can't run on them are refused.

The tests use a fake nvidia-smi and a fake /dev.
"""

import subprocess
from dataclasses import replace

import pytest
from small_matrix import a_cell

from harness.results import Outcome
from harness.rows import Supports
from harness.run import hardware
from harness.run.hardware import GPU, TPU, Hardware

ASKED = "H100, 580.65.06, 81559, 9.0\n"


class NvidiaSmi:
    """Replace `subprocess.run` with a fake nvidia-smi. With `knows=False` its driver has no field compute_cap."""

    def __init__(self, answer=ASKED, status=0, knows=True, error=None):
        self.answer, self.status, self.knows, self.error = answer, status, knows, error
        self.commands = []

    def __call__(self, command, **options):
        self.commands.append(command)
        if self.error is not None:
            raise self.error
        assert options["timeout"] > 0
        if not self.knows and "compute_cap" in " ".join(command):
            return subprocess.CompletedProcess(command, 2, 'Field "compute_cap" is not a valid field to query.\n')
        return subprocess.CompletedProcess(command, self.status, self.answer)


def look(root, smi=None, env=None):
    """The hardware of a fake machine: its files are under `root`, and nvidia-smi is `smi` or missing."""
    which = {"nvidia-smi": "/usr/bin/nvidia-smi"}.get if smi else {}.get
    return hardware.look(run=smi or NvidiaSmi(error=AssertionError), which=which, root=root, env=env or {})


# What is found


def test_gpus(tmp_path):
    """Each GPU has its name, compute capability, driver and memory."""
    found = look(tmp_path, NvidiaSmi(ASKED + "Tesla T4, 580.65.06, 15360, 7.5\n"))
    assert found.gpus == (GPU("H100", (9, 0), "580.65.06", 81559), GPU("Tesla T4", (7, 5), "580.65.06", 15360))
    assert found.why_no_gpu == ""


def test_an_old_driver_without_compute_capability(tmp_path):
    """The driver is asked again for the other fields."""
    found = look(tmp_path, NvidiaSmi("Tesla T4, 470.57.02, 15360\n", knows=False))
    assert found.gpus == (GPU("Tesla T4", None, "470.57.02", 15360),)


def test_a_driver_may_not_report_the_memory(tmp_path):
    assert look(tmp_path, NvidiaSmi("GB10, 580.1, [N/A], 12.1\n")).gpus == (GPU("GB10", (12, 1), "580.1", None),)


@pytest.mark.parametrize(
    "visible, told",
    [("1,0", "--id=1,0"), ("GPU-a-b", "--id=GPU-a-b"), ("1,-1,0", "--id=1"), ("MIG-x", None), (None, None)],
)
def test_only_visible_gpus_count(tmp_path, visible, told):
    """nvidia-smi ignores CUDA_VISIBLE_DEVICES, so it gets the ids as an option."""
    smi = NvidiaSmi()
    look(tmp_path, smi, {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
    ids = [argument for argument in smi.commands[0] if argument.startswith("--id")]
    assert ids == ([told] if told else [])


@pytest.mark.parametrize("hidden", ["", " ", "-1", "-1,0", "none", "void", "NoDevFiles", ",0", "a GPU", "\x1b[2J"])
def test_gpus_may_be_hidden(tmp_path, hidden):
    found = look(tmp_path, NvidiaSmi(), {"CUDA_VISIBLE_DEVICES": hidden})
    assert found.gpus == ()
    assert "CUDA_VISIBLE_DEVICES" in found.why_no_gpu
    assert hardware.check(cell("cuda"), found).outcome is Outcome.NOT_RUN


def test_no_gpu(tmp_path):
    found = look(tmp_path)
    assert found.gpus == ()
    assert "there is no NVIDIA GPU here" in found.why_no_gpu


def test_a_gpu_without_nvidia_smi(tmp_path):
    """A container may lack the driver's utilities. The message differs from the one for no GPU."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    assert "there is a GPU (/dev/nvidia0), but no nvidia-smi" in look(tmp_path).why_no_gpu


def test_nvidia_smi_off_the_path(tmp_path):
    """Some hosts mount nvidia-smi outside of the PATH."""
    program = tmp_path / "usr" / "local" / "nvidia" / "bin" / "nvidia-smi"
    program.parent.mkdir(parents=True)
    program.touch()
    smi = NvidiaSmi()
    assert hardware.look(run=smi, which=lambda name: None, root=tmp_path, env={}).gpus
    assert smi.commands[0][0] == "/usr/local/nvidia/bin/nvidia-smi"


@pytest.mark.parametrize(
    "smi, words",
    [
        (
            NvidiaSmi("NVIDIA-SMI has failed because it couldn't\ncommunicate with the driver.\n", 9),
            "couldn't communicate",
        ),
        (NvidiaSmi("", 6), "exit status 6"),
        (NvidiaSmi(error=subprocess.TimeoutExpired("nvidia-smi", 60)), "timed out"),
        (NvidiaSmi(error=PermissionError("no")), "no"),
        (NvidiaSmi("nonsense\n"), "doesn't list the GPUs"),
        (NvidiaSmi(""), "finds no GPU"),
    ],
)
def test_an_nvidia_smi_that_fails(tmp_path, smi, words):
    """No GPU is found, and the reason quotes the output."""
    found = look(tmp_path, smi)
    assert found.gpus == ()
    assert words in found.why_no_gpu


def pci(root, device, subsystem="0x0000", vendor="0x1ae0"):
    folder = root / "sys" / "bus" / "pci" / "devices" / "0000:00:05.0"
    folder.mkdir(parents=True)
    for name, word in [("vendor", vendor), ("device", device), ("subsystem_device", subsystem)]:
        (folder / name).write_text(word + "\n")


def device_files(root, *names):
    for name in names:
        (root / "dev" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "dev" / name).touch()


@pytest.mark.parametrize(
    "device, subsystem, generation",
    [("0x0063", "0x0000", "v5e"), ("0x0027", "0x004e", "v2"), ("0x0027", "0x004f", "v3"), ("0x005e", "0x0000", "v4")],
)
def test_tpus(tmp_path, device, subsystem, generation):
    """The PCI bus gives the generation, and the device files give the number of chips."""
    pci(tmp_path, device, subsystem)
    device_files(tmp_path, "accel0", "accel1", "accel2", "accel3")
    assert look(tmp_path).tpu == TPU(generation, 4)


def test_newer_tpus_are_under_vfio(tmp_path):
    pci(tmp_path, "0x006f")
    device_files(tmp_path, "vfio/0", "vfio/1", "vfio/vfio")
    assert look(tmp_path).tpu == TPU("v6e", 2)


def test_other_things_under_vfio_are_no_tpu(tmp_path):
    """For example, a GPU that is given to a virtual machine is there too."""
    pci(tmp_path, "0x0063", vendor="0x10de")
    device_files(tmp_path, "vfio/0")
    found = look(tmp_path)
    assert found.tpu is None
    assert "there is no TPU here" in found.why_no_tpu


@pytest.mark.parametrize("told, generation", [("v5litepod-8", "v5e"), ("v4-8", "v4"), ("", None)])
def test_the_generation_may_come_from_a_variable(tmp_path, told, generation):
    """A container may not see the PCI bus."""
    device_files(tmp_path, "accel0")
    assert look(tmp_path, env={"TPU_ACCELERATOR_TYPE": told}).tpu == TPU(generation, 1)


def test_a_tpu_that_a_container_may_not_use(tmp_path):
    pci(tmp_path, "0x0063")
    found = look(tmp_path)
    assert found.tpu is None
    assert "--privileged" in found.why_no_tpu


# Which cells are refused


def cell(backend, **supports):
    return a_cell("0.3.25", backend, supports=Supports(**supports))


def machine(*gpus, tpu=None):
    return Hardware(2, 4096, gpus, "" if gpus else "no GPU, get one", tpu, "" if tpu else "no TPU, get one")


H100 = GPU("NVIDIA H100", (9, 0), "580.65.06", 81559)
T4 = GPU("Tesla T4", (7, 5), "470.57.02", 15360)


def test_the_cpu_is_always_there():
    assert hardware.check(cell("cpu"), machine()) is None


@pytest.mark.parametrize("backend, reason", [("cuda", "no GPU, get one"), ("tpu", "no TPU, get one")])
def test_no_device_is_not_run(backend, reason):
    """A missing device is "not run", not "unsupported"."""
    result = hardware.check(cell(backend), machine())
    assert (result.cell, result.outcome, result.reason) == ("py311-jax0.3.25-" + backend, Outcome.NOT_RUN, reason)


@pytest.mark.parametrize(
    "gpu, supports, refused",
    [
        (H100, {}, False),
        (H100, {"compute_capability_max": (8, 6)}, True),
        (H100, {"compute_capability_max": (9, 0)}, False),
        (GPU("B200", (10, 0), "580", 1), {"compute_capability_max": (9, 0)}, True),  # numbers, not text
        (T4, {"compute_capability_min": (7, 5)}, False),
        (T4, {"compute_capability_min": (8, 0)}, True),
        (T4, {"driver_min": "470.57.02"}, False),
        (T4, {"driver_min": "525.60.13"}, True),
        (T4, {"driver_min": "580"}, True),
        (H100, {"driver_min": "580"}, False),
        (GPU("Tesla T4", None, "999", 1), {"compute_capability_max": (3, 0)}, False),  # unknown: the cell may try
        (GPU("Tesla T4", (7, 5), "[N/A]", 1), {"driver_min": "580"}, False),
    ],
)
def test_gpus_within_a_cells_bounds(gpu, supports, refused):
    """A GPU is unsupported if its compute capability or its driver is outside of the bounds of the row."""
    result = hardware.check(cell("cuda", **supports), machine(gpu))
    assert (result is not None) == refused
    if refused:
        assert result.outcome is Outcome.UNSUPPORTED


def test_the_reason_has_both_numbers():
    """The reason names what the machine has, what the cell's wheels need, and the next move."""

    def reason(gpu, **supports):
        return hardware.check(cell("cuda", **supports), machine(gpu)).reason

    assert reason(H100, compute_capability_max=(8, 6)) == (
        "the NVIDIA H100 here (compute capability 9.0) can't run JAX 0.3.25, whose wheels go up to 8.6; "
        "choose a later JAX"
    )
    assert "(compute capability 7.5) can't run JAX 0.3.25, whose wheels begin at 8.0" in reason(
        T4, compute_capability_min=(8, 0)
    )
    assert "is 470.57.02, and the CUDA of JAX 0.3.25 needs 525.60.13 or later" in reason(T4, driver_min="525.60.13")


def test_every_gpu_must_be_supported():
    """The tests use all GPUs. If one isn't supported, the user can choose the others with CUDA_VISIBLE_DEVICES."""
    result = hardware.check(cell("cuda", compute_capability_min=(8, 0)), machine(H100, T4))
    assert result.outcome is Outcome.UNSUPPORTED
    assert "CUDA_VISIBLE_DEVICES" in result.reason


@pytest.mark.parametrize(
    "generation, known, refused",
    [("v2", ("v2", "v3"), False), ("v6e", ("v2", "v3"), True), ("v6e", (), False), (None, ("v2",), False)],
)
def test_tpu_generations(generation, known, refused):
    """A TPU is unsupported if its generation is known and the row lists other generations."""
    result = hardware.check(cell("tpu", tpu=known), machine(tpu=TPU(generation, 4)))
    assert (result is not None) == refused
    if refused:
        assert result.outcome is Outcome.UNSUPPORTED
        assert "the TPU here is a v6e, and the libtpu of JAX 0.3.25 is for v2, v3" in result.reason


def test_the_identity_of_a_device_is_its_model_number_and_driver():
    assert hardware.identity(cell("cpu"), machine(H100)) == {}
    assert hardware.identity(cell("cuda"), machine()) == hardware.identity(cell("tpu"), machine(H100)) == {"device": ""}
    one, two = (hardware.identity(cell("cuda"), machine(*gpus))["device"] for gpus in ([H100], [H100, H100]))
    assert one == "NVIDIA H100, driver {}".format(H100.driver) and two == "2 x " + one
    updated = hardware.identity(cell("cuda"), machine(replace(H100, driver="999.1")))["device"]
    assert updated != one
    assert hardware.identity(cell("tpu"), machine(tpu=TPU("v5e", 4))) == {"device": "4 x TPU v5e"}

"""The proof of place, with a fake JAX: a difference from the cell's claim ends the run before a test runs.

tests/test_cell.py shows the same of the real JAX, in each cell.
"""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import accelerator_evidence
import proof_of_place
import pytest
from programs import PATIENCE_S, run_pytest

PYTHON = "{}.{}".format(*sys.version_info)
CLAIM = {
    "cell": "py-jax0.4.30-cpu",
    "python": PYTHON,
    "jax": "0.4.30",
    "jaxlib": "0.4.29",
    "backend": "cpu",
    "bridge": False,
    "package": "equinox",
}
SEEN = {
    "python": PYTHON + ".1",
    "jax": "0.4.30",
    "jaxlib": "0.4.29",
    "bridge": None,
    "package": "/env/lib/python/site-packages/equinox",
}
BACKEND = {"platform": "cpu", "arrays_on": ["cpu"], "shown": "[CpuDevice(id=0)]", "devices": []}

# What is installed


def test_a_true_claim_brings_no_complaint():
    """The part of a version after `+` doesn't matter."""
    assert proof_of_place.installation_complaints(CLAIM, SEEN) == []
    assert proof_of_place.installation_complaints(CLAIM, dict(SEEN, jaxlib="0.4.29+cuda12.cudnn89")) == []


def test_a_floating_cell_takes_any_jax():
    """It claims no version of JAX, but everything else."""
    claim = dict(CLAIM, jax=None, jaxlib=None)
    assert proof_of_place.installation_complaints(claim, dict(SEEN, jax="9.9", jaxlib="9.8")) == []
    assert proof_of_place.installation_complaints(claim, dict(SEEN, python="3.6.1")) != []


@pytest.mark.parametrize(
    "what, found, words",
    [
        ("python", "3.6.15", "expects Python `" + PYTHON + "`, but this is `3.6.15`"),
        ("python", PYTHON + "1.0", "expects Python"),  # 3.1 isn't 3.11
        ("jax", "0.4.31", "expects jax `0.4.30`, but this is `0.4.31`"),
        ("jaxlib", "0.4.30", "expects jaxlib `0.4.29`, but this is `0.4.30`"),
        ("jaxlib", "none (ImportError: no)", "this is `none (ImportError: no)`"),
        ("bridge", {"jaxlib": "0.4.13"}, "expects JAX to run `on its own jaxlib`, but this is `on the bridge`"),
        ("package", "/home/me/equinox-checkout/equinox", "expects equinox in `site-packages`, but this is `/home/me"),
        ("package", "nowhere", "this is `nowhere`"),
    ],
)
def test_each_difference_brings_a_complaint(what, found, words):
    """The complaint says what was found, what was expected, and the next move."""
    (complaint,) = proof_of_place.installation_complaints(CLAIM, dict(SEEN, **{what: found}))
    assert complaint.startswith("cell `py-jax0.4.30-cpu` ")
    assert words in complaint
    assert complaint.endswith(("from its lock.", "the current folder)."))


def test_a_missing_bridge_brings_a_complaint():
    """A cell on the bridge must really run on it."""
    (complaint,) = proof_of_place.installation_complaints(dict(CLAIM, bridge=True), SEEN)
    assert "expects JAX to run `on the bridge`, but this is `on its own jaxlib`" in complaint


# The backend


@pytest.mark.parametrize("backend", ["cpu", "gpu", "tpu"])
def test_the_backend_must_be_that_of_the_cell(backend):
    """There is no complaint only if the default backend and the arrays from jit are on the cell's platform."""
    for found in ("cpu", "gpu", "tpu"):
        claim = dict(CLAIM, backend=backend)
        seen = dict(BACKEND, platform=found, arrays_on=[found])
        assert (proof_of_place.backend_complaints(claim, seen) == []) == (found == backend)


def test_the_complaint_names_both_backends_and_the_devices(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda,cpu")
    (complaint,) = proof_of_place.backend_complaints(dict(CLAIM, backend="gpu"), BACKEND)
    assert complaint.startswith(
        "cell `py-jax0.4.30-cpu` expects backend `gpu`, but JAX found `cpu` "
        "(devices: [CpuDevice(id=0)]; JAX_PLATFORMS=cuda,cpu)."
    )
    assert "--gpus=all" in complaint


@pytest.mark.parametrize(("wanted", "here", "complains"), [(1, 1, False), (8, 8, False), (2, 8, False), (8, 1, True)])
def test_a_cell_that_expects_several_devices_has_them(wanted, here, complains):
    """Tests may make more than that."""
    seen = dict(BACKEND, devices=[{}] * here)
    found = proof_of_place.backend_complaints(dict(CLAIM, backend="cpu", cpu_devices=wanted), seen)
    assert bool(found) is complains
    assert all("expects 8 devices on the CPU, but JAX has 1. If the tests set XLA_FLAGS" in one for one in found)


def test_arrays_on_another_backend_bring_a_complaint():
    """The default backend alone is no proof. The arrays must be on it too."""
    claim = dict(CLAIM, backend="gpu")
    (complaint,) = proof_of_place.backend_complaints(claim, dict(BACKEND, platform="gpu"))
    assert "expects arrays on `gpu`, but what a jitted function gave is on `cpu`" in complaint


def test_a_backend_that_does_not_start_brings_a_complaint():
    """The complaint quotes JAX's error."""
    (complaint,) = proof_of_place.backend_complaints(CLAIM, {"error": "RuntimeError: no devices"})
    assert "expects backend `cpu`, but JAX can't compute: RuntimeError: no devices." in complaint


@pytest.mark.parametrize(
    "text, words",
    [
        (None, "isn't set"),
        ("", "isn't set"),
        ("nonsense", "a JSON object, and is `nonsense`"),
        ("[1]", "is `[1]`"),
        ("3", "is `3`"),
        ("null", "is `null`"),
        (json.dumps({**CLAIM, "backend": "cuda"}), "a backend among cpu, gpu, tpu"),
        (json.dumps({"cell": "x"}), "should have the keys cell, python, jax"),
    ],
)
def test_unusable_claims_are_refused(text, words):
    """The message quotes the claim, and says what was expected."""
    environ = {} if text is None else {"EQX_EXPECT": text}
    with pytest.raises(ValueError) as caught:
        proof_of_place.expected(environ)
    assert words in str(caught.value)


# GPU: evidence from the driver


class FakeDriver:
    """Answers as nvidia-smi does. The used memory rises when the canary holds some. The GPU is busy while it works."""

    def __init__(self, pids=(), rise=0, busy="0", memory="1000", others=()):
        self.others = [["0", "GPU-of-others", "NVIDIA H100", "580.65.06", *said] for said in others]
        self.pids, self.rise, self.busy, self.memory = pids, rise, busy, memory
        self.held = self.working = False
        self.questions = 0
        self.fails_after = None

    def ask(self, *query):
        self.questions += 1
        if self.fails_after is not None and self.questions > self.fails_after:
            raise subprocess.TimeoutExpired("nvidia-smi", 60)
        if query[0].startswith("--query-compute-apps"):
            if self.pids is None:
                raise subprocess.CalledProcessError(3, "nvidia-smi")
            return [[str(pid), "GPU-1", "512"] for pid in self.pids]
        memory = self.memory if not self.memory.isdigit() else str(int(self.memory) + self.rise * self.held)
        return [["0", "GPU-1", "NVIDIA H100", "580.65.06", memory, self.busy], *self.others]

    # The canary

    def hold(self):
        self.held = True

    def work(self, until):
        self.working = True
        until.wait(PATIENCE_S)
        self.working = False


def look(driver):
    clock = iter(range(0, 10000, 5)).__next__
    return accelerator_evidence.gpu(driver.ask, driver, pid=42, clock=clock)


@pytest.mark.parametrize(
    "driver, seen_by",
    [
        (FakeDriver(pids=[41, 42], rise=0, busy="97"), "process"),
        (FakeDriver(pids=[], rise=256, busy="97"), "memory"),  # in a container
        (FakeDriver(pids=[42], memory="[N/A]", busy="[N/A]"), "process"),  # a part of a GPU
        (FakeDriver(pids=[42], memory="[N/A]", busy="3"), "process"),
        (FakeDriver(pids=[], memory="[N/A]", busy="97"), "not told"),  # a part of a GPU in a container
        (FakeDriver(pids=[], memory="[N/A]", busy="[N/A]"), "not told"),
        (FakeDriver(pids=None, memory="[N/A]", busy="97"), "not told"),  # no list of processes
        (FakeDriver(pids=None, rise=256, busy="97"), "memory"),
        (FakeDriver(pids=[], rise=256, busy="0", others=[("[N/A]", "[N/A]")]), "memory"),
    ],
)
def test_a_gpu_at_work_is_seen(driver, seen_by):
    """The process is listed, or the used memory rises; and the GPU is busy, if the driver reports it."""
    evidence, missing = look(driver)
    assert missing == []
    assert evidence["seen_by"] == seen_by
    assert set(evidence["gpus"]) == {"NVIDIA H100"}
    assert evidence["driver"] == "580.65.06"
    told = driver.busy.isdigit() and int(driver.busy) > 0
    assert evidence["busy_percent"] == (int(driver.busy) if told else None)


@pytest.mark.parametrize(
    "driver, words",
    [
        (FakeDriver(pids=[41, 421], rise=0, busy="97"), "process 42 isn't in"),  # of another process
        (FakeDriver(pids=[], rise=100, busy="97"), "doesn't see this process use GPU memory"),  # of another process
        (FakeDriver(pids=[42], busy="0"), "saw an idle GPU"),
    ],
)
def test_missing_evidence_of_a_gpu_brings_a_complaint(driver, words):
    """There is one complaint for each kind of evidence that is missing."""
    (complaint,) = look(driver)[1]
    assert words in complaint


@pytest.mark.parametrize("answers", range(5))
def test_a_driver_that_does_not_answer_is_a_complaint(answers):
    """Whichever query fails. The canary stops working."""
    driver = FakeDriver(pids=[42], busy="0")
    driver.fails_after = answers
    evidence, (complaint,) = look(driver)
    assert evidence == {}
    assert "the driver can't be queried" in complaint
    assert not driver.working


def test_nvidia_smi_is_asked_about_the_visible_gpus(tmp_path, monkeypatch):
    """It isn't asked about GPUs that CUDA_VISIBLE_DEVICES hides, and isn't given names that it can't read."""
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\nfor a in "$@"; do printf "%s, " "$a"; done; echo end\necho\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for visible, told in [("1,2", "--id=1"), ("GPU-ab-1", "--id=GPU-ab-1"), ("", "end"), ("MIG-1", "end")]:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        (row,) = accelerator_evidence.ask_nvidia_smi("--query-gpu=name")
        assert row[:3] == ["--format=csv", "noheader", "nounits"]
        assert row[3] == "--query-gpu=name"
        assert row[4] == told


# TPU: evidence from the kernel


@pytest.mark.parametrize(
    "maps, opened, missed",
    [
        ("/usr/lib/libtpu.so", "/dev/accel0", []),
        ("/usr/lib/libtpu.so", "/dev/vfio/0", []),
        ("/usr/lib/libc.so", "/dev/accel0", ["libtpu isn't loaded"]),
        ("/usr/lib/libtpu.so", "/dev/null", ["has opened no /dev/accel* or /dev/vfio/*"]),
        ("/usr/lib/libtpu.so", "/dev/vfio/vfio", ["has opened no /dev/accel* or /dev/vfio/*"]),
        ("/usr/lib/libc.so", "/dev/null", ["libtpu isn't loaded", "has opened no"]),
    ],
)
def test_a_tpu_needs_libtpu_loaded_and_a_device_open(tmp_path, maps, opened, missed):
    """A complaint names the one that is missing."""
    (tmp_path / "maps").write_text("7f00-7f01 r-xp 00000000 08:01 1 {}\n7f02-7f03 rw-p 00000000 00:00 0\n".format(maps))
    (tmp_path / "fd").mkdir()
    (tmp_path / "fd" / "3").symlink_to(opened)
    evidence, missing = accelerator_evidence.tpu(str(tmp_path))
    assert all(words in complaint for words, complaint in zip(missed, missing, strict=True))
    if not missed:
        assert evidence == {"libtpu": ["libtpu.so"], "devices": [opened]}


# As a plugin of pytest, with a fake JAX

FAKE_JAX = """
import os
from . import numpy
class Device:
    device_kind, id = "fake", 0
    def __init__(self, platform): self.platform = platform
    def __repr__(self): return "Fake({})".format(self.platform)
def local_devices():
    with open(os.environ["STARTED"], "a") as f: f.write(os.environ.get("PYTEST_XDIST_WORKER", "main") + " ")
    if os.environ.get("BROKEN"): raise RuntimeError("no such\\nbackend")
    return [Device(os.environ.get("PLATFORM", "cpu"))]
def jit(f): return f
"""
FAKE_NUMPY = """
class Array(list):
    def __add__(self, n): return Array(x + n for x in self)
    def tolist(self): return list(self)
    def device(self):
        from . import local_devices
        return local_devices()[0]
def arange(n): return Array(range(n))
"""


@pytest.fixture
def site(tmp_path):
    """A site-packages with fakes of JAX, jaxlib and equinox."""
    site = tmp_path / "site-packages"
    for name, version in [("jax", "0.4.30"), ("jaxlib", "0.4.29"), ("equinox", "1.0")]:
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text("")
        info = site / "{}-{}.dist-info".format(name, version)
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: {}\nVersion: {}\n".format(name, version))
    (site / "jax" / "__init__.py").write_text(FAKE_JAX)
    (site / "jax" / "numpy.py").write_text(FAKE_NUMPY)
    return site


@pytest.fixture
def run(tmp_path, site):
    """`run(claim, *args, **env)` runs pytest on two tests. They write a file when they are collected."""
    (tmp_path / "test_two.py").write_text(
        textwrap.dedent(
            """
            import os
            open(os.environ["COLLECTED"], "w").close()
            def test_one(): pass
            def test_two(): pass
            """
        )
    )
    inside = str(Path(proof_of_place.__file__).parent)
    of_all = {
        "PYTHONPATH": os.pathsep.join([inside, str(site)]),
        "STARTED": str(tmp_path / "started"),
        "COLLECTED": str(tmp_path / "collected"),
    }

    def run(claim, *args, **env):
        env["EQX_EXPECT"] = claim if isinstance(claim, str) else json.dumps(claim)
        done = run_pytest(tmp_path, ["proof_of_place"], "--junitxml=junit.xml", *args, **of_all, **env)
        return done.returncode, done.stdout

    return run


@pytest.mark.parametrize("workers, processes", [("0", ["main"]), ("2", ["gw0", "gw1"])])
def test_a_true_claim_lets_the_tests_run(run, tmp_path, workers, processes):
    """JUnit holds what each process with tests found. Only these processes start a backend."""
    status, output = run(CLAIM, "-n", workers)
    assert status == 0, output
    assert "2 passed" in output
    junit = (tmp_path / "junit.xml").read_text()
    for process in processes:
        assert 'name="eqx_place_{}"'.format(process) in junit
    assert set((tmp_path / "started").read_text().split()) == set(processes)


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize(
    "claim, env, words",
    [
        ({**CLAIM, "backend": "gpu"}, {}, "expects backend `gpu`, but JAX found `cpu` (devices: [Fake(cpu)]"),
        (CLAIM, {"PLATFORM": "gpu"}, "expects backend `cpu`, but JAX found `gpu`"),
        (CLAIM, {"BROKEN": "1"}, "but JAX can't compute: RuntimeError: no such backend."),
        ({**CLAIM, "jax": "0.4.31"}, {}, "expects jax `0.4.31`, but this is `0.4.30`"),
        ("", {}, "EQX_EXPECT"),
    ],
    ids=["cpu for gpu", "gpu for cpu", "no backend", "another jax", "no claim"],
)
def test_a_false_claim_ends_the_run(run, tmp_path, workers, claim, env, words):
    """The exit status is 70, the reason is printed, and no test runs. With wrong packages no test is even collected."""
    status, output = run(claim, "-n", workers, **env)
    assert status == 70, output
    assert words in output
    assert "passed" not in output
    if not (tmp_path / "started").exists():
        assert not (tmp_path / "collected").exists()


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_test_module_can_choose_the_devices(run, tmp_path, workers):
    """A module that sets a variable for the backend when it is imported comes before the start of the backend."""
    (tmp_path / "test_chooses.py").write_text("import os\nos.environ['PLATFORM'] = 'gpu'\ndef test_three(): pass\n")
    status, output = run(CLAIM, "-n", workers)
    assert status == 70, output
    assert "expects backend `cpu`, but JAX found `gpu`" in output


def test_a_gpu_that_the_driver_does_not_see_ends_the_run(run, tmp_path):
    """JAX's own answer is not enough."""
    broken = tmp_path / "bin" / "nvidia-smi"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 9\n")
    broken.chmod(0o755)
    path = os.pathsep.join([str(broken.parent), os.environ["PATH"]])
    status, output = run({**CLAIM, "backend": "gpu"}, PLATFORM="gpu", PATH=path)
    assert status == 70, output
    assert "the driver can't be queried" in output


def test_workers_without_the_plugin_prove_nothing(run, tmp_path):
    """A run in which no process checked where it ran doesn't pass."""
    (tmp_path / "conftest.py").write_text(
        "def pytest_configure(config):\n"
        "    if hasattr(config, 'workerinput'):\n"
        "        config.pluginmanager.unregister(name='proof_of_place')\n"
    )
    status, output = run(CLAIM, "-n", "1")
    assert status == 70, output
    assert "No process that ran tests checked where it runs" in output

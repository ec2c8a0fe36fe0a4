"""Are we where we claim to be? And is a run that isn't refused, rather than passed?

What each cell of the matrix claims is in EQX_EXPECT, and docker/inside/proof_of_place.py refuses what differs. The
tests on top show in JUnit where the suite ran. The others are the control of that: claims that are wrong, or an
accelerator that is hidden, in runs of their own, wherever this suite runs.
"""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

import equinox as eqx

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INSIDE = os.path.join(ROOT, "docker", "inside")
REFUSED = 70

CLAIM = json.loads(os.environ.get("EQX_EXPECT", "{}"))
in_a_cell = pytest.mark.skipif(not CLAIM, reason="outside of a cell nothing is claimed; `make cell CELL=...` runs one")


def _installed(name):
    try:
        from importlib.metadata import version
    except ImportError:  # Python 3.7
        from importlib_metadata import version
    return version(name).split("+")[0]


def _on_the_bridge():
    bridge = sys.modules.get("jax_bridge")
    return bridge is not None and bridge.active()


def _platform():
    return jax.local_devices()[0].platform


HERE = {
    "cell": "a-cell",
    "python": "{}.{}".format(*sys.version_info),
    "jax": _installed("jax"),
    "jaxlib": _installed("jaxlib"),
    "bridge": _on_the_bridge(),
}


# Where we claim to be


@in_a_cell
@pytest.mark.parametrize("what", ["python", "jax", "jaxlib", "bridge"])
def test_this_is_the_cell_that_it_claims_to_be(what, record_property):
    """The Python, the JAX, the jaxlib and the bridge are the cell's."""
    record_property(what, HERE[what])
    assert CLAIM[what] in (HERE[what], None)  # None: a floating cell takes what there is


@in_a_cell
def test_jax_says_what_is_installed(record_property):
    """No other JAX is in front of the one that was installed."""
    record_property("jax.__version__", jax.__version__)
    assert jax.__version__ == HERE["jax"]


@in_a_cell
def test_equinox_is_the_installed_one(record_property):
    """The wheel is tested, and no checkout."""
    record_property("equinox", eqx.__file__)
    assert os.path.abspath(eqx.__file__).split(os.sep)[-3] in ("site-packages", "dist-packages")


@in_a_cell
@pytest.mark.parametrize("transform", [lambda f: f, jax.jit, eqx.filter_jit], ids=["eager", "jit", "filter_jit"])
def test_arrays_live_on_the_backend(transform, record_property):
    """What a function gives is on the cell's platform."""
    array = transform(lambda x: x * 2)(jnp.arange(4.0))
    devices = array.devices() if hasattr(array, "devices") else {array.device()}
    record_property("devices", str(sorted(map(str, devices))))
    assert {device.platform for device in devices} == {CLAIM["backend"]} == {_platform()}


# The control


WRONG = {"python": "3.6", "jax": "0.0.1", "jaxlib": "0.0.1", "bridge": not HERE["bridge"]}

# A claim, and what makes it wrong. Left alone, JAX takes the CPU where it finds nothing else; asked for CUDA with the
# CPU beside, which callbacks need, it does so in many releases.
HIDDEN = {
    "GPU": ("gpu", {"CUDA_VISIBLE_DEVICES": ""}),
    "GPU, CUDA asked": ("gpu", {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cuda,cpu"}),
    "TPU, CPU asked": ("tpu", {"JAX_PLATFORMS": "cpu", "JAX_PLATFORM_NAME": "cpu"}),
}


@pytest.fixture
def run(tmp_path):
    """`run(claim, *args, **env)`: pytest with that claim, on one test that passes, and an equinox that is installed."""
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass")
    equinox = tmp_path / "site-packages" / "equinox"
    equinox.mkdir(parents=True)
    (equinox / "__init__.py").write_text("")
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("EQX_", "JAX_PLATFORM", "PYTEST_"))
    }
    inherited["PYTHONPATH"] = os.pathsep.join([INSIDE, str(equinox.parent), os.environ.get("PYTHONPATH", "")])
    inherited["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # the other plugins take longer to import than all this

    def run(claim, *args, **env):
        expect = {} if claim is None else {"EQX_EXPECT": json.dumps(claim)}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "proof_of_place", "-p", "xdist", "-p", "no:cacheprovider", *args],
            cwd=str(tmp_path),
            env=dict(inherited, **expect, **env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, done.stdout

    return run


@pytest.mark.skipif(_platform() == "tpu", reason="this process holds the TPU, and a second one can't have it")
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_true_claim_is_accepted(run, workers):
    """Else the refusals below would show nothing."""
    asked = {name: os.environ[name] for name in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME") if name in os.environ}
    status, output = run(dict(HERE, backend=_platform()), "-n", workers, **asked)
    assert status == 0, output
    assert "1 passed" in output


def test_wrong_claims_are_refused(run):
    """Another Python, JAX or jaxlib than the cell's, or the bridge where there is to be none: each is named."""
    status, output = run(dict(HERE, backend=_platform(), **WRONG))
    assert status == REFUSED, output
    for what in ("Python", "jax", "jaxlib", "JAX to run"):
        assert "cell `a-cell` expects {} `".format(what) in output
    assert "passed" not in output


@pytest.mark.parametrize("hidden", sorted(HIDDEN))
def test_a_hidden_accelerator_is_refused(run, hidden):
    """What would run on the CPU in place of an accelerator fails, whatever JAX was asked for."""
    backend, env = HIDDEN[hidden]
    status, output = run(dict(HERE, backend=backend), **env)
    assert status == REFUSED, output
    assert "cell `a-cell` expects backend `{}`, but JAX ".format(backend) in output
    assert "passed" not in output


def test_a_worker_of_xdist_is_refused_too(run):
    """The refusal of a process that runs tests becomes that of the run."""
    status, output = run(dict(HERE, backend="gpu"), "-n", "1", JAX_PLATFORMS="cpu", JAX_PLATFORM_NAME="cpu")
    assert status == REFUSED, output
    assert "cell `a-cell` expects backend `gpu`, but JAX found `cpu`" in output


def test_no_claim_is_refused(run):
    """The plugin never lets a run pass that it knows nothing about."""
    status, output = run(None)
    assert status == REFUSED, output
    assert "EQX_EXPECT" in output
    assert "make cell" in output

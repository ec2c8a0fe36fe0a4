"""A cell of the matrix runs where it claims to run. A run in the wrong place is refused.

EQX_EXPECT holds the claim of a cell: its Python, JAX, jaxlib and backend. docker/inside/proof_of_place.py refuses a run
that differs. The first tests record in JUnit where the suite ran. The others start runs with wrong claims, or with a
hidden accelerator, and check that these are refused.
"""

import importlib.util
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

import equinox as eqx

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# A cell has the folder of this module on the path. A checkout has it beside the tests.
_found = importlib.util.find_spec("proof_of_place")
INSIDE = os.path.join(ROOT, "docker", "inside") if _found is None else os.path.dirname(_found.origin)
REFUSED = 70

CLAIM = json.loads(os.environ.get("EQX_EXPECT", "{}"))
in_a_cell = pytest.mark.skipif(
    not CLAIM, reason="there is no claim outside of a cell; `python -m harness run CELL` runs a cell"
)


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
    "package": "equinox",
}


# The claim of this run


@in_a_cell
@pytest.mark.parametrize("what", ["python", "jax", "jaxlib", "bridge"])
def test_the_run_has_what_the_cell_claims(what, record_property):
    """Python, JAX, jaxlib and the bridge are those of the cell."""
    record_property(what, HERE[what])
    assert CLAIM[what] in (HERE[what], None)  # `None`: the cell accepts any version


@in_a_cell
def test_the_imported_jax_is_the_installed_one(record_property):
    """No other JAX comes first on the path."""
    record_property("jax.__version__", jax.__version__)
    assert jax.__version__ == HERE["jax"]


@in_a_cell
def test_equinox_is_the_installed_one(record_property):
    """The wheel is tested, not a checkout."""
    record_property("equinox", eqx.__file__)
    assert os.path.abspath(eqx.__file__).split(os.sep)[-3] in ("site-packages", "dist-packages")


@in_a_cell
@pytest.mark.parametrize("transform", [lambda f: f, jax.jit, eqx.filter_jit], ids=["eager", "jit", "filter_jit"])
def test_arrays_live_on_the_backend(transform, record_property):
    """The result of a function is on the platform of the cell."""
    array = transform(lambda x: x * 2)(jnp.arange(4.0))
    devices = array.devices() if hasattr(array, "devices") else {array.device()}
    record_property("devices", str(sorted(map(str, devices))))
    assert {device.platform for device in devices} == {CLAIM["backend"]} == {_platform()}


# Wrong claims


WRONG = {"python": "3.6", "jax": "0.0.1", "jaxlib": "0.0.1", "bridge": not HERE["bridge"]}

# A claim, and the environment that makes it wrong. By default JAX uses the CPU if it finds nothing else. Many releases
# do so even if they are asked for "cuda,cpu", which callbacks need.
HIDDEN = {
    "GPU": ("gpu", {"CUDA_VISIBLE_DEVICES": ""}),
    "GPU, CUDA asked": ("gpu", {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cuda,cpu"}),
    "TPU, CPU asked": ("tpu", {"JAX_PLATFORMS": "cpu", "JAX_PLATFORM_NAME": "cpu"}),
}


@pytest.fixture
def run(tmp_path):
    """`run(claim, *args, **env)`: run one passing test with this claim, and a stand-in for an installed equinox."""
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass")
    equinox = tmp_path / "site-packages" / "equinox"
    equinox.mkdir(parents=True)
    (equinox / "__init__.py").write_text("")
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("EQX_", "JAX_PLATFORM", "PYTEST_"))
    }
    inherited["PYTHONPATH"] = os.pathsep.join([INSIDE, str(equinox.parent), os.environ.get("PYTHONPATH", "")])
    inherited["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # importing the other plugins takes longer than the rest

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


@pytest.mark.skipif(_platform() == "tpu", reason="this process uses the TPU, so a second process can't")
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_true_claim_is_accepted(run, workers):
    """So a refusal in the tests below is due to the wrong claim."""
    asked = {name: os.environ[name] for name in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME") if name in os.environ}
    status, output = run(dict(HERE, backend=_platform()), "-n", workers, **asked)
    assert status == 0, output
    assert "1 passed" in output


def test_wrong_claims_are_refused(run):
    """The message names each wrong claim: Python, JAX, jaxlib, and the bridge."""
    status, output = run(dict(HERE, backend=_platform(), **WRONG))
    assert status == REFUSED, output
    for what in ("Python", "jax", "jaxlib", "JAX to run"):
        assert "cell `a-cell` expects {} `".format(what) in output
    assert "passed" not in output


@pytest.mark.parametrize("hidden", sorted(HIDDEN))
def test_a_hidden_accelerator_is_refused(run, hidden):
    """A run on the CPU instead of an accelerator fails, for each value of JAX_PLATFORMS."""
    backend, env = HIDDEN[hidden]
    status, output = run(dict(HERE, backend=backend), **env)
    assert status == REFUSED, output
    assert "cell `a-cell` expects backend `{}`, but JAX ".format(backend) in output
    assert "passed" not in output


def test_a_worker_of_xdist_is_refused_too(run):
    """If a worker refuses, the run is refused."""
    status, output = run(dict(HERE, backend="gpu"), "-n", "1", JAX_PLATFORMS="cpu", JAX_PLATFORM_NAME="cpu")
    assert status == REFUSED, output
    assert "cell `a-cell` expects backend `gpu`, but JAX found `cpu`" in output


def test_a_run_without_a_claim_is_refused(run):
    """The plugin lets no run pass without a claim to check."""
    status, output = run(None)
    assert status == REFUSED, output
    assert "EQX_EXPECT" in output
    assert "python -m harness list" in output

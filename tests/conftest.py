"""What all tests share: the backend, chosen before JAX starts; seeds that are printed; three ways to run one body."""

import gc
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "helpers"))

if "JAX_PLATFORMS" not in os.environ:  # ask for another backend with JAX_PLATFORMS=cuda,cpu
    os.environ["JAX_PLATFORMS"] = os.environ["JAX_PLATFORM_NAME"] = "cpu"  # the latter for JAX before 0.2.22

    # Many small programs, each run a few times: to optimise them takes longer than it saves. The cells of the matrix,
    # which choose their backend, run what users run.
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

# Several workers may share a GPU: none is to take most of its memory at once.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

# Eight devices on the CPU, where several are tested: the other tests, which use the first, run as fast as with one.
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"

import hypothesis
import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest

hypothesis.settings.register_profile("equinox", deadline=None, max_examples=30, print_blob=True)
hypothesis.settings.load_profile("equinox")


def pytest_configure(config):
    # In the environment, so that the workers of pytest-xdist inherit it.
    os.environ.setdefault("EQX_SEED", str(random.randrange(2**31)))


def pytest_report_header(config):
    # Not which backend: to ask starts it, and with pytest-xdist that is here one process too many on it.
    return "jax {}; EQX_SEED={} replays the random numbers".format(jax.__version__, os.environ["EQX_SEED"])


class GetKey:
    """A new PRNG key at each call; its `repr`, which pytest shows when a test fails, has the seed."""

    def __init__(self, seed):
        self.seed = seed
        self._key = jrandom.PRNGKey(seed)

    def __call__(self):
        self._key, key = jrandom.split(self._key)
        return key

    def __repr__(self):
        return "GetKey(EQX_SEED={})".format(self.seed)


@pytest.fixture
def getkey():
    return GetKey(int(os.environ["EQX_SEED"]))


@pytest.fixture
def draw(getkey):
    """`draw(*shape)`: an array of normal numbers. From NumPy, as JAX compiles a program for each shape."""
    rng = np.random.RandomState(getkey.seed)
    return lambda *shape: jnp.asarray(rng.standard_normal(shape), jnp.float32)


@pytest.fixture(scope="module", autouse=True)
def fast_garbage_collection():
    """Let `gc.collect()`, which many tests call, pass over all that is older than the tests of this module."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def full_precision():
    """Accelerators multiply matrices in fewer bits than the oracles here."""
    with jax.default_matmul_precision("float32"):
        yield


def _eager(fun, *args):
    return fun(*args)


def _jitted(fun, *args):
    return jax.jit(fun)(*args)


def _vmapped(fun, *args):
    """Run on a batch of two equal examples, and return what came of the second."""
    batch = jax.tree_util.tree_map(lambda x: jnp.stack([x, x]), args)
    return jax.tree_util.tree_map(lambda x: x[1], jax.vmap(fun)(*batch))


@pytest.fixture(params=[_eager, _jitted, _vmapped], ids=["eager", "jit", "vmap"])
def run(request):
    """`run(fun, *arrays)`: the value of `fun`, computed eagerly, under `jax.jit` or under `jax.vmap`."""
    return request.param

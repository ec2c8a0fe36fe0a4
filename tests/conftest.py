"""What all tests share: the choice of the backend before JAX starts, printed seeds, and fixtures."""

import gc
import os
import random
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "helpers"))

if "JAX_PLATFORMS" not in os.environ:  # ask for another backend with JAX_PLATFORMS=cuda,cpu
    os.environ["JAX_PLATFORMS"] = os.environ["JAX_PLATFORM_NAME"] = "cpu"  # the second for JAX before 0.2.22

    # The tests run many small programs a few times each. Optimising them takes longer than it saves. The cells of the
    # matrix set JAX_PLATFORMS, so their tests of layers run optimised programs, as users do.
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

# Several workers may share a GPU. Without this, the first would take most of its memory.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

# Eight devices on the CPU, for the tests of several devices. They don't slow down the other tests.
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"

# On the CPU, XLA optimises as for users, but LLVM does less than at level 3, the default. Random numbers compile in two
# thirds of the time, and most layers draw some.
if os.environ["JAX_PLATFORMS"] == "cpu" and "xla_backend_optimization_level" not in os.environ["XLA_FLAGS"]:
    os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=1"

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
    # This doesn't name the backend: asking for it starts it. With pytest-xdist this process must not start one.
    return "jax {}; EQX_SEED={} replays the random numbers".format(jax.__version__, os.environ["EQX_SEED"])


class GetKey:
    """Returns a new PRNG key at each call. Its `repr` has the seed. pytest shows it when a test fails."""

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
    """`draw(*shape)`: an array of normal numbers. NumPy draws them: JAX would compile a program for each shape."""
    rng = np.random.RandomState(getkey.seed)
    return lambda *shape: jnp.asarray(rng.standard_normal(shape), jnp.float32)


@pytest.fixture(scope="module", autouse=True)
def fast_garbage_collection():
    """Let `gc.collect()` skip all objects that are older than the tests of this module. Many tests call it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def full_precision():
    """By default accelerators multiply matrices with fewer bits than the tests expect."""
    with jax.default_matmul_precision("float32"):
        yield


@pytest.fixture(autouse=True)
def quick_compilation(request, full_precision):
    """On the CPU, XLA optimises only in the tests of layers, which check numbers. Not optimising saves a third.

    The programs that a test starts compile as the test does, so that both get the same bits.
    """
    name = "JAX_DISABLE_MOST_OPTIMIZATIONS"
    optimised = request.path.parent.name in ("nn", "seed", "training")
    if optimised or os.environ["JAX_PLATFORMS"] != "cpu" or name in os.environ:
        yield
        return
    os.environ[name] = "1"
    jax.config.update(name.lower(), True)
    # The CPU ignores this precision. But JAX uses a program again only with the same one. So no test uses a program of
    # another kind of test, which rounds differently.
    with jax.default_matmul_precision("tensorfloat32"):
        yield
    jax.config.update(name.lower(), False)
    del os.environ[name]


@pytest.fixture
def interruptible():
    """Let the test, and programs that it starts, react to Ctrl-C. A background job of a shell ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def x64():
    """JAX computes in 64 bits."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def _eager(fun, *args):
    return fun(*args)


def _jitted(fun, *args):
    return jax.jit(fun)(*args)


def _vmapped(fun, *args):
    """Run on a batch of two equal examples, and return the result for the second."""
    batch = jax.tree_util.tree_map(lambda x: jnp.stack([x, x]), args)
    return jax.tree_util.tree_map(lambda x: x[1], jax.vmap(fun)(*batch))


@pytest.fixture(params=[_eager, _jitted, _vmapped], ids=["eager", "jit", "vmap"])
def run(request):
    """`run(fun, *arrays)`: the value of `fun`, computed eagerly, under `jax.jit` or under `jax.vmap`."""
    return request.param

"""Pickles between processes. cloudpickle writes definitions of a script by value, and definitions of a module by name.

A script dumps everything once. Another process with another `__main__` loads it. In the same process, lost definitions
would still exist.
"""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import tree_util

import equinox as eqx

cloudpickle = pytest.importorskip("cloudpickle", reason="cloudpickle is not installed")

DEFINITIONS = '''
from collections import namedtuple
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

import equinox as eqx

Point = namedtuple("Point", ["x", "y"])


@jax.jit
def jitted(x):
    return x + 1


@jax.custom_jvp
def custom(x):
    return x + 2


custom.defjvps(lambda tangent, answer, x: tangent)


@eqx.filter_jit
def filter_jitted(x, y=None):
    """Add three."""
    return x + 3


@eqx.filter_grad
def graded(model, x):
    return (model.weight * x).sum()


def calls_one(x):
    return filter_jitted(x) * 2


@eqx.filter_jit
def calls_others(x):
    return calls_one(jitted(custom(x)))


class Base(eqx.Module):
    weight: Any

    def scaled(self, x):
        return self.weight * x

    def __private(self, x):
        return self.weight - x

    def base_private(self):
        return self.__private


class Model(Base):
    activation: Any = eqx.field(static=True, default=jax.nn.relu)
    name: str = eqx.field(static=True, default="model")
    kept: Any = None

    @jax.jit
    def jitted(self, x):
        return self.weight + x

    @eqx.filter_jit
    def filter_jitted(self, x):
        return filter_jitted(self.weight) + x

    def scaled(self, x):
        return 10 * super().scaled(x)

    def parents(self):
        return super().scaled

    anonymous = lambda self, x: self.weight / x

    def __call__(self, x):
        return self.activation(self.scaled(x))


class WithState(eqx.Module):
    weight: Any

    def __getstate__(self):
        return [self.weight]

    def __setstate__(self, state):
        (self.weight,) = state


T = TypeVar("T")


class Box(eqx.Module, Generic[T]):
    content: T


def make():
    """What is dumped, by name."""
    weight = np.array([1.0, 2.0], np.float32)
    model = Model(jnp.asarray(weight))
    shared = [jax.nn.relu, weight]
    cyclic = Model([1.0])
    cyclic.weight.append(cyclic.parents())
    return {
        "bound": [model.scaled, model.jitted, model.filter_jitted, model.anonymous, model.parents()],
        "box": Box[int](model),
        "cyclic": cyclic,
        "functions": [filter_jitted, graded, calls_one, calls_others, eqx.filter_jit(calls_one)],
        "grad of model": eqx.filter_jit(eqx.filter_grad(lambda m, x: m(x).sum())),
        "holder": Model(Point(jitted, {"a": [custom, filter_jitted]}), activation=jitted),
        "model": model,
        "private": model.base_private(),
        "shared": Model(shared, kept=Point(shared, [model, model.scaled])),
        "state": WithState(model),
        "transformed model": eqx.filter_jit(model),
    }
'''

SCRIPT = """
import pickle
import sys

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


def dump(made, dumps):
    return {(name, protocol): dumps(x, protocol) for name, x in made.items() for protocol in PROTOCOLS}


def dump_all():
    dumped = {"by value": dump(make(), cloudpickle.dumps), "of the script": dump(picklable(make()), pickle.dumps)}
    dumped["of a module"] = dump(picklable(definitions.make()), pickle.dumps)
    pickle.dump(dumped, sys.stdout.buffer)


def picklable(made):
    del made["grad of model"]  # pickle refuses a lambda
    return made


def load_all():
    for (name, protocol), data in pickle.load(sys.stdin.buffer)["of the script"].items():
        x = pickle.loads(data)
        if name == "functions":
            assert x[:2] == [filter_jitted, graded] and x[2] is calls_one
        if name == "holder":
            assert type(x) is Model and x.activation is jitted
            assert x.weight == Point(jitted, {"a": [custom, filter_jitted]})


if __name__ == "__main__":
    import cloudpickle
    import definitions

    dump_all() if sys.argv[1] == "dump" else load_all()
"""


class Processes:
    """Runs the script, in a folder in which its definitions are also a module."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "definitions.py").write_text(DEFINITIONS)
        (folder / "script.py").write_text(DEFINITIONS + SCRIPT)

    def run(self, argument, given=b""):
        path = [str(Path(eqx.__file__).parents[1]), str(self.folder), os.environ.get("PYTHONPATH", "")]
        # If there is an accelerator, this process may be the only one that can use it.
        env = dict(
            os.environ, JAX_PLATFORMS="cpu", JAX_PLATFORM_NAME="cpu", PYTHONPATH=os.pathsep.join(filter(None, path))
        )
        command = [sys.executable, str(self.folder / "script.py"), argument]
        done = subprocess.run(command, check=False, env=env, input=given, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    return Processes(tmp_path_factory.mktemp("by_value"))


@pytest.fixture(scope="module")
def dumped(processes):
    return processes.run("dump")


@pytest.fixture(scope="module", params=["by value", "of a module"])
def loaded(request, dumped, processes):
    """A function that loads what was dumped under a name, once for each protocol."""
    pickles = pickle.loads(dumped)[request.param]
    sys.path.insert(0, str(processes.folder))
    try:
        yield lambda name: [pickle.loads(data) for (named, _), data in pickles.items() if named == name]
    finally:
        sys.path.remove(str(processes.folder))
        sys.modules.pop("definitions", None)


WEIGHT = np.array([1.0, 2.0], np.float32)


def values(x):
    return [np.asarray(leaf).tolist() for leaf in tree_util.tree_leaves(x) if eqx.is_array(leaf)]


def test_the_same_script_loads_its_functions(processes, dumped):
    processes.run("load", dumped)


def test_models(loaded):
    for m in loaded("model"):
        assert values(m) == [[1.0, 2.0]] and m.name == "model" and m.activation is jax.nn.relu
        np.testing.assert_allclose(m(WEIGHT), 10 * WEIGHT**2)
        with pytest.raises(AttributeError):
            m.name = 1


def test_bound_methods(loaded):
    for scaled, jitted, filter_jitted, anonymous, parents in loaded("bound"):
        for method in (scaled, jitted, filter_jitted, anonymous, parents):
            assert method.__self__ is scaled.__self__ and values(method) == [[1.0, 2.0]]
        np.testing.assert_allclose(scaled(WEIGHT), 10 * WEIGHT**2)
        np.testing.assert_allclose(parents(WEIGHT), WEIGHT**2)
        np.testing.assert_allclose(jitted(WEIGHT), 2 * WEIGHT)
        np.testing.assert_allclose(filter_jitted(WEIGHT), 2 * WEIGHT + 3)
        np.testing.assert_allclose(anonymous(WEIGHT), [1.0, 1.0])


def test_a_private_method_of_a_base_class(loaded):
    for method in loaded("private"):
        np.testing.assert_allclose(method(1.0), WEIGHT - 1)


def test_functions(loaded):
    for filter_jitted, graded, calls_one, calls_others, jitted_here in loaded("functions"):
        assert filter_jitted(1.0) == 4 and calls_one(1.0) == jitted_here(1.0) == 8 and calls_others(1.0) == 14
        assert filter_jitted.__doc__ == "Add three." and filter_jitted.__name__ == "filter_jitted"
        grads = graded(eqx.nn.Linear(2, 1, key=jax.random.PRNGKey(0)), WEIGHT)
        np.testing.assert_allclose(grads.weight, WEIGHT[None])


def test_transformed_models_and_functions_in_functions(loaded):
    for f in loaded("transformed model"):
        assert values(f) == [[1.0, 2.0]]
        np.testing.assert_allclose(f(WEIGHT), 10 * WEIGHT**2)


def test_a_transformation_of_a_transformation_of_a_lambda(dumped):
    for (name, _), data in pickle.loads(dumped)["by value"].items():
        if name == "grad of model":
            grads = pickle.loads(data)(eqx.nn.Linear(2, 1, key=jax.random.PRNGKey(0)), WEIGHT)
            np.testing.assert_allclose(grads.bias, [1.0])


def test_functions_that_a_model_holds(loaded):
    for m in loaded("holder"):
        jitted, rest = m.weight
        assert jitted is m.activation and jitted(1.0) == 2
        assert rest["a"][0](1.0) == 3 and rest["a"][1](1.0) == 4


def test_what_is_shared_stays_shared(loaded):
    for m in loaded("shared"):
        assert m.kept.x is m.weight and m.weight[0] is jax.nn.relu and values(m)[0] == [1.0, 2.0]
        model, method = m.kept.y
        assert method.__self__ is model


def test_cycles(loaded):
    for m in loaded("cyclic"):
        assert m.weight[0] == 1 and m.weight[1].__self__ is m and m.weight[1].__qualname__ == "Base.scaled"


def test_generic_modules_and_states(loaded):
    for box in loaded("box"):
        assert values(box) == [[1.0, 2.0]] and type(box).__name__ == "Box"
    for m in loaded("state"):
        assert values(m) == [[1.0, 2.0]] and m.weight.name == "model"

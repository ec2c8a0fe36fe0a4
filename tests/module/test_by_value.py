"""Classes that cloudpickle pickles by value: those of a script, a notebook or a function, in a new process.

cloudpickle makes an empty class and assigns its attributes later. The process that made the pickle has the class
already, so faults would be hidden there.
"""

import json
import os
import pickle
import subprocess
import sys
import threading
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree_util

import equinox as eqx

pytest.importorskip("cloudpickle", reason="cloudpickle is not installed")

SCRIPT = """
import abc, dataclasses, functools, sys, typing
import cloudpickle, jax, jax.numpy as jnp
import equinox as eqx

T = typing.TypeVar("T")


def clip(x):
    return min(x, 5.0)


class Base(eqx.Module):
    w: typing.Any
    n: int = eqx.field(static=True, default=3)
    items: list = dataclasses.field(default_factory=list)

    def __call__(self, x):
        return self.w * x + SHIFT.w  # a model of this class, so it is pickled together with the methods of the class

    @jax.jit
    def jitted(self, x):
        return self.w + x

    @property
    def double(self):
        return 2 * self.w


class Child(Base):
    b: float = eqx.field(converter=clip, default=2.0)
    c: float = eqx.field(default=1.0, kw_only=True)

    def __check_init__(self):
        if self.b < 0:
            raise ValueError("b is negative")

    def family(self):
        return [Base, Child, ByHand, Heir]

    def up(self, x):
        return super().__call__(x)


class ByHand(eqx.Module):
    a: typing.Any

    def __init__(self, a):
        self.a = a + 1

    def heir(self):
        return Heir


class Heir(ByHand):
    c: typing.Any = 4


class Box(eqx.Module, typing.Generic[T]):
    x: T

    def get(self):
        return self.x


class Overrides(Base):
    w = 7.0

    def n(self):
        return self.w


class Holder(eqx.Module):
    x: typing.Any
    f: typing.Callable = lambda x: x + 1
    _: typing.ClassVar[int] = 2

    def __getattr__(self, name):
        if name == "virtual":
            return 9
        raise AttributeError(name)


class Net(eqx.Module):
    mlp: eqx.nn.MLP
    function: typing.Any = eqx.field(static=callable, default=jax.nn.relu)
    parts: tuple = eqx.field(static=callable, default=())

    def __call__(self, x):
        return self.function(self.mlp(x)) + (self is NET)


class Abstract(eqx.Module, strict=True):
    edge: eqx.AbstractVar[typing.Any]

    @abc.abstractmethod
    def area(self):
        pass


class Square(Abstract, strict=True):
    edge: typing.Any

    def area(self):
        return self.edge**2


class Result(eqx.Enumeration):
    success = "It succeeded."
    failed = "It failed."

    def is_success(self):
        return self == Result.success


class Longer(Result):
    slow = "It was slow."


def local():
    class Local(Base):
        z: typing.Any = dataclasses.field(default=1)
        late = None

        def f(self):
            return super().__call__(self.z)

    Local.late = lambda self: self.z + 1
    return Local


SHIFT = Base(10.0)
NET = Net(eqx.nn.MLP(1, 1, 2, 1, key=jax.random.PRNGKey(0)), parts=(jnp.ones(1), jax.nn.relu))
models = {
    "base": Base(2.0),
    "child": Child(jnp.array(1.0), b=9.0),
    "heir": Heir(1),
    "box": Box[int](5),
    "overrides": Overrides(),
    "holder": Holder(1),
    "local": local()(2.0),
    "method": Child(3.0).up,
    "jitted": Base(1.0).jitted,
    "net": NET,
    "square": Square(3),
    "result": Result.failed,
    "longer": Longer.slow,
    "shared": [SHIFT, SHIFT, Base],
}
sys.stdout.buffer.write(cloudpickle.dumps(models))
"""

LOADER = """
import dataclasses, inspect, json, pickle, sys
import jax, jax.numpy as jnp
from jax.tree_util import tree_leaves, tree_map, tree_structure
import equinox as eqx

data, questions = sys.stdin.buffer.read(), json.loads(sys.argv[1])
models = pickle.loads(data)
scope = dict(globals(), **models)


def raised(function, *args, **kwargs):
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return "{}: {}".format(type(error).__name__, error)


scope["raised"] = raised
print(json.dumps([raised(lambda: eval(question, scope)) for question in questions]))
"""

# Expressions in the process that loads the models, and their values there.
ANSWERS = {
    "tree_leaves(base)": [2.0],
    "repr(base)": "Base(w=2.0, n=3, items=[])",
    "tree_map(lambda x: 2 * x, base).w": 4.0,
    "base(3.0)": 16.0,
    "float(jax.jit(lambda m: m(3.0))(base))": 16.0,
    "base == tree_map(lambda x: x, base)": True,
    "tree_structure(base) == tree_structure(type(base)(1.0))": True,
    "tree_structure(base) == tree_structure(type(base)(1.0, n=4))": False,
    "base.double": 4.0,
    "float(base.jitted(1.0))": 3.0,
    "len(tree_leaves(base.jitted))": 1,
    "len(tree_leaves(base.__call__))": 1,
    "raised(setattr, base, 'w', 1)[:20]": "FrozenInstanceError:",
    "[f.name for f in dataclasses.fields(base)]": ["w", "n", "items"],
    "[f.default is dataclasses.MISSING for f in dataclasses.fields(base)]": [True, False, True],
    "dataclasses.replace(base, w=1.0).w": 1.0,
    "str(inspect.signature(type(base)))": "(w: Any, n: int = 3, items: list = <factory>) -> None",
    "tree_leaves(type(base)(1.0)) + type(base)(1.0).items": [1.0],
    "type(base)(1.0).items is type(base)(1.0).items": False,
    "raised(type(base))[:10]": "TypeError:",
    "child.b, type(child)(1.0, b=8.0).b": [5.0, 5.0],
    "raised(type(child), 1.0, b=-1.0)": "ValueError: b is negative",
    "list(inspect.signature(type(child)).parameters)": ["w", "n", "items", "b", "c"],
    "raised(lambda: type(child)(1.0, 3, [], 2.0, 1.0))[:10]": "TypeError:",
    "child.family() == [type(base), type(child), type(heir).__mro__[1], type(heir)]": True,
    "float(child.up(1.0))": 11.0,
    "isinstance(child, type(base)) and isinstance(child, eqx.Module)": True,
    "tree_leaves(heir), type(heir)(5).a, type(heir)(5).c": [[2, 4], 6, 4],
    "'__init__' in vars(type(heir))": False,
    "box.get(), box.__orig_class__.__origin__ is type(box)": [5, True],
    "tree_leaves(overrides), overrides.n()": [[], 7.0],
    "holder.f(1), holder.virtual, len(tree_leaves(holder)), holder._": [2, 9, 2, 2],
    "tree_map(lambda x: x, holder).x": 1,
    "local.f(), local.late(), tree_leaves(local.late), tree_leaves(local.f)": [12.0, 2, [2.0, 1], [2.0, 1]],
    "method(1.0), len(tree_leaves(method)), type(method.__self__) is type(child)": [13.0, 3, True],
    "float(jitted(1.0)), tree_leaves(jitted)": [2.0, [1.0]],
    "len(tree_leaves(net)), all(map(eqx.is_array, tree_leaves(net)))": [5, True],
    "net.function is jax.nn.relu, net.parts[1] is jax.nn.relu": [True, True],
    "jax.jit(lambda m: m)(net).function is jax.nn.relu": True,
    "tree_structure(net) == tree_structure(tree_map(lambda x: x, net))": True,
    "net(jnp.ones(1)).shape, float(net(jnp.ones(1))[0]) >= 1": [[1], True],
    "square.area(), raised(type(square).__mro__[1])[:10]": [9, "TypeError:"],
    "'variable `edge`' in raised(type(square).__mro__[1])": True,
    "raised(type(type(square)), 'Below', (type(square),), {})[:10]": "TypeError:",
    "repr(result), type(result)[result], len(type(result))": ["Result.failed", "It failed.", 2],
    "repr(list(type(longer))), repr(type(longer).promote(result))": [
        "[Longer.success, Longer.failed, Longer.slow]",
        "Longer.failed",
    ],
    "bool(result.is_success()), type(longer).__mro__[1] is type(result)": [False, True],
    "shared[0] is shared[1] and shared[0] is base.__call__.__func__.__globals__['SHIFT']": True,
    "type(shared[0]) is shared[2] is type(base)": True,
    "tree_leaves(type('Late', (type(child),), {'__module__': 'x', '__qualname__': 'Late'})(1.0))": [1.0, 2.0, 1.0],
    "len(pickle.loads(data)['base'].items + tree_leaves(pickle.loads(data)['child']))": 3,  # loaded a second time
}


def run(*args, **kwargs):
    path = [os.path.dirname(os.path.dirname(os.path.abspath(eqx.__file__))), os.environ.get("PYTHONPATH", "")]
    # If there is an accelerator, this process may be the only one that can use it.
    env = dict(os.environ, JAX_PLATFORMS="cpu", JAX_PLATFORM_NAME="cpu", PYTHONPATH=os.pathsep.join(filter(None, path)))
    done = subprocess.run([sys.executable, *args], env=env, capture_output=True, timeout=300, check=False, **kwargs)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture(scope="module")
def pickled(tmp_path_factory):
    script = tmp_path_factory.mktemp("by_value") / "script.py"
    script.write_text(SCRIPT)
    return run(str(script))


@pytest.fixture(scope="module")
def answers(pickled):
    return dict(zip(ANSWERS, json.loads(run("-c", LOADER, json.dumps(list(ANSWERS)), input=pickled).decode())))


@pytest.mark.parametrize("question", ANSWERS)
def test_a_class_is_the_same_in_a_new_process(question, answers):
    assert answers[question] == ANSWERS[question]


@pytest.fixture
def frequent_switches():
    """Let Python switch between threads as often as possible."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_several_threads_may_load_a_class_at_once(pickled, frequent_switches):
    """All threads get the same class, and each makes complete models of it."""
    count, ready, results = 4, threading.Barrier(4), []

    def load():
        ready.wait(timeout=60)
        for _ in range(3):
            models = pickle.loads(pickled)
            base, child = models["base"], models["child"]
            doubled = tree_util.tree_map(lambda x: 2 * x, base)
            made = type(child)(1.0, b=7.0)
            results.append((type(base), tree_util.tree_leaves(doubled), made.b, made.n, base(1.0), len(vars(child))))

    threads = [threading.Thread(target=load) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(results[0][0], [4.0], 5.0, 3, 12.0, 5)] * 3 * count


def test_a_class_may_be_filled_by_hand():
    """Do what cloudpickle does: make an empty class, then assign its attributes one by one, sorted by name."""

    class Whole(eqx.Module):
        x: Any
        y: Any = 2
        s: Any = eqx.field(static=True, default="s")

        def method(self):
            return self.x

    empty = type(eqx.Module)("Whole", (eqx.Module,), {"__module__": __name__})
    early = object.__new__(empty)
    vars(early).update(x=1, y=np.ones(2), s="t")
    structure = tree_util.tree_structure(early)
    for name in sorted(set(vars(Whole)) - {"_abc_impl", "__dict__", "__weakref__"}):
        setattr(empty, name, vars(Whole)[name])
    assert len(tree_util.tree_leaves(early)) == 2 and tree_util.tree_structure(early) != structure
    again = tree_util.tree_map(lambda x: x, early)
    assert (again.x, again.s) == (1, "t") and tree_util.tree_leaves(again.method) == tree_util.tree_leaves(early)
    assert empty(jnp.ones(1)).y == 2 and empty(3).method() == 3

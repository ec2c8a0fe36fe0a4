"""Functions made by JAX survive copies and pickles at any place in a module. Pickles name no other functions."""

import collections
import copy
import dataclasses
import functools as ft
import gc
import io
import pickle
import types
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree_util
from modules import Affine

import equinox as eqx

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


@jax.jit
def jitted(x):
    return x + 1


@jax.custom_jvp
def custom(x):
    return x + 2


@eqx.filter_jit
def filter_jitted(x):
    return x + 3


class Names:
    """A class that holds a compiled function. The function has a qualified name."""

    @staticmethod
    @jax.jit
    def nested(x):
        return x + 4

    text = "no function"


class Compiled(eqx.Module):
    @jax.jit
    def method(self, x):
        return x

    @eqx.filter_jit
    def filter_method(self, x):
        return x


Point = collections.namedtuple("Point", ["x", "y"])


@dataclasses.dataclass
class Data:
    x: Any
    y: Any = None


@dataclasses.dataclass(frozen=True)
class FrozenData:
    x: Any


class Slots:
    __slots__ = ("x", "y")

    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return self.x == other.x

    __hash__ = None


class ListOfOnes(list):
    pass


class TupleOfOnes(tuple):
    pass


class MadeOfArguments:
    def __new__(cls, x, *, y):
        self = object.__new__(cls)
        self.parts = (x, y)
        return self

    def __getnewargs_ex__(self):
        return (self.parts[0],), {"y": self.parts[1]}

    def __getstate__(self):
        return None

    def __eq__(self, other):
        return self.parts == other.parts

    __hash__ = None


FUNCTIONS = [jax.nn.relu, jax.nn.softplus, jax.nn.gelu, jnp.tanh, jnp.add, jnp.where, jitted, custom, filter_jitted]
relu = jax.nn.relu

HOLDERS = {
    "itself": lambda f: f,
    "list": lambda f: [f, 1],
    "tuple": lambda f: (f, (1, f)),
    "dict": lambda f: {"b": f, "a": [f]},
    "key": lambda f: {f: 1, (f, 2): 2},
    "set": lambda f: {f, 1},
    "frozenset": lambda f: frozenset([f, frozenset([f])]),
    "OrderedDict": lambda f: collections.OrderedDict([("b", f), ("a", 1)]),
    "defaultdict": lambda f: collections.defaultdict(list, {"b": f, "a": [f]}),
    "deque": lambda f: collections.deque([f, 1], maxlen=5),
    "NamedTuple": lambda f: Point(f, [f]),
    "dataclass": lambda f: Data(f, [f]),
    "frozen dataclass": lambda f: FrozenData((f,)),
    "slots": Slots,
    "SimpleNamespace": lambda f: types.SimpleNamespace(f=f),
    "list subclass": lambda f: ListOfOnes([f]),
    "tuple subclass": lambda f: TupleOfOnes([f]),
    "arguments of new": lambda f: MadeOfArguments(f, y=[f]),
    "module": lambda f: Affine(f, [f]),
    "nested": lambda f: {"a": [Point(Data({"b": FrozenData(collections.OrderedDict(x=Slots(f)))}), 1)]},
}


def by_pickle(x):
    return pickle.loads(pickle.dumps(x))


def values_of(x):
    """The values in a holder, in a fixed order."""
    return list(x.items()) if isinstance(x, dict) else x


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, by_pickle])
@pytest.mark.parametrize("holder", sorted(HOLDERS))
def test_a_function_of_jax_survives_in_any_object(holder, duplicate):
    held = HOLDERS[holder](relu)
    again = duplicate(Affine(held, None)).weight
    assert type(again) is type(held) and values_of(again) == values_of(held)
    assert again is held or duplicate is not copy.copy


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_works(protocol):
    for holder in sorted(HOLDERS):
        if holder == "slots" and protocol < 2:
            continue
        held = HOLDERS[holder](relu)
        assert pickle.loads(pickle.dumps(Affine(held, 1), protocol)).weight == held, holder


@pytest.mark.parametrize("duplicate", [copy.deepcopy, by_pickle])
def test_every_function_of_jax_is_loaded_as_the_same_object(duplicate):
    functions = [*FUNCTIONS, Names.nested, Compiled.method, Compiled.filter_method]
    again = duplicate(Affine(functions, Point(functions, 1)))
    assert [f is g for f, g in zip(again.weight, functions)] == [True] * len(functions)
    assert again.bias.x is again.weight


@pytest.mark.parametrize("duplicate", [copy.deepcopy, by_pickle])
def test_partials_and_object_arrays(duplicate):
    objects = np.empty(2, object)
    objects[:] = [relu, [relu]]
    m = Affine([ft.partial(jax.nn.leaky_relu, negative_slope=0.5), tree_util.Partial(relu)], objects)
    again = duplicate(m)
    partial, of_jax = again.weight
    assert partial(-2.0) == -1.0 and partial.func is jax.nn.leaky_relu
    assert type(of_jax) is tree_util.Partial and of_jax.func is relu
    assert again.bias[0] is relu and again.bias[1] == [relu] and again.bias[1] is not objects[1]


@pytest.mark.parametrize("f", [jax.jit(lambda x: x), jax.custom_jvp(lambda x: x), jax.jit(relu)])
def test_deepcopy_keeps_functions_of_jax_without_a_name(f):
    assert copy.deepcopy(Affine(Point(f, [f]), 1)) == Affine(Point(f, [f]), 1)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, by_pickle])
def test_what_is_shared_stays_shared(duplicate):
    shared, plain = [relu], [1]
    pair, data = (relu, shared), Data(shared)
    m = Affine([shared, pair, data, plain, Affine(shared, plain)], Affine(Point(shared, pair), {"a": data, "b": plain}))
    outside, again = duplicate([plain, m])
    shared, pair, data, plain, inner = again.weight
    assert shared == [relu]
    for other in (pair[1], data.x, inner.weight, again.bias.weight.x, again.bias.bias["a"].x):
        assert other is shared
    assert again.bias.weight.y is pair and again.bias.bias["a"] is data
    assert inner.bias is plain and again.bias.bias["b"] is plain and outside is plain


@pytest.mark.parametrize("duplicate", [copy.deepcopy, by_pickle])
def test_cycles_survive(duplicate):
    m = Affine([relu], {"data": Data(relu)})
    m.weight.extend([m, m.weight, m.scaled, (m.weight, relu)])
    m.bias["data"].y = m.bias
    again = duplicate(m)
    assert again.weight[0] is relu and again.weight[1] is again and again.weight[2] is again.weight
    assert again.weight[3].__self__ is again and again.weight[3].__func__ is Affine.scaled
    assert again.weight[4][0] is again.weight
    assert again.bias["data"].y is again.bias and again.bias["data"].x is relu
    method = duplicate(m.weight[3])
    assert method.__self__.weight[1] is method.__self__


def test_deeply_nested_objects_survive():
    held = relu
    for _ in range(30):
        held = [(Data(held),)]
    m = Affine(held, None)
    for _ in range(30):
        m = Affine(m, [1])
    for duplicate in (copy.deepcopy, by_pickle):
        assert duplicate(m) == m


def test_pickling_does_not_change_the_original():
    held = {"a": [relu], "b": Data(relu)}
    before = (held["a"], held["b"], held["b"].x)
    first, second = pickle.dumps(Affine(held, 1)), pickle.dumps(Affine(held, 1))
    assert first == second and (held["a"], held["b"], held["b"].x) == before
    held["a"].append(2)
    assert pickle.loads(pickle.dumps(Affine(held, 1))).weight["a"] == [relu, 2]


def test_a_finished_pickle_keeps_nothing_alive():
    m = Affine(Data([relu]), Slots(relu))
    held = weakref.ref(m.weight)
    assert pickle.dumps(m) and copy.deepcopy(m)
    del m
    gc.collect()
    assert held() is None


def test_out_of_band_buffers_work():
    m = Affine([relu, np.arange(3.0)], None)
    buffers = []
    data = pickle.dumps(m, 5, buffer_callback=buffers.append)
    assert len(buffers) == 1 and len(data) < len(pickle.dumps(m, 5))
    assert pickle.loads(data, buffers=buffers).weight[1].tolist() == [0.0, 1.0, 2.0]


def test_threads_may_pickle_shared_objects():
    m = Affine([relu, Data(relu)], Affine(Point(relu, 1), jnp.tanh))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: by_pickle(m) == m and copy.deepcopy(m) == m, range(100))) == [True] * 100


def test_the_error_for_an_unpicklable_object_is_that_of_pickle():
    with pytest.raises((TypeError, pickle.PicklingError, AttributeError), match="lock"):
        pickle.dumps(Affine([relu, __import__("threading").Lock()], 1))


def test_a_pickle_names_no_private_module_of_jax():
    assert b"_src" not in pickle.dumps(Affine([jax.nn.relu, Point(jax.nn.softplus, jnp.tanh)], {"a": jax.nn.gelu}))


# Unpicklers that allow only some names


class Unpickler(pickle.Unpickler):
    """An unpickler that allows only this library, and the other names that pickles of its modules need."""

    def find_class(self, module, name):
        allowed = module.partition(".")[0] == "equinox" or (module, name) in [
            (__name__, "Names"),
            ("modules", "Affine"),
            *(("builtins", container) for container in ("dict", "list", "tuple")),
        ]
        if not allowed:
            raise pickle.UnpicklingError("{}.{} is not allowed".format(module, name))
        return super().find_class(module, name)


def restricted(data):
    return Unpickler(io.BytesIO(data)).load()


def names_in(x):
    """The helpers of this library that a pickle of `x` names."""
    found = {}

    class Spy(pickle.Unpickler):
        def find_class(self, module, name):
            found[name] = super().find_class(module, name)
            return found[name]

    Spy(io.BytesIO(pickle.dumps(x))).load()
    return found


class Call:
    """An object that is pickled as a call of `function`."""

    def __init__(self, function, *args):
        self.reduced = function, args

    def __reduce__(self):
        return self.reduced


def test_a_restricted_unpickler_loads_pickles_of_modules():
    m = Affine([relu, (relu, jitted, custom)], {"a": Affine(1, 2), "b": Names.nested})
    again = restricted(pickle.dumps([m, m.scaled]))
    assert again[0] == m and again[1].__self__ is again[0] and again[0].weight[1] == (relu, jitted, custom)


@pytest.mark.parametrize(
    "module, name",
    [
        ("os", "system"),
        ("posix", "system"),
        ("subprocess", "Popen"),
        ("subprocess", "call"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("jax", "os.system"),
        ("jax", "jit"),
        ("jax.numpy", "load"),
        ("jax.numpy", "ndarray"),
        ("jax.numpy", "linalg"),
        ("jax.numpy", "linalg.norm"),
        ("jax.nn", "relu.__class__"),
        ("jax.nn", "relu.__reduce__"),
        ("numpy", "load"),
        (__name__, "Unpickler"),
        (__name__, "restricted"),
        (__name__, "Names.text"),
        (__name__, "filter_jitted.__wrapped__"),
        ("modules", "Affine"),
        ("modules", "Affine.scaled"),
        ("modules", "affine"),
    ],
)
def test_helpers_load_only_functions_of_jax(module, name):
    load_function = names_in(Affine(relu, 1))["load_function"]
    with pytest.raises((pickle.UnpicklingError, AttributeError), match="the pickle names"):
        restricted(pickle.dumps(Call(load_function, module, name)))


def test_helpers_make_only_new_modules_and_change_nothing_else():
    found = names_in(Affine(affine_with_method(), 1))
    m = Affine(1, 2)
    for call in (
        Call(found["new_module"], Names),
        Call(found["new_module"], m),
        Call(found["restore"], m, {"weight": 3}),
        Call(found["restore"], Names(), {"weight": 3}),
        Call(found["load_method"], m, Affine, "weight"),
        Call(found["load_method"], m, Names, "__init__"),
        Call(found["load_method"], m, "Affine", "scaled"),
        Call(found["load_method"], 1, Affine, "scaled"),
        Call(found["load_method"], m, Affine, "__init__"),
        Call(found["load_method"], m, Affine, "__class__"),
    ):
        with pytest.raises((pickle.UnpicklingError, AttributeError), match="the pickle"):
            pickle.loads(pickle.dumps(call))


def affine_with_method():
    m = Affine(1, 2)
    return [m.scaled]

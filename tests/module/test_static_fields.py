"""`field(static=predicate)`: what is static is decided once for each module, and lasts through what is done to it."""

import copy
import functools as ft
import pickle
from typing import Any, Tuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree_util

import equinox as eqx

structure = tree_util.tree_structure
leaves_of = tree_util.tree_leaves


class Layers(eqx.Module):
    """A tuple of functions and data, one such value, and a field of each other kind."""

    layers: Tuple[Any, ...] = eqx.field(static=callable)
    weight: Any
    function: Any = eqx.field(static=callable)
    name: str = eqx.field(static=True, default="layers")


def make(layers=(1.0, jnp.tanh, 2.0, len), function=jax.nn.relu):
    return Layers(layers, 3.0, function)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "tree_map": lambda x: tree_util.tree_map(lambda leaf: leaf, x),
    "partition": lambda x: eqx.combine(*eqx.partition(x, lambda leaf: leaf == 2.0)),
    "partition by hand": lambda x: eqx.combine(eqx.filter(x, False), x),
    "replace": eqx.replace,
    "tree_at": lambda x: eqx.tree_at(lambda m: m.weight, x, 3.0),
    "tree_transpose": lambda x: tree_util.tree_transpose(
        structure(x), structure([0]), tree_util.tree_map(lambda leaf: [leaf], x)
    )[0],
}


def is_same(a, b):
    return structure(a) == structure(b) and leaves_of(a) == leaves_of(b) and vars(a) == vars(b)


def test_functions_are_structure_and_the_rest_is_data():
    """The predicate is asked of a value, and of each item of a tuple. What is static is no leaf."""
    m = make()
    assert leaves_of(m) == [1.0, 2.0, 3.0]
    assert m.layers == (1.0, jnp.tanh, 2.0, len) and m.function is jax.nn.relu
    assert leaves_of(make(layers=[jnp.tanh], function=5)) == [jnp.tanh, 3.0, 5]  # a list is one value


def test_paths_keep_their_numbers():
    """A static item leaves `None` in its place."""
    if not hasattr(tree_util, "tree_flatten_with_path"):
        pytest.skip("JAX has paths since 0.4.6, this is " + jax.__version__)
    paths = [tree_util.keystr(path) for path, _ in tree_util.tree_flatten_with_path(make())[0]]
    assert paths == [".layers[0]", ".layers[2]", ".weight"]


@pytest.mark.parametrize("name", COPIES)
def test_decision_lasts_in_copies(name):
    """Copies, and what a round trip through a transformation returns, are like the original in all."""
    for m in (make(), make(function=1.0), make(layers=()), make(layers=(len,))):
        assert is_same(COPIES[name](m), m)


@pytest.mark.parametrize("replacement", [None, len, 5, object(), (len,)], ids=lambda x: type(x).__name__)
def test_decision_lasts_whatever_replaces_a_leaf(replacement):
    """A leaf that becomes a function stays a leaf, and `None` moves no function into the leaves."""
    m = make(function=1.0)
    changed = tree_util.tree_map(lambda x: replacement, m)
    assert changed.layers[1::2] == m.layers[1::2]
    assert changed.function is replacement
    for duplicate in (copy.copy, lambda x: tree_util.tree_map(lambda leaf: leaf, x)):
        again = duplicate(changed)
        assert leaves_of(again) == leaves_of([replacement] * 4)
        back = tree_util.tree_map(lambda _, x: x, m, again, is_leaf=lambda x: x is None)
        assert back.layers == changed.layers


def test_what_stands_at_a_static_place_is_ignored():
    """`is_leaf` may let a function see, and replace, the `None` at the place of a static value."""
    m = make()
    seen = []

    def replace(x):
        seen.append(x)
        return "other"

    changed = tree_util.tree_map(replace, m, is_leaf=lambda x: x is None)
    assert seen.count(None) == 3
    assert changed.layers == ("other", jnp.tanh, "other", len) and changed.function is jax.nn.relu


def test_another_object_in_the_place_of_a_tuple_is_data():
    """A tuple that is replaced whole is a leaf. The static items are back where a tuple of that length is."""
    m = make()

    def is_tuple(x):
        return type(x) is tuple

    leaves, treedef = tree_util.tree_flatten(m, is_leaf=is_tuple)
    assert leaves == [(1.0, None, 2.0, None), 3.0]
    for stand_in in (0, (1, 2), [1, 2, 3, 4]):
        changed = treedef.unflatten([stand_in, 3.0])
        assert changed.layers is stand_in and leaves_of(changed) == leaves_of([stand_in, 3.0])
        assert is_same(treedef.unflatten(leaves), m)
        assert copy.copy(changed).layers == stand_in
    assert structure(treedef.unflatten([0, 0])) == treedef


def test_static_values_are_compared_with_their_types():
    """Two modules have one structure if their static values are equal, of the same types and in the same places."""

    class Options(eqx.Module):
        values: Any = eqx.field(static=lambda x: not isinstance(x, str))

    different = [1, 1.0, True, "text", (1,), (1.0,), (1, "text"), ("text", 1), ("text", "text"), len, lambda x: x]
    for i, a in enumerate(different):
        assert structure(Options(a)) == structure(Options(copy.copy(a)))
        assert all(structure(Options(a)) != structure(Options(b)) for b in different[:i])


def test_functions_compare_by_identity():
    """Of two models with a fresh lambda each, one doesn't fit where the other is expected."""
    a, b = make(function=lambda x: x), make(function=lambda x: x)
    assert structure(a) != structure(b) and a != b
    with pytest.raises(ValueError):
        tree_util.tree_map(lambda x, y: x, a, b)


@pytest.mark.parametrize(
    "value",
    [
        jnp.ones(2),
        np.ones(2),
        [len],
        {"a": 1},
        tree_util.Partial(jnp.add, jnp.ones(2)),
        eqx.nn.Linear(2, 2, key=jax.random.PRNGKey(0)),
    ],
    ids=lambda x: type(x).__name__,
)
def test_what_cannot_be_static_stays_data(value):
    """An array, what holds one, or what can't be hashed is data, whatever the predicate says."""

    class Anything(eqx.Module):
        value: Any = eqx.field(static=lambda x: True)

    for v in (value, (value, len)):
        assert structure(Anything(v)).num_leaves == len(leaves_of(value))
        jax.jit(lambda m: 0)(eqx.filter(Anything(v), eqx.is_array))


asked = []


def is_int(x):
    asked.append(x)
    return isinstance(x, int)


class Asking(eqx.Module):
    weight: Any = eqx.field(static=is_int, converter=int)
    b: Any = eqx.field(static=is_int, default="b")
    c: Any = eqx.field(static=is_int, default=(1, 2.0))


def test_predicate_is_asked_once_for_each_module():
    """When the module is complete, after converters and defaults; never by a transformation or a copy."""
    del asked[:]
    m = Asking("5")
    assert asked == [5, "b", 1, 2.0]
    for name in COPIES.keys() - {"tree_at"}:
        assert is_same(COPIES[name](m), m)
    assert len(asked) == 4
    other = eqx.replace(m, b=3)
    assert asked[4:] == [3] and leaves_of(other) == [2.0] and leaves_of(m) == ["b", 2.0]


def test_setstate_is_decided_about():
    """A module whose `__setstate__` sets its fields is complete after it."""

    class Stateful(eqx.Module):
        function: Any = eqx.field(static=callable)

        def __getstate__(self):
            return {"name": "relu"}

        def __setstate__(self, state):
            self.function = getattr(jax.nn, state["name"])

    assert leaves_of(copy.deepcopy(Stateful(jax.nn.relu))) == []


def test_an_unfinished_module_is_data():
    """Until a module is complete nothing is decided: it is a tree of what it has."""
    seen = []

    class Early(eqx.Module):
        function: Any = eqx.field(static=callable)

        def __init__(self):
            self.function = len
            seen.append((leaves_of(self), copy.copy(self), tree_util.tree_map(lambda x: x, self)))

    m = Early()
    ((leaves, copied, mapped),) = seen
    assert leaves == leaves_of(copied) == leaves_of(mapped) == [len] and leaves_of(m) == []


def test_subclasses_and_attributes_of_a_delegate():
    """A subclass inherits the predicate or overrides the field; `__getattr__` isn't asked for the decision."""

    class Data(Layers):
        function: Any

        def __getattr__(self, name):
            return getattr(self.weight, name)

    inner = make()
    outer = Data((len, inner), inner, len)
    assert leaves_of(outer) == [*leaves_of(inner), *leaves_of(inner), len]
    assert is_same(copy.deepcopy(outer), outer)


def test_wrong_static():
    """`static` is a bool or a predicate."""
    with pytest.raises(TypeError, match="`field` expects `static` to be a bool or a predicate, got 'yes'"):
        eqx.field(static="yes")


def test_transformations_see_arrays_alone():
    """A model with functions in static places goes in and out of plain JAX; the structure tells when to retrace."""
    traces = []

    @jax.jit
    def step(m):
        traces.append(None)
        return tree_util.tree_map(lambda x: x + 1, m)

    m = make()
    for _ in range(2):
        m = step(m)
    assert is_same(tree_util.tree_map(float, m), make().__class__((3.0, jnp.tanh, 4.0, len), 5.0, jax.nn.relu))
    step(eqx.replace(m, function=jnp.sin))
    assert len(traces) == 2
    double = ft.partial(tree_util.tree_map, lambda x: 2 * x)
    assert jax.jit(double)(m).layers[0] == 6

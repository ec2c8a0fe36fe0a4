"""`field(static=predicate)` decides once for each module. Transformations and copies keep the decision."""

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
    """A module with a tuple of functions and data, a single such value, and fields of the other kinds."""

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
    """The predicate is called on a value, and on each item of a tuple. A static value is no leaf."""
    m = make()
    assert leaves_of(m) == [1.0, 2.0, 3.0]
    assert m.layers == (1.0, jnp.tanh, 2.0, len) and m.function is jax.nn.relu
    assert leaves_of(make(layers=[jnp.tanh], function=5)) == [jnp.tanh, 3.0, 5]  # a list counts as one value


def test_paths_keep_their_numbers():
    """A static item is replaced by `None` among the children."""
    if not hasattr(tree_util, "tree_flatten_with_path"):
        pytest.skip("JAX has paths since 0.4.6, this is " + jax.__version__)
    paths = [tree_util.keystr(path) for path, _ in tree_util.tree_flatten_with_path(make())[0]]
    assert paths == [".layers[0]", ".layers[2]", ".weight"]


@pytest.mark.parametrize("name", COPIES)
def test_decision_lasts_in_copies(name):
    """Copies, and results of transformations that return the module, are the same as the original."""
    for m in (make(), make(function=1.0), make(layers=()), make(layers=(len,))):
        assert is_same(COPIES[name](m), m)


@pytest.mark.parametrize("replacement", [None, len, 5, object(), (len,)], ids=lambda x: type(x).__name__)
def test_decision_lasts_if_leaves_are_replaced(replacement):
    """If a function replaces a leaf, it is a leaf. If `None` replaces a leaf, no function becomes a leaf."""
    m = make(function=1.0)
    changed = tree_util.tree_map(lambda x: replacement, m)
    assert changed.layers[1::2] == m.layers[1::2]
    assert changed.function is replacement
    for duplicate in (copy.copy, lambda x: tree_util.tree_map(lambda leaf: leaf, x)):
        again = duplicate(changed)
        assert leaves_of(again) == leaves_of([replacement] * 4)
        back = tree_util.tree_map(lambda _, x: x, m, again, is_leaf=lambda x: x is None)
        assert back.layers == changed.layers


def test_a_child_at_a_static_place_is_ignored():
    """With `is_leaf`, a function may get and replace the `None` at the place of a static value."""
    m = make()
    seen = []

    def replace(x):
        seen.append(x)
        return "other"

    changed = tree_util.tree_map(replace, m, is_leaf=lambda x: x is None)
    assert seen.count(None) == 3
    assert changed.layers == ("other", jnp.tanh, "other", len) and changed.function is jax.nn.relu


def test_another_object_in_the_place_of_a_tuple_is_data():
    """If a whole tuple is replaced, the new object is a leaf.

    If a tuple of the same length replaces that, it has the static items.
    """
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
    """Two modules have the same structure if their static values are equal and have the same types and places."""

    class Options(eqx.Module):
        values: Any = eqx.field(static=lambda x: not isinstance(x, str))

    different = [1, 1.0, True, "text", (1,), (1.0,), (1, "text"), ("text", 1), ("text", "text"), len, lambda x: x]
    for i, a in enumerate(different):
        assert structure(Options(a)) == structure(Options(copy.copy(a)))
        assert all(structure(Options(a)) != structure(Options(b)) for b in different[:i])


def test_functions_compare_by_identity():
    """If each of two models is made with its own lambda, they have different structures."""
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
def test_values_that_cannot_be_static_are_data(value):
    """An array, an object that holds one, or an unhashable value is data, even if the predicate is true."""

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


def test_predicate_is_called_once_for_each_module():
    """It is called when the module is complete, after converters and defaults.

    Transformations and copies don't call it.
    """
    del asked[:]
    m = Asking("5")
    assert asked == [5, "b", 1, 2.0]
    for name in COPIES.keys() - {"tree_at"}:
        assert is_same(COPIES[name](m), m)
    assert len(asked) == 4
    other = eqx.replace(m, b=3)
    assert asked[4:] == [3] and leaves_of(other) == [2.0] and leaves_of(m) == ["b", 2.0]


def test_predicates_are_called_after_setstate():
    """A module is complete after its `__setstate__`."""

    class Stateful(eqx.Module):
        function: Any = eqx.field(static=callable)

        def __getstate__(self):
            return {"name": "relu"}

        def __setstate__(self, state):
            self.function = getattr(jax.nn, state["name"])

    assert leaves_of(copy.deepcopy(Stateful(jax.nn.relu))) == []


def test_an_unfinished_module_is_data():
    """Before a module is complete nothing is decided, and all its fields are data."""
    seen = []

    class Early(eqx.Module):
        function: Any = eqx.field(static=callable)

        def __init__(self):
            self.function = len
            seen.append((leaves_of(self), copy.copy(self), tree_util.tree_map(lambda x: x, self)))

    m = Early()
    ((leaves, copied, mapped),) = seen
    assert leaves == leaves_of(copied) == leaves_of(mapped) == [len] and leaves_of(m) == []


def test_subclasses_may_override_a_field_and_define_getattr():
    """A subclass inherits the predicate or overrides the field. `__getattr__` isn't called for the decision."""

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


def test_plain_transformations_get_only_arrays():
    """Plain JAX takes and returns a model with static functions. A change of the structure causes a retrace."""
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

"""A module as a pytree: its children, its static fields, and the classes that JAX knows."""

import copy
import pickle
import sys
import weakref
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import tree_util
from modules import Affine, Nested, affine

import equinox as eqx


def test_children_are_the_dynamic_fields_in_order():
    m = Nested(affine(), [1, None, "s"], name="n")
    leaves, treedef = tree_util.tree_flatten(m)
    assert [np.asarray(x).tolist() if eqx.is_array(x) else x for x in leaves] == [[1.0, 2.0], 3.0, 1, "s"]
    again = treedef.unflatten(leaves)
    assert type(again) is Nested and again.name == "n" and again == m
    assert all(a is b for a, b in zip(tree_util.tree_leaves(again), leaves))


@given(st.lists(st.integers() | st.text(max_size=3) | st.none(), min_size=2, max_size=2))
def test_flatten_then_unflatten_is_the_identity(values):
    m = Nested(Affine(*values), tuple(values))
    leaves, treedef = tree_util.tree_flatten(m)
    again = tree_util.tree_unflatten(treedef, leaves)
    assert vars(again.first) == vars(m.first) and again.rest == m.rest and again.name == m.name
    assert tree_util.tree_structure(again) == treedef


def test_unflattening_does_not_run_init_or_checks():
    class Strict(eqx.Module):
        x: Any

        def __check_init__(self):
            assert isinstance(self.x, int)

    assert tree_util.tree_map(lambda x: "anything", Strict(1)).x == "anything"


def test_a_static_field_is_structure():
    class Static(eqx.Module):
        x: Any
        n: Any = eqx.field(static=True)

    assert tree_util.tree_leaves(Static(1, 2)) == [1]
    assert tree_util.tree_structure(Static(1, 2)) == tree_util.tree_structure(Static(5, 2))
    assert tree_util.tree_structure(Static(1, 2)) != tree_util.tree_structure(Static(1, 3))


def test_true_and_one_in_a_static_field_are_different_structures():
    class Static(eqx.Module):
        n: Any = eqx.field(static=True)

    structures = [tree_util.tree_structure(Static(n)) for n in (True, 1, 1.0)]
    assert all(a != b for i, a in enumerate(structures) for b in structures[:i])


@pytest.mark.parametrize("make", [lambda: jnp.ones(2), lambda: np.ones(2), lambda: (1, [jnp.ones(2)])])
def test_an_array_in_a_static_field_is_reported_with_its_name(make):
    class Static(eqx.Module):
        n: Any = eqx.field(static=True)

    with pytest.raises(TypeError, match=r"the static field `Static.n` holds an array"):
        Static(make())
    with pytest.raises(TypeError, match=r"the static field `Static.n` holds an array"):
        jax.jit(lambda x: Static(x))(1.0)


def test_an_unhashable_static_field_is_reported_with_its_name():
    class Static(eqx.Module):
        n: Any = eqx.field(static=True)

    with pytest.raises(TypeError, match=r"the static field `Static.n` must be hashable, got \[1\]. Use a tuple"):
        Static([1])


def test_an_incomplete_module_is_a_tree_of_its_fields_so_far():
    seen = []

    class Partly(eqx.Module):
        a: Any
        b: Any
        c: Any
        n: Any = eqx.field(static=True)

        def __init__(self):
            self.c = 2
            self.b = 1
            leaves, treedef = tree_util.tree_flatten(self)
            seen.append((leaves, treedef.unflatten(leaves)))
            self.a = self.n = 0

    whole = Partly()
    leaves, partly = seen[0]
    assert leaves == [1, 2] and vars(partly) == {"b": 1, "c": 2}
    assert tree_util.tree_structure(partly) != tree_util.tree_structure(whole)
    with pytest.raises(AttributeError):
        partly.a  # noqa: B018
    assert repr(partly) == "Partly(b=1, c=2)"


def test_flattening_does_not_call_getattr():
    class Delegates(eqx.Module):
        inner: Any
        scale: Any

        def __getattr__(self, name):
            return getattr(self.inner, name)

    m = Delegates(affine(), 2)
    assert m.weight is m.inner.weight
    again = tree_util.tree_map(lambda x: x, m)
    assert again.bias is m.bias and copy.copy(m) == m and pickle.loads(pickle.dumps(affine())) == affine()


@pytest.fixture
def deep_recursion():
    """Raise Python's limit of recursion, which JAX's flattening observes."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20000)
    yield
    sys.setrecursionlimit(limit)


def test_modules_nest_as_deep_as_jax_can_go(deep_recursion):
    class Chain(eqx.Module):
        below: Any

    m = Chain(1.0)
    for _ in range(1000):
        m = Chain(m)
    doubled = tree_util.tree_map(lambda x: 2 * x, m)
    assert tree_util.tree_leaves(doubled) == [2.0]


def test_paths_name_the_fields():
    m = Nested(affine(), [1])
    if not hasattr(tree_util, "tree_flatten_with_path"):
        pytest.skip("JAX has paths since 0.4.6, this is " + jax.__version__)
    paths = [tree_util.keystr(path) for path, _ in tree_util.tree_flatten_with_path(m)[0]]
    assert paths == [".first.weight", ".first.bias", ".rest[0]"]


def test_nothing_is_registered_twice():
    with pytest.raises(ValueError):
        tree_util.register_pytree_node(Affine, lambda x: ((), None), lambda aux, children: None)


def test_the_library_does_not_keep_a_class_alive():
    """JAX's registry never forgets a class. No table of the library holds one."""

    class Temporary(eqx.Module):
        x: Any

        def method(self):
            return self.x

    assert eqx.filter_jit(Temporary(jnp.array(1.0)).method)() == 1
    copy.deepcopy(Temporary(1))
    modules = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "equinox"}
    holders = [
        (name, attribute)
        for name, module in modules.items()
        for attribute, table in vars(module).items()
        if isinstance(table, (dict, list, set, tuple, frozenset, weakref.WeakKeyDictionary))
        and any(x is Temporary or type(x) is Temporary for x in [*table, *getattr(table, "values", tuple)()])
    ]
    # Before JAX 0.4.8 the registry keeps no names of children, so the library has a table.
    assert set(holders) <= {("equinox._compat.pytrees", "_name_functions")}


def test_fields_may_have_any_name():
    class Hostile(eqx.Module):
        cls: Any
        self: Any
        type: Any
        d: Any
        c0: Any
        new: Any = eqx.field(static=True)
        aux: Any = eqx.field(static=True)

    names = ["cls", "self", "type", "d", "c0", "new", "aux"]
    m = Hostile(**{name: i for i, name in enumerate(names)})
    assert tree_util.tree_leaves(m) == [0, 1, 2, 3, 4]
    assert [getattr(tree_util.tree_map(lambda x: x, m), name) for name in names] == list(range(7))


def test_types_inside_a_static_tuple_are_part_of_the_structure():
    class Static(eqx.Module):
        n: Any = eqx.field(static=True)

    structures = [tree_util.tree_structure(Static(n)) for n in ((1, (2,)), (1, (2.0,)), (True, (2,)))]
    assert all(a != b for i, a in enumerate(structures) for b in structures[:i])


def test_an_unhashable_static_dictionary_is_reported():
    class Static(eqx.Module):
        n: Any = eqx.field(static=True)

    with pytest.raises(TypeError, match="the static field `Static.n` must be hashable"):
        Static({1: 2, "a": 3})
    with pytest.raises(TypeError, match="the static field `Static.n` holds an array"):
        Static({1: 2, "a": np.ones(2)})

"""Copies, pickles, equality, hashes, weak references and partials of modules."""

import copy
import functools as ft
import gc
import pickle
import weakref
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree_util
from modules import Affine, affine

import equinox as eqx


def _copies():
    return [copy.copy, copy.deepcopy] + [
        ft.partial(lambda protocol, x: pickle.loads(pickle.dumps(x, protocol)), p)
        for p in range(2, pickle.HIGHEST_PROTOCOL + 1)
    ]


class Model(eqx.Module):
    inner: Any
    activation: Any
    bias: Any
    n: Any = eqx.field(static=True)


@pytest.mark.parametrize("duplicate", _copies())
def test_copies_and_pickles_are_equal_to_the_original(duplicate):
    m = Model([affine(), {"k": jnp.arange(3)}], jax.nn.relu, np.arange(2), n=(jnp.tanh, 3))
    again = duplicate(m)
    assert again is not m and again == m
    assert type(again.inner[0].weight) is type(m.inner[0].weight)
    assert again.activation is jax.nn.relu and again.n[0] is jnp.tanh
    assert tree_util.tree_structure(again) == tree_util.tree_structure(m)
    with pytest.raises(AttributeError):
        again.bias = 1


def test_a_pickle_names_no_private_module_of_jax():
    assert b"_src" not in pickle.dumps(Model(jax.nn.relu, jax.nn.softplus, jnp.tanh, n=None))


def test_deepcopy_is_deep_and_copy_is_not():
    values = np.ones(2)
    m = Affine(values, 1)
    assert copy.copy(m).weight is values and copy.deepcopy(m).weight is not values


def test_equality_is_tree_equality():
    assert affine() == affine() and not (affine() != affine())
    assert affine() != Affine(jnp.array([1.0, 2.0]), jnp.array(4.0))
    assert affine() != Affine(np.array([1.0, 2.0], np.float32), jnp.array(3.0))
    assert affine() != 3 and affine() is not None
    assert (affine() == affine()) is True

    class Other(eqx.Module):
        weight: Any
        bias: Any

    assert Affine(1, 2) != Other(1, 2)


def test_hash_by_value_without_arrays_and_a_clear_error_with():
    assert hash(Affine(1, "a")) == hash(Affine(1, "a"))
    assert len({Affine(1, "a"), Affine(1, "a"), Affine(2, "a")}) == 2
    for weight in (jnp.ones(2), np.ones(2)):
        with pytest.raises(TypeError, match=r"unhashable: `Affine` holds arrays.*eqx.filter_jit\(model\)"):
            hash(Affine(weight, 1))


def test_weak_references_and_partials():
    m = affine()
    ref = weakref.ref(m)
    assert ref() is m
    partial = ft.partial(m, jnp.array(1.0))
    assert partial().tolist() == [4.0, 5.0]
    assert jax.jit(tree_util.Partial(m.scaled, factor=3.0))(1.0).tolist() == [12.0, 15.0]
    assert eqx.filter_jit(partial)().tolist() == [4.0, 5.0]
    del m, partial
    gc.collect()
    assert ref() is None


def test_what_a_copy_shares_and_keeps():
    shared = {"b": [1], "a": 2}
    m = Affine(shared, shared)
    shallow, deep, pickled = copy.copy(m), copy.deepcopy(m), pickle.loads(pickle.dumps(m))
    assert shallow.weight is shared
    for again in (deep, pickled):
        assert again.weight is not shared and again.weight is again.bias and list(again.weight) == ["b", "a"]
    assert copy.copy(Affine({1: 2, "a": 3}, None)).weight == {1: 2, "a": 3}  # which JAX couldn't sort


def test_partials_of_jaxs_functions_survive():
    m = Affine(ft.partial(jax.nn.leaky_relu, negative_slope=0.5), tree_util.Partial(jax.nn.relu))
    for again in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        assert again.weight(-2.0) == -1.0 and type(again.bias) is tree_util.Partial
        assert again.weight.func is jax.nn.leaky_relu and again.bias.func is jax.nn.relu


def test_a_filtered_function_is_atomic_to_copies():
    f = eqx.filter_jit(lambda x: x)
    assert copy.copy(f) is f and copy.deepcopy(Affine(f, 1)).weight is f

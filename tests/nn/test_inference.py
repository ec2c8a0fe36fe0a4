"""`tree_inference`: the flags of all layers, in any tree that holds them."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from jax import tree_util

import equinox as eqx


class Norm(eqx.Module):
    """A layer of the user, with a flag and a layer inside it."""

    scale: Any
    inner: Any = None
    inference: Any = False


class StaticNorm(eqx.Module):
    inner: Any = None
    inference: bool = eqx.field(static=True, default=False)


class DecidedNorm(eqx.Module):
    inner: Any = None
    inference: Any = eqx.field(static=lambda x: isinstance(x, bool), default=False)

    def __check_init__(self):
        if self.inner is None:
            raise ValueError("a part of a partition lacks its arrays")


def make_model():
    dropout = eqx.nn.Dropout(0.5)
    return {
        "layers": [eqx.nn.Linear(2, 2, key=jrandom.PRNGKey(0)), dropout],
        "nested": Norm(jnp.ones(2), StaticNorm((dropout, DecidedNorm(Norm(jnp.ones(1)))))),
        "rest": (None, 1, False, "text", jnp.array(False)),
    }


def flags(tree):
    """All flags in the model that `make_model` makes."""
    static = tree["nested"].inner
    decided = static.inner[1]
    modules = [tree["layers"][1], tree["nested"], static, static.inner[0], decided, decided.inner]
    return [getattr(x, "deterministic", getattr(x, "inference", None)) for x in modules]


def same(a, b):
    """Whether two trees have the same structure and leaves."""
    return bool(eqx.tree_equal(a, b))


def test_all_flags_at_any_depth():
    """Dynamic and static flags are set, also inside a layer with a flag. Nothing else changes."""
    model = make_model()
    assert flags(model) == [False] * 6
    inference = eqx.tree_inference(model)
    assert flags(inference) == [True] * 6
    assert flags(model) == [False] * 6
    assert same(inference["rest"], model["rest"])
    assert inference["nested"].scale is model["nested"].scale
    assert same(eqx.tree_inference(inference, False), model)
    assert same(eqx.tree_inference(inference, value=True), inference)
    assert eqx.tree_inference(3) == 3
    assert same(eqx.nn.inference_mode(model), inference)


@pytest.mark.parametrize("spec", [eqx.is_array, lambda x: not eqx.is_array(x), lambda x: isinstance(x, bool)])
def test_parts_of_a_partition(spec):
    """Each flag is set in the part that has it. The parts still fit together."""
    model = make_model()
    parts = [eqx.tree_inference(part) for part in eqx.partition(model, spec)]
    assert same(eqx.combine(*parts), eqx.tree_inference(model))
    for part, filter_part in zip(parts, eqx.partition(eqx.tree_inference(model), spec)):
        assert tree_util.tree_structure(part) == tree_util.tree_structure(filter_part)


def test_flags_that_are_arrays():
    """An array stays an array of its kind and shape. So layers that were stacked can still be mapped over."""
    stacked = jax.vmap(lambda p: eqx.nn.Dropout(p))(jnp.array([0.5, 0.25]))
    inference = eqx.tree_inference(stacked)
    assert inference.deterministic.tolist() == [True, True]
    x = jnp.ones((2, 3))
    assert jax.vmap(lambda layer, x: layer(x, key=jrandom.PRNGKey(0)))(inference, x).tolist() == x.tolist()
    norms = [Norm(1, inference=np.array([False])), Norm(1, inference=np.bool_(False))]
    numpy, scalar = eqx.tree_inference(norms)
    assert isinstance(numpy.inference, np.ndarray)
    assert numpy.inference.tolist() == [True]
    assert scalar.inference is True


def test_inside_jit():
    """A traced flag is set, too. The result of `jax.jit` has flags that are arrays."""
    x, dropout = jnp.ones(50), eqx.nn.Dropout(0.5)
    key = jrandom.PRNGKey(0)
    got = jax.jit(lambda layer, x: eqx.tree_inference(layer)(x, key=key))(dropout, x)
    assert got.tolist() == x.tolist()
    trained = eqx.tree_inference(jax.jit(lambda layer: eqx.tree_inference(layer))(dropout), False)
    assert (trained(x, key=key) == 0).any()


@pytest.mark.parametrize("value", [None, "auto", 1.5, jnp.ones(2), jnp.arange(2)])
def test_other_values_stay(value):
    """A field with the name of a flag that holds no bool stays as it is. A layer in it is changed."""
    assert eqx.tree_inference(Norm(1, inference=value)).inference is value
    assert eqx.tree_inference(Norm(1, inference=[value, eqx.nn.Dropout()])).inference[1].deterministic is True


@pytest.mark.parametrize("value", [None, 1, "yes", jnp.array(True)])
def test_the_new_value_is_a_bool(value):
    """Another value is refused, also if the tree has no flags."""
    with pytest.raises(TypeError, match="`tree_inference` expects `value` to be `True` or `False`"):
        eqx.tree_inference([1], value)

"""`tree_flatten_one_level`, against the children that are found by hand."""

import jax
import jax.numpy as jnp
from hypothesis import given
from jax import tree_util
from modules import affine
from random_trees import children, nest, same, trees

import equinox as eqx


@given(trees())
def test_children_of_any_node(tree):
    """The children are those found by hand, unchanged. The structure makes the node from them, or from others."""
    expected = children(tree)
    got, structure = eqx.tree_flatten_one_level(tree)
    assert isinstance(got, list)
    if expected is None:
        assert got == [tree] or got[0] is tree
        assert structure == tree_util.tree_structure(0)
    else:
        assert len(got) == len(expected)
        assert all(x is child for x, (_, child) in zip(got, expected))
    assert structure.num_leaves == len(got)
    assert same(structure.unflatten(got), tree)
    assert tree_util.tree_leaves(structure.unflatten(range(len(got)))) == list(range(len(got)))


def test_deep_and_circular_trees():
    """What is below the children isn't looked at. A node may be its own child."""
    deep = nest(5000, lambda x: [x], 1)
    assert eqx.tree_flatten_one_level(deep)[0][0] is deep[0]
    loop = [1]
    loop.append(loop)
    got = eqx.tree_flatten_one_level(loop)[0]
    assert len(got) == 2
    assert got[1] is loop


def test_inside_jit():
    """The children of a model inside a transformation are traced."""

    @jax.jit
    def function(model):
        (weight, bias), structure = eqx.tree_flatten_one_level(model)
        return structure.unflatten([weight + bias, bias])

    model = affine()
    assert function(model).weight.tolist() == jnp.add(model.weight, model.bias).tolist()

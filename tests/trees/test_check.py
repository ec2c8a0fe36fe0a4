"""`tree_check`: a node at two places, and a node inside itself."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import tree_util
from modules import Affine, affine
from random_trees import Pair, children, each_container, flat, nest, nodes, recursion_limit_for, replace_at, trees

import equinox as eqx


@given(trees(), st.data())
def test_a_node_at_two_places(tree, data):
    """A tree passes. After one node is put at a second place, it fails if the node has leaves. It names both paths."""
    eqx.tree_check(tree)
    path, node = data.draw(st.sampled_from(nodes(tree)))
    both = [tree, 1, (node,)]
    if children(node) is None or not flat(node):
        eqx.tree_check(both)
        return
    message = "The `{}` at `tree[0]{}` is also at `tree[2][0]`. ".format(type(node).__name__, path)
    with pytest.raises(ValueError, match=re.escape(message)):
        eqx.tree_check(both)
    eqx.tree_check(tree_util.tree_map(lambda x: x, both))


@given(trees(), st.data())
def test_a_node_inside_itself(tree, data):
    """If a list holds a tree that holds the list, the error names the list and the place inside it."""
    path, _ = data.draw(st.sampled_from(nodes(tree)))
    loop = []
    loop.append(replace_at(tree, path, loop))
    with pytest.raises(ValueError) as error:
        eqx.tree_check({"a": loop})
    where = ", at `tree['a'][0]{}`".format(path) if path else ""
    assert str(error.value).startswith("The `list` at `tree['a']` holds itself{}. JAX can't".format(where))


def test_leaves_may_be_at_two_places():
    """Arrays, numbers and functions may be at several places. So may nodes without leaves."""
    x, empty, identity = jnp.ones(2), [], eqx.nn.Identity()
    eqx.tree_check([x, x, np.ones(2), len, len, None, None, (), (), 1, 1])
    eqx.tree_check([empty, empty, identity, [identity, empty], {"a": identity}, [[empty]]])


def test_layers_of_a_model():
    """A layer or a tuple of layers that two models share is found. So is a model beside its method."""
    model = affine()
    for tree, message in [
        (Pair(model, model), "The `Affine` at `tree.first` is also at `tree.second`"),
        ([Pair(model, 1), Pair(2, [model])], "The `Affine` at `tree[0].first` is also at `tree[1].second[0]`"),
        (Pair(model, model.scaled), "The `Affine` at `tree.first` is also at `tree.second."),
        (Pair(eqx.filter_jit(model), model), "The `Affine` at `tree.first.__wrapped__` is also at `tree.second`"),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            eqx.tree_check(tree)
    eqx.tree_check(Pair(model, affine()))
    eqx.tree_check(eqx.nn.MLP(2, 2, 2, 3, key=jax.random.PRNGKey(0)))


class Temporary:
    """A node that makes its child whenever it is flattened."""


tree_util.register_pytree_node(Temporary, lambda node: ([[1]], None), lambda aux, children: Temporary())


def test_nodes_that_exist_for_a_moment():
    """Two nodes aren't taken for one if Python uses the memory of the first again for the second."""
    eqx.tree_check([Temporary() for _ in range(20)])


def test_says_what_happens_in_jax():
    """What the message says is true: after JAX made the tree again, the layers are two objects."""
    model = affine()
    first, second = tree_util.tree_map(lambda x: x, [model, model])
    assert first is not second
    with pytest.raises(ValueError, match="becomes two `Affine`s"):
        eqx.tree_check([model, model])


@each_container
def test_deep_trees(wrap):
    """Trees may be deeper than Python's limit of recursion."""
    tree = nest(1100, wrap, Affine(1, 2))
    with recursion_limit_for(1100):
        eqx.tree_check(tree)
        with pytest.raises(ValueError, match="is also at"):
            eqx.tree_check([tree, tree])

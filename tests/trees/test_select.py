"""`select` and `named_leaves`, against a walk through the tree by hand."""

import copy
import pickle
import re
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import tree_util
from modules import Layer, make_net
from random_trees import (
    Pair,
    Point,
    children,
    each_container,
    nest,
    nodes,
    path_of_nested,
    recursion_limit_for,
    replace_at,
    same,
    trees,
)

import equinox as eqx


class Stack(eqx.Module):
    """A module with a field that is static, one that may be, and a tuple of which one item is static."""

    layers: Any = eqx.field(static=callable)
    activation: Any = eqx.field(static=callable)
    name: str = eqx.field(static=True, default="stack")


def outermost(tree, is_selected, path=""):
    """The nodes for which `is_selected(path, node)` is true, and that lie in no other one."""
    if is_selected(path, tree):
        return [(path, tree)]
    return [x for name, child in children(tree) or [] for x in outermost(child, is_selected, path + name)]


# What selects nodes, and the same as a function of the path and the node.
WAYS = {
    "module": (Pair, lambda path, node: isinstance(node, Pair)),
    "types": ((list, Point), lambda path, node: isinstance(node, (list, Point))),
    "leaf": (int, lambda path, node: isinstance(node, int)),
    "array": (jnp.ndarray, lambda path, node: isinstance(node, jnp.ndarray)),
    "None": (lambda node: node is None, lambda path, node: node is None),
    "all": ("*", lambda path, node: True),
    "end": ("*.first", lambda path, node: path.endswith(".first")),
    "bracket": ("*[0]", lambda path, node: path.endswith("[0]")),
    "key": ("*['?']", lambda path, node: re.search(r"\['.'\]$", path)),
    "middle": ("*[1]*.x", lambda path, node: re.search(r"\[1\].*\.x$", path)),
    "exact": (".second", lambda path, node: path == ".second"),
}


@pytest.mark.parametrize("way", WAYS)
@given(tree=trees())
def test_finds_the_outermost_nodes(way, tree):
    """The paths are those of a walk by hand. As a function, the result finds the nodes themselves."""
    by, is_selected = WAYS[way]
    expected = outermost(tree, is_selected)
    if not expected:
        with pytest.raises(ValueError, match="found no node"):
            eqx.select(tree, by)
        return
    selected = eqx.select(tree, by)
    assert selected == tuple(path for path, _ in expected)
    found = selected(tree)
    assert len(found) == len(expected)
    assert all(x is node for x, (_, node) in zip(found, expected))


@given(trees(), st.data())
def test_tree_at_changes_what_is_selected(tree, data):
    """The result is the `where` of `tree_at`, for one node or many, leaves, subtrees and `None`."""
    by, is_selected = WAYS[data.draw(st.sampled_from(sorted(WAYS)))]
    chosen = outermost(tree, is_selected)
    if not chosen:
        by = data.draw(st.sampled_from([node for _, node in nodes(tree)]))
        chosen, by = outermost(tree, lambda path, node: node is by), lambda node, x=by: node is x
    expected = tree
    for i, (path, _) in enumerate(chosen):
        expected = replace_at(expected, path, "new {}".format(i))
    new = ["new {}".format(i) for i in range(len(chosen))]
    assert same(eqx.tree_at(eqx.select(tree, by), tree, new), expected)
    old = []
    eqx.tree_at(eqx.select(tree, by), tree, replace_fn=old.append)
    assert len(old) == len(chosen)
    assert all(same(x, node) for x, (_, node) in zip(old, chosen))


def test_patterns():
    """Only `*` and `?` are special. A pattern must match the whole path. Upper case is not lower case."""
    net = make_net()
    assert eqx.select(net, "*.weight") == (".layers[0].weight", ".layers[1].weight")
    assert eqx.select(net, ".layers[?].bias") == (".layers[0].bias", ".layers[1].bias")
    assert eqx.select(net, ".layers*") == (".layers",)
    assert eqx.select(net, ".layers[1].weight") == (".layers[1].weight",)
    assert eqx.select({"[x]": 1, "x": 2}, "['[x]']") == ("['[x]']",)
    for pattern in ("weight", ".layers[01].weight", ".layers[!0].weight", "*.Weight"):
        with pytest.raises(ValueError, match="found no node"):
            eqx.select(net, pattern)
    assert eqx.select(net, "") == ("",)


def test_another_tree_of_the_same_structure():
    """What is selected in a model can be changed in its gradients, and in a part of the model."""
    net = make_net()
    selected = eqx.select(net, "*.weight")
    arrays = eqx.filter(net, eqx.is_array)
    changed = eqx.tree_at(selected, arrays, replace_fn=lambda w: w.shape)
    assert [layer.weight for layer in changed.layers] == [(2, 2), (1, 2)]
    with pytest.raises(ValueError, match=r"no node `\.layers\[1\]\.weight`.*Call `select` with the tree"):
        eqx.tree_at(selected, eqx.tree_at(lambda n: n.layers, net, net.layers[:1]), replace_fn=jnp.shape)


@pytest.mark.parametrize(
    "use",
    [eqx.filter, eqx.partition, eqx.count_parameters, lambda net, selected: selected(3)],
    ids=["filter", "partition", "count_parameters", "a leaf"],
)
def test_no_filter(use):
    """A filter is called with leaves. So the error says what to do instead."""
    net = make_net()
    selected = eqx.select(net, "*.weight")
    with pytest.raises(ValueError, match=r"A leaf has no node `\.layers\[0\]\.weight`.* It is no filter\. As a filter"):
        use(net, selected)
    picked = eqx.filter(eqx.unfreeze(eqx.freeze(net), selected), eqx.trainable)
    assert tuple(path for path, _ in eqx.named_leaves(picked)) == selected


def test_inside_jit():
    """Selection works on traced arrays. It is decided while JAX traces."""

    @jax.jit
    def double(net):
        return eqx.tree_at(eqx.select(net, jnp.ndarray), net, replace_fn=lambda x: 2 * x)

    net = eqx.filter(make_net(), eqx.is_array)
    doubled = double(net)
    assert tree_util.tree_structure(doubled) == tree_util.tree_structure(net)
    assert doubled.layers[1].weight.tolist() == [[2.0, 2.0]]


def test_static_values_are_not_replaced_in_silence():
    """The `None` of a static field is not selected. `tree_at` says of a selected static value that it is static."""
    layer = Layer(jnp.ones(2), None)
    stack = Stack((layer, jnp.tanh), jnp.tanh)
    assert eqx.select(stack, lambda x: x is None) == (".layers[0].bias",)
    for by in (".activation", ".layers[1]", ".layers"):
        with pytest.raises(ValueError, match=r"`tree\.(activation|layers).*static.*eqx\.replace"):
            eqx.tree_at(eqx.select(stack, by), stack, replace_fn=lambda x: 0)
    got = eqx.tree_at(eqx.select(stack, Layer), stack, replace_fn=lambda x: 0)
    assert got.layers == (0, jnp.tanh)


def test_nothing_is_an_error():
    """The error shows some paths or types that are near, and says how many more there are."""
    net = make_net()
    with pytest.raises(
        ValueError,
        match=re.escape("matches '*.wieght'. Near paths: `.layers[0].weight`, `.layers[1].weight` and 7 more."),
    ):
        eqx.select(net, "*.wieght")
    with pytest.raises(
        ValueError,
        match=re.escape("Near paths: `.layers`, `.layers[0]`, `.layers[0].weight`, `.layers[0].bias` and 5 more."),
    ):
        eqx.select(net, "q")
    with pytest.raises(
        ValueError, match=re.escape("no node of type `Layers` or `Pair`. The tree has nodes of the types `L")
    ):
        eqx.select(net, (type("Layers", (), {}), Pair))
    with pytest.raises(
        ValueError,
        match=r"`by` is true\. Nodes that it was called with: 10\. Their types: `Net`, `list`, .* and 2 more\.",
    ):
        eqx.select(net, lambda node: False)
    with pytest.raises(ValueError, match=r"Near paths: none\."):
        eqx.select(3, "*.x")


@pytest.mark.parametrize("by", [3, None, (), (int, "a"), ["*"]])
def test_refuses_another_kind_of_selector(by):
    """Only a type, a tuple of types, a pattern and a function select."""
    with pytest.raises(TypeError, match="`select` expects `by` to be a type, .* got `{}`".format(type(by).__name__)):
        eqx.select([1], by)


def test_is_a_tuple_of_paths():
    """The result has the length, the items and the text of a tuple. Copies of it select the same nodes."""
    net = make_net()
    selected = eqx.select(net, "*.weight")
    assert isinstance(selected, tuple)
    assert repr(selected) == "('.layers[0].weight', '.layers[1].weight')"
    for copied in (copy.copy(selected), copy.deepcopy(selected), pickle.loads(pickle.dumps(selected))):
        assert copied == selected
        assert copied(net)[1] is net.layers[1].weight


@each_container
def test_deep_trees(wrap):
    """Trees may be deeper than Python's limit of recursion."""
    tree = nest(1100, wrap, "leaf")
    with recursion_limit_for(1100):
        selected = eqx.select(tree, str)
        assert selected == (path_of_nested(1100, wrap),)
        assert same_leaf(eqx.tree_at(selected, tree, ["new"]))


def same_leaf(tree):
    return "new" in tree_util.tree_leaves(tree)


def test_many_layers_are_fast():
    """The time is in proportion to the number of nodes, not to its square."""
    layers = [Layer(i, None) for i in range(2000)]
    looked = []
    selected = eqx.select(layers, lambda node: bool(looked.append(node) or isinstance(node, int)))
    assert len(selected) == 2000
    assert len(looked) == 1 + 3 * 2000
    assert eqx.tree_at(selected, layers, replace_fn=lambda i: -i)[1999].weight == -1999


@given(trees())
def test_named_leaves(tree):
    """The paths and the leaves are those of a walk by hand, in the order of flattening."""
    expected = [(path, node) for path, node in nodes(tree) if children(node) is None]
    got = eqx.named_leaves(tree)
    assert [path for path, _ in got] == [path for path, _ in expected]
    assert all(x is y for (_, x), (_, y) in zip(got, expected))
    assert all(x is y for (_, x), y in zip(got, tree_util.tree_leaves(tree)))


def test_named_leaves_below_a_root():
    """Each path begins with `root`. `is_leaf` makes leaves of nodes."""
    net = make_net()
    assert eqx.named_leaves(net, "net")[-1] == ("net.scale", 1.0)
    got = eqx.named_leaves(net, is_leaf=lambda x: x is None or isinstance(x, Layer))
    assert [path for path, _ in got] == [".layers[0]", ".layers[1]", ".scale", ".note"]
    assert got[0][1] is net.layers[0]

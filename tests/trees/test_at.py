"""`tree_at`, against trees that are edited by hand."""

import dataclasses

import jax.numpy as jnp
import numpy as np
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


def look_up(path):
    """Make the `where` that follows a path such as `.layers[0].weight`."""
    return eval("lambda tree: tree" + path)


def test_one_leaf():
    """One leaf is replaced, and the others are the same objects. The tree itself doesn't change.

    The oracle is `dataclasses.replace`.
    """
    net = make_net()
    before = flat_ids(net)
    new = jnp.arange(4.0)
    got = eqx.tree_at(lambda n: n.layers[0].weight, net, new)
    expected = dataclasses.replace(net, layers=[dataclasses.replace(net.layers[0], weight=new), net.layers[1]])
    assert flat_ids(got) == flat_ids(expected)
    assert tree_util.tree_structure(got) == tree_util.tree_structure(net)
    assert flat_ids(net) == before
    assert got.layers is not net.layers


def flat_ids(tree):
    return list(map(id, tree_util.tree_leaves(tree)))


@given(trees(), st.data())
def test_replace_any_node(tree, data):
    """Any node of any tree can be replaced by anything. The oracle is a tree that is rebuilt by hand."""
    path, node = data.draw(st.sampled_from(nodes(tree)))
    new = data.draw(st.one_of(st.none(), st.integers(), st.sampled_from([(), (1, 2), [3], jnp.ones(2)])))
    expected = replace_at(tree, path, new)
    assert same(eqx.tree_at(look_up(path), tree, new), expected)
    assert same(eqx.tree_at(look_up(path), tree, replace=new), expected)
    asked = []
    assert same(eqx.tree_at(look_up(path), tree, replace_fn=lambda x: asked.append(x) or new), expected)
    assert len(asked) == 1
    assert same(asked[0], node)


@given(trees(), st.data())
def test_replace_several_leaves(tree, data):
    """Several leaves and `None`s can be replaced in any order. The oracle replaces them one after another."""
    places = [path for path, node in nodes(tree) if not children(node)]
    paths = data.draw(st.lists(st.sampled_from(places), unique=True)) if places else []
    expected = tree
    for i, path in enumerate(paths):
        expected = replace_at(expected, path, ("new", i))
    several = data.draw(st.sampled_from([tuple, list]))
    new = data.draw(st.sampled_from([tuple, list]))(("new", i) for i in range(len(paths)))
    where = lambda t: several(look_up(path)(t) for path in paths)  # noqa: E731
    assert same(eqx.tree_at(where, tree, new), expected)
    count = iter(range(len(paths)))
    assert same(eqx.tree_at(where, tree, replace_fn=lambda x: ("new", next(count))), expected)


def test_replace_fn_gets_the_old_node():
    """`replace_fn` is called once for each node, in the order of `where`. It gets the old node: a leaf or a subtree."""
    net = make_net()
    got = eqx.tree_at(lambda n: (n.layers[1].weight, n.layers[0].weight), net, replace_fn=lambda w: w.shape)
    assert got.layers[0].weight == (2, 2)
    assert got.layers[1].weight == (1, 2)
    asked = []
    eqx.tree_at(lambda n: (n.scale, n.layers[1], n.note), net, replace_fn=asked.append)
    assert asked[0] == 1.0
    assert type(asked[1]) is Layer
    assert asked[1].weight is net.layers[1].weight
    assert asked[2] is None


def test_one_of_a_tuple():
    """If `where` returns a tuple of one node, `replace` is a tuple of one item.

    If it returns a node, `replace` may be any tuple.
    """
    net = make_net()
    assert eqx.tree_at(lambda n: (n.scale,), net, (2.0,)).scale == 2.0
    assert eqx.tree_at(lambda n: [n.scale], net, [2.0]).scale == 2.0
    assert eqx.tree_at(lambda n: Point(n.scale, n.note), net, Point(2.0, 3)).note == 3
    assert eqx.tree_at(lambda n: n.scale, net, (2.0,)).scale == (2.0,)


def test_subtrees():
    """Nodes may be subtrees or leaves. They may be replaced by anything."""
    net = make_net()
    new = Layer(1, 2)
    got = eqx.tree_at(lambda n: (n.layers[1], n.scale, n.layers[0].bias), net, [new, 0.0, {"a": 1}])
    assert got.layers[1] is not net.layers[1]
    assert (got.layers[1].weight, got.layers[1].bias, got.scale, got.layers[0].bias) == (1, 2, 0.0, {"a": 1})
    assert eqx.tree_at(lambda n: n.last(), net, None).layers[1] is None  # `where` may use methods
    assert eqx.tree_at(lambda n: n, net, 3) == 3
    assert eqx.tree_at(lambda n: n, 5, 3) == 3


@pytest.mark.parametrize("kind", [tuple, list, lambda items: Point(*items)], ids=["tuple", "list", "namedtuple"])
def test_subtree_that_is_a_sequence(kind):
    """A tuple or list of the tree itself is one node. A tuple or list that `where` makes is several nodes."""
    tree = {"a": kind([1, 2]), "b": 3}
    assert eqx.tree_at(lambda t: t["a"], tree, "new") == {"a": "new", "b": 3}
    assert eqx.tree_at(lambda t: t["a"], tree, ("x", "y")) == {"a": ("x", "y"), "b": 3}
    assert eqx.tree_at(lambda t: t["a"], tree, replace_fn=len) == {"a": 2, "b": 3}
    assert eqx.tree_at(lambda t: (t["a"], t["b"]), tree, ("x", "y")) == {"a": "x", "b": "y"}
    assert eqx.tree_at(lambda t: [*t["a"]], tree, ("x", "y")) == {"a": kind(["x", "y"]), "b": 3}


def test_none_by_array_and_back():
    """A `None` can be picked without `is_leaf`, and a leaf can become `None`."""
    net = make_net()
    bias = jnp.ones(1)
    got = eqx.tree_at(lambda n: n.layers[1].bias, net, bias)
    assert got.layers[1].bias is bias
    assert got.note is None
    assert eqx.tree_at(lambda n: n.layers[1].bias, got, None).layers[1].bias is None
    both = eqx.tree_at(lambda n: (n.note, n.layers[1].bias, n.layers[0]), net, (1, 2, 3))
    assert (both.note, both.layers[1].bias, both.layers[0]) == (1, 2, 3)
    assert eqx.tree_at(lambda t: t, None, 3) == 3


def test_empty_containers():
    """Empty containers are nodes too. This includes `()`, of which Python has only one."""
    tree = {"a": [], "b": (), "c": {}, "d": (), "e": Point([], ())}
    for path, _ in nodes(tree):
        assert same(eqx.tree_at(look_up(path), tree, "new"), replace_at(tree, path, "new"))
    assert eqx.tree_at(lambda t: (t["d"], t["a"]), tree, (1, 2)) == dict(tree, a=2, d=1)


@pytest.mark.parametrize("nothing", [(), []], ids=["tuple", "list"])
@pytest.mark.parametrize("tree", [[1, 2], {"a": (), "b": [], "c": 1}, None, 1], ids=str)
def test_where_returns_nothing(tree, nothing):
    """Without nodes and replacements nothing changes, even if the tree holds an empty tuple."""
    assert eqx.tree_at(lambda t: type(nothing)(), tree, ()) == tree
    assert eqx.tree_at(lambda t: type(nothing)(), tree, replace_fn=lambda x: 1 / 0) == tree
    with pytest.raises(ValueError, match="each node that `where` returned, 0 in all, got a `tuple` of length 1"):
        eqx.tree_at(lambda t: type(nothing)(), tree, (1,))


def test_is_leaf():
    """`is_leaf` makes a leaf of a subtree. `where` can pick it, and can't use its parts."""
    net = make_net()
    is_layer = lambda x: isinstance(x, Layer)  # noqa: E731
    got = eqx.tree_at(lambda n: n.layers[0], net, 0, is_leaf=is_layer)
    assert got.layers[0] == 0
    assert eqx.tree_at(lambda n: n.layers[0], net, replace_fn=lambda x: x.bias, is_leaf=is_layer).layers[0].shape == (
        2,
    )
    got = eqx.tree_at(lambda n: (n.note, n.layers[1]), net, (1, 2), is_leaf=is_layer)  # this holds for `None` too
    assert (got.note, got.layers[1]) == (1, 2)
    assert eqx.tree_at(lambda n: n.note, net, 1, is_leaf=lambda x: x is None).note == 1
    with pytest.raises(AttributeError, match=r"used the leaf `tree.layers\[0\]`.* asked for `.weight`"):
        eqx.tree_at(lambda n: n.layers[0].weight, net, 0, is_leaf=is_layer)


def test_shared_leaf():
    """If one object is at two places, only the picked place changes."""
    x = jnp.ones(2)
    layer = Layer(x, x)
    got = eqx.tree_at(lambda t: t["b"].weight, {"a": layer, "b": layer}, 0)
    assert got["b"].weight == 0
    assert got["a"].weight is got["a"].bias is got["b"].bias is x
    got = eqx.tree_at(lambda t: (t[0], t[2]), [x, x, x], ("a", "b"))
    assert got[0] == "a"
    assert got[1] is x
    assert got[2] == "b"
    got = eqx.tree_at(lambda t: t["a"], {"a": layer, "b": layer}, None)  # the same for a shared subtree
    assert got["a"] is None
    assert got["b"].weight is x


def test_structure_in_where():
    """`where` may use everything that is structure: classes, keys, lengths and `None`s."""
    net = make_net()
    where = lambda n: tuple(x.bias for x in n.layers if x.bias is not None and isinstance(x, Layer))  # noqa: E731
    assert eqx.tree_at(where, net, (1,)).layers[0].bias == 1
    where = lambda t: [t[key] for key in t if key != "a"][: len(t) - 2]  # noqa: E731
    assert eqx.tree_at(where, {"a": 1, "b": 2, "c": 3}, [0]) == {"a": 1, "b": 0, "c": 3}
    assert eqx.tree_at(lambda n: n.layers[0].bias if n.layers[1].name == "layer" else 1, net, 2).layers[0].bias == 2


def test_nested_tree_at():
    """`replace_fn` may use `tree_at` itself."""
    net = make_net()
    got = eqx.tree_at(lambda n: n.layers[0], net, replace_fn=lambda x: eqx.tree_at(lambda x: x.bias, x, 1))
    assert got.layers[0].bias == 1
    assert got.layers[0].weight is net.layers[0].weight


def test_tree_at_on_traced_arrays(run):
    """The result is the same eagerly, under `jit` and under `vmap`."""

    def function(x, y):
        pair = Pair(x, {"y": y, "text": "a"})
        pair = eqx.tree_at(lambda p: (p.second["y"], p.first), pair, (x, y))
        pair = eqx.tree_at(lambda p: p.second["y"], pair, replace_fn=lambda x: 2 * x)
        assert pair.second["text"] == "a"
        return pair.first, pair.second["y"]

    first, second = run(function, jnp.arange(3.0), jnp.ones(2))
    np.testing.assert_array_equal(first, [1, 1])
    np.testing.assert_array_equal(second, [0, 2, 4])


def test_seed_example():
    """The example of the specification: in a tree of `False`, the weights to train become `True`."""
    net = make_net()
    trainable = tree_util.tree_map(lambda _: False, net)
    trainable = eqx.tree_at(lambda n: n.layers[-1].weight, trainable, replace=True)
    assert tree_util.tree_leaves(trainable) == [False, False, True, False]


def test_where_is_called_with_placeholders_and_with_leaves():
    """A placeholder has a hash, and a `repr` that is the path of its leaf. It has nothing else."""
    net, scales = make_net(), []

    def where(n):
        assert n.scale is n.scale
        assert n.scale in {n.scale: "key"}
        scales.append(n.scale)
        return n.layers[0].bias

    assert eqx.tree_at(where, net, 1).layers[0].bias == 1
    assert [repr(scale) for scale in scales] == ["<the leaf tree.scale>", "1.0"]


@each_container
def test_tree_at_on_deep_trees(wrap):
    """Trees may be deeper than Python's limit of recursion. This holds for the error messages too."""

    def where(tree, levels=1100):
        for _ in range(levels):
            tree = tree[0] if isinstance(tree, list) else tree.first
        return tree

    with recursion_limit_for(1100):
        tree = nest(1100, wrap, "leaf")
        assert where(eqx.tree_at(where, tree, "new")) == "new"
        assert where(eqx.tree_at(where, eqx.tree_at(where, tree, None), "new")) == "new"
        assert where(eqx.tree_at(lambda t: where(t, 1000), tree, "new"), 1000) == "new"
        path = "tree" + path_of_nested(1100, wrap)
        with pytest.raises(TypeError) as caught:
            eqx.tree_at(lambda t: where(t) + 1, tree, "new")
        assert "`{}`".format(path) in str(caught.value)
        with pytest.raises(ValueError) as caught:
            eqx.tree_at(lambda t: (where(t), where(t)), tree, (1, 2))
        assert "`{}` twice".format(path) in str(caught.value)
        with pytest.raises(ValueError) as caught:
            eqx.tree_at(lambda t: (t, where(t)), tree, (1, 2))
        assert "`tree`, and `{}`".format(path) in str(caught.value)

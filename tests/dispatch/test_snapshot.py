"""A snapshot of a tree holds while nothing in the tree was replaced, and only then.

A filtered function goes by it: where it holds, what was found in the tree before is taken for what is in it now.
"""

import collections
import gc
import weakref
from typing import Any

import hypothesis.strategies as st
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from jax import tree_util
from modules import Affine, Nested, affine
from random_trees import Pair, Point, children, deep, nodes, trees

import equinox as eqx
from equinox._dispatch.snapshot import snapshot

ARRAYS = [jnp.array(float(i)) for i in range(3)]
things = st.sampled_from([*ARRAYS, 0, 1, True, 1.0, "s", None])  # few, so that one often comes in the place of another


def contents(tree):
    """What the tree is made of: each node and leaf by its identity, where it is and what its node says of itself."""
    return [(path, type(x), id(x), getattr(x, "name", None)) for path, x in nodes(tree)]


# What may be done to a tree. Each takes a node that can be changed, another one, something to put, and two numbers.


def put(node, other, x, i, j):
    if isinstance(node, Pair):
        object.__setattr__(node, ("first", "second", "name")[i % 3], str(x) if i % 3 == 2 else x)
    elif isinstance(node, dict):
        node["abcd"[i % 4]] = x
    elif node:
        node[i % len(node)] = x


def insert(node, other, x, i, j):
    if isinstance(node, list):
        node.insert(i % (len(node) + 1), x)


def remove(node, other, x, i, j):
    if isinstance(node, (list, dict)) and node:
        node.pop(list(node)[i % len(node)] if isinstance(node, dict) else i % len(node))


def reverse(node, other, x, i, j):
    if isinstance(node, list):
        node.reverse()
    elif isinstance(node, dict):
        for key in list(node)[::-1]:
            node[key] = node.pop(key)
    else:
        first, second = node.first, node.second
        object.__setattr__(node, "first", second)
        object.__setattr__(node, "second", first)


def move(node, other, x, i, j):
    """Of all changes the most cunning: as many things as before, and where one list follows another in their order."""
    if isinstance(node, list) and isinstance(other, list) and node:
        moved = node.pop(-(i % 2))
        if isinstance(moved, (list, tuple, dict, Pair)):  # which `other` may be, or be in
            node.append(moved)
        else:
            other.insert(len(other) * (j % 2), moved)


def move_key(node, other, x, i, j):
    if isinstance(node, dict) and node and not any(children(value) for value in node.values()):
        key = list(node)[i % len(node)]
        value = node.pop(key)
        node["abcd"[j % 4]] = value


CHANGES = [put, insert, remove, reverse, move, move_key]


def changeable(tree):
    return [x for _, x in nodes(tree) if isinstance(x, (list, dict, Pair))]


watched_trees = trees(things, max_leaves=10).filter(
    lambda tree: not any(isinstance(x, collections.OrderedDict) for _, x in nodes(tree))
)
numbers = st.integers(0, 11)
changes = st.tuples(st.sampled_from(CHANGES), numbers, numbers, things, numbers, numbers)


@settings(max_examples=300)
@given(watched_trees, st.lists(changes, max_size=5))
def test_it_holds_only_while_the_tree_is_the_same(tree, changes):
    """Whatever was done to it, and however often: where the snapshot holds, all is where it was."""
    tree = Pair(tree, [tree])
    before, watch = contents(tree), snapshot(tree)
    assert watch.holds()
    for change, i, j, x, *where in changes:
        some = changeable(tree)
        change(some[i % len(some)], some[j % len(some)], x, *where)
        if watch.holds():
            assert contents(tree) == before


@given(watched_trees)
def test_to_use_a_tree_changes_nothing(tree):
    watch = snapshot(tree)
    tree_util.tree_map(lambda x: x, tree), repr(tree), eqx.tree_equal(tree, tree)
    assert watch.holds()


def whole():
    return Nested(affine(), {"list": [1, [2, 3]], "lists": ([4], [5]), "point": Point({}, [None])}, name="n")


@pytest.mark.parametrize(
    "change",
    [
        lambda m: object.__setattr__(m, "name", "other"),
        lambda m: object.__setattr__(m, "first", affine()),
        lambda m: object.__setattr__(m.first, "bias", jnp.array(3.0)),
        lambda m: object.__setattr__(m.first, "bias", None),
        lambda m: object.__delattr__(m.first, "bias"),
        lambda m: vars(m).update(extra=1),
        lambda m: vars(m.first).clear(),
        lambda m: m.rest.clear(),
        lambda m: m.rest.update(new=1),
        lambda m: m.rest.pop("point"),
        lambda m: m.rest["list"].append(1),
        lambda m: m.rest["list"].__setitem__(0, True),
        lambda m: m.rest["list"].__setitem__(0, 1.0),
        lambda m: m.rest["list"].__setitem__(1, [2, 3]),
        lambda m: m.rest["list"][1].reverse(),
        lambda m: m.rest["list"][1].sort(key=lambda x: -x),
        lambda m: m.rest["lists"][0].append(m.rest["lists"][1].pop()),
        lambda m: m.rest["lists"][1].insert(0, m.rest["lists"][0].pop()),
        lambda m: m.rest["point"].x.update(a=1),
        lambda m: m.rest["point"].y.clear(),
    ],
)
def test_what_is_done_deep_inside_is_seen(change):
    m = whole()
    watch = snapshot(m)
    assert watch.holds()
    change(m)
    assert not watch.holds()


@pytest.mark.parametrize("end", [0, -1])
@pytest.mark.parametrize("to", [0, 1])
@pytest.mark.parametrize("i", [0, 1])
@pytest.mark.parametrize("make", [lambda x, y: Affine(x, y), lambda x, y: [x, y], lambda x, y: {"a": x, "b": y}])
def test_what_moves_from_one_container_to_the_next_is_seen(make, i, to, end):
    """In whichever order they are looked at, all of them hold the same things in the same order as before."""
    lists = [1], [2]
    watch = snapshot(make(*lists))
    lists[1 - i].insert(to, lists[i].pop(end))
    assert not watch.holds()


def test_what_is_undone_never_happened():
    m = whole()
    watch = snapshot(m)
    weight, inner = m.first.weight, m.rest["list"]
    object.__setattr__(m.first, "weight", None)
    m.rest["list"] = 1
    assert not watch.holds()
    object.__setattr__(m.first, "weight", weight)
    m.rest["list"] = inner
    assert watch.holds()


def test_keys_that_change_places_are_seen():
    table = {"a": ARRAYS[0], "b": ARRAYS[1]}
    watch = snapshot(Affine(table, None))
    a, b = table.pop("a"), table.pop("b")
    table.update(b=a)
    table.update(a=b)
    assert list(table.values()) == ARRAYS[:2] and not watch.holds()


@tree_util.register_pytree_node_class
class Custom:
    def __init__(self, child):
        self.child = child

    def tree_flatten(self):
        return (self.child,), None

    @classmethod
    def tree_unflatten(cls, aux, children):
        return cls(*children)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Custom(1),
        lambda: collections.OrderedDict(a=1),
        lambda: collections.defaultdict(list, a=1),
        lambda: affine().__call__,
        lambda: tree_util.Partial(len, [1]),
    ],
    ids=["registered", "OrderedDict", "defaultdict", "bound method", "Partial"],
)
def test_what_only_jax_can_look_into_is_not_watched(make):
    for tree in [make(), [make()], ({"a": make()},), Affine(make(), None), Affine([Affine(1, make())], None)]:
        assert snapshot(tree) is None


@pytest.mark.parametrize(
    "leaf", [None, 1, "s", ARRAYS[0], object(), len, Affine, lambda x: x], ids=lambda x: type(x).__name__
)
def test_leaves_are_looked_at_from_outside(leaf):
    assert snapshot(leaf).holds() and snapshot((leaf, Affine([leaf], leaf))).holds()


def test_a_subclass_of_a_container_is_a_leaf_as_it_is_to_jax():
    class Numbers(list):
        pass

    m = Affine(Numbers([1]), None)
    watch = snapshot(m)
    m.weight.append(Custom(2))
    assert watch.holds() and tree_util.tree_leaves(m) == [m.weight]


def test_trees_are_as_deep_as_you_like():
    """To look needs no recursion, unlike to flatten."""
    for wrap in (lambda x: Affine(x, None), lambda x: [x], lambda x: {"a": x}, lambda x: (x,), lambda x: Point(x, 0)):
        bottom = [1]
        watch = snapshot(deep(3000, wrap, bottom))
        assert watch.holds()
        bottom.append(2)
        assert not watch.holds()


def test_a_shared_container_is_seen_from_everywhere():
    shared = [1]
    first, second = snapshot([shared, shared]), snapshot(Affine(shared, {"a": shared}))
    shared[0] = 2
    assert not first.holds() and not second.holds()


def test_it_does_not_keep_the_root():
    """It keeps what is in the tree, and whoever takes it sees to that it goes when the tree does."""
    m = whole()
    ref, watch = weakref.ref(m), snapshot(m)
    del m
    gc.collect()
    assert ref() is None and watch.holds()


def test_equal_is_not_enough():
    """Two that are equal may be of different types, or arrays; nor is anything asked whether it is equal."""

    class Incomparable:
        __hash__ = None

        def __eq__(self, other):
            raise AssertionError("asked")

    tree = [Incomparable(), 1, ARRAYS[0]]
    watch = snapshot(Affine(tree, Any))
    assert watch.holds()
    tree[1] = True
    assert not watch.holds()
    tree[1], tree[0] = 1, Incomparable()
    assert not watch.holds()

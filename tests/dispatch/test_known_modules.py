"""`watch` sees every change that is possible in a frozen module, and looks at nothing else.

The module itself can't change. The lists, dictionaries and other nodes in it can.
"""

import collections

import hypothesis.strategies as st
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from jax import tree_util
from modules import Affine, Nested, affine
from random_trees import Pair, Point, children, nodes, trees

import equinox as eqx
from equinox._dispatch.known_modules import watch

ARRAYS = [jnp.array(float(i)) for i in range(3)]
things = st.sampled_from([*ARRAYS, 0, 1, True, 1.0, "s", None])  # few, so that a change often puts an equal one


def contents(tree):
    """For each node and leaf of the tree: its path, type, identity and name."""
    return [(path, type(x), id(x), getattr(x, "name", None)) for path, x in nodes(tree)]


# Ways to change a tree. Each takes a node to change, another node, a new item, and two numbers that choose places.


def put(node, other, x, i, j):
    if isinstance(node, dict):
        node["abcd"[i % 4]] = x
    elif node:
        node[i % len(node)] = x


def insert(node, other, x, i, j):
    if isinstance(node, list):
        node.insert(i % (len(node) + 1), x)


def remove(node, other, x, i, j):
    if node:
        node.pop(list(node)[i % len(node)] if isinstance(node, dict) else i % len(node))


def reverse(node, other, x, i, j):
    if isinstance(node, list):
        node.reverse()
    else:
        for key in list(node)[::-1]:
            node[key] = node.pop(key)


def move(node, other, x, i, j):
    """Move an item to another list. The number and the order of all leaves may stay the same."""
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
    return [x for _, x in nodes(tree) if isinstance(x, (list, dict))]


watched_trees = trees(things, max_leaves=10)
numbers = st.integers(0, 11)
changes = st.tuples(st.sampled_from(CHANGES), numbers, numbers, things, numbers, numbers)


@settings(max_examples=200)
@given(watched_trees, st.lists(changes, max_size=5))
def test_an_unchanged_module_has_the_same_objects_in_the_same_places(tree, changes):
    """The containers of the module are changed at random, any number of times."""
    m = Pair(tree, [tree])
    before, watched = contents(m), watch((m,))
    assert watched.is_unchanged()
    for change, i, j, x, *where in changes:
        some = changeable(m)
        change(some[i % len(some)], some[j % len(some)], x, *where)
        if watched.is_unchanged():
            assert [x for x in contents(m) if x[1] is not type(None)] == [x for x in before if x[1] is not type(None)]


@given(watched_trees)
def test_using_a_tree_is_not_a_change(tree):
    m = Pair(tree, [tree])
    watched = watch((m,))
    tree_util.tree_map(lambda x: x, m), repr(m), eqx.tree_equal(m, m)
    assert watched.is_unchanged()


@tree_util.register_pytree_node_class
class Custom:
    def __init__(self, child):
        self.child = child

    def tree_flatten(self):
        return (self.child,), None

    @classmethod
    def tree_unflatten(cls, aux, children):
        return cls(*children)


def whole():
    return Nested(
        affine(),
        {
            "list": [1, [2, 3]],
            "lists": ([4], [5]),
            "point": Point({}, [None]),
            "ordered": collections.OrderedDict([("a", 1), ("b", 2)]),
            "default": collections.defaultdict(list, a=1),
            "custom": Custom([Affine([1], None)]),
            "method": Affine([1], 2).scaled,
            "partial": tree_util.Partial(len, [1]),
        },
        name="n",
    )


CHANGED = {
    "dictionary cleared": lambda m: m.rest.clear(),
    "new key": lambda m: m.rest.update(new=1),
    "key removed": lambda m: m.rest.pop("point"),
    "appended": lambda m: m.rest["list"].append(1),
    "True for 1": lambda m: m.rest["list"].__setitem__(0, True),
    "1.0 for 1": lambda m: m.rest["list"].__setitem__(0, 1.0),
    "an equal list": lambda m: m.rest["list"].__setitem__(1, [2, 3]),
    "reversed": lambda m: m.rest["list"][1].reverse(),
    "to the end of the list before": lambda m: m.rest["lists"][0].append(m.rest["lists"][1].pop()),
    "to the start of the list after": lambda m: m.rest["lists"][1].insert(0, m.rest["lists"][0].pop()),
    "in a named tuple": lambda m: m.rest["point"].x.update(a=1),
    "a list of None": lambda m: m.rest["point"].y.clear(),
    "an ordered dictionary": lambda m: m.rest["ordered"].__setitem__("a", 3),
    "its order": lambda m: m.rest["ordered"].move_to_end("a"),
    "a default dictionary": lambda m: m.rest["default"]["b"].append(1),
    "a custom node": lambda m: setattr(m.rest["custom"], "child", 1),
    "in a module in a custom node": lambda m: m.rest["custom"].child[0].weight.append(1),
    "in the module of a method": lambda m: m.rest["method"].__self__.weight.append(1),
    "in a partial function": lambda m: m.rest["partial"].args[0].append(1),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_change_deep_inside_is_seen(name):
    m = whole()
    watched = watch((m,))
    assert watched.is_unchanged()
    CHANGED[name](m)
    assert not watched.is_unchanged()


def test_an_undone_change_is_not_a_change():
    m = whole()
    watched = watch((m,))
    inner = m.rest["list"]
    m.rest["list"] = 1
    assert not watched.is_unchanged()
    m.rest["list"] = inner
    assert watched.is_unchanged()


def test_keys_that_swap_their_values_are_seen():
    table = {"a": ARRAYS[0], "b": ARRAYS[1]}
    watched = watch((Affine(table, None),))
    a, b = table.pop("a"), table.pop("b")
    table.update(b=a)
    table.update(a=b)
    assert list(table.values()) == ARRAYS[:2] and not watched.is_unchanged()


def test_each_of_several_modules_is_watched():
    first, second = Affine([1], None), Affine([2], None)
    watched = watch((first, second))
    second.weight.append(3)
    assert not watched.is_unchanged()


def test_a_module_is_not_watched_during_its_init():
    seen = []

    class Looks(eqx.Module):
        x: int

        def __init__(self):
            self.x = 1
            seen.append(watch((self,)))
            seen.append(watch((Affine([self], None),)))

    m = Looks()
    assert seen == [None, None] and watch((m,)).is_unchanged()


def test_objects_are_compared_by_identity():
    """Equal objects may have different types. `==` is never called."""

    class Incomparable:
        __hash__ = None

        def __eq__(self, other):
            raise AssertionError("asked")

    tree = [Incomparable(), 1, ARRAYS[0]]
    watched = watch((Affine(tree, None),))
    assert watched.is_unchanged()
    tree[1] = True
    assert not watched.is_unchanged()
    tree[1], tree[0] = 1, Incomparable()
    assert not watched.is_unchanged()

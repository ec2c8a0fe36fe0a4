"""Pytrees: flattening, mapping, custom classes."""

import collections
import pickle

import jax

from . import Skip, accepts, case, eq, raises


@case
def tree_util():
    tu = jax.tree_util

    class P:
        def __init__(self, a, b):
            self.a, self.b = a, b

    tu.register_pytree_node(P, lambda p: ((p.a,), p.b), lambda b, c: P(c[0], b))
    p = tu.tree_map(lambda x: x * 2, P({"x": 1.0, "y": [2.0, None]}, "static"))
    assert p.b == "static" and p.a == {"x": 2.0, "y": [4.0, None]}
    leaves, treedef = tu.tree_flatten(p)
    assert leaves == [2.0, 4.0] and treedef.num_leaves == 2
    assert treedef == tu.tree_structure(P({"x": 0, "y": [0, None]}, "static"))
    assert treedef != tu.tree_structure(P({"x": 0, "y": [0, None]}, "other"))
    assert hash(treedef) == hash(tu.tree_structure(p))
    assert tu.tree_unflatten(treedef, [1, 2]).a["y"] == [2 - 0, None]

    def none(x):
        return x is None

    assert tu.tree_flatten([None, 1], is_leaf=none)[0] == [None, 1]
    if accepts(tu.tree_leaves, "is_leaf"):  # not in 0.2.18
        assert tu.tree_leaves([None, 1], is_leaf=none) == [None, 1]
        assert tu.tree_map(lambda x: 0, [None, 1], is_leaf=none) == [0, 0]
    assert tu.tree_map(lambda x, y: x + y, [1, 2], [3, 4]) == [4, 6]
    assert tu.tree_all([True, True])
    assert tu.tree_reduce(lambda a, b: a + b, [1, 2, 3]) == 6
    assert tu.tree_transpose(tu.tree_structure([0, 0]), tu.tree_structure((0, 0)), [(1, 2), (3, 4)]) == ([1, 3], [2, 4])
    raises(ValueError, lambda: tu.tree_map(lambda x, y: x, [1, 2], [1]))
    eq(jax.jit(lambda p: P(p.a + 1, p.b))(P(1.0, "s")).a, 2)
    eq(jax.grad(lambda p: p.a**2)(P(3.0, "s")).a, 6)
    tu.Partial(lambda x, y: x + y, 1)(2)
    assert "static" in str(treedef)
    assert treedef.flatten_up_to(P({"x": (1,), "y": [2, None]}, "static")) == [(1,), 2]
    assert tu.treedef_is_leaf(tu.tree_structure(0))
    assert len(tu.treedef_children(tu.tree_structure([1, 2]))) == 2
    N = collections.namedtuple("N", "a b")
    assert tu.tree_map(lambda x: x + 1, N(1, (2,))) == N(2, (3,))
    assert tu.tree_leaves(collections.OrderedDict(b=1, a=2)) == [1, 2]


@case
def treedef_pickle():
    d = jax.tree_util.tree_structure({"a": [1, (2, None)]})
    try:
        assert pickle.loads(pickle.dumps(d)) == d
    except (TypeError, AttributeError, ValueError) as e:
        raise Skip("a PyTreeDef can't be pickled: " + str(e)[:60]) from None

"""`Box` and `Lid`: a tree goes through a JAX transformation as its arrays alone, and comes out whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import tree_util
from random_trees import JAX_ARRAYS, Pair, flat, map_tree, same, trees

import equinox as eqx
from equinox._dispatch.leaf_groups import Box, Lid, box, unbox


def is_static(x):
    """What JAX can't carry, or would change: all but arrays of numbers, JAX's or NumPy's."""
    if isinstance(x, (np.ndarray, np.generic)):
        return not eqx.is_array_like(x)
    return not isinstance(x, jnp.ndarray)


@given(trees())
def test_box_holds_arrays_alone(tree):
    """What is boxed flattens to the tree's arrays, and unboxes to the very same tree. Without statics, no box."""
    boxed = box(tree)
    arrays = [x for x in flat(tree) if not is_static(x)]
    assert len(arrays) == len(tree_util.tree_leaves(boxed))
    assert all(x is y for x, y in zip(arrays, tree_util.tree_leaves(boxed)))
    assert (boxed is tree) == (len(arrays) == len(flat(tree)))
    assert same(unbox(boxed), tree)


@given(trees(st.one_of(st.sampled_from(JAX_ARRAYS), st.text(max_size=1), st.none(), st.booleans())))
def test_box_is_a_pytree(tree):
    """Flattened, changed and unflattened, it is the box of the changed tree."""
    doubled = unbox(tree_util.tree_map(lambda x: (x, x), box(tree)))
    assert same_pairs(doubled, map_tree(lambda x: x if is_static(x) else (x, x), tree))


def same_pairs(a, b):
    return [id(x) for x in flat(a)] == [id(x) for x in flat(b)] and (
        tree_util.tree_structure(a) == tree_util.tree_structure(b)
    )


OUTPUTS = {
    "arrays": lambda x: (x, [x + 1]),
    "nothing": lambda x: None,
    "statics alone": lambda x: ["a", len, 1, None],
    "both": lambda x: Pair({"x": x, "f": len}, [2.5, x * 2, True, None]),
    "unhashable statics": lambda x: [{1, 2}, x],
    "numpy text": lambda x: [np.array(["a"]), x],
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_through_jit(name):
    """A compiled function gives back by `box` what it could not return; from the cache as well."""
    function = OUTPUTS[name]
    x = jnp.arange(3.0)
    compiled = jax.jit(lambda x: box(function(x)))
    for _ in range(2):
        got, expected = unbox(compiled(x)), function(x)
        assert tree_util.tree_structure(got) == tree_util.tree_structure(expected)
        for a, b in zip(tree_util.tree_leaves(got), tree_util.tree_leaves(expected)):
            assert type(a) is type(b)
            assert a is b or np.array_equal(a, b)


def test_numpy_becomes_jax():
    """A NumPy array is carried, so a transformation makes a JAX array of it; Python numbers stay what they are."""
    out = unbox(jax.jit(lambda: box([np.ones(2), np.float32(1), 1.5, "a"]))())
    assert [eqx.is_array(x) for x in out] == [True, True, False, False]
    assert type(out[2]) is float


def test_statics_are_the_same_objects():
    """Static leaves are never copied or compared, so they may be anything."""

    class Odd:
        def __eq__(self, other):
            raise RuntimeError("compared")

        __hash__ = None

    odd = Odd()
    compiled = jax.jit(lambda x: box([x, odd]))
    for _ in range(2):
        assert unbox(compiled(1.0))[1] is odd
    left, right = box([jnp.ones(2), odd]), box([jnp.ones(2), odd])
    assert tree_util.tree_structure(left) == tree_util.tree_structure(tree_util.tree_map(lambda x: x, left))
    assert tree_util.tree_structure(left) != tree_util.tree_structure(right)


def test_box_under_vmap_and_grad():
    """Boxes go through other transformations too."""
    x = jnp.arange(3.0)
    assert same_values(unbox(jax.vmap(lambda x: box([2 * x, "a"]))(x)), [2 * x, "a"])
    _, boxed = jax.value_and_grad(lambda x: (x.sum(), box([x, "a"])), has_aux=True)(x)[0]
    assert same_values(unbox(boxed), [x, "a"])


def same_values(a, b):
    return eqx.tree_equal(a, b)


@given(trees(st.integers()), st.data())
def test_lid_closes_over_groups(tree, data):
    """Leaves sorted into groups, and the groups joined in order, make the tree again."""
    leaves, treedef = tree_util.tree_flatten(tree)
    kinds = data.draw(st.lists(st.integers(0, 3), min_size=len(leaves), max_size=len(leaves)))
    pool = [x for group in range(4) for x, kind in zip(leaves, kinds) if kind == group]
    assert same(Lid(treedef, kinds).close(pool), tree)


def test_unbox_leaves_all_else_alone():
    """What isn't in a box comes back as it is."""
    for x in (1, None, [box(["a"])], "a"):
        assert unbox(x) is x
    assert isinstance(box(["a"]), Box)

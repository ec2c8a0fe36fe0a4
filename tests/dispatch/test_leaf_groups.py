"""Only the arrays of a tree pass through a JAX transformation. The whole tree comes out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import tree_util
from random_trees import JAX_ARRAYS, Pair, flat, map_tree, same, trees

import equinox as eqx
from equinox._dispatch.leaf_groups import LeafGroups, Rest, pack_output, separate, unpack_output


def is_static(x):
    """Whether JAX can't return `x`, or would change it. JAX returns JAX arrays, and NumPy arrays of numbers."""
    if isinstance(x, (np.ndarray, np.generic)):
        return not eqx.is_array_like(x)
    return not isinstance(x, jnp.ndarray)


def pack(tree):
    return pack_output(tree, lambda x: not is_static(x))


@given(trees())
def test_a_packed_output_has_arrays_for_leaves(tree):
    """They are the arrays of the tree. Unpacking gives the same tree. A tree of arrays only is not packed."""
    packed = pack(tree)
    arrays = [x for x in flat(tree) if not is_static(x)]
    assert len(arrays) == len(tree_util.tree_leaves(packed))
    assert all(x is y for x, y in zip(arrays, tree_util.tree_leaves(packed)))
    assert (packed is tree) == (len(arrays) == len(flat(tree)))
    assert same(unpack_output(packed), tree)


@given(trees(), st.integers(1, 4), st.data())
def test_arrays_are_packed_in_groups(tree, number, data):
    """Each array is in its group, in the order of the tree."""
    leaves = flat(tree)
    group_of = data.draw(st.lists(st.integers(0, number - 1), min_size=len(leaves), max_size=len(leaves)))
    groups, rest = pack_output(tree, lambda x: not is_static(x), group_of, number)
    expected = [[x for x, g in zip(leaves, group_of) if g == i and not is_static(x)] for i in range(number)]
    assert [list(map(id, group)) for group in groups] == [list(map(id, group)) for group in expected]
    assert same(unpack_output((groups, rest)), tree)


@given(trees())
def test_a_tree_is_separated_from_its_arrays_and_merged_with_others(tree):
    """The arrays come in the order of the tree. What is merged takes their place, and nothing else changes."""
    arrays, merge = separate(tree, lambda x: not is_static(x))
    assert list(map(id, arrays)) == [id(x) for x in flat(tree) if not is_static(x)]
    assert same(merge(arrays), tree)
    assert same_pairs(merge([(x,) for x in arrays]), map_tree(lambda x: x if is_static(x) else (x,), tree))


@given(trees(st.one_of(st.sampled_from(JAX_ARRAYS), st.text(max_size=1), st.none(), st.booleans())))
def test_a_packed_output_is_a_pytree(tree):
    """`tree_map` changes the arrays of a packed output. Unpacking gives the changed tree."""
    doubled = unpack_output(tree_util.tree_map(lambda x: (x, x), pack(tree)))
    assert same_pairs(doubled, map_tree(lambda x: x if is_static(x) else (x, x), tree))


def same_pairs(a, b):
    """Whether two trees whose arrays were put into tuples have the same leaves and the same structure."""
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
    """A compiled function returns what `jax.jit` can't return, also at the second call."""
    function = OUTPUTS[name]
    x = jnp.arange(3.0)
    compiled = jax.jit(lambda x: pack(function(x)))
    for _ in range(2):
        got, expected = unpack_output(compiled(x)), function(x)
        assert tree_util.tree_structure(got) == tree_util.tree_structure(expected)
        for a, b in zip(tree_util.tree_leaves(got), tree_util.tree_leaves(expected)):
            assert type(a) is type(b)
            assert a is b or np.array_equal(a, b)


def test_numpy_arrays_become_jax_arrays():
    """Python numbers and text stay as they are."""
    out = unpack_output(jax.jit(lambda: pack([np.ones(2), np.float32(1), 1.5, "a"]))())
    assert [eqx.is_array(x) for x in out] == [True, True, False, False]
    assert type(out[2]) is float


def test_statics_are_the_same_objects():
    """Static leaves are never copied. An object that can't be compared is equal only to itself."""

    class Odd:
        def __eq__(self, other):
            raise RuntimeError("compared")

        __hash__ = None

    odd = Odd()
    compiled = jax.jit(lambda x: pack([x, odd]))
    for _ in range(2):
        assert unpack_output(compiled(1.0))[1] is odd
    left, right, other = (pack([jnp.ones(2), x]) for x in (odd, odd, Odd()))
    assert tree_util.tree_structure(left) == tree_util.tree_structure(right)
    assert tree_util.tree_structure(left) != tree_util.tree_structure(other)


def test_rests_are_equal_if_one_can_stand_for_the_other():
    """The structures, the places of the arrays and the static leaves agree, with their types."""
    x = jnp.ones(2)

    def rest_of(tree):
        return tree_util.tree_structure(pack(tree))

    assert rest_of([x, "a", 1]) == rest_of([2 * x, "".join(["a"]), 1])
    assert hash(rest_of([x, "a", 1])) == hash(rest_of([2 * x, "".join(["a"]), 1]))
    for other in ([x, "b", 1], [x, "a", 1.0], [x, "a", True], [x, "a", x], (x, "a", 1), ["a", x, 1], [x, x, "a", 1]):
        assert rest_of(other) != rest_of([x, "a", 1])


def test_packed_outputs_under_vmap_and_grad():
    """Packed outputs pass through other transformations too."""
    x = jnp.arange(3.0)
    assert same_values(unpack_output(jax.vmap(lambda x: pack([2 * x, "a"]))(x)), [2 * x, "a"])
    _, packed = jax.value_and_grad(lambda x: (x.sum(), pack([x, "a"])), has_aux=True)(x)[0]
    assert same_values(unpack_output(packed), [x, "a"])


def same_values(a, b):
    return eqx.tree_equal(a, b)


@given(trees(st.integers()), st.data())
def test_groups_are_merged(tree, data):
    """`merge` rebuilds the tree from its groups of leaves."""
    leaves, treedef = tree_util.tree_flatten(tree)
    kinds = data.draw(st.lists(st.integers(0, 3), min_size=len(leaves), max_size=len(leaves)))
    pool = [x for group in range(4) for x, kind in zip(leaves, kinds) if kind == group]
    assert same(LeafGroups(treedef, kinds).merge(pool), tree)


def test_unpacking_leaves_other_outputs_alone():
    for x in (1, None, [pack(["a"])], "a", (1, 2), ((1,), None)):
        assert unpack_output(x) is x
    assert isinstance(pack(["a"])[1], Rest)

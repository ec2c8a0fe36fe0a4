"""`tree_diff`: it is empty exactly if the trees are equal, and says in words what differs."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modules import Layer, make_net
from random_trees import Pair, map_tree, trees
from test_equal import PAIRS

import equinox as eqx

X = jnp.arange(6.0).reshape(3, 2)


class Activation(eqx.Module):
    fun: Any = eqx.field(static=callable)


class Functions(NamedTuple):
    first: Any
    rest: Any

    def __call__(self):
        return self.first


def make_double():
    def double(x):
        return 2 * x

    return double


# Two trees, and the differences in words.
CASES = {
    "a shape": ([X], [X[:2]], ["[0]: f32[3,2] -> f32[2,2]"]),
    "a dtype": ([X], [X.astype(jnp.int32)], ["[0]: f32[3,2] -> i32[3,2]"]),
    "JAX and NumPy": ([X], [np.asarray(X)], ["[0]: f32[3,2] -> f32[3,2](numpy)"]),
    "a NumPy scalar": ([jnp.float32(1)], [np.float32(1)], ["[0]: f32[] -> f32[] (Array -> float32)"]),
    "values": (
        [X],
        [X.at[1, 0].add(0.25).at[2, 1].add(0.5)],
        ["[0]: f32[3,2], 2 of 6 values differ, most at [2, 1]: 5.0 -> 5.5, by 0.5"],
    ),
    "NaN": ([X], [X.at[2, 0].set(np.nan)], ["[0]: f32[3,2], 1 of 6 values differ, most at [2, 0]: 4.0 -> nan"]),
    "a scalar": ([jnp.int32(3)], [jnp.int32(5)], ["[0]: i32[], 3 -> 5, by 2"]),
    "a large unsigned number": (
        np.uint64(2**64 - 1),
        np.uint64(0),
        ["the tree: u64[], {} -> 0, by 1.84e+19".format(2**64 - 1)],
    ),
    "digits of a float32": ([jnp.float32(0.1)], [jnp.float32(0.3)], ["[0]: f32[], 0.1 -> 0.3, by 0.2"]),
    "integers far apart": (
        np.array([-(2**63), 1]),
        np.array([2**63 - 1, 0]),
        [
            "the tree: i64[2](numpy), 2 of 2 values differ, most at [0]: -9223372036854775808 -> 9223372036854775807, "
            "by 1.84e+19"
        ],
    ),
    "bools": (
        np.array([True, True]),
        np.array([True, False]),
        ["the tree: bool[2](numpy), 1 of 2 values differ, most at [1]: True -> False, by 1"],
    ),
    "bfloat16": (
        jnp.ones(2, jnp.bfloat16),
        jnp.zeros(2, jnp.bfloat16),
        [
            "the tree: bf16[2], 2 of 2 values differ, most at [0]: {} -> {}, by 1".format(
                *map(str, np.array([1, 0], jnp.bfloat16))
            )
        ],
    ),
    "complex": (
        jnp.array([0j, 1j]),
        jnp.array([0j, -1j]),
        ["the tree: c64[2], 1 of 2 values differ, most at [1]: 1j -> (-0-1j), by 2"],
    ),
    "numbers": ([1, 2.0], [True, 2.5], ["[0]: 1 -> True (int -> bool)", "[1]: 2.0 -> 2.5 (float)"]),
    "a number and an array": ([1], [X], ["[0]: 1 -> f32[3,2] (int -> Array)"]),
    "functions": ([jax.nn.relu], [len], None),
    "a key gone and a new key": (
        {"a": 1, "b": X},
        {"b": X, "c": X},
        ["['a']: this key is gone", "['c']: a new key"],
    ),
    "a list": ([X, [X]], [X, [X, X]], ["[1]: a `list` of 1 -> a `list` of 2"]),
    "a class": ([Layer(X, X)], [Pair(X, X)], ["[0]: a `Layer` -> a `Pair`"]),
    "None": (Layer(X, X), Layer(X, None), [".bias: f32[3,2] -> None"]),
    "a static field": (Layer(X, X), Layer(X, X, "other"), [".name: 'layer' -> 'other' (str, static)"]),
    "functions in a static tuple": (
        Activation(Functions(len, (make_double(),))),
        Activation(Functions(len, (make_double(),))),
        [
            ".fun: Functions(first=len, rest=(double,)) -> Functions(first=len, rest=(double,)) (Functions, another "
            "object, static)"
        ],
    ),
    "a field that is static in one": (Activation(len), Activation(X), None),
    "structure and values": (
        [Layer(X, X), 1],
        [Layer(X, X, "other"), 2],
        ["[0].name: 'layer' -> 'other' (str, static)", "[1]: 1 -> 2 (int)"],
    ),
    "a leaf of a net": (
        make_net(),
        eqx.tree_at(lambda net: net.layers[1].weight, make_net(), jnp.ones((1, 2)) + 1),
        [".layers[1].weight: f32[1,2], 2 of 2 values differ, most at [0, 0]: 1.0 -> 2.0, by 1"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_words(name):
    """The differences come in the order of flattening. There are as many in the other direction."""
    a, b, words = CASES[name]
    found = eqx.tree_diff(a, b)
    if words is not None:
        assert list(map(str, found)) == words
    assert found and len(eqx.tree_diff(b, a)) == len(found)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("options", [{}, {"typematch": True}, {"rtol": 0.1, "atol": 0.1}], ids=["", "types", "near"])
def test_empty_exactly_if_equal_for_leaves(name, options):
    """For each pair of leaves, the list is empty exactly if `tree_equal` is true."""
    make_a, make_b, _ = PAIRS[name]
    a, b = make_a(), make_b()
    assert (not eqx.tree_diff([a], [b], **options)) == eqx.tree_equal([a], [b], **options)
    assert (not eqx.tree_diff([a], {"x": b}, **options)) == eqx.tree_equal([a], {"x": b}, **options)


@given(trees(), trees(), st.data())
def test_empty_exactly_if_equal(a, b, data):
    """The same for random trees: unrelated ones, and two that differ in a leaf or in nothing."""
    assert (not eqx.tree_diff(a, b)) == eqx.tree_equal(a, b)
    changed = data.draw(st.sampled_from([None, *range(len(eqx.named_leaves(a)))]))
    count = iter(range(100))
    c = map_tree(lambda leaf: "another" if next(count) == changed else leaf, a)
    found = eqx.tree_diff(a, c)
    assert (not found) == eqx.tree_equal(a, c)
    if changed is not None:
        assert [change.path for change in found] == [eqx.named_leaves(a)[changed][0]]


def test_missing_and_new():
    """`before` is `None` where nothing was. `after` is `None` where nothing is."""
    gone, new = eqx.tree_diff({"a": 1}, {"b": 1})
    assert gone.path == "['a']" and gone.before is not None and gone.after is None
    assert new.path == "['b']" and new.before is None and new.after is not None


def test_tolerances():
    """Only values outside of the tolerances are counted."""
    (change,) = eqx.tree_diff(jnp.zeros(3), jnp.array([0.1, 0.3, 0.0]), atol=0.2)
    assert str(change).startswith("the tree: f32[3], 1 of 3 values differ, most at [1]: 0.0 -> 0.3")
    assert not eqx.tree_diff(jnp.zeros(3), jnp.array([0.1, 0.3, 0.0]), atol=0.4)
    (change,) = eqx.tree_diff(jnp.array([100.0, 0.0]), jnp.array([101.0, 0.5]), rtol=0.1)
    assert str(change) == "the tree: f32[2], 1 of 2 values differ, most at [1]: 0.0 -> 0.5, by 0.5"
    with pytest.raises(TypeError, match="`tree_diff` expects `rtol` to be a number"):
        eqx.tree_diff(1, 1, rtol="a")
    with pytest.raises(ValueError, match="`tree_diff` expects `atol` to be finite"):
        eqx.tree_diff(1, 1, atol=-1)


def test_weak_types():
    """With `typematch` a weak type is a difference."""
    (change,) = eqx.tree_diff([jnp.asarray(1.0)], [jnp.ones(())], typematch=True)
    assert str(change) == "[0]: weak_f32[] -> f32[]"


def test_traced_values():
    """Values that aren't known raise an error with the path. Differences in the structure need no values."""

    def compare(x):
        assert str(eqx.tree_diff([x], [x[:1]])[0]) == "[0]: f32[3,2] -> f32[1,2]"
        return eqx.tree_diff({"a": x}, {"a": X})

    with pytest.raises(TypeError, match=r"`tree_diff` expects arrays with known values, got a traced one at `\['a'\]`"):
        jax.jit(compare)(X)


@pytest.mark.skipif(not hasattr(jrandom, "key"), reason="typed keys came in JAX 0.4.16")
def test_typed_keys():
    """Typed keys differ without numbers."""
    (change,) = eqx.tree_diff([jrandom.key(0)], [jrandom.key(1)])
    assert str(change).endswith("other PRNG keys")
    assert not eqx.tree_diff([jrandom.key(0)], [jrandom.key(0)])

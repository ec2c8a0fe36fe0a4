"""`filter_scan` and `filter_map`: what is sliced, and what is stacked."""

from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jaxprs import jaxpr_sizes
from loops import MARK, STEPS, XS, cell
from modules import Affine
from random_trees import arrays_of, doubled, map_tree, same, statics_of, trees, with_arrays

import equinox as eqx

ZERO = jnp.array(0)


@hypothesis.given(xs=trees(max_leaves=6), data=st.data())
@hypothesis.settings(max_examples=10)
def test_arrays_of_xs_are_sliced_and_those_of_ys_stacked(xs, data):
    """The rest goes in and comes out as it is, and JAX sees the arrays alone."""
    reverse, unroll = data.draw(st.booleans()), data.draw(st.sampled_from([1, 2]))
    stacked = map_tree(lambda x: np.stack([x] * STEPS) if eqx.is_array(x) else x, xs)
    arrays, statics = arrays_of(stacked), []

    def step(carry, x):
        statics.append(statics_of(x))
        return carry, doubled(x)

    def filtered(*arrays):
        ys = eqx.filter_scan(step, None, with_arrays(stacked, arrays), STEPS, reverse=reverse, unroll=unroll)[1]
        statics.append(statics_of(ys))
        return arrays_of(ys)

    def plain(*arrays):
        return lax.scan(lambda _, x: (None, doubled(x)), None, list(arrays), STEPS, reverse, unroll)[1]

    def mapped(*arrays):
        out = eqx.filter_map(doubled, with_arrays(stacked, arrays))
        statics.append(statics_of(out))
        return arrays_of(out)

    assert jaxpr_sizes(filtered, *arrays) == jaxpr_sizes(plain, *arrays)
    if arrays:
        assert jaxpr_sizes(mapped, *arrays) == jaxpr_sizes(lambda *arrays: lax.map(doubled, list(arrays)), *arrays)
    assert all(same(found, statics_of(xs)) for found in statics)


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_gives_what_a_python_loop_gives(reverse, run):
    """The carry and the outputs, whichever end it begins at."""

    def step(carry, x):
        carry = dict(carry, sum=carry["factor"] * carry["sum"] + x["value"])
        return carry, (carry["sum"], x["name"])

    def scanned(first, xs):
        xs = {"value": xs, "name": MARK}
        carry, ys = eqx.filter_scan(step, {"sum": first, "factor": 2}, xs, reverse=reverse)
        assert carry["factor"] == 2 and ys[1] is MARK
        return carry["sum"], ys[0]

    xs = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32)
    carry, ys = np.zeros(2, np.float32), []
    for x in xs[::-1] if reverse else xs:
        carry = 2 * carry + x
        ys.append(carry)
    got = run(scanned, jnp.zeros(2), jnp.asarray(xs))
    np.testing.assert_allclose(got[0], carry)
    np.testing.assert_allclose(got[1], np.stack(ys[::-1] if reverse else ys))


def test_options_come_to_jax():
    def scan_of(**options):
        jaxpr = jax.make_jaxpr(lambda xs: eqx.filter_scan(lambda carry, x: (carry, x + 1), None, xs, **options)[1])(XS)
        return jaxpr.jaxpr.eqns[0].params

    for name, value in [("unroll", 3), ("reverse", True)]:
        assert scan_of()[name] != scan_of(**{name: value})[name] == value
    assert scan_of(length=3)["length"] == 3


def test_map_gives_what_vmap_gives(run):
    xs = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    model = cell()
    np.testing.assert_allclose(run(lambda xs: eqx.filter_map(model, xs), xs), jax.vmap(model)(xs), rtol=1e-6)


def test_a_model_and_its_method_can_be_the_body():
    class Count(eqx.Module):
        by: Any

        def __call__(self, *args):
            return args[-1] + self.by

    model, xs = cell(), jnp.ones((STEPS, 2))
    expected = lax.scan(lambda carry, x: (jnp.tanh(model.weight * (carry + x)), model.weight * x), jnp.zeros(2), xs)
    carry, ys = eqx.filter_scan(model.step, jnp.zeros(2), xs)
    assert eqx.tree_equal((carry, ys), (expected[0], {"out": expected[1], "mark": MARK}))
    count = Count(jnp.array(2))
    assert eqx.filter_fori_loop(0, STEPS, count, ZERO) == 6
    assert eqx.filter_while_loop(lambda i: i < 5, count, ZERO) == 6
    assert eqx.filter_map(count, jnp.arange(2)).tolist() == [2, 3]


def test_scan_without_arrays_in_xs_takes_a_length():
    carry, y = eqx.filter_scan(lambda carry, x: (carry + 1, x), ZERO, "text", 4)
    assert carry == 4 and y == "text"
    carry, ys = eqx.filter_scan(lambda carry, x: (carry + x, carry), ZERO, jnp.ones(2, int), np.int64(2))
    assert carry == 2 and ys.tolist() == [0, 1]


WRONG_LENGTHS = {
    "of two arrays": (
        [jnp.ones(2), {"a": np.ones((3, 1))}, jnp.ones((2, 2))],
        None,
        r"along first axes of one size, but these differ:\n"
        r"  size 2: `xs\[0\]`, an array float32\[2\]; `xs\[2\]`, an array float32\[2,2\]\n"
        r"  size 3: `xs\[1\]\['a'\]`, an array float32\[3,1\]",
    ),
    "and `length`": ([jnp.ones(2), "text"], 3, r"\n  size 2: `xs\[0\]`, an array float32\[2\]\n  size 3: `length`"),
    "no axis": ([jnp.ones(2), ZERO], None, r"`xs\[1\]`, an array int32\[\], has no axis"),
    "none": (["text", None], None, "expects an array in `xs`"),
}


@pytest.mark.parametrize("name", WRONG_LENGTHS)
def test_wrong_lengths_are_refused_with_paths_and_shapes(name):
    xs, length, message = WRONG_LENGTHS[name]
    with pytest.raises(ValueError, match="`filter_scan` .*" + message):
        eqx.filter_scan(lambda carry, x: (carry, x), ZERO, xs, length)
    if length is None:
        with pytest.raises(ValueError, match="`filter_map` .*" + message):
            eqx.filter_map(lambda x: x, xs)


@pytest.mark.parametrize(
    "out, error",
    [
        (ZERO, TypeError),
        ((ZERO,), ValueError),
        ({"carry": ZERO, "y": ZERO}, TypeError),
        (Affine(ZERO, ZERO), TypeError),
    ],
    ids=["array", "one", "dict", "model"],
)
def test_a_step_that_returns_no_pair_is_refused(out, error):
    with pytest.raises(error, match=r"`filter_scan` expects `f` to return a pair `\(carry, y\)`, got "):
        eqx.filter_scan(lambda carry, x: out, ZERO, length=2)


def test_a_length_that_is_no_integer_is_refused():
    with pytest.raises(TypeError, match="`filter_scan` expects `length` to be an integer, got"):
        eqx.filter_scan(lambda carry, x: (carry, x), 0, length="a")

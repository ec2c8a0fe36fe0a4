"""`filter_jvp` and `filter_vjp`: derivatives in one direction, and back, against plain JAX on the arrays alone."""

import re

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree_util
from jaxprs import jaxpr_kinds
from modules import Affine, affine
from random_trees import flat, map_tree, trees

import equinox as eqx


def is_inexact(x):
    return isinstance(x, (jnp.ndarray, np.ndarray, np.generic)) and jnp.issubdtype(x.dtype, jnp.inexact)


def curve(tree):
    """A function of a tree that is smooth in each floating-point array, and keeps everything else."""
    return map_tree(lambda x: jnp.sin(x) * x if is_inexact(x) else x, tree)


def plain_curve(arrays):
    return [jnp.sin(x) * x for x in arrays]


def with_none(tree, arrays):
    """`tree` with these values in the place of its floating-point arrays, and `None` in any other place."""
    values = iter(arrays)
    return map_tree(lambda x: next(values) if is_inexact(x) else None, tree)


def assert_same(got, expected):
    is_leaf = lambda x: x is None  # noqa: E731
    leaves, structure = tree_util.tree_flatten(got, is_leaf=is_leaf)
    others, other = tree_util.tree_flatten(expected, is_leaf=is_leaf)
    assert structure == other
    for a, b in zip(leaves, others):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


# On any tree


@hypothesis.given(tree=trees(max_leaves=6))
@hypothesis.settings(max_examples=15)
def test_jvp_of_any_tree_is_that_of_its_arrays(tree):
    arrays = [jnp.asarray(x) for x in flat(tree) if is_inexact(x)]
    tangents = [jnp.ones_like(x) for x in arrays]
    out, out_tangents = eqx.filter_jvp(curve, [tree], [with_none(tree, tangents)])
    expected, expected_tangents = jax.jvp(plain_curve, (arrays,), (tangents,))
    assert_same(out_tangents, with_none(tree, expected_tangents))
    for x, y in zip(flat(out), flat(curve(tree))):
        if is_inexact(x):
            np.testing.assert_array_equal(x, y)
        else:
            assert x is y or np.array_equal(x, y)
    assert len(expected) == sum(map(is_inexact, flat(out)))


@hypothesis.given(tree=trees(max_leaves=6))
@hypothesis.settings(max_examples=15)
def test_vjp_of_any_tree_is_that_of_its_arrays(tree):
    arrays = [jnp.asarray(x) for x in flat(tree) if is_inexact(x)]
    out, vjp_fn = eqx.filter_vjp(curve, tree)
    expected, expected_vjp = jax.vjp(plain_curve, arrays)
    cotangents = [jnp.ones_like(x) for x in expected]
    (grads,) = vjp_fn(with_none(out, cotangents))
    (expected_grads,) = expected_vjp(cotangents)
    assert_same(grads, with_none(tree, expected_grads))
    assert all(x is y or np.array_equal(x, y) for x, y in zip(flat(out), flat(curve(tree))) if not is_inexact(x))


def test_the_jaxprs_are_those_of_plain_jax():
    m, x, ones = affine(), jnp.ones(2), Affine(jnp.ones(2), jnp.ones(()))

    def plain(weight, bias, x):
        return weight * x + bias

    def filtered_jvp(m, x):
        return eqx.filter_jvp(lambda m, x: (m(x), "text", jnp.arange(2)), (m, x), (ones, None))[1][0]

    def plain_jvp(m, x):
        return jax.jvp(lambda w, b: (plain(w, b, x), jnp.arange(2)), (m.weight, m.bias), (ones.weight, ones.bias))[1][0]

    def filtered_vjp(m, x):
        out, vjp_fn = eqx.filter_vjp(lambda m, x: (m(x), "text"), m, x)
        return vjp_fn((out[0], None))

    def plain_vjp(m, x):
        out, vjp_fn = jax.vjp(plain, m.weight, m.bias, x)
        return vjp_fn(out)

    assert jaxpr_kinds(filtered_jvp, m, x) == jaxpr_kinds(plain_jvp, m, x)
    assert jaxpr_kinds(filtered_vjp, m, x) == jaxpr_kinds(plain_vjp, m, x)


# `None`


def test_inputs_without_a_tangent_are_constant():
    m, x = affine(), jnp.array([2.0, 3.0])
    _, tangents = eqx.filter_jvp(lambda m, x: m(x), (m, x), (None, jnp.ones(2)))
    np.testing.assert_array_equal(tangents, m.weight)
    _, tangents = eqx.filter_jvp(lambda m, x: m(x), (m, x), (Affine(None, jnp.array(5.0)), None))
    np.testing.assert_array_equal(tangents, [5.0, 5.0])
    out, tangents = eqx.filter_jvp(lambda m, x: m(x), (m, x), (None, None))
    np.testing.assert_array_equal(tangents, [0.0, 0.0])
    np.testing.assert_array_equal(out, m(x))


def test_cotangents_may_be_left_out():
    x = jnp.array([2.0, 3.0])
    out, vjp_fn = eqx.filter_vjp(lambda x: {"a": x**2, "b": [x**3, 4 * x]}, x)
    np.testing.assert_array_equal(vjp_fn({"a": jnp.ones(2), "b": None})[0], 2 * x)
    np.testing.assert_array_equal(vjp_fn({"a": None, "b": [None, jnp.ones(2)]})[0], [4.0, 4.0])
    np.testing.assert_array_equal(vjp_fn(None)[0], [0.0, 0.0])


def test_integers_have_no_tangent():
    """JAX's own tangent of an integer, of dtype float0, counts as none and isn't returned."""
    x, n = jnp.array([2.0, 3.0]), jnp.array([1, 2])
    zero = np.zeros(2, jax.dtypes.float0)
    out, tangents = eqx.filter_jvp(lambda x, n: (x * n, n + 1, 2), (x, n), (jnp.ones(2), zero))
    assert tangents[1:] == (None, None) and out[2] == 2
    np.testing.assert_array_equal(out[1], [2, 3])
    out, vjp_fn = eqx.filter_vjp(lambda x, n: (x * n, n + 1, 2), x, n)
    grads = vjp_fn((jnp.ones(2), zero, None))
    np.testing.assert_array_equal(grads[0], n)
    assert grads[1] is None
    np.testing.assert_array_equal(out[1], [2, 3])


def test_keywords_are_constants():
    f = lambda x, *, by, name: (x * by, name)  # noqa: E731
    out, tangents = eqx.filter_jvp(f, (jnp.array(2.0),), (1.0,), by=jnp.array(3.0), name="text")
    assert (float(out[0]), out[1], float(tangents[0]), tangents[1]) == (6.0, "text", 3.0, None)


@pytest.mark.parametrize("array", [np.array([2.0, 3.0], np.float32), np.float32(2)], ids=["array", "scalar"])
def test_numpy_counts(array):
    out, tangents = eqx.filter_jvp(jnp.sin, (array,), (np.ones_like(array),))
    np.testing.assert_allclose(tangents, np.cos(array), rtol=1e-6)
    out, vjp_fn = eqx.filter_vjp(jnp.sin, array)
    np.testing.assert_allclose(vjp_fn(np.ones_like(array))[0], np.cos(array), rtol=1e-6)


def test_complex_cotangents_are_those_of_jax():
    z = jnp.array([1 + 2j, 3 - 1j])
    out, vjp_fn = eqx.filter_vjp(lambda z: z**2, z)
    np.testing.assert_array_equal(vjp_fn(out)[0], jax.vjp(lambda z: z**2, z)[1](out)[0])


# Where they are used


def test_both_agree_with_each_other_everywhere(run):
    """The product of a cotangent with the tangent of the output is that of its gradient with the tangent."""
    m, t = affine(), Affine(jnp.array([0.5, -1.0]), jnp.array(2.0))

    def both(x):
        f = lambda m: jnp.sin(m(x))  # noqa: E731
        out, tangents = eqx.filter_jvp(f, (m,), (t,))
        out, vjp_fn = eqx.filter_vjp(f, m)
        (grads,) = vjp_fn(x)
        return (x * tangents).sum(), (grads.weight * t.weight).sum() + (grads.bias * t.bias).sum()

    forward, backward = run(both, jnp.array([0.1, 0.2]))
    np.testing.assert_allclose(forward, backward, rtol=1e-5)


def test_vjp_fn_is_a_pytree():
    m, x = affine(), jnp.array([2.0, 3.0])
    _, vjp_fn = eqx.filter_vjp(lambda m, x: m(x), m, x)
    expected = vjp_fn(jnp.ones(2))
    assert eqx.tree_equal(eqx.filter_jit(lambda vjp_fn, c: vjp_fn(c))(vjp_fn, jnp.ones(2)), expected)
    assert eqx.tree_equal(tree_util.tree_map(lambda x: x, vjp_fn)(jnp.ones(2)), expected)


def test_aux_may_hold_anything():
    x = jnp.array([2.0, 3.0])
    mark = object()
    out, vjp_fn, aux = eqx.filter_vjp(lambda x: (x**2, {"x": 2 * x, "mark": mark}), x, has_aux=True)
    np.testing.assert_array_equal(vjp_fn(jnp.ones(2))[0], 2 * x)
    np.testing.assert_array_equal(aux["x"], 2 * x)
    assert aux["mark"] is mark


def test_second_derivatives():
    cubed = lambda x: x**3  # noqa: E731
    first = lambda x: eqx.filter_jvp(cubed, (x,), (jnp.ones_like(x),))[1]  # noqa: E731
    np.testing.assert_allclose(eqx.filter_jvp(first, (jnp.array(2.0),), (jnp.array(1.0),))[1], 12.0)
    np.testing.assert_allclose(eqx.filter_grad(lambda x: eqx.filter_vjp(cubed, x)[1](1.0)[0])(jnp.array(2.0)), 12.0)


# Errors


X = jnp.ones(2)


@pytest.mark.parametrize(
    "primals, tangents, error, message",
    [
        (X, (X,), TypeError, "`filter_jvp` expects `primals` to be a tuple or list of the inputs of `fn`, got"),
        ((X,), X, TypeError, "`filter_jvp` expects `tangents` to be a tuple or list"),
        ((X,), (X, X), ValueError, "`tangents` to have the structure of `primals`.* At `tangents` expected"),
        (([X, X],), ([X],), ValueError, r"At `tangents[0]` expected a `list` with"),
        (([X, X],), (X,), ValueError, r"At `tangents[0]` expected a `list`, got a leaf"),
        (
            ({"a": X},),
            ({"a": jnp.ones(3)},),
            ValueError,
            "got an array float32[3] for `tangents[0]['a']`, but `primals[0]['a']` is an array float32[2]",
        ),
        (
            (X,),
            (jnp.ones(2, jnp.float16),),
            TypeError,
            "got an array float16[2] for `tangents[0]`, but `primals[0]` is an array float32[2]",
        ),
        ((X,), ("text",), TypeError, "got `str` 'text' for `tangents[0]`"),
        ((jnp.arange(2),), (X,), TypeError, "but `primals[0]` is no floating-point array but"),
        ((3.0,), (1.0,), TypeError, "but `primals[0]` is no floating-point array but `float` 3.0. Give `None` there."),
    ],
)
def test_wrong_tangents_are_refused(primals, tangents, error, message):
    parts = [re.escape(part) for part in message.split(".*")]
    with pytest.raises(error, match=".*".join(parts)):
        eqx.filter_jvp(lambda *args: args, primals, tangents)


@pytest.mark.parametrize(
    "cotangents, error, message",
    [
        ((X, None), ValueError, "`vjp_fn` expects `cotangents` to have the structure of `out`"),
        (
            {"a": jnp.ones(3), "n": None},
            ValueError,
            "got an array float32[3] for `cotangents['a']`, but `out['a']` is an array float32[2]",
        ),
        ({"a": X, "n": X}, TypeError, "but `out['n']` is no floating-point array but"),
    ],
)
def test_wrong_cotangents_are_refused(cotangents, error, message):
    _, vjp_fn = eqx.filter_vjp(lambda x: {"a": 2 * x, "n": 3}, X)
    with pytest.raises(error, match=re.escape(message)):
        vjp_fn(cotangents)


def test_what_is_no_function_is_refused():
    for call in (lambda: eqx.filter_jvp(3, (), ()), lambda: eqx.filter_vjp(3)):
        with pytest.raises(TypeError, match="expects a function or another callable"):
            call()


@pytest.mark.parametrize("out, error", [(X, TypeError), ((X, 1, 2), ValueError)])
def test_an_output_without_aux_is_refused(out, error):
    with pytest.raises(error, match="`filter_vjp` expects the function to return a pair .* with `has_aux=True`"):
        eqx.filter_vjp(lambda x: out, X, has_aux=True)

"""`filter_jacfwd`, `filter_jacrev` and `filter_hessian`, against plain JAX on the arrays alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree_util
from jaxprs import jaxpr_kinds
from modules import Affine, affine

import equinox as eqx
from equinox import _compat
from equinox._compat.release import jax_release

JACOBIANS = {"filter_jacfwd": jax.jacfwd, "filter_jacrev": jax.jacrev}
ALL = dict(JACOBIANS, filter_hessian=jax.hessian)
each_jacobian = pytest.mark.parametrize("name", JACOBIANS)
each = pytest.mark.parametrize("name", ALL)


def has_aux(name):
    return jax_release(jax) >= _compat.SINCE["{}(has_aux=True)".format(name)][0]


def f(m, x):
    return {"out": jnp.sin(m(x)), "count": jnp.arange(2), "name": m.bias.shape, "flag": True}


def plain(arrays, x):
    weight, bias = arrays
    return jnp.sin(weight * x + bias)


@each_jacobian
def test_the_jacobian_is_that_of_plain_jax(name, run):
    m, x = affine(), jnp.array([0.5, 1.5])

    def rows(x):
        got = getattr(eqx, name)(f)(m, x)
        assert (got["count"], got["name"], got["flag"]) == (None, (), None)
        assert type(got["out"]) is Affine
        return got["out"].weight, got["out"].bias

    expected = JACOBIANS[name](plain)((m.weight, m.bias), x)
    for got, row in zip(run(rows, x), expected):
        np.testing.assert_allclose(got, row, rtol=1e-6)


def test_the_hessian_is_that_of_plain_jax():
    m, x = affine(), jnp.array([0.5, 1.5])
    got = eqx.filter_hessian(f)(m, x)
    expected = jax.hessian(plain)((m.weight, m.bias), x)
    assert (got["count"], got["flag"]) == (None, None)
    rows = [[got["out"].weight.weight, got["out"].weight.bias], [got["out"].bias.weight, got["out"].bias.bias]]
    for row, expected_row in zip(rows, expected):
        for x, y in zip(row, expected_row):
            np.testing.assert_allclose(x, y, rtol=1e-6)


def test_leaves_that_are_not_differentiated_hold_none():
    tree = {"w": jnp.array([1.0, 2.0]), "n": jnp.array(3), "name": "text", "none": None, "numpy": np.float32(2.0)}
    hessian = eqx.filter_hessian(lambda tree: (tree["w"] ** 2).sum() * tree["numpy"])(tree)
    assert tree_util.tree_structure(hessian["w"]) == tree_util.tree_structure(
        {"w": 0, "n": None, "name": None, "none": None, "numpy": 0}
    )
    np.testing.assert_allclose(hessian["w"]["w"], 4 * np.eye(2))
    np.testing.assert_allclose(hessian["numpy"]["w"], [2.0, 4.0])
    assert hessian["n"] is hessian["name"] is hessian["none"] is None


@each
def test_with_nothing_to_differentiate_all_is_none(name):
    transformation = getattr(eqx, name)
    assert transformation(lambda tree: (jnp.ones(2), "text"))({"n": 3, "i": jnp.arange(2)}) == (
        {"n": None, "i": None},
        None,
    )
    if has_aux(name):
        assert transformation(lambda n: (jnp.ones(2), n), has_aux=True)(3) == (None, 3)


@each
def test_an_output_without_floating_point_arrays_has_nones(name):
    """The rule is the same in both modes, although `jax.jacrev` alone refuses such an output."""
    transformation = getattr(eqx, name)
    tree = {"w": jnp.ones(2), "n": 3}
    assert transformation(lambda tree: (jnp.arange(2), "text", tree["n"]))(tree) == (None, None, None)
    assert transformation(lambda tree: ())(tree) == ()
    if has_aux(name):
        assert transformation(lambda tree: ("text", tree["n"]), has_aux=True)(tree) == (None, 3)


@each
def test_the_jaxpr_is_that_of_plain_jax(name):
    m, x = affine(), jnp.ones(2)
    filtered = lambda m, x: tree_util.tree_leaves(getattr(eqx, name)(lambda m, x: (jnp.sin(m(x)), 3))(m, x))  # noqa: E731
    unfiltered = lambda m, x: ALL[name](plain)([m.weight, m.bias], x)  # noqa: E731
    assert jaxpr_kinds(filtered, m, x) == jaxpr_kinds(unfiltered, m, x)


@each
def test_it_is_a_decorator_a_method_and_a_pytree(name):
    transformation = getattr(eqx, name)
    m, x = affine(), jnp.ones(2)
    expected = transformation(f)(m, x)
    assert eqx.tree_equal(transformation(holomorphic=False)(f)(m, x), expected)
    assert tree_util.tree_leaves(transformation(m))[0] is m.weight
    bound = transformation(m.scaled)(x)
    np.testing.assert_allclose(bound, ALL[name](m.scaled)(x))


@each
def test_aux_may_hold_anything(name):
    x, mark = jnp.ones(2), object()
    transformation = getattr(eqx, name)
    with_aux = lambda x: (x**2, {"x": 2 * x, "mark": mark})  # noqa: E731
    if not has_aux(name):
        with pytest.raises(NotImplementedError, match="needs JAX 0.2.28 or newer"):
            transformation(with_aux, has_aux=True)
        return
    got, aux = transformation(with_aux, has_aux=True)(x)
    np.testing.assert_allclose(got, ALL[name](lambda x: x**2)(x))
    np.testing.assert_allclose(aux["x"], 2 * x)
    assert aux["mark"] is mark
    with pytest.raises(TypeError, match="expects the function to return a pair"):
        transformation(lambda x: x, has_aux=True)(x)


@each
def test_wrong_uses_are_refused(name):
    transformation = getattr(eqx, name)
    with pytest.raises(TypeError, match="expects a function or another callable"):
        transformation(3)
    with pytest.raises(TypeError, match="`{}` differentiates with respect to the first positional input".format(name)):
        transformation(lambda x: x)(x=jnp.ones(2))
    with pytest.raises(TypeError, match="`{}` passes its keyword arguments to".format(name)):
        transformation(lambda x: x, wrong=1)

"""`gradf`, `value_and_grad_f`, `filter_grad`, `filter_value_and_grad`: which leaves have a gradient, and its value."""

import functools as ft
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, tree_util

import equinox as eqx


class Model(eqx.Module):
    weight: Any
    rest: Any = None
    size: Any = eqx.field(static=True, default=1)

    def __call__(self, x):
        return (self.weight**2 * x).sum()


def square_sum(model, x=1.0):
    return model(x)


def differences(fun, x, eps=1e-2):
    """The gradient of `fun` at the NumPy vector `x` by central differences."""
    x = np.asarray(x, np.float64)
    steps = np.eye(x.size).reshape((x.size,) + x.shape) * eps
    return np.array([(float(fun(x + h)) - float(fun(x - h))) / (2 * eps) for h in steps]).reshape(x.shape)


def nondifferentiable_leaves():
    leaves = {
        "bool": True,
        "int": 3,
        "string": "text",
        "object": object(),
        "function": jnp.tanh,
        "integer array": jnp.arange(3),
        "bool array": jnp.array([True]),
        "old key": jax.random.PRNGKey(0),
    }
    if hasattr(jax.random, "key"):
        leaves["typed key"] = jax.random.key(0)
    return leaves


GRADS = [
    ft.partial(eqx.gradf, filter_fn=eqx.is_inexact_array),
    eqx.filter_grad,
    lambda fun, **kw: lambda *args: eqx.value_and_grad_f(fun, filter_fn=eqx.is_inexact_array, **kw)(*args)[1],
    lambda fun, **kw: lambda *args: eqx.filter_value_and_grad(fun, **kw)(*args)[1],
    lambda fun, **kw: eqx.jitf(eqx.filter_grad(fun, **kw), filter_fn=eqx.is_array),
]


# The numbers


@pytest.mark.parametrize("grad", GRADS)
def test_the_gradient_agrees_with_jax_and_finite_differences(grad):
    weight, x = jnp.array([1.0, -2.0, 0.5]), jnp.array([3.0, 1.0, -1.0])
    got = grad(square_sum)(Model(weight, rest=["text", 5]), x)
    assert type(got) is Model and got.rest == [None, None]
    unfiltered = jax.grad(lambda w: (w**2 * x).sum())(weight)
    np.testing.assert_allclose(got.weight, unfiltered, rtol=1e-6)
    np.testing.assert_allclose(got.weight, differences(lambda w: (w**2 * np.asarray(x)).sum(), weight), rtol=1e-3)


def test_the_gradient_run_eagerly_jitted_and_vmapped(run):
    def gradient(w, x):
        return eqx.filter_grad(square_sum)(Model(w, rest="text"), x).weight

    w, x = jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0])
    np.testing.assert_allclose(run(gradient, w, x), 2 * np.array([1.0, 2.0]) * np.array([3.0, 4.0]))


def test_the_value_is_returned_with_the_gradient():
    value, grads = eqx.filter_value_and_grad(square_sum)(Model(jnp.array([1.0, 2.0])), 3.0)
    assert value == 15.0 and grads.weight.tolist() == [6.0, 12.0]
    value, grads = eqx.value_and_grad_f(square_sum, filter_tree=Model(True))(Model(jnp.array([1.0, 2.0])), 3.0)
    assert value == 15.0 and grads.weight.tolist() == [6.0, 12.0]


# `None` for leaves that are not differentiated


@pytest.mark.none_gradients
@pytest.mark.parametrize("grad", GRADS)
@pytest.mark.parametrize("name", sorted(nondifferentiable_leaves()))
def test_a_nondifferentiable_leaf_has_the_gradient_none(name, grad):
    leaf = nondifferentiable_leaves()[name]
    got = grad(lambda m: (m.weight**2).sum())(Model(jnp.ones(2), rest={"leaf": leaf, "w": jnp.ones(1)}))
    assert got.rest["leaf"] is None
    assert got.weight.tolist() == [2.0, 2.0] and got.rest["w"].tolist() == [0.0]


@pytest.mark.none_gradients
@pytest.mark.parametrize("leaf", [np.ones(2, np.float32), np.float32(2)], ids=["array", "scalar"])
def test_is_inexact_array_leaves_numpy_out(leaf):
    for fun in (eqx.gradf, lambda fun, **kw: lambda m: eqx.value_and_grad_f(fun, **kw)(m)[1]):
        got = fun(lambda m: (m.weight**2).sum(), filter_fn=eqx.is_inexact_array)(Model(jnp.ones(2), rest=leaf))
        assert got.rest is None
        assert got.weight.tolist() == [2.0, 2.0]


@pytest.mark.none_gradients
@pytest.mark.parametrize("wrap", [lambda f: f, eqx.filter_jit], ids=["eager", "filter_jit"])
def test_numpy_weights_are_differentiated(wrap):
    """Weights from another library are NumPy arrays. Their gradients are those of JAX arrays, compiled or not."""
    jax_model = Model(jnp.ones(2), rest=[jnp.full(1, 3.0), jnp.float32(2.0)])
    numpy_model = Model(np.ones(2, np.float32), rest=[np.full(1, 3.0, np.float32), np.float32(2.0)])
    other = Model(np.ones(2, np.int32), rest=[np.array(["text"]), np.array([True])])

    def loss(m, constants):
        return (m.weight**2).sum() * m.rest[0][0] * m.rest[1]

    expected = wrap(eqx.filter_grad(loss))(jax_model, other)
    assert eqx.tree_equal(wrap(eqx.filter_grad(loss))(numpy_model, other), expected)
    assert expected.rest[0].tolist() == [4.0] and expected.rest[1] == 6.0
    grads = wrap(eqx.filter_grad(lambda m: jnp.zeros(())))(other)
    assert grads.weight is grads.rest[0] is grads.rest[1] is None


@pytest.mark.none_gradients
def test_the_gradient_has_the_structure_of_the_input_with_none_in_it():
    m = Model([jnp.ones(1), (2, {"a": "s"})], rest=None, size=4)
    got = eqx.filter_grad(lambda m: m.weight[0].sum())(m)
    assert got.size == 4 and got.weight[1] == (None, {"a": None}) and got.rest is None
    is_none = lambda x: x is None  # noqa: E731
    assert len(tree_util.tree_flatten(got, is_leaf=is_none)[0]) == len(tree_util.tree_flatten(m, is_leaf=is_none)[0])


@pytest.mark.none_gradients
@pytest.mark.filters
def test_filter_tree_selects_leaf_by_leaf():
    m = Model([jnp.array(1.0), jnp.array(2.0)], rest=jnp.array(3.0))
    loss = lambda m: m.weight[0] * m.weight[1] * m.rest  # noqa: E731
    got = eqx.gradf(loss, filter_tree=Model([False, True], rest=True))(m)
    assert got.weight[0] is None and got.weight[1] == 3.0 and got.rest == 2.0
    tree = eqx.tree_at(lambda t: t.weight[0], tree_util.tree_map(lambda _: False, m), replace=True)
    got = eqx.gradf(loss, filter_tree=tree)(m)
    assert got.weight[0] == 6.0 and got.weight[1] is None and got.rest is None


@pytest.mark.filters
def test_a_filter_may_select_python_numbers():
    got = eqx.gradf(lambda m: m.weight * m.rest**2, filter_fn=eqx.is_inexact_array_like)(Model(jnp.array(2.0), 3.0))
    assert got.weight == 9.0 and got.rest == 12.0


@pytest.mark.none_gradients
def test_if_no_leaf_is_selected_all_gradients_are_none():
    value, grads = eqx.value_and_grad_f(lambda m: m.weight.sum(), filter_fn=lambda x: False)(Model(jnp.ones(2)))
    assert value == 2.0 and grads.weight is None


# argnums


@pytest.mark.none_gradients
def test_argnums_in_any_order():
    def product(a, b, c):
        return a["x"] * b**2 * c**3

    a, b, c = {"x": jnp.array(2.0), "s": "text"}, jnp.array(3.0), jnp.array(5.0)
    da, db, dc = 9.0 * 125, 2 * 2 * 3 * 125.0, 3 * 2 * 9 * 25.0
    grad = ft.partial(eqx.filter_grad, product)
    assert grad()(a, b, c) == {"x": da, "s": None}
    assert grad(argnums=1)(a, b, c) == db
    assert grad(argnums=-1)(a, b, c) == dc
    assert grad(argnums=(2, 0))(a, b, c) == (dc, {"x": da, "s": None})
    assert grad(argnums=[-1, 1])(a, b, c) == (dc, db)
    assert grad(argnums=(1,))(a, b, c) == (db,)
    assert grad(argnums=np.int64(1))(a, b, c) == db
    got = eqx.gradf(product, filter_tree=(True, {"x": False, "s": False}), argnums=(1, 0))(a, b, c)
    assert got == (db, {"x": None, "s": None})
    got = eqx.gradf(product, filter_tree={"x": True, "s": False}, argnums=0)(a, b, c)
    assert got == {"x": da, "s": None}


@pytest.mark.filters
def test_the_filter_sees_only_the_inputs_in_argnums():
    seen = []

    def spy(x):
        seen.append(x)
        return True

    eqx.gradf(lambda a, b: a * b, filter_fn=spy, argnums=1)(2.0, 3.0)
    assert seen == [3.0]


def test_other_inputs_and_keywords_are_passed_on():
    def loss(w, text, *, scale, flag):
        assert text == "text" and flag is True
        return w * scale

    assert eqx.filter_grad(loss)(jnp.array(1.0), "text", scale=4.0, flag=True) == 4.0


# has_aux


def test_aux_is_returned_as_by_jax_and_may_hold_anything():
    def loss(w):
        return w**2, {"w": w, "text": "text", "np": np.arange(2), "none": None, "f": len}

    w = jnp.array(3.0)
    for jitted in (False, True):
        wrap = eqx.filter_jit if jitted else (lambda f: f)
        grads, aux = wrap(eqx.filter_grad(loss, has_aux=True))(w)
        (value, aux2), grads2 = wrap(eqx.filter_value_and_grad(loss, has_aux=True))(w)
        assert grads == grads2 == 6.0 and value == 9.0
        for a in (aux, aux2):
            assert a["w"] == 3.0 and a["text"] == "text" and a["f"] is len and a["np"].tolist() == [0, 1]
            assert not isinstance(a["w"], jax.core.Tracer)
    reference_grads, reference_aux = jax.grad(lambda w: (w**2, w), has_aux=True)(w)
    assert (grads, aux["w"]) == (reference_grads, reference_aux)


def test_with_has_aux_the_function_must_return_a_pair():
    with pytest.raises(TypeError, match=r"`filter_grad` expects .* a pair `\(value, aux\)` with `has_aux=True`, got"):
        eqx.filter_grad(lambda w: w, has_aux=True)(jnp.array(1.0))
    with pytest.raises(ValueError, match=r"expects .* a pair `\(value, aux\)` .*, got a `tuple` of length 3"):
        eqx.filter_grad(lambda w: (w, w, w), has_aux=True)(jnp.array(1.0))


# Keyword arguments of jax.grad


def test_holomorphic():
    z = jnp.array(1.0 + 2.0j)
    got = eqx.gradf(lambda z: z**2, filter_fn=eqx.is_inexact_array, holomorphic=True)(z)
    np.testing.assert_allclose(got, 2 * (1 + 2j))
    with pytest.raises(TypeError):
        eqx.filter_grad(lambda z: z**2)(z)


def test_complex_parameters_of_a_real_loss():
    z = jnp.array(1.0 + 2.0j)
    loss = lambda z: (z * jnp.conj(z)).real  # noqa: E731
    np.testing.assert_allclose(eqx.filter_grad(loss)(z), jax.grad(loss)(z))


def test_allow_int():
    got = eqx.gradf(lambda m: m["w"] * 2.0, filter_fn=eqx.is_array, allow_int=True)(
        {"w": jnp.array(1.0), "n": jnp.array(3)}
    )
    assert got["w"] == 2.0 and got["n"].dtype == jax.dtypes.float0


def test_unknown_keyword_arguments_are_refused_when_decorating():
    with pytest.raises(TypeError, match="`gradf` passes its keyword arguments to `jax.value_and_grad`.*nonsense"):
        eqx.gradf(lambda x: x, filter_fn=eqx.is_array, nonsense=1)


# Spellings


def test_three_spellings_and_names():
    def loss(x):
        """Doc."""
        return x**2

    x = jnp.array(3.0)
    for f in (
        ft.partial(eqx.gradf, filter_fn=eqx.is_inexact_array)(loss),
        eqx.gradf(filter_fn=eqx.is_inexact_array)(loss),
        eqx.gradf(loss, filter_fn=eqx.is_inexact_array),
        eqx.filter_grad(loss),
        eqx.filter_grad()(loss),
    ):
        assert f(x) == 6.0
        assert (f.__name__, f.__doc__, f.__wrapped__) == ("loss", "Doc.", loss)
        assert inspect.signature(f) == inspect.signature(loss)


def test_it_takes_anything_callable():
    m = Model(jnp.array([1.0, 2.0]))
    for fun in (m, m.__call__, ft.partial(Model.__call__, m), eqx.filter_jit(m)):
        assert eqx.filter_grad(fun)(jnp.array(1.0)) == 5.0
    assert eqx.filter_grad(Model.__call__)(m, 1.0).weight.tolist() == [2.0, 4.0]
    with pytest.raises(TypeError, match="`filter_grad` expects a function or another callable, got `int` 3"):
        eqx.filter_grad(3)


# Nested


def test_nested_in_other_transformations():
    w = jnp.array(2.0)
    cube = lambda w: w**3  # noqa: E731
    assert eqx.filter_grad(eqx.filter_grad(cube))(w) == 12.0
    assert eqx.filter_jit(eqx.filter_grad(eqx.filter_jit(eqx.filter_grad(cube))))(w) == 12.0
    assert eqx.filter_grad(jax.checkpoint(cube))(w) == 12.0
    assert jax.checkpoint(eqx.filter_grad(cube))(w) == 12.0
    assert jax.vmap(eqx.filter_grad(cube))(jnp.arange(3.0)).tolist() == [0.0, 3.0, 12.0]
    _, ys = lax.scan(lambda c, w: (c, eqx.filter_grad(cube)(w)), 0.0, jnp.arange(3.0))
    assert ys.tolist() == [0.0, 3.0, 12.0]


def test_a_custom_rule_is_used():
    @jax.custom_vjp
    def f(w):
        return w

    f.defvjp(lambda w: (f(w), None), lambda _, ct: (ct * 100.0,))
    assert eqx.filter_grad(lambda m: f(m.weight))(Model(jnp.array(1.0), rest="text")).weight == 100.0


def test_a_closed_over_tracer_of_an_outer_gradient():
    def outer(a):
        inner = eqx.filter_grad(lambda m: m.weight * a**2)(Model(jnp.array(1.0), "text"))
        return inner.weight  # a**2

    assert eqx.filter_grad(outer)(jnp.array(3.0)) == 6.0


# Errors


@pytest.mark.filters
def test_exactly_one_filter():
    for spec in ({}, {"filter_fn": eqx.is_array, "filter_tree": True}):
        with pytest.raises(ValueError, match="`gradf` expects exactly one of"):
            eqx.gradf(lambda x: x, **spec)
        with pytest.raises(ValueError, match="`value_and_grad_f` expects exactly one of"):
            eqx.value_and_grad_f(lambda x: x, **spec)


@pytest.mark.filters
@pytest.mark.parametrize("leaf, shown", [(jnp.arange(2), "int32"), ("text", "`str` 'text'"), (True, "`bool` True")])
def test_a_leaf_that_cannot_be_differentiated_is_named(leaf, shown):
    f = eqx.gradf(lambda model: model.weight, filter_fn=lambda x: True)
    with pytest.raises(TypeError, match=r"differentiate with respect to the leaf `model.rest\['a'\]`.*" + shown):
        f(Model(jnp.array(1.0), rest={"a": leaf}))


@pytest.mark.filters
def test_a_filter_tree_that_does_not_fit_says_where():
    with pytest.raises(ValueError, match=r"At `filter_tree.rest` expected `None`, got a `list`"):
        eqx.gradf(square_sum, filter_tree=Model(True, rest=[True]))(Model(jnp.ones(1)))
    with pytest.raises(ValueError, match="a tuple of 2 trees"):
        eqx.gradf(lambda a, b: a, filter_tree=(True, True, True), argnums=(0, 1))(1.0, 2.0)


def test_argnums_must_name_different_positional_inputs():
    with pytest.raises(
        ValueError, match=r"with respect to positional input 0 \(`argnums`\), but the number of positional inputs is 0"
    ):
        eqx.filter_grad(lambda x: x)(x=jnp.array(1.0))
    with pytest.raises(ValueError, match="expects different inputs in `argnums`"):
        eqx.filter_grad(lambda x, y: x, argnums=(1, -1))(1.0, 2.0)
    with pytest.raises(TypeError, match="expects `argnums` to be an int or a sequence of ints, got 'x'"):
        eqx.filter_grad(lambda x: x, argnums="x")


def test_a_value_that_is_no_scalar_raises_the_error_of_jax():
    with pytest.raises(TypeError, match="scalar"):
        eqx.filter_grad(lambda x: x)(jnp.ones(2))

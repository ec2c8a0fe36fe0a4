"""`filter_custom_jvp` and `filter_custom_vjp`: what the rules get, and what becomes of what they return."""

from typing import Any

import hypothesis as hyp
import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from jax import lax, tree_util
from jaxprs import jaxpr_kinds
from random_trees import jax_arrays, leaves, trees

import equinox as eqx
from equinox._compat.release import jax_release

# Before this release no rule is told what is known to be zero.
KNOWS_ZEROS = jax_release(jax) >= (0, 4, 16)

TWO, THREE = jnp.array(2.0), jnp.array(3.0)

WRAPPERS = pytest.mark.parametrize("wrap", [lambda f: f, eqx.filter_jit], ids=["eager", "filter_jit"])


def is_inexact(x):
    return eqx.is_array(x) and jnp.issubdtype(x.dtype, jnp.inexact)


def values(x):
    """The values of an array of any floating-point or complex dtype, also of those that NumPy doesn't have."""
    return np.asarray(jnp.asarray(x).astype(jnp.complex64))


def marks(tree):
    """The tree with `True` for each leaf, and `False` for each `None`."""
    return tree_util.tree_map(lambda x: x is not None, tree, is_leaf=lambda x: x is None)


class Scale(eqx.Module):
    """Multiplies by `factor`. Its rules say that the derivative is ten times as large."""

    factor: Any
    name: Any = "scale"

    def __call__(self, x):
        return self.factor * x

    @eqx.filter_custom_jvp
    def forward(self, x):
        return self.factor * x

    @forward.def_jvp
    def forward_jvp(primals, tangents):
        (self, x), (t_self, t_x) = primals, tangents
        t = 0.0 if t_x is None else 10 * self.factor * t_x
        return self.forward(x), t if t_self.factor is None else t + 10 * x * t_self.factor

    @eqx.filter_custom_vjp
    def backward(self, x):
        return self.factor * x

    @backward.def_fwd
    def backward_fwd(perturbed, self, x):
        return self.backward(x), None

    @backward.def_bwd
    def backward_bwd(residuals, grad_out, perturbed, self, x):
        return Scale(10 * x * grad_out, None)


def tenfold(with_statics):
    """`2 * x` for each inexact array of a tree, with rules that say 20. It returns what isn't an array, too."""

    def double(tree):
        return tree_util.tree_map(lambda x: 2 * x if is_inexact(x) else x if with_statics else None, tree)

    def jvp(primals, tangents):
        return double(*primals), tree_util.tree_map(lambda t: 20 * t, tangents[0])

    forward = eqx.filter_custom_jvp(double, jvp=jvp)
    backward = eqx.filter_custom_vjp(double)

    @backward.def_fwd
    def fwd(perturbed, tree):
        return double(tree), (perturbed, lambda: 20)

    @backward.def_bwd
    def bwd(residuals, grad_out, perturbed, tree):
        assert residuals[0] == perturbed
        factor = residuals[1]()
        return tree_util.tree_map(lambda g: factor * g, grad_out)

    return forward, backward


# The laws, for random trees


@hyp.settings(max_examples=10)
@hyp.given(tree=trees(leaves, max_leaves=6))
def test_random_trees_have_the_derivative_of_the_rules(tree):
    """The function returns `2 * x` for each array, and its rules say that the derivative is 20."""
    arrays, others = eqx.partition(tree, is_inexact)
    for fun in tenfold(True):
        out = fun(tree)
        got, got_others = eqx.partition(out, is_inexact)
        assert tree_util.tree_structure(got_others) == tree_util.tree_structure(others)
        assert all(a is b or eqx.tree_equal(a, b) for a, b in zip(*map(tree_util.tree_leaves, (got_others, others))))
        for x, y in zip(*map(tree_util.tree_leaves, (arrays, got))):
            np.testing.assert_allclose(values(y), 2 * values(x))
        if not tree_util.tree_leaves(arrays):
            continue

        def loss(tree, fun=fun):
            return sum(jnp.sum(jnp.real(x)).astype(float) for x in tree_util.tree_leaves(fun(tree)) if is_inexact(x))

        of_arrays = lambda arrays, loss=loss: loss(eqx.combine(arrays, others))  # noqa: E731
        for grads in (eqx.filter_grad(loss)(tree), jax.grad(jax.jit(of_arrays))(arrays)):
            for x, g in zip(*map(tree_util.tree_leaves, (arrays, grads))):
                assert g.shape == x.shape and g.dtype == x.dtype
                np.testing.assert_allclose(values(g), 20)


@hyp.settings(max_examples=8)
@hyp.given(tree=trees(jax_arrays, max_leaves=5))
@hyp.example(tree=jnp.arange(2))
def test_the_jaxpr_is_that_of_plain_jax(tree):
    """On trees of arrays and statics, the equations are those of the rules written by hand for the arrays alone."""
    tree = (tree, TWO, "name")
    arrays, others = eqx.partition(tree, is_inexact)
    flat, treedef = tree_util.tree_flatten(arrays)

    def plain(*flat):
        return tuple(2 * x for x in flat)

    forward, backward = jax.custom_jvp(plain), jax.custom_vjp(plain)
    forward.defjvp(lambda primals, tangents: (plain(*primals), tuple(20 * t for t in tangents)))
    backward.defvjp(lambda *flat: (plain(*flat), None), lambda _, grads: tuple(20 * g for g in grads))

    def loss(out):
        return sum(jnp.sum(jnp.real(x)).astype(float) for x in tree_util.tree_leaves(out) if is_inexact(x))

    for filtered, by_hand in zip(tenfold(False), (forward, backward)):
        whole = lambda flat, fun=filtered: loss(fun(eqx.combine(treedef.unflatten(flat), others)))  # noqa: E731
        alone = lambda flat, fun=by_hand: loss(fun(*flat))  # noqa: E731
        assert jaxpr_kinds(whole, flat) == jaxpr_kinds(alone, flat)
        if jax_release(jax) >= (0, 6, 2):  # older releases have zeros for integers, or other names of functions
            assert jaxpr_kinds(jax.grad(whole), flat) == jaxpr_kinds(jax.grad(alone), flat)


# What the rules get and return


@WRAPPERS
def test_a_tangent_is_none_for_what_is_not_differentiated(wrap):
    """That is: not an array, or not floating-point; since JAX 0.4.16 also what isn't perturbed, or known to be zero."""
    seen = []

    @eqx.filter_custom_jvp
    def f(x, y, name, *, scale):
        return {"a": scale * x["a"] * y, "n": x["n"], "name": name, "count": 3}

    @f.def_jvp
    def f_jvp(primals, tangents, *, scale):
        seen.append(marks(tangents))
        (x, y, name), (t_x, _, _) = primals, tangents
        out = {"a": 10 * scale * t_x["a"] * y, "n": None, "name": None, "count": None}
        return f(x, y, name, scale=scale), out

    def loss(a, fun=f):
        x = {"a": a, "n": jnp.arange(3), "b": TWO, "c": jax.lax.stop_gradient(a), "d": 1.0}
        out = fun(x, THREE, "name", scale=np.float32(2))
        assert out["name"] == "name" and out["count"] == 3
        return out["a"] + out["n"][1]

    assert wrap(loss)(TWO) == 13 and not seen
    assert jax.grad(wrap(loss))(TWO) == 60
    others = not KNOWS_ZEROS
    expected = ({"a": True, "n": False, "b": others, "c": others, "d": False}, others, False)
    assert all(marks == expected for marks in seen) and seen


@WRAPPERS
def test_perturbed_and_grad_out_say_what_is_differentiated(wrap):
    seen = []

    @eqx.filter_custom_vjp
    def f(x, y, *, scale):
        return {"a": scale * x["a"] * y, "b": x["b"], "n": x["n"], "name": x["name"]}

    @f.def_fwd
    def f_fwd(perturbed, x, y, *, scale):
        return f(x, y, scale=scale), {"perturbed": perturbed, "y": y, "text": "text", "fun": len, "none": None}

    @f.def_bwd
    def f_bwd(residuals, grad_out, perturbed, x, y, *, scale):
        assert residuals["perturbed"] == perturbed and residuals["text"] == "text" and residuals["fun"] is len
        assert residuals["none"] is None and scale == 2 and x["name"] == "name"
        seen.append((perturbed, marks(grad_out)))
        return {"a": 10 * scale * grad_out["a"] * residuals["y"], "b": None, "n": None, "name": None}

    def loss(a):
        x = {"a": a, "b": TWO, "n": jnp.arange(3), "name": "name"}
        out = f(x, THREE, scale=2)
        return out["a"] + out["n"][1]

    assert wrap(loss)(TWO) == 13 and not seen
    assert jax.grad(wrap(loss))(TWO) == 60
    others = not KNOWS_ZEROS
    perturbed = {"a": True, "b": others, "n": False, "name": False}
    assert seen[-1] == (perturbed, {"a": True, "b": others, "n": False, "name": False})


def test_none_stands_for_whatever_is_zero():
    """A tangent or a gradient, and a whole subtree of them."""
    pair = eqx.filter_custom_jvp(lambda x: (x, {"a": x, "b": [x]}))
    pair.def_jvp(lambda primals, tangents: (pair(*primals), (7 * tangents[0], None)))
    loss = lambda x: pair(x)[0] + pair(x)[1]["a"] * x + pair(x)[1]["b"][0]  # noqa: E731
    assert jax.grad(loss)(TWO) == 9 == jax.grad(jax.jit(loss))(TWO)
    assert jax.grad(lambda x: pair(x)[1]["a"])(TWO) == 0

    first = eqx.filter_custom_vjp(lambda x: x[0] * x[1]["a"])
    first.def_fwd(lambda perturbed, x: (first(x), None))
    for grad in ((7.0, None), (TWO, {"a": None}), None):
        first.def_bwd(lambda residuals, grad_out, perturbed, x, grad=grad: grad)
        got = jax.grad(lambda x: first(x))((TWO, {"a": THREE}))
        assert got == (0 if grad is None else grad[0], {"a": 0})


def test_rules_get_arrays_where_python_numbers_are_differentiated():
    """JAX itself passes a Python number to a rule then."""
    types = []

    def check(*trees):
        types.extend(map(eqx.is_array, tree_util.tree_leaves(trees)))

    f = eqx.filter_custom_jvp(lambda x: (check(x), 2 * x)[1])
    f.def_jvp(lambda primals, tangents: (check(primals, tangents), f(*primals), 20 * tangents[0])[1:])
    g = eqx.filter_custom_vjp(lambda x: (check(x), 2 * x)[1])
    g.def_fwd(lambda perturbed, x: (check(x), (g(x), x))[1])
    g.def_bwd(lambda residuals, grad_out, perturbed, x: (check(residuals, grad_out, x), 20 * grad_out)[1])
    for fun in (f, g):
        assert jax.grad(fun)(2.0) == 20 == jax.grad(jax.grad(lambda x, fun=fun: x * fun(x)))(2.0) / 2
        assert jax.vjp(fun, 2.0)[1](1.0) == (20,)
    assert jax.jvp(f, (2.0,), (1.0,))[1] == 20 and all(types) and types


@pytest.mark.skipif(not KNOWS_ZEROS, reason="no zeros are known, which JAX tells a rule since 0.4.16")
@WRAPPERS
def test_a_rule_is_not_called_for_an_output_that_is_not_used(wrap):
    f = eqx.filter_custom_vjp(lambda x: (2 * x, 3), fwd=lambda perturbed, x: ((2 * x, 3), None), bwd=None)
    f.def_bwd(lambda residuals, grad_out, perturbed, x: pytest.fail("called"))
    assert jax.grad(wrap(lambda x: x * f(x)[1]))(TWO) == 3


@pytest.mark.parametrize("dtype", ["int32", "bool"])
def test_outputs_that_are_not_floating_point_have_no_derivative(dtype):
    f = eqx.filter_custom_jvp(lambda x: (2 * x, (x > 1).astype(dtype)))
    f.def_jvp(lambda primals, tangents: (f(*primals), (20 * tangents[0], None)))
    g = eqx.filter_custom_vjp(lambda x: (2 * x, (x > 1).astype(dtype)))
    g.def_fwd(lambda perturbed, x: (g(x), None))
    g.def_bwd(lambda residuals, grad_out, perturbed, x: None if grad_out[1] is not None else 20 * grad_out[0])
    for fun in (f, g):
        loss = lambda x, fun=fun: jnp.where(fun(x)[1], fun(x)[0], 0.0)  # noqa: E731
        for grad in (jax.grad(loss), jax.grad(jax.jit(loss)), jax.jit(jax.grad(loss))):
            assert grad(TWO) == 20


def test_keys_pass_as_they_are():
    """Random keys have no derivative. JAX before 0.4.18 can't differentiate a program that has a typed one."""
    typed = jax_release(jax) >= (0, 4, 18)
    key = jrandom.key(0) if typed else jrandom.PRNGKey(0)
    f = eqx.filter_custom_jvp(lambda x, key: x + jrandom.normal(key))
    f.def_jvp(lambda primals, tangents: (f(*primals), 10 * tangents[0]))
    g = eqx.filter_custom_vjp(lambda x, key: x + jrandom.normal(key))
    g.def_fwd(lambda perturbed, x, key: (g(x, key), key))
    g.def_bwd(lambda residuals, grad_out, perturbed, x, key: 10 * grad_out)
    for fun in (f, g):
        assert jax.grad(fun)(TWO, key) == 10 == jax.grad(jax.jit(fun))(TWO, key)
        steps = lambda x, keys, fun=fun: lax.scan(lambda x, key: (fun(x, key), None), x, keys)[0]  # noqa: E731
        assert jax.grad(steps)(TWO, jrandom.split(key)) == 100


# Methods, modules, other transformations

NESTINGS = {
    "grad": lambda f, m, x: jax.grad(f, 1)(m, x),
    "filter_grad of filter_jit": lambda f, m, x: eqx.filter_grad(eqx.filter_jit(lambda x, m: f(m, x)))(x, m),
    "filter_jit of filter_grad": lambda f, m, x: eqx.filter_jit(eqx.filter_grad(lambda x, m: f(m, x)))(x, m),
    "vmap of grad": lambda f, m, x: jax.vmap(jax.grad(f, 1), (None, 0))(m, jnp.stack([x, x]))[1],
    "vmap of a model": lambda f, m, x: eqx.filter_vmap(lambda m, x: jax.grad(f, 1)(m, x), in_axes=(0, None))(
        tree_util.tree_map(lambda w: jnp.stack([w, w]) if eqx.is_array(w) else w, m), x
    )[1],
    "grad of vmap": lambda f, m, x: jax.grad(lambda x: jax.vmap(lambda y: f(m, y))(jnp.stack([x, 1.0])).sum())(x),
    "grad of scan": lambda f, m, x: jax.grad(lambda x: eqx.filter_scan(lambda c, _: (f(m, c), None), x, length=1)[0])(
        x
    ),
    "grad of checkpoint": lambda f, m, x: jax.grad(jax.checkpoint(lambda x: f(m, x)))(x),
    "grad of cond": lambda f, m, x: jax.grad(lambda x: eqx.filter_cond(True, lambda x: f(m, x), lambda x: x, x))(x),
}


@pytest.mark.parametrize("nesting", sorted(NESTINGS))
def test_nested_in_other_transformations(nesting):
    """The derivative in `x` of a method is ten times the factor, as its rule says; of the second: of the factor."""
    got = NESTINGS[nesting](lambda m, x: m.forward(x), Scale(THREE), TWO)
    assert got == 30
    swapped = lambda m, x: Scale(x, m.name).backward(m.factor)  # noqa: E731
    assert NESTINGS[nesting](swapped, Scale(THREE), TWO) == 30


@pytest.mark.parametrize("method", ["forward", "backward"])
def test_a_stack_of_transformations(method):
    """`filter_vmap` of `filter_grad` of `filter_scan` of a method of a model. Each step has the derivative 30."""

    def loss(x, model):
        return eqx.filter_scan(lambda carry, _: (rule_in_x(carry, model), 0), x, length=2)[0]

    def rule_in_x(x, model):
        return model.forward(x) if method == "forward" else Scale(x, model).backward(model.factor)

    grads = eqx.filter_jit(eqx.filter_vmap(eqx.filter_grad(loss), in_axes=(0, None)))(
        jnp.stack([TWO, THREE]), Scale(THREE)
    )
    assert grads.tolist() == [900, 900]


def test_methods_have_the_model_for_their_first_input():
    m = Scale(THREE)
    for method in ("forward", "backward"):
        assert getattr(m, method)(TWO) == 6
        grads = eqx.filter_grad(lambda m, method=method: getattr(m, method)(TWO))(m)
        assert grads.factor == 20 and grads.name is None
        jitted = eqx.filter_jit(getattr(m, method))
        assert jitted(TWO) == 6


def test_second_derivatives_differentiate_the_rule():
    cube = eqx.filter_custom_jvp(lambda x: x**3)
    cube.def_jvp(lambda primals, tangents: (cube(*primals), 10 * primals[0] ** 2 * tangents[0]))
    back = eqx.filter_custom_vjp(lambda x: x**3)
    back.def_fwd(lambda perturbed, x: (back(x), x))
    back.def_bwd(lambda x, grad_out, perturbed, _: 10 * x**2 * grad_out)
    for fun in (cube, back):
        assert jax.grad(jax.grad(fun))(TWO) == 40 == jax.jit(jax.grad(jax.grad(fun)))(TWO)


def test_a_model_with_a_rule_is_a_pytree_of_the_model():
    """The next transformation sees its arrays, but only inputs may be differentiated."""
    model = Scale(THREE)
    forward = eqx.filter_custom_jvp(model, jvp=lambda primals, tangents: (model(*primals), 10 * tangents[0]))
    backward = eqx.filter_custom_vjp(
        model,
        fwd=lambda perturbed, x: (model(x), None),
        bwd=lambda residuals, grad_out, perturbed, x: 10 * grad_out,
    )
    for fun in (forward, backward):
        assert tree_util.tree_leaves(fun) == [THREE, "scale"] and fun(TWO) == 6
        assert eqx.filter_jit(fun)(TWO) == 6 and jax.grad(fun)(TWO) == 10
        doubled = tree_util.tree_map(lambda x: 2 * x, fun)
        assert doubled(TWO) == 12 and doubled.__wrapped__.name == "scalescale"
        with pytest.raises(ValueError, match=r"but `fun\.factor` is differentiated too\. .*`jax\.lax\.stop_gradient`"):
            eqx.filter_grad(lambda fun: fun(TWO))(fun)


# The old spelling


@WRAPPERS
def test_defvjp_is_the_old_spelling(wrap):
    """Its rules don't get `perturbed`, and gradients of zero are arrays."""
    seen = []

    @eqx.filter_custom_vjp
    def f(x, y):
        return x[0] * y, x[1], "name"

    def fwd(x, y):
        return f(x, y), ("residual", y)

    def bwd(residuals, grad_out, x, y):
        seen.append(marks(grad_out))
        return 10 * grad_out[0] * residuals[1], grad_out[1]

    with pytest.warns(DeprecationWarning, match="Use `def_fwd` and `def_bwd`"):
        f.defvjp(fwd, bwd)
    got = jax.grad(wrap(lambda x: f(x, THREE)[0]))((TWO, jnp.ones(2)))
    assert got[0] == 30 and got[1].tolist() == [0, 0] and seen[-1] == (True, True, False)

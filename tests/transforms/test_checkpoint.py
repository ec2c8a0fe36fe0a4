"""`filter_checkpoint`: the same values and gradients, with another program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree_util
from jaxprs import all_kinds, jaxpr_kinds
from modules import Affine, affine

import equinox as eqx
from equinox._compat.release import jax_release


class Deep(eqx.Module):
    inner: Affine
    name: str = "deep"

    def __call__(self, x, flag=True):
        y = jnp.sin(self.inner(jnp.sin(self.inner(x))))
        return {"y": y if flag else -y, "name": self.name, "count": jnp.arange(2)}


def deep():
    return Deep(affine())


def loss(call, x):
    return call(x)["y"].sum()


def test_values_and_gradients_stay_the_same(run):
    m = deep()

    def both(x):
        got = eqx.filter_checkpoint(m)(x)
        assert got["name"] is m.name
        grads = eqx.filter_grad(lambda m: loss(eqx.filter_checkpoint(m), x))(m)
        return got["y"], got["count"], grads.inner.weight, grads.inner.bias

    x = jnp.array([0.5, 1.0])
    grads = eqx.filter_grad(lambda m: loss(m, x))(m)
    expected = m(x)["y"], m(x)["count"], grads.inner.weight, grads.inner.bias
    for a, b in zip(run(both, x), expected):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_values_are_computed_once_more_for_the_gradient():
    m, x = deep(), jnp.ones(2)
    gradient = lambda call: all_kinds(lambda x: jax.grad(lambda x: loss(call, x))(x), x).count("sin")  # noqa: E731
    assert gradient(eqx.filter_checkpoint(m)) > gradient(m)


def test_the_jaxpr_is_that_of_plain_jax():
    m, x = deep(), jnp.ones(2)

    def plain(weight, bias, x):
        checkpointed = jax.checkpoint(lambda w, b, x: (jnp.sin(w * jnp.sin(w * x + b) + b), jnp.arange(2)))
        return checkpointed(weight, bias, x)[0]

    filtered = lambda w, b, x: eqx.filter_checkpoint(Deep(Affine(w, b)))(x)["y"]  # noqa: E731
    inputs = m.inner.weight, m.inner.bias, x
    assert jaxpr_kinds(filtered, *inputs) == jaxpr_kinds(plain, *inputs)


def test_anything_goes_in_and_comes_out():
    mark = object()

    @eqx.filter_checkpoint(prevent_cse=False)
    def f(tree, *, flag):
        return tree, flag, mark

    tree = {"x": jnp.ones(2), "text": "text", "function": jnp.sin, "none": None}
    out, flag, same = f(tree, flag=True)
    assert flag is True and same is mark
    assert out["text"] is tree["text"] and out["function"] is tree["function"] and out["none"] is None


def test_it_is_a_pytree_of_its_function():
    m = deep()
    assert tree_util.tree_leaves(eqx.filter_checkpoint(m))[0] is m.inner.weight


def test_a_policy_says_what_is_kept():
    if jax_release(jax) < (0, 2, 21):
        with pytest.raises(NotImplementedError, match="needs JAX 0.2.21 or newer"):
            eqx.filter_checkpoint(jnp.sin, policy=lambda *args, **kwargs: True)
        return
    m, x = deep(), jnp.ones(2)
    sines = {}
    for name in ("everything_saveable", "nothing_saveable"):
        f = eqx.filter_checkpoint(m, policy=getattr(jax.checkpoint_policies, name))
        sines[name] = all_kinds(lambda x: jax.grad(lambda x: loss(f, x))(x), x).count("sin")  # noqa: B023
    assert sines["everything_saveable"] < sines["nothing_saveable"]


def test_wrong_uses_are_refused():
    with pytest.raises(TypeError, match="expects a function or another callable"):
        eqx.filter_checkpoint(3)
    if jax_release(jax) >= (0, 2, 21):
        with pytest.raises(TypeError, match="expects `policy` to be a function, got `int` 3"):
            eqx.filter_checkpoint(jnp.sin, policy=3)

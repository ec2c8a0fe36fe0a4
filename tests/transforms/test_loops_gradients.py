"""Gradients through loops, and what `checkpoint` computes again."""

import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxprs import all_kinds
from loops import STEPS, XS, Cell, cell

import equinox as eqx
from equinox import _compat


def chained(model, xs, **options):
    """A loss that goes through a scan whose carry is the model."""

    def step(carry, x):
        model, state = carry
        state = model(state + x)
        return (model, state), (state, model.mark)

    (_, state), (states, _) = eqx.filter_scan(step, (model, jnp.zeros(2)), xs, **options)
    return state.sum() + (states**2).sum()


def plain_chained(weight, xs):
    state, total = jnp.zeros(2), 0.0
    for x in xs:
        state = jnp.tanh(weight * (state + x))
        total = total + (state**2).sum()
    return state.sum() + total


OPTIONS = {"plain": {}, "reverse": {"reverse": True}, "unrolled": {"unroll": 3}, "checkpoint": {"checkpoint": True}}
if hasattr(jax, "checkpoint_policies"):
    OPTIONS["policy"] = {"checkpoint": jax.checkpoint_policies.everything_saveable}


@pytest.mark.parametrize("options", OPTIONS)
def test_the_gradient_through_a_scan_is_that_of_a_python_loop(options):
    xs = XS[::-1] if options == "reverse" else XS
    expected = jax.grad(plain_chained)(cell().weight, xs)
    got = eqx.filter_grad(ft.partial(chained, **OPTIONS[options]))(cell(), XS)
    assert type(got) is Cell and got.count is None and got.mark is None
    np.testing.assert_allclose(got.weight, expected, rtol=1e-5)


def test_checkpoint_rematerialises_a_step():
    """With it the backward pass computes the step once more. By a policy it may keep everything."""

    def of(**options):
        return all_kinds(
            lambda w: eqx.filter_grad(ft.partial(chained, **options))(eqx.replace(cell(), weight=w), XS), W
        )

    W = cell().weight
    assert of(checkpoint=False) == of() and of().count("tanh") == 1
    assert of(checkpoint=True).count("tanh") == 2
    if "policy" in OPTIONS:
        assert of(**OPTIONS["policy"]).count("tanh") == 1


def test_checkpoint_in_a_loop_leaves_the_compiler_free():
    """Only outside of a loop could the compiler undo the rematerialisation, so nothing need prevent that."""
    step = lambda carry, x: (carry, jnp.sin(x))  # noqa: E731
    jaxpr = jax.make_jaxpr(lambda xs: eqx.filter_scan(step, None, xs, checkpoint=True)[1])(XS)
    (rematerialised,) = jaxpr.jaxpr.eqns[0].params["jaxpr"].jaxpr.eqns
    assert rematerialised.params["prevent_cse"] is False


def test_a_policy_needs_a_release_of_jax():
    if "policy" in OPTIONS:
        _compat.require("filter_scan(checkpoint=policy)")
    else:
        with pytest.raises(NotImplementedError, match=r"`filter_scan\(checkpoint=policy\)` needs JAX 0.2.21 or newer"):
            chained(cell(), XS, checkpoint=lambda *args, **kwargs: True)
    with pytest.raises(TypeError, match="expects `checkpoint` to be a bool or a policy, got `str` 'all'"):
        chained(cell(), XS, checkpoint="all")


def test_fori_loop_with_known_bounds_has_a_gradient():
    def loss(model):
        return eqx.filter_fori_loop(0, STEPS, lambda i, both: (both[0], both[0](both[1] + i)), (model, jnp.ones(2)))[
            1
        ].sum()

    def plain(weight):
        x = jnp.ones(2)
        for i in range(STEPS):
            x = jnp.tanh(weight * (x + i))
        return x.sum()

    np.testing.assert_allclose(eqx.filter_grad(loss)(cell()).weight, jax.grad(plain)(cell().weight), rtol=1e-5)

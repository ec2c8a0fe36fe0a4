"""`filter_make_jaxpr`: the jaxpr of plain JAX on the arrays alone, the shapes of the arrays, and everything else."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import core, lax
from jaxprs import kinds_of
from modules import Affine, Nested

import equinox as eqx

M = Nested(Affine(np.ones((3, 2), np.float32), 2.0), ["text", jnp.tanh])
X = jnp.arange(2.0)


def call(model, x, *, name="name"):
    return {"y": model.rest[1](model(x)), "model": model, "name": name}


def on_arrays(weight, x):
    return weight, jnp.tanh(weight * x + 2.0)


def test_the_jaxpr_is_that_of_plain_jax_on_the_arrays():
    plain = jax.make_jaxpr(on_arrays)(M.first.weight, X)
    for x in (X, jax.ShapeDtypeStruct(X.shape, X.dtype)):
        jaxpr, _, _ = eqx.filter_make_jaxpr(call)(M, x)
        assert kinds_of(jaxpr) == kinds_of(plain) and "tanh" in kinds_of(jaxpr)
        for name in ("invars", "outvars"):
            avals, expected = [[str(v.aval) for v in getattr(j.jaxpr, name)] for j in (jaxpr, plain)]
            assert avals == expected
    values = core.eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, M.first.weight, X)
    for value, expected in zip(values, on_arrays(M.first.weight, X)):
        np.testing.assert_allclose(value, expected)


def test_the_output_is_split_in_shapes_and_everything_else():
    _, shapes, others = eqx.filter_make_jaxpr(call)(M, X, name="other")
    assert (shapes["y"].shape, shapes["y"].dtype, shapes["name"]) == ((3, 2), jnp.float32, None)
    assert shapes["model"].first.weight.shape == (3, 2) and shapes["model"].rest == [None, None]
    assert others["y"] is None and others["name"] == "other"
    assert others["model"].first.weight is None and others["model"].first.bias == 2.0
    assert others["model"].rest is not M.rest and others["model"].rest == M.rest


def test_the_arrays_of_a_model_that_is_called_are_constants():
    model = Affine(jnp.ones((3, 2)), 2.0)
    jaxpr, shapes, others = eqx.filter_make_jaxpr(model)(X)
    assert [x.shape for x in jaxpr.consts] == [(3, 2)]
    assert len(jaxpr.jaxpr.invars) == 1 and shapes.shape == (3, 2) and others is None


def test_collectives_use_the_axes_that_are_given():
    f = eqx.filter_make_jaxpr(lambda x, name: (lax.psum(x, name), name), axis_env=[("batch", 3)])
    jaxpr, _, others = f(X, "batch")
    assert kinds_of(jaxpr)[0].startswith("psum") and others == (None, "batch")


def test_nested_in_other_transformations():
    f = eqx.filter_make_jaxpr(eqx.filter_vmap(eqx.filter_grad(lambda m, x: m(x).sum()), in_axes=(None, 0)))
    _, shapes, others = f(M, jnp.ones((4, 2)))
    assert shapes.first.weight.shape == (4, 3, 2) and shapes.rest == others.rest == [None, None]

"""Modules together with jaxtyping and beartype, which read annotations, functions and classes."""

import jax
import jax.numpy as jnp
import pytest
from type_checkers import import_jaxtyping

import equinox as eqx


def test_annotations_of_jaxtyping():
    """A field may be annotated with a shape and a dtype. A checked function takes a module, traced or not."""
    jaxtyping = import_jaxtyping()
    beartype = pytest.importorskip("beartype", reason="beartype is not installed")

    class Affine(eqx.Module):
        weight: jaxtyping.Float[jnp.ndarray, "m n"]  # noqa: F722

        def __call__(self, x):
            return self.weight @ x

    @jaxtyping.jaxtyped(typechecker=beartype.beartype)
    def apply(model: Affine, x: jaxtyping.Float[jnp.ndarray, "n"]) -> jaxtyping.Float[jnp.ndarray, "m"]:  # noqa: F821
        return model(x)

    model, x = Affine(jnp.ones((3, 2))), jnp.ones(2)
    assert apply(model, x).tolist() == jax.jit(apply)(model, x).tolist() == [2.0] * 3
    with pytest.raises(Exception, match="(?s)x.*(n|1,2)"):
        apply(model, jnp.ones((1, 2)))

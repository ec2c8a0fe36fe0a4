"""`PReLU` and `Lambda`: PyTorch's numbers, and what is a leaf."""

import jax
import jax.numpy as jnp
import pytest
from torch_cases import check, each_case, filled

import equinox as eqx
from equinox.nn import Lambda, PReLU, Sequential


@each_case("activations")
def test_prelu_same_as_pytorch(case):
    """Values and gradients are PyTorch's, with one slope and with a slope for each row."""

    def call(parameters, inputs):
        return {"y": jax.vmap(filled(PReLU(**case["options"]), parameters))(inputs["x"])}

    check(case, call)


def test_prelu():
    """A negative element is multiplied by the slope of its row, in the dtype of the input."""
    prelu = PReLU(0.5, 2)
    x = jnp.array([[-2.0, 2.0], [-4.0, 4.0]])
    assert jax.jit(prelu.__call__)(x).tolist() == [[-1.0, 2.0], [-2.0, 4.0]]
    assert prelu(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    assert PReLU()(jnp.array(-4.0)).tolist() == -1.0
    assert PReLU(dtype=jnp.float16).negative_slope.dtype == jnp.float16
    with pytest.raises(ValueError, match=r"of shape \(2,\) expects .* got an input of shape \(3,\)"):
        prelu(jnp.ones(3))
    with pytest.raises(ValueError, match="Map over a stack"):
        jax.vmap(lambda _: PReLU())(jnp.ones(3))(jnp.ones(3))
    with pytest.raises(TypeError, match="`PReLU` expects `init_alpha` to be a number, got 'a'"):
        PReLU("a")
    with pytest.raises(ValueError, match="`num_parameters` to be at least 1"):
        PReLU(num_parameters=0)


def test_lambda(getkey):
    """A function is structure. A layer in it is data. A key is ignored."""
    assert jax.tree_util.tree_leaves(Lambda(jnp.tanh)) == []
    assert len(jax.tree_util.tree_leaves(Lambda(PReLU()))) == 1
    assert Sequential([Lambda(abs)])(-3, key=getkey()) == 3
    assert eqx.tree_equal(Lambda(abs), Lambda(abs))
    with pytest.raises(TypeError, match="`Lambda` expects `fn` to be a function"):
        Lambda(3)

"""`Einsum`: a weight contracted with the input."""

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest

from equinox.nn import Einsum

CASES = [  # the equation, and the shapes of input, weight and bias
    ("i,io->o", (3,), (3, 2), (1,)),
    ("ti, hoi -> hto", (5, 3), (4, 2, 3), (5, 1)),
    ("i,i->", (3,), (3,), ()),
    ("i,->i", (3,), (), (3,)),
]


@pytest.mark.parametrize("equation, of_input, of_weight, of_bias", CASES, ids=[case[0] for case in CASES])
def test_is_that_of_numpy(equation, of_input, of_weight, of_bias, getkey):
    """The values are NumPy's, plus the bias. The weight is within the bound of the initialisation."""
    layer = Einsum(equation, of_weight, of_bias, key=getkey())
    x = jrandom.normal(getkey(), of_input)
    expected = np.einsum(equation, x, layer.weight) + np.asarray(layer.bias)
    np.testing.assert_allclose(jax.jit(layer.__call__)(x), expected, rtol=1e-5, atol=1e-6)
    bound = 1 if equation == "i,->i" else 3**-0.5
    weights = jax.vmap(lambda key: Einsum(equation, of_weight, key=key).weight)(jrandom.split(getkey(), 50))
    assert 0.5 * bound < np.abs(weights).max() <= bound
    assert Einsum(equation, of_weight, key=getkey()).bias is None


def test_gradient_batch_and_dtypes(getkey):
    """The gradient is the outer product. `vmap` takes a batch. The output has the dtype of the input."""
    layer = Einsum("i,io->o", (3, 2), key=getkey())
    x = jnp.array([1.0, 2.0, 3.0])
    grads = jax.grad(lambda layer: layer(x).sum())(layer)
    np.testing.assert_allclose(grads.weight, np.outer(x, [1, 1]))
    assert jax.vmap(layer)(jnp.ones((5, 3))).shape == (5, 2)
    assert layer(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    assert Einsum("i,io->o", (3, 2), (2,), jnp.float16, key=getkey()).bias.dtype == jnp.float16


def test_initialisers(getkey):
    """The initialisers see the shapes as they are."""
    ones = Einsum("i,oi->o", (2, 3), (2,), weight_init=jax.nn.initializers.ones, bias_init=_sizes, key=getkey())
    np.testing.assert_array_equal(ones(jnp.ones(3)), [5.0, 5.0])


def _sizes(key, shape, dtype):
    return jnp.full(shape, shape[0], dtype)


@pytest.mark.parametrize(
    "equation, message",
    [
        ("io", "It has letters for the axes of the input, a comma"),
        ("i,io", "It has letters for the axes of the input, a comma"),
        ("i,io,o->o", "It has letters for the axes of the input, a comma"),
        ("...i,io->...o", "It has letters for the axes of the input, a comma"),
        ("i,io->oh", "The axis `h` of the output is in neither of the two"),
        ("ii,io->o", "An axis is twice in the input"),
    ],
)
def test_wrong_equation(equation, message, getkey):
    """The error says what is wrong with the equation."""
    with pytest.raises(ValueError, match="`Einsum` expects `equation` to be like .* {}".format(message)):
        Einsum(equation, (3, 2), key=getkey())


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"equation": 3}, TypeError, "`equation` to be a text"),
        ({"shape": (3,)}, ValueError, "`shape` to have the 2 axes `io` of the weight"),
        ({"shape": 3}, TypeError, "`shape` to be a tuple of integers"),
        ({"shape": (3, 0)}, ValueError, r"`shape\[1\]` to be at least 1"),
        ({"bias_shape": (3,)}, ValueError, r"`bias_shape` to broadcast to the output, of shape \(2\), got \(3,\)"),
        ({"bias_shape": (1, 2)}, ValueError, r"`bias_shape` to broadcast to the output, .*, got \(1, 2\)"),
        ({"key": None}, TypeError, "`key` to be a PRNG key"),
    ],
    ids=["equation", "axes", "no tuple", "size", "bias", "axes of the bias", "key"],
)
def test_wrong_arguments(change, error, message):
    """What is wrong is named."""
    given = dict({"equation": "i,io->o", "shape": (3, 2), "key": jrandom.PRNGKey(0)}, **change)
    with pytest.raises(error, match="`Einsum` .*expects " + message):
        Einsum(**given)


def test_wrong_input(getkey):
    """The error names the axes. A batch, and a stack of layers, are told from a wrong shape."""
    layer = Einsum("ti,io->to", (3, 2), key=getkey())
    with pytest.raises(ValueError, match=r"`x` to be one example of shape \(t, 3\), got \(5, 4\)"):
        layer(jnp.ones((5, 4)))
    with pytest.raises(ValueError, match=r"Batch with `jax.vmap\(layer\)\(x\)`"):
        layer(jnp.ones((7, 5, 3)))
    with pytest.raises(ValueError, match=r"`bias_shape` .* of shape \(1, 2\), got \(5, 1\)"):
        Einsum("ti,io->to", (3, 2), (5, 1), key=getkey())(jnp.ones((1, 3)))
    stack = jax.vmap(lambda key: Einsum("ti,io->to", (3, 2), key=key))(jrandom.split(getkey()))
    with pytest.raises(ValueError, match="stacked parameters"):
        stack(jnp.ones((5, 3)))

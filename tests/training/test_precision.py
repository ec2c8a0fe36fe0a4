"""`cast`: the floating-point arrays of a tree in another dtype."""

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest

import equinox as eqx

FLOATS = [jnp.float32, jnp.float16, jnp.bfloat16]


def everything():
    return {
        "float": jnp.ones(2),
        "half": jnp.ones((), jnp.float16),
        "complex": jnp.ones(2, jnp.complex64),
        "integer": jnp.arange(3),
        "flag": jnp.array(True),
        "key": jrandom.PRNGKey(0),
        "numpy": np.ones(2, np.float32),
        "numpy scalar": np.float32(1),
        "text": np.array(["text"]),
        "number": 1.5,
        "bool": False,
        "function": jnp.tanh,
        "none": None,
    }


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: dtype.__name__)
def test_only_floating_point_arrays_change(dtype):
    """Floating-point arrays get the dtype, with their values. All else is the same object."""
    before = everything()
    after = eqx.cast(before, dtype)
    floating = {"float", "half", "numpy", "numpy scalar"}
    for name, x in before.items():
        if name in floating:
            assert after[name].dtype == dtype
            assert isinstance(after[name], (np.ndarray, np.generic)) == name.startswith("numpy")
            np.testing.assert_array_equal(np.asarray(after[name], np.float32), 1)
        else:
            assert after[name] is x


def test_an_array_of_the_dtype_stays():
    """An array that has the dtype is the same object."""
    x = jnp.ones(2)
    assert eqx.cast([x], jnp.float32)[0] is x


def test_complex_arrays_keep_both_parts():
    """A complex array stays complex, also if `dtype` has less precision than its parts."""
    x = np.array([1 + 2j], np.complex128)
    got = eqx.cast(x, jnp.bfloat16)
    assert got.dtype == np.complex64
    np.testing.assert_array_equal(got, x)


def test_filter_chooses_the_arrays(getkey):
    """A function, or a prefix of the tree, says which arrays are converted."""
    layers = [eqx.nn.Linear(2, 2, key=getkey()), eqx.nn.Linear(2, 2, key=getkey())]
    first = eqx.cast(layers, jnp.bfloat16, [True, False])
    assert (first[0].weight.dtype, first[0].bias.dtype) == (jnp.bfloat16, jnp.bfloat16)
    assert first[1].weight is layers[1].weight
    matrices = eqx.cast(layers, jnp.bfloat16, lambda x: x.ndim == 2)
    assert (matrices[1].weight.dtype, matrices[1].bias.dtype) == (jnp.bfloat16, jnp.float32)


@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_gradients_of_mixed_precision_arrive_in_float32(getkey, scale):
    """A loss in bfloat16 gives float32 gradients near those of float32, with and without a scale of the loss."""
    model = eqx.nn.MLP(3, 2, 4, 1, key=getkey())
    x = jrandom.normal(getkey(), (5, 3))

    def loss(model, x):
        return jnp.mean(eqx.cast(jax.vmap(model)(x), jnp.float32) ** 2)

    def mixed(model, x):
        model, x = eqx.cast((model, x), jnp.bfloat16)
        assert jax.vmap(model)(x).dtype == jnp.bfloat16
        return scale * loss(model, x)

    expected = jax.tree_util.tree_leaves(jax.grad(loss)(model, x))
    got = jax.tree_util.tree_leaves(jax.jit(jax.grad(mixed))(model, x))
    assert len(got) == len(expected)
    for a, b in zip(got, expected):
        assert a.dtype == jnp.float32
        np.testing.assert_allclose(a / scale, b, rtol=0.1, atol=0.05)


@pytest.mark.parametrize(
    "dtype, error, message",
    [
        ("no dtype", TypeError, "expects `dtype` to be a dtype, .* got `str` 'no dtype'"),
        (None, TypeError, "expects `dtype` to be a dtype, .* got `NoneType` None"),
        (jnp.int32, ValueError, "expects `dtype` to be floating-point, .* got int32"),
        (jnp.complex64, ValueError, "expects .* got complex64. Complex arrays become complex arrays"),
    ],
    ids=["text", "none", "integer", "complex"],
)
def test_wrong_dtype(dtype, error, message):
    """What is no floating-point dtype is refused."""
    with pytest.raises(error, match="`cast` " + message):
        eqx.cast(jnp.ones(2), dtype)

"""`Embedding` and `RotaryPositionalEmbedding`."""

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from helpers.torch_cases import check, load

import equinox as eqx
from equinox import nn

CASES = {name: case for name, case in load("attention").items() if name.startswith("Embedding")}
TABLE = np.arange(6, dtype=np.float32).reshape(3, 2)
EMBEDDING = nn.Embedding(weight=TABLE)
ROTARY = nn.RotaryPositionalEmbedding(4)


@pytest.mark.parametrize("case", list(CASES.values()), ids=list(CASES))
def test_values_and_gradients_are_those_of_pytorch(case):
    """An index that comes twice gets the sum of the gradients."""
    check(case, lambda parameters, inputs: {"y": jax.vmap(nn.Embedding(**parameters))(inputs["x"])})


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32"])
def test_indices_of_any_integer_dtype(dtype):
    """Concrete and traced, in range and out of range."""
    indices = np.array([2, 0, 100, np.iinfo(dtype).max, np.iinfo(dtype).min or 120]).astype(dtype)
    for index in indices[:2]:
        assert EMBEDDING(index).tolist() == EMBEDDING(jnp.asarray(index)).tolist() == TABLE[index].tolist()
    ys = jax.vmap(EMBEDDING)(jnp.asarray(indices))
    assert ys[:2].tolist() == TABLE[indices[:2]].tolist()
    assert np.isnan(ys[2:]).all()


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_indices_of_64_bits(x64, dtype):
    """A traced index that would be in range in 32 bits is out of range."""
    indices = np.array([2, 2**32 + 1, np.iinfo(dtype).max, np.iinfo(dtype).min or 2**31], dtype)
    ys = jax.vmap(EMBEDDING)(jnp.asarray(indices))
    assert ys[0].tolist() == TABLE[2].tolist()
    assert np.isnan(ys[1:]).all()


def test_python_and_numpy_integers():
    for index in (1, np.int64(1), np.array(1), np.uint8(1)):
        assert EMBEDDING(index).tolist() == [2, 3]


@pytest.mark.parametrize("index", [3, -1, 2**32 + 1, np.int64(2**32 + 1), np.array(-3), jnp.array(7)], ids=repr)
def test_an_index_out_of_range_is_an_error(index):
    """Also one that would be in range in 32 bits."""
    with pytest.raises(ValueError, match="`num_embeddings=3` expects `x` to be from 0 to 2, got {}".format(int(index))):
        EMBEDDING(index)


def test_a_traced_index_out_of_range_is_nan_without_gradient():
    """A negative index too."""
    for index in (3, -1, -4):
        assert np.isnan(jax.jit(EMBEDDING.__call__)(index)).all()
    grads = jax.grad(lambda layer: jnp.nansum(jax.vmap(layer)(jnp.array([1, 3, -1]))))(EMBEDDING)
    assert grads.weight.tolist() == [[0, 0], [1, 1], [0, 0]]


def test_a_sequence_is_one_gather():
    """The compiled program looks up all indices at once, and changes nothing else."""
    if not hasattr(jax.lax, "GatherScatterMode"):
        pytest.skip("a gather has no mode")
    jaxpr = jax.make_jaxpr(jax.vmap(EMBEDDING))(jnp.arange(3, dtype=jnp.int32))
    assert [str(e.primitive) for e in jaxpr.jaxpr.eqns if str(e.primitive) not in ("reshape", "broadcast_in_dim")] == [
        "gather"
    ]


def test_initialisation():
    """Normal, or as the initialiser says, in any dtype."""
    weight = nn.Embedding(50, 40, key=jrandom.PRNGKey(0)).weight
    np.testing.assert_allclose([weight.mean(), weight.std()], [0, 1], atol=0.05)
    ones = nn.Embedding(3, 2, dtype=jnp.bfloat16, weight_init=jax.nn.initializers.ones, key=jrandom.PRNGKey(0))
    assert (ones.weight == 1).all()
    assert ones(2).dtype == jnp.bfloat16
    assert nn.Embedding(3, 2, dtype=jnp.bfloat16, key=jrandom.PRNGKey(0)).weight.dtype == jnp.bfloat16
    complex_weight = nn.Embedding(50, 40, dtype=jnp.complex64, key=jrandom.PRNGKey(0)).weight
    np.testing.assert_allclose(jnp.mean(abs(complex_weight) ** 2), 1, atol=0.1)


# RotaryPositionalEmbedding


def rotated(x, theta=10000.0, offset=0):
    """The rotations as complex numbers, in double precision."""
    x = np.asarray(x, np.float64)
    half = x.shape[1] // 2
    position = np.arange(len(x)) + offset
    z = (x[:, :half] + 1j * x[:, half:]) * np.exp(1j * np.outer(position, theta ** (-np.arange(half) / half)))
    return np.concatenate([z.real, z.imag], 1)


@pytest.mark.parametrize("theta", [10000.0, 10.0])
def test_pairs_are_rotated(theta):
    """With an offset too, also if it is traced."""
    x = np.random.RandomState(0).normal(size=(5, 6)).astype(np.float32)
    rotary = nn.RotaryPositionalEmbedding(6, theta)
    np.testing.assert_allclose(rotary(x), rotated(x, theta), rtol=1e-4, atol=1e-5)
    shifted = jax.jit(lambda x, offset: rotary(x, offset=offset))(x, 7)
    np.testing.assert_allclose(shifted, rotated(x, theta, 7), rtol=1e-4, atol=1e-5)


def test_rotations_have_no_leaves_and_keep_the_dtype():
    """The angles are in float32, whatever the dtype."""
    assert jax.tree_util.tree_leaves(ROTARY) == []
    x = np.ones((300, 4), np.float32)
    for dtype in (None, jnp.float32):
        y = nn.RotaryPositionalEmbedding(4, dtype=dtype)(jnp.asarray(x, jnp.bfloat16))
        assert y.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(y, np.float32), rotated(x), atol=1e-2)
    assert nn.RotaryPositionalEmbedding(4, dtype=jnp.float16)(jnp.asarray(x)).dtype == jnp.float32
    assert eqx.filter_eval_shape(ROTARY, x).shape == (300, 4)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: EMBEDDING(1.0), TypeError, "`x` to be an integer, got 1.0"),
        (lambda: EMBEDDING(True), TypeError, "`x` to be an integer, got True"),
        (lambda: EMBEDDING(np.float32(1)), TypeError, "`x` to be an integer, got an array of float32"),
        (lambda: EMBEDDING([1, 2]), TypeError, "`x` to be an integer, got a list of 2"),
        (lambda: jax.jit(EMBEDDING.__call__)(1.0), TypeError, "`x` to be an integer, got an array of float"),
        (lambda: EMBEDDING(np.arange(2)), ValueError, r"got an array of shape \(2,\).*`jax.vmap\(layer\)\(x\)`"),
        (lambda: nn.Embedding(3, key=jrandom.PRNGKey(0)), ValueError, "needs `embedding_size`"),
        (lambda: nn.Embedding(3, 2), TypeError, "`key` to be a PRNG key"),
        (lambda: nn.Embedding(0, 2, key=jrandom.PRNGKey(0)), ValueError, "`num_embeddings` to be at least 1"),
        (lambda: nn.Embedding(4, weight=TABLE), ValueError, r"`num_embeddings=4` and `weight` of shape \(3, 2\)"),
        (lambda: nn.Embedding(weight=TABLE[0]), ValueError, r"shape \(num_embeddings, embedding_size\), got \(2,\)"),
        (
            lambda: nn.Embedding(weight=TABLE.astype(int)),
            TypeError,
            "`weight` to be floating-point or complex, got int",
        ),
        (
            lambda: nn.Embedding(weight=TABLE * 1j, dtype=jnp.float32),
            ValueError,
            "`dtype` to be complex as `weight` is, got float32 for complex64",
        ),
        (lambda: nn.Embedding(weight=3), TypeError, "`weight` to be an array, got 3"),
        (lambda: nn.Embedding(weight=TABLE, weight_init=jax.nn.initializers.ones), ValueError, "Pass one of them"),
        (
            lambda: jax.vmap(lambda key: nn.Embedding(3, 2, key=key))(jrandom.split(jrandom.PRNGKey(0)))(1),
            ValueError,
            "stacked parameters",
        ),
        (lambda: nn.RotaryPositionalEmbedding(3), ValueError, "`embedding_size` to be even.* got 3"),
        (lambda: nn.RotaryPositionalEmbedding(4, theta=0), ValueError, "`theta` to be at least 1"),
        (lambda: nn.RotaryPositionalEmbedding(4, dtype=jnp.complex64), ValueError, "`dtype` to be floating-point"),
        (lambda: ROTARY(np.ones((3, 5))), ValueError, r"`x` .* \(seq_length, 4\), got \(3, 5\)"),
        (lambda: ROTARY(np.ones((2, 3, 4))), ValueError, r"Batch with `jax.vmap\(layer\)\(x\)`"),
        (lambda: ROTARY(np.ones((3, 4), np.complex64)), TypeError, "`x` to be floating-point, got complex64"),
        (lambda: ROTARY(np.ones((3, 4)), offset=1.5), TypeError, "`offset` to be an integer, got 1.5"),
        (lambda: ROTARY(np.ones((3, 4)), offset=np.ones(2, int)), ValueError, r"`offset` to be one position .* \(2,\)"),
    ],
    ids=lambda x: x.__name__ if isinstance(x, type) else "",
)
def test_errors_say_what_to_do(call, error, message):
    with pytest.raises(error, match=message):
        call()

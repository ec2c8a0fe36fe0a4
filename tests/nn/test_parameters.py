"""How the layers of 0.0.1 take `use_bias`, `dtype`, initialisers and `"scalar"`, and in which dtype they compute."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import equinox as eqx
from equinox.nn import MLP, Dropout, GRUCell, Linear, LSTMCell, RNNCell

LAYERS = pytest.mark.parametrize("layer", [Linear, RNNCell, GRUCell, LSTMCell], ids=lambda x: x.__name__)


def leaves(tree):
    return jax.tree_util.tree_leaves(tree)


def call(layer, x, h):
    """Call `layer` on `x`, and on a state of arrays like `h` if it is a cell."""
    return layer(x) if isinstance(layer, Linear) else layer(x, (h, h) if isinstance(layer, LSTMCell) else h)


@LAYERS
def test_bias_has_two_names(layer, getkey):
    """`use_bias` is `bias` by another name. Both at once are refused."""
    for without in ({"bias": False}, {"use_bias": False}):
        assert sorted(x.ndim for x in leaves(layer(2, 3, key=getkey(), **without))) in ([2], [2, 2])
    key = getkey()
    assert eqx.tree_equal(layer(2, 3, use_bias=True, key=key), layer(2, 3, key=key))
    message = "`{}` takes `bias` and `use_bias` .* got both".format(layer.__name__)
    for bias in (True, False):
        for use_bias in (True, False):
            with pytest.raises(TypeError, match=message):
                layer(2, 3, bias, use_bias=use_bias, key=getkey())
            with pytest.raises(TypeError, match=message):
                layer(2, 3, bias=bias, use_bias=use_bias, key=getkey())
    assert eqx.tree_equal(layer(2, 3, False, use_bias=None, key=key), layer(2, 3, use_bias=False, key=key))
    with pytest.raises(TypeError, match="`{}` expects `use_bias` to be `True` or `False`".format(layer.__name__)):
        layer(2, 3, use_bias="no", key=getkey())


@LAYERS
def test_dtype_of_parameters(layer, getkey):
    """`dtype` is that of all parameters. Another kind of dtype is refused."""
    assert {x.dtype for x in leaves(layer(2, 3, dtype=jnp.bfloat16, key=getkey()))} == {jnp.dtype(jnp.bfloat16)}
    assert {x.dtype for x in leaves(layer(2, 3, True, jnp.complex64, key=getkey()))} == {jnp.dtype(jnp.complex64)}
    with pytest.raises(ValueError, match="`{}` expects `dtype` to be floating-point".format(layer.__name__)):
        layer(2, 3, dtype=jnp.int32, key=getkey())
    with pytest.raises(TypeError, match="`{}` expects `dtype` to be a dtype".format(layer.__name__)):
        layer(2, 3, dtype="wide", key=getkey())


@LAYERS
def test_initialisers(layer, getkey):
    """`weight_init` sees `(input, output)`, as the initialisers of JAX expect, and `bias_init` the shape of a bias."""
    seen = []

    def count(key, shape, dtype):
        seen.append(shape)
        return jnp.arange(np.prod(shape), dtype=dtype).reshape(shape)

    made = layer(2, 3, weight_init=count, bias_init=count, key=getkey())
    assert set(seen) == {x.shape[::-1] for x in leaves(made)}
    for x in leaves(made):
        np.testing.assert_array_equal(x.T.ravel(), np.arange(x.size))
    with pytest.raises(ValueError, match="`weight_init` of `{}` must return".format(layer.__name__)):
        layer(2, 3, weight_init=lambda key, shape, dtype: jnp.zeros(1), key=getkey())
    with pytest.raises(TypeError, match="`{}` expects `bias_init` to be a function".format(layer.__name__)):
        layer(2, 3, bias_init=0.0, key=getkey())


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda **o: eqx.nn.LayerNorm(3, **o),
            r"`weight_init` of `LayerNorm` .* shape \(3,\) .*any shape, such as `normal`",
        ),
        (lambda **o: eqx.nn.GroupNorm(1, 4, **o), r"`weight_init` of `GroupNorm` .* shape \(4,\)"),
        (
            lambda key, **o: eqx.nn.BatchNorm(3, "batch", **o),
            "`weight_init` of `BatchNorm` .* got no key. Pass a PRNG key",
        ),
        (
            lambda **o: Linear(3, 4, bias_init=o["weight_init"], key=o["key"]),
            r"`bias_init` of `Linear` .* shape \(4,\)",
        ),
    ],
    ids=["LayerNorm", "GroupNorm", "BatchNorm", "Linear"],
)
def test_initialiser_that_fails(make, message, getkey):
    """The error names the layer, the argument, the shape and what to do. It keeps the words of the initialiser."""
    for init in (jax.nn.initializers.he_normal(), fails):
        with pytest.raises(ValueError, match=message):
            make(weight_init=init, key=getkey())
    with pytest.raises(ValueError, match="float32: only matrices. "):
        make(weight_init=fails, key=getkey())


def fails(key, shape, dtype):
    raise TypeError("only matrices")


def test_missing_key():
    """The error names the class and the argument, also if the class inherits `__init__`."""
    for cls in (Linear, GRUCell, eqx.nn.LSTM, eqx.nn.Conv2d):
        sizes = (2, 3, 3) if cls is eqx.nn.Conv2d else (2, 3)
        with pytest.raises(
            TypeError, match="^`{}.__init__` got wrong .*'key'. Pass a PRNG key: `key=".format(cls.__name__)
        ):
            cls(*sizes)


@LAYERS
def test_computes_in_the_dtype_of_the_input(layer, getkey):
    """float32 parameters and bfloat16 inputs give bfloat16. A state in float32 stays float32."""
    made = layer(2, 3, key=getkey())

    def dtypes(x, h):
        return {x.dtype for x in leaves(jax.eval_shape(call, made, x, h))}

    half, single = jnp.ones(2, jnp.bfloat16), jnp.zeros(3, jnp.float32)
    assert dtypes(half, jnp.zeros(3, jnp.bfloat16)) == {jnp.dtype(jnp.bfloat16)}
    assert dtypes(half, single) == {jnp.dtype(jnp.bfloat16 if layer is Linear else jnp.float32)}
    for x, expected in zip(leaves(call(made, np.ones(2), np.zeros(3))), leaves(call(made, jnp.ones(2), single))):
        np.testing.assert_allclose(x, expected, rtol=1e-6)


def test_scalars(getkey):
    """A `"scalar"` is an array of shape `()`. It counts as a vector of one element."""
    key = getkey()
    x = jnp.array(2.0)
    for cls, more in ((Linear, ()), (MLP, (4, 1))):
        one = cls(1, 1, *more, key=key)(x[None])
        assert cls("scalar", 1, *more, key=key)(x).tolist() == one.tolist()
        both = cls("scalar", "scalar", *more, key=key)
        assert jax.jit(both.__call__)(x).shape == () and jax.vmap(both)(jnp.ones(3)).shape == (3,)
        np.testing.assert_allclose(both(x), one[0], rtol=1e-6)
        with pytest.raises(ValueError, match=r"`in_features='scalar'` expects `input` to be one example of shape \(\)"):
            both(jnp.ones(3))
        with pytest.raises(TypeError, match="to be an integer of at least 1, got 'number'"):
            cls("number", 1, *more, key=key)


def test_options_of_mlp(getkey):
    """The last layer has its own option for the bias. `dtype` and initialisers reach each layer."""
    mlp = MLP(2, 3, 4, 2, use_bias=False, dtype=jnp.float16, bias_init=jax.nn.initializers.ones, key=getkey())
    assert [layer.bias is None for layer in mlp.layers] == [True, True, False]
    assert mlp.layers[-1].bias.tolist() == [1.0] * 3
    assert {x.dtype for x in leaves(mlp)} == {jnp.dtype(jnp.float16)}
    mlp = MLP(2, 3, 4, 1, use_final_bias=False, weight_init=jax.nn.initializers.zeros, key=getkey())
    assert [layer.bias is None for layer in mlp.layers] == [False, True]
    assert not any(layer.weight.any() for layer in mlp.layers)
    for name in ("use_bias", "use_final_bias"):
        with pytest.raises(TypeError, match="`MLP` expects `{}` to be `True` or `False`".format(name)):
            MLP(2, 3, 4, 1, **{name: None}, key=getkey())


def test_flag_of_dropout_has_two_names(getkey):
    """`inference` is `deterministic` by another name: when the layer is made, read and called."""
    x, dropout = jnp.ones(50), Dropout(inference=True)
    assert dropout.deterministic is True and dropout.inference is True and dropout(x) is x
    assert eqx.tree_at(lambda d: d.deterministic, dropout, False).inference is False
    assert Dropout()(x, inference=True) is x
    assert (dropout(x, inference=False, key=getkey()) == 0).any()
    message = "`Dropout` takes `deterministic` and `inference` as two names of one argument"
    for flag in (True, False):
        with pytest.raises(TypeError, match=message):
            Dropout(0.5, flag, inference=False)
        with pytest.raises(TypeError, match=message):
            dropout(x, deterministic=flag, inference=True)

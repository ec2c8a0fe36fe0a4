"""Convolutions: PyTorch's numbers, and the laws of a convolution."""

import functools as ft

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from helpers.jaxprs import all_kinds
from helpers.layer_laws import check_under_transformations, drawn, randoms
from helpers.torch_cases import check, each_case, filled

import equinox as eqx
from equinox import nn

KEY = jrandom.PRNGKey(0)


@each_case("conv", "Conv1d", "Conv2d", "Conv3d")
def test_values_and_gradients_are_those_of_pytorch(case):
    """Over stride, dilation, groups, and padding of each kind and mode."""
    options = dict(case["options"])
    conv = drawn(getattr(nn, options.pop("kind")), **options)

    def call(parameters, inputs):
        return {"y": jax.vmap(filled(conv, parameters))(inputs["x"])}

    check(case, call)


def by_loops(conv, x):
    """The formula of the docstring in one dimension, with what the padding holds found by its index."""
    (kernel,), (stride,), (dilation,) = conv.kernel_size, conv.stride, conv.dilation
    extent, size = (kernel - 1) * dilation + 1, x.shape[1]
    if isinstance(conv.padding, str):
        outputs = -(-size // stride)
        total = max((outputs - 1) * stride + extent - size, 0)
        before = total // 2 if conv.padding == "SAME" else total - total // 2
        after = total - before
    else:
        ((before, after),) = conv.padding
        outputs = max((before + size + after - extent) // stride + 1, 0)

    def at(channel, i):
        if conv.padding_mode == "CIRCULAR":
            i = i % size
        elif conv.padding_mode == "REPLICATE":
            i = min(max(i, 0), size - 1)
        elif conv.padding_mode == "REFLECT":
            while not 0 <= i < size:
                i = -i if i < 0 else 2 * (size - 1) - i
        return x[channel, i] if 0 <= i < size else 0.0

    weight = np.asarray(conv.weight, float)
    y = np.zeros((conv.out_channels, outputs))
    inputs, outputs_of_group = conv.in_channels // conv.groups, conv.out_channels // conv.groups
    for o, i in np.ndindex(*y.shape):
        first = o // outputs_of_group * inputs
        y[o, i] = conv.bias[o, 0]
        for c, k in np.ndindex(inputs, kernel):
            y[o, i] += weight[o, c, k] * at(first + c, i * stride + k * dilation - before)
    return y


sizes = st.integers(1, 4)
paddings = st.one_of(
    st.integers(0, 3),
    st.tuples(st.tuples(st.integers(0, 3), st.integers(0, 3))),
    st.sampled_from(["same", "SAME_LOWER"]),
)


@hypothesis.settings(max_examples=15)
@hypothesis.given(
    length=st.integers(2, 6),
    kernel=sizes,
    stride=sizes,
    padding=paddings,
    dilation=st.integers(1, 2),
    groups=st.integers(1, 2),
    mode=st.sampled_from(["zeros", "REFLECT", "REPLICATE", "CIRCULAR"]),
)
def test_formula(length, kernel, stride, padding, dilation, groups, mode):
    """The output is the sum of the docstring, or an error says that the kernel doesn't fit."""
    conv = drawn(nn.Conv1d, groups, 2 * groups, kernel, stride, padding, dilation, groups, padding_mode=mode)
    x = randoms(groups, length)
    expected = by_loops(conv, x)
    if expected.shape[1] < 1:
        with pytest.raises(ValueError, match="`Conv1d` expects a kernel that fits into the padded input"):
            conv(x)
    else:
        np.testing.assert_allclose(conv(x), expected, rtol=1e-4, atol=1e-5)


@hypothesis.given(st.data())
def test_shapes(data):
    """The sizes of the output are those of the formula, in one to four dimensions."""
    dimensions = data.draw(st.integers(1, 4))

    def draw(*bounds):
        return data.draw(st.tuples(*[st.integers(*bounds)] * dimensions))

    size, kernel, stride, dilation, before, after = (draw(*b) for b in ((6, 8), (1, 3), (1, 3), (1, 2), (0, 2), (0, 2)))
    key = jax.ShapeDtypeStruct(KEY.shape, KEY.dtype)
    make = ft.partial(nn.Conv, dimensions, 2, 3, kernel, stride, tuple(zip(before, after)), dilation)
    conv = eqx.filter_eval_shape(make, key=key)
    assert conv.weight.shape == (3, 2) + kernel
    assert conv.bias.shape == (3,) + (1,) * dimensions
    x = jax.ShapeDtypeStruct((2,) + size, jnp.float32)
    expected = tuple(
        (n + b + a - d * (k - 1) - 1) // s + 1
        for n, b, a, d, k, s in zip(size, before, after, dilation, kernel, stride)
    )
    assert eqx.filter_eval_shape(conv, x).shape == (3,) + expected


@pytest.mark.parametrize("padding", ["same", "SAME_LOWER"])
def test_translation_equivariance(padding):
    """With circular padding, the convolution of a rolled input is the rolled convolution."""
    conv = nn.Conv2d(2, 3, (3, 2), padding=padding, padding_mode="CIRCULAR", key=KEY)
    x = randoms(2, 4, 5)
    rolled = np.roll(x, (1, 3), (1, 2))
    np.testing.assert_allclose(conv(rolled), np.roll(conv(x), (1, 3), (1, 2)), rtol=1e-4, atol=1e-5)


def test_under_transformations():
    make = ft.partial(nn.Conv2d, 2, 4, 3, groups=2, padding=1)
    stacked = r"`weight` has shape \(3, 4, 1, 3, 3\), expected \(4, 1, 3, 3\).*Map over the"
    check_under_transformations(make, randoms(3, 2, 4, 5), stacked)


def test_a_batch_is_one_convolution():
    """`vmap` over the inputs alone makes no groups."""
    conv = nn.Conv2d(2, 4, 3, key=KEY)
    jaxpr = jax.make_jaxpr(jax.vmap(conv))(randoms(5, 2, 4, 4)).jaxpr
    (equation,) = [e for e in jaxpr.eqns if e.primitive.name == "conv_general_dilated"]
    assert (equation.params["feature_group_count"], equation.params["batch_group_count"]) == (1, 1)
    assert equation.invars[0].aval.shape == (5, 2, 4, 4)
    assert set(all_kinds(conv, randoms(2, 4, 4))) <= {
        "broadcast_in_dim",
        "reshape",
        "conv_general_dilated",
        "squeeze",
        "add",
    }


def test_computes_in_the_dtype_of_the_input():
    """Integers are converted to the dtype of the parameters. Complex parameters make a complex output."""
    conv, x = nn.Conv1d(2, 3, 2, key=KEY), randoms(2, 4)
    for dtype in (jnp.bfloat16, jnp.float16):
        low = conv(jnp.asarray(x, dtype))
        assert low.dtype == dtype
        np.testing.assert_allclose(np.asarray(low, np.float32), conv(x), rtol=5e-2, atol=5e-2)
    assert conv(jnp.arange(8).reshape(2, 4)).dtype == jnp.float32
    assert nn.Conv1d(2, 3, 2, dtype=jnp.bfloat16, key=KEY).weight.dtype == jnp.bfloat16
    over_c = nn.Conv1d(1, 2, 2, dtype=jnp.complex64, padding_mode="CIRCULAR", padding=1, key=KEY)
    x = (randoms(1, 4) + 1j * randoms(1, 4)[:, ::-1]).astype(np.complex64)
    at = x[0, np.array([[3, 0], [0, 1], [1, 2], [2, 3], [3, 0]])]
    np.testing.assert_allclose(over_c(x), over_c.weight[:, 0] @ at.T + over_c.bias, rtol=1e-5, atol=1e-6)


def test_in_double_precision(x64):
    """With x64, parameters and results are exact to double precision."""
    conv = nn.Conv1d(2, 2, 3, padding="SAME", key=KEY)
    x = np.random.RandomState(0).normal(size=(2, 4))
    assert conv.weight.dtype == conv(x).dtype == jnp.float64
    np.testing.assert_allclose(conv(x), by_loops(conv, x), rtol=1e-12)


def test_initialisation():
    """Uniform within PyTorch's bound. An initialiser sees the weight in JAX's layout."""
    conv = nn.Conv2d(16, 8, (3, 2), groups=2, key=KEY)
    bound = 1 / np.sqrt(8 * 6)
    assert 0.9 * bound < np.abs(conv.weight).max() <= bound
    assert 0 < np.abs(conv.bias).max() <= bound
    seen = []

    def init(key, shape, dtype):
        seen.append(shape)
        return jnp.arange(np.prod(shape), dtype=dtype).reshape(shape)

    conv = nn.Conv2d(4, 6, (3, 2), groups=2, weight_init=init, bias_init=init, key=KEY)
    assert seen == [(3, 2, 2, 6), (6, 1, 1)]
    np.testing.assert_array_equal(conv.weight, np.arange(72).reshape(3, 2, 2, 6).transpose(3, 2, 0, 1))
    assert nn.Conv2d(4, 6, 3, use_bias=False, key=KEY).bias is None


def test_shapes_are_read_off_the_weight():
    """`tree_at` may change the size of the kernel and the channels."""
    conv = nn.Conv1d(2, 3, 3, padding="SAME", use_bias=False, key=KEY)
    wider = eqx.tree_at(lambda c: c.weight, conv, randoms(4, 1, 5))
    assert wider(randoms(1, 6)).shape == (4, 6)


make = ft.partial(nn.Conv2d, key=KEY)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: make(2, 3, 3)(randoms(5, 2, 4, 4)),
            ValueError,
            r"`in_channels=2` .*\(2, height, width\), got \(5, .*vmap",
        ),
        (lambda: make(2, 3, 3)(randoms(3, 4, 4)), ValueError, "make the layer with another `in_channels`"),
        (
            lambda: make(2, 3, 3)("x"),
            TypeError,
            r"`Conv2d` .* expects `x` to be an array of shape \(2, height, width\)",
        ),
        (
            lambda: make(2, 3, 3, dilation=2, padding=(0, 1))(randoms(2, 4, 4)),
            ValueError,
            r"covers \(5, 5\) and an input of sizes \(4, 4\), padded to \(4, 6\)",
        ),
        (lambda: make(2, 3, 3, groups=2), ValueError, "`groups` to divide .*got 2 groups for 2 and 3 channels"),
        (lambda: make(0, 3, 3), ValueError, "`in_channels` to be at least 1, got 0"),
        (lambda: make(2, 3, (3,)), ValueError, "`kernel_size` .* each of its 2 spatial dimensions, got a tuple of 1"),
        (lambda: make(2, 3, 3, stride=0), ValueError, "`stride` to be at least 1, got 0"),
        (lambda: make(2, 3, 3, dilation=1.0), TypeError, "`dilation` to be an integer of at least 1, got 1.0"),
        (lambda: make(2, 3, 3, padding=-1), ValueError, "`padding` to be at least 0, got -1"),
        (lambda: make(2, 3, 3, padding=(1, (1, -1))), ValueError, r"`padding\[1\]\[1\]` to be at least 0, got -1"),
        (lambda: make(2, 3, 3, padding=(1, (1, 1, 1))), ValueError, r"`padding\[1\]` .*before and after"),
        (lambda: make(2, 3, 3, padding=(1,)), ValueError, "a pair of integers for each of its 2 spatial dimensions"),
        (lambda: make(2, 3, 3, padding="full"), ValueError, "'SAME', 'SAME_LOWER', 'VALID' or integers, got 'full'"),
        (lambda: make(2, 3, 3, padding_mode="ones"), ValueError, "`padding_mode` to be one of 'ZEROS', .* got 'ones'"),
        (lambda: make(2, 3, 3, padding_mode=None), TypeError, "`padding_mode` to be a string, got None"),
        (
            lambda: make(2, 3, 1, padding=1, padding_mode="REFLECT")(randoms(2, 4, 0)),
            ValueError,
            r"`Conv2d` with `padding_mode='REFLECT'` expects .* no spatial axis of length 0, .* got shape \(2, 4, 0\)",
        ),
        (lambda: make(2, 3, 3, use_bias=1), TypeError, "`use_bias` to be `True` or `False`, got 1"),
        (lambda: nn.Conv2d(2, 3, 3, key=None), TypeError, "`Conv2d` expects `key` to be a PRNG key"),
        (lambda: nn.Conv(0, 2, 3, 3, key=KEY), ValueError, "`Conv` expects `num_spatial_dims` to be at least 1, got 0"),
    ],
    ids=map(str, range(19)),
)
def test_errors(call, error, message):
    """They name the layer, the argument, what came and what to do."""
    with pytest.raises(error, match=message):
        call()

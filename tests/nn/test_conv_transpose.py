"""Transposes of convolutions: PyTorch's numbers, and that they are transposes."""

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


def swapped(weight, groups):
    """The weight of the transpose: the first two axes are swapped in each group."""
    first, second, *kernel = weight.shape
    grouped = weight.reshape(groups, first // groups, second, *kernel)
    return jnp.swapaxes(grouped, 1, 2).reshape(groups * second, first // groups, *kernel)


@each_case("conv", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
def test_values_and_gradients_are_those_of_pytorch(case):
    """Over stride, padding, output padding, dilation and groups."""
    options = dict(case["options"])
    conv = drawn(getattr(nn, options.pop("kind")), **options)

    def call(parameters, inputs):
        return {"y": jax.vmap(filled(conv, parameters))(inputs["x"])}

    check(case, call)


paddings = st.one_of(
    st.integers(0, 2),
    st.tuples(st.tuples(st.integers(0, 2), st.integers(0, 2))),
    st.sampled_from(["SAME", "SAME_LOWER"]),
)


@hypothesis.settings(max_examples=12)
@hypothesis.given(
    length=st.integers(5, 6),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=paddings,
    more=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.integers(1, 2),
    mode=st.sampled_from(["ZEROS", "REFLECT", "REPLICATE", "CIRCULAR"]),
)
def test_is_the_transpose_of_conv(length, kernel, stride, padding, more, dilation, groups, mode):
    """`<conv(y), x> == <y, transpose(x)>`, where both have the same options and the same weight."""
    channels = 2 * groups, groups
    options = {"groups": groups, "use_bias": False, "padding_mode": mode}
    more = min(more, stride - 1)
    transpose = drawn(nn.ConvTranspose, 1, *channels, kernel, stride, padding, more, dilation, **options)
    conv = drawn(nn.Conv, 1, *channels[::-1], kernel, stride, padding, dilation, **options)
    conv = eqx.replace(conv, weight=swapped(transpose.weight, groups))
    x = randoms(channels[0], length)
    image = transpose(x)
    y = randoms(*image.shape)
    np.testing.assert_allclose(np.vdot(conv(y), x), np.vdot(y, image), rtol=1e-3, atol=1e-4)


@hypothesis.given(st.data())
def test_shapes(data):
    """The sizes of the output are those of the formula, in one to four dimensions. `Conv` brings back the input's."""
    dimensions = data.draw(st.integers(1, 4))

    def draw(*bounds):
        return data.draw(st.tuples(*[st.integers(*bounds)] * dimensions))

    size, kernel, stride, dilation, before, after = (draw(*b) for b in ((5, 7), (1, 3), (1, 3), (1, 2), (0, 2), (0, 2)))
    more = tuple(data.draw(st.integers(0, s - 1)) for s in stride)
    key = jax.ShapeDtypeStruct(KEY.shape, KEY.dtype)
    padding = tuple(zip(before, after))
    make = ft.partial(nn.ConvTranspose, dimensions, 2, 3, kernel, stride, padding, more, dilation)
    transpose = eqx.filter_eval_shape(make, key=key)
    assert transpose.weight.shape == (3, 2) + kernel
    y = eqx.filter_eval_shape(transpose, jax.ShapeDtypeStruct((2,) + size, jnp.float32))
    expected = zip(size, before, after, dilation, kernel, stride, more)
    assert y.shape == (3,) + tuple((n - 1) * s - b - a + d * (k - 1) + 1 + m for n, b, a, d, k, s, m in expected)
    conv = eqx.filter_eval_shape(ft.partial(nn.Conv, dimensions, 3, 2, kernel, stride, padding, dilation), key=key)
    assert eqx.filter_eval_shape(conv, y).shape == (2,) + size


def test_same_multiplies_the_sizes():
    """By the stride. The output padding is subtracted."""
    for padding in ("SAME", "SAME_LOWER"):
        assert nn.ConvTranspose1d(1, 1, 4, 3, padding=padding, key=KEY)(randoms(1, 5)).shape == (1, 15)
        assert nn.ConvTranspose1d(1, 1, 4, 3, 2, padding, key=KEY)(randoms(1, 5)).shape == (1, 13)


def test_under_transformations():
    """In another mode of padding too."""
    make = ft.partial(nn.ConvTranspose2d, 4, 2, 3, 2, groups=2, padding=1, padding_mode="REFLECT")
    stacked = r"`weight` has shape \(3, 2, 2, 3, 3\), expected \(2, 2, 3, 3\).*Map over the"
    check_under_transformations(make, randoms(3, 4, 3, 2), stacked)


def test_a_batch_is_one_convolution():
    """`vmap` over the inputs alone makes no groups, and nothing else is computed."""
    conv = nn.ConvTranspose2d(2, 4, 3, 2, key=KEY)
    jaxpr = jax.make_jaxpr(jax.vmap(conv))(randoms(5, 2, 4, 4)).jaxpr
    (equation,) = [e for e in jaxpr.eqns if e.primitive.name == "conv_general_dilated"]
    assert (equation.params["feature_group_count"], equation.params["batch_group_count"]) == (1, 1)
    assert equation.invars[0].aval.shape == (5, 2, 4, 4)
    kinds = {"broadcast_in_dim", "reshape", "rev", "conv_general_dilated", "squeeze", "add"}
    assert set(all_kinds(conv, randoms(2, 4, 4))) <= kinds


def test_computes_in_the_dtype_of_the_input():
    """So does the transpose of the padding. Nothing is conjugated."""
    conv, x = nn.ConvTranspose1d(2, 3, 3, padding=1, padding_mode="CIRCULAR", key=KEY), randoms(2, 4)
    low = conv(jnp.asarray(x, jnp.bfloat16))
    assert low.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(low, np.float32), conv(x), rtol=5e-2, atol=5e-2)
    assert conv(jnp.arange(8).reshape(2, 4)).dtype == jnp.float32
    in_complex = eqx.replace(conv, weight=conv.weight * (1 + 2j), bias=conv.bias * (1 + 2j))(x)
    np.testing.assert_allclose(in_complex, np.asarray(conv(x)) * (1 + 2j), rtol=1e-5, atol=1e-5)


def test_in_double_precision(x64):
    """With x64, the transpose is exact to double precision."""
    options = {"padding": 1, "padding_mode": "REPLICATE", "use_bias": False, "key": KEY}
    transpose, conv = nn.ConvTranspose1d(2, 1, 3, **options), nn.Conv1d(1, 2, 3, **options)
    conv = eqx.replace(conv, weight=swapped(transpose.weight, 1))
    x, y = (np.random.RandomState(i).normal(size=(2 - i, 4)) for i in range(2))
    assert transpose(x).dtype == jnp.float64
    np.testing.assert_allclose(np.vdot(conv(y), x), np.vdot(y, transpose(x)), rtol=1e-12)


def test_initialisation():
    """Uniform within PyTorch's bound. An initialiser sees the weight in JAX's layout."""
    conv = nn.ConvTranspose2d(8, 16, (3, 2), groups=2, key=KEY)
    bound = 1 / np.sqrt(8 * 6)
    assert 0.9 * bound < np.abs(conv.weight).max() <= bound
    assert 0 < np.abs(conv.bias).max() <= bound
    seen = []

    def init(key, shape, dtype):
        seen.append(shape)
        return jnp.zeros(shape, dtype)

    conv = nn.ConvTranspose2d(4, 6, (3, 2), groups=2, weight_init=init, bias_init=init, key=KEY)
    assert seen == [(3, 2, 2, 6), (6, 1, 1)]
    assert conv.weight.shape == (6, 2, 3, 2)
    assert nn.ConvTranspose2d(4, 6, 3, use_bias=False, key=KEY).bias is None


make = ft.partial(nn.ConvTranspose2d, key=KEY)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: make(2, 3, 3)(randoms(5, 2, 4, 4)),
            ValueError,
            r"`in_channels=2` .*\(2, height, width\), got \(5, .*vmap",
        ),
        (
            lambda: make(2, 3, 2, padding=2)(randoms(2, 4, 3)),
            ValueError,
            r"no output for an input of sizes \(4, 3\): with `padding` \(\(2, 2\), .* covers \(2, 2\), .* are \(1, 0\)",
        ),
        (lambda: make(2, 3, 2, padding="SAME")(randoms(2, 0, 3)), ValueError, r"no output for .* sizes \(0, 3\): with"),
        (lambda: make(2, 3, 3, 2, 2), ValueError, r"to be smaller than the stride or the dilation, got \(2, 2\)"),
        (
            lambda: make(2, 3, 3, (2, 1), 1, "same", dilation=2),
            ValueError,
            r"smaller than the stride if `padding` is 'SAME', got \(1, 1\) for stride \(2, 1\)",
        ),
        (lambda: make(2, 3, 3, output_padding=-1), ValueError, "`output_padding` to be at least 0, got -1"),
        (lambda: make(2, 3, 3, output_padding=(0,)), ValueError, "`output_padding` to be an integer, or one for each"),
        (
            lambda: make(2, 3, 3, groups=2),
            ValueError,
            "`ConvTranspose2d` expects `groups` to divide .*2 and 3 channels",
        ),
    ],
    ids=map(str, range(8)),
)
def test_errors(call, error, message):
    """They name the layer, the argument, what came and what to do."""
    with pytest.raises(error, match=message):
        call()

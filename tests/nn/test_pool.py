"""Pooling: PyTorch's numbers, a loop over the windows in NumPy, and what averages and maxima have in common."""

import itertools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.layer_laws import randoms
from helpers.torch_cases import check, load
from jax import lax

import equinox as eqx
from equinox import nn

CASES = load("pool")


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("Adaptive")])
def test_values_and_gradients_are_those_of_pytorch(name):
    """Over kernels, strides, paddings, `use_ceil`, and equal numbers in a window."""
    options = dict(CASES[name]["options"])
    options["use_ceil"] = options.pop("ceil_mode", False)
    pool = getattr(nn, name.split(",")[0])(**options)
    check(CASES[name], lambda parameters, inputs: {"y": pool(inputs["x"])})


# A loop in NumPy


@st.composite
def pools(draw):
    """The arguments of a pool, and the sizes of an input that it takes."""
    dimensions = draw(st.integers(1, 3))
    each = range(dimensions)
    kernel = [draw(st.integers(1, 9 if dimensions == 1 else 4)) for _ in each]
    stride = [draw(st.integers(1, 5)) for _ in each]
    pair = [(draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in kernel]
    padding = draw(st.sampled_from(["VALID", "SAME", "SAME_LOWER", tuple(pair)]))
    sizes = [draw(st.integers(k, k + 5)) for k in kernel]
    return dimensions, kernel, stride, padding, draw(st.booleans()), sizes


def windows_of_axis(size, kernel, stride, padding, use_ceil):
    """The places of each window in the input. Places outside the input are in the padding."""
    if padding == "VALID":
        before = after = 0
    elif isinstance(padding, str):
        total = max(0, (int(np.ceil(size / stride)) - 1) * stride + kernel - size)
        before, after = total // 2, total // 2
        if total % 2:
            before, after = (before, after + 1) if padding == "SAME" else (before + 1, after)
    else:
        before, after = padding
    windows = []
    start = -before
    while start + kernel <= size + after:
        windows.append(range(start, start + kernel))
        start += stride
    if use_ceil and start < size and start - stride + kernel < size + after:
        windows.append(range(start, start + kernel))
    return windows


def pooled_by_loop(x, operation, init, kernel, stride, padding, use_ceil):
    paddings = [padding] * len(kernel) if isinstance(padding, str) else padding
    axes = [windows_of_axis(*args, use_ceil) for args in zip(x.shape[1:], kernel, stride, paddings)]
    out = np.zeros(x.shape[:1] + tuple(map(len, axes)), x.dtype)
    for place in np.ndindex(*out.shape):
        value = init
        for index in itertools.product(*[axis[i] for axis, i in zip(axes, place[1:])]):
            inside = all(0 <= i < n for i, n in zip(index, x.shape[1:]))
            value = operation(value, x[(place[0],) + index] if inside else init)
        out[place] = value
    return out


def keep_last(a, b):
    return b


@hypothesis.settings(max_examples=12)
@hypothesis.given(pools())
def test_each_window_is_reduced_in_order(case):
    """The sum, and the last element. The shapes are known before anything is computed."""
    dimensions, kernel, stride, padding, use_ceil, sizes = case
    x = np.arange(2 * int(np.prod(sizes)), dtype=np.int32).reshape([2] + sizes) + 1
    each = [(np.add, lax.add, 0), (keep_last, keep_last, -1)]
    layers = [nn.Pool(init, f, dimensions, kernel, stride, padding, use_ceil) for _, f, init in each]
    results = jax.jit(lambda x: [layer(x) for layer in layers])(x)
    for (operation, _, init), layer, result in zip(each, layers, results):
        expected = pooled_by_loop(x, operation, init, kernel, stride, padding, use_ceil)
        assert eqx.filter_eval_shape(layer, x).shape == expected.shape
        np.testing.assert_array_equal(result, expected)


def test_init_begins_the_reduction():
    """Also where there is no padding."""
    pool = nn.Pool(jnp.array(0.5), lax.max, 1, 2)
    np.testing.assert_array_equal(pool(jnp.array([[-1.0, -2.0, 3.0]])), [[0.5, 3]])


# Laws


def test_the_maximum_is_the_negative_of_the_minimum_of_negatives():
    """For floating-point numbers and integers. `use_ceil` and the padding don't change that."""
    maximum, minimum = nn.MaxPool2d(3, 2, 1, True), nn.Pool(jnp.inf, lax.min, 2, 3, 2, 1, True)
    xs = 10 * randoms(2, 7, 6), (10 * randoms(2, 7, 6)).astype(np.int32)
    for largest, smallest in jax.jit(lambda xs: [(maximum(x), minimum(-x)) for x in xs])(xs):
        np.testing.assert_array_equal(largest, -smallest)


def test_pooling_a_constant_gives_the_constant():
    """An average does if the padding isn't counted."""
    paddings = "SAME", "SAME_LOWER", 1, ((0, 2), (2, 1))
    layers = [nn.MaxPool2d(3, 2, padding, True) for padding in paddings]
    layers += [nn.AvgPool2d(3, 2, padding, True, count_include_pad=False) for padding in paddings]
    for y in jax.jit(lambda x: [layer(x) for layer in layers])(jnp.full((2, 5, 6), -3.0)):
        np.testing.assert_allclose(y, np.full(y.shape, -3.0), rtol=1e-6)


@pytest.mark.parametrize(
    "pool",
    [nn.MaxPool2d(3, 2, 1), nn.AvgPool2d((2, 3), 1, 1), nn.Pool(1.0, lax.mul, 2, 2, 2, 1)],
    ids=["MaxPool2d", "AvgPool2d", "Pool"],
)
def test_derivatives_of_each_order_and_mode(pool):
    """Forward mode gives what reverse mode gives, also over reverse mode, and under `vmap` and `jit`."""
    xs = randoms(2, 1, 4, 3)

    def cubes(x):
        return jnp.sum(pool(x) ** 3)

    by_columns, by_rows, forward, reverse, value = jax.jit(
        lambda xs: tuple(
            jax.vmap(f)(xs)
            for f in (
                jax.jacfwd(pool),
                jax.jacrev(pool),
                jax.jacfwd(jax.grad(cubes)),
                jax.jacrev(jax.grad(cubes)),
                pool,
            )
        )
    )(xs)
    np.testing.assert_allclose(by_columns, by_rows, rtol=1e-5)
    np.testing.assert_allclose(forward, reverse, rtol=1e-4, atol=1e-5)
    assert np.any(forward != 0)
    np.testing.assert_allclose(value[1], pool(xs[1]), rtol=1e-6)


def test_nan_and_infinity_stay_in_their_windows():
    x = jnp.array([[1.0, jnp.nan, 0.0, 2.0, -jnp.inf, -jnp.inf, jnp.inf, 3.0]])
    nan, inf = np.nan, np.inf
    largest, mean = jax.jit(lambda x: (nn.MaxPool1d(2, 1, 1)(x), nn.AvgPool1d(2, 2)(x)))(x)
    np.testing.assert_array_equal(largest, [[1, nan, nan, 2, 2, -inf, inf, inf, 3]])
    np.testing.assert_array_equal(mean, [[nan, 1, -inf, inf]])


def test_maxima_keep_the_dtype():
    dtypes = jnp.int8, jnp.uint8, jnp.bfloat16, jnp.float16, jnp.bool_
    xs = [np.array([[0, 1, 1]]).astype(dtype) for dtype in dtypes]
    for x, y in zip(xs, jax.jit(lambda all_xs: [nn.MaxPool1d(2, 1, 1)(one) for one in all_xs])(xs)):
        assert (y.dtype, y.tolist()) == (x.dtype, [[0, 1, 1, 1]])


def test_averages_are_floating_point_and_summed_in_float32():
    """In bfloat16 256 + 1 is 256. One window that covers the input is summed in another way than two."""
    half = np.array([[256, 1, 1, 1]], jnp.bfloat16)
    xs = np.array([[1, 2, 4, 5]]), np.array([[1j, 2, 2, 3]], np.complex64), half, np.concatenate([half, half], 1)
    results = jax.jit(lambda all_xs: [nn.AvgPool1d(4, 4)(x) for x in all_xs])(xs)
    assert [y.tolist() for y in results] == [[[3.0]], [[1.75 + 0.25j]], [[65.0]], [[65.0, 65.0]]]
    assert [y.dtype for y in results] == [jnp.zeros(()).dtype, jnp.complex64, jnp.bfloat16, jnp.bfloat16]


def test_in_double_precision(x64):
    """Averages and maxima keep what float32 can't tell apart."""
    x = np.array([[1.0, 1 + 1e-12, 1 - 1e-12, 1.0]])
    layers = nn.MaxPool1d(2, 2), nn.AvgPool1d(2, 2), nn.AdaptiveMaxPool1d(1), nn.AdaptiveAvgPool1d(3)
    expected = [x[:, 1::2], [[1 + 5e-13, 1 - 5e-13]], x[:, 1:2], [[1 + 5e-13, 1, 1 - 5e-13]]]
    for y, numbers in zip(jax.jit(lambda x: [layer(x) for layer in layers])(x), expected):
        assert y.dtype == jnp.float64
        np.testing.assert_allclose(y, numbers, rtol=1e-15)


def test_a_large_window_has_few_operations():
    """Their number grows like the logarithm of the size, so a large window is compiled fast."""
    x, sizes = randoms(1, 300), (64, 97, 210)
    pools = [nn.Pool(-jnp.inf, lax.max, 1, size) for size in sizes]
    results = jax.jit(lambda x: [pool(x) for pool in pools])(x)
    for size, pool, result in zip(sizes, pools, results):
        assert str(jax.make_jaxpr(pool)(x)).count(" max ") < 15
        np.testing.assert_array_equal(result[0], [x[0, i : i + size].max() for i in range(301 - size)])


# Errors


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: nn.MaxPool2d(3)(jnp.ones((3, 4))), ValueError, r"shape \(channels, height, width\), got \(3, 4\)"),
        (lambda: nn.AvgPool1d(3)(jnp.ones((5, 3, 4))), ValueError, r"got \(5, 3, 4\). Batch with `jax.vmap\(layer\)"),
        (lambda: nn.Pool(0, lax.add, 4, 2)("a"), TypeError, r"\(channels, size_0, size_1, size_2, size_3\), got 'a'"),
        (
            lambda: nn.MaxPool2d((2, 5), padding=1)(jnp.ones((1, 2, 2))),
            ValueError,
            r"`MaxPool2d` .* kernel that covers \(2, 5\) .* sizes \(2, 2\), padded to \(4, 4\)",
        ),
        (lambda: nn.MaxPool1d(9, 2, use_ceil=True)(jnp.ones((1, 2))), ValueError, r"covers \(9,\) .* padded to \(2,\)"),
        (lambda: nn.AvgPool2d(3, padding=3), ValueError, r"`padding` to be less than `kernel_size`.*\(3, 3\)"),
        (lambda: nn.AvgPool2d(3, padding="FULL"), ValueError, "`padding` to be 'SAME'.*got 'FULL'"),
        (lambda: nn.MaxPool3d((2, 2)), ValueError, "`kernel_size` to be an integer, or one for each of its 3"),
        (lambda: nn.MaxPool1d(2, 0), ValueError, "`stride` to be at least 1, got 0"),
        (lambda: nn.MaxPool1d(2, use_ceil=1), TypeError, "`use_ceil` to be `True` or `False`, got 1"),
        (lambda: nn.AvgPool1d(2, count_include_pad=1), TypeError, "`count_include_pad` to be `True` or `False`"),
        (lambda: nn.Pool("a", lax.add, 1, 2), TypeError, "`Pool` expects `init` to be a number, got 'a'"),
        (
            lambda: nn.Pool(jnp.ones(2), lax.add, 1, 2),
            TypeError,
            r"`init` to be a number, got an array of shape \(2,\)",
        ),
        (lambda: nn.Pool(0, 1, 1, 2), TypeError, "`operation` to be a function"),
        (lambda: nn.Pool(0, lax.add, 0, 2), ValueError, "`num_spatial_dims` to be at least 1, got 0"),
        (lambda: nn.MaxPool1d(2, padding=1)(jnp.ones((3, 0))), ValueError, r"no spatial axis of length 0, .* \(3, 0\)"),
        (lambda: nn.Pool(1j, lax.add, 1, 2)(jnp.ones((1, 2))), TypeError, "the dtype of `x`, got 1j for float32"),
        (lambda: nn.Pool(1j, lax.add, 1, 2)(jnp.ones((1, 2), int)), TypeError, "the dtype of `x`, got 1j for int32"),
        (lambda: nn.Pool(0.5, lax.add, 1, 2)(jnp.ones((1, 2), int)), TypeError, "the dtype of `x`, got 0.5 for int32"),
        (
            lambda: nn.Pool(0, lax.gt, 1, 2)(jnp.ones((1, 2))),
            TypeError,
            r"`operation` to return .* shape \(1, 1\) and dtype float32, got shape \(1, 1\) and dtype bool",
        ),
        (lambda: nn.MaxPool1d(2)(jnp.array([[1j, 2]])), TypeError, "real numbers, .* got `x` of dtype complex64"),
    ],
    ids=map(str, range(19)),
)
def test_errors(call, error, message):
    """They name the layer, the argument, what came and what to do."""
    with pytest.raises(error, match=message):
        call()

"""Adaptive pooling: PyTorch's numbers, a loop over the windows in NumPy, and laws."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.layer_laws import randoms
from helpers.torch_cases import check, load

import equinox as eqx
from equinox import nn

CASES = load("pool")


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("Adaptive")])
def test_values_and_gradients_are_those_of_pytorch(name):
    """Over sizes that divide and don't, larger outputs, and equal numbers in a window."""
    pool = getattr(nn, name.split(",")[0])(CASES[name]["options"]["output_size"])
    check(CASES[name], lambda parameters, inputs: {"y": pool(inputs["x"])})


# A loop in NumPy


def pooled_by_loop(x, target_shape, operation):
    for axis, target in enumerate(target_shape, 1):
        size = x.shape[axis]
        windows = [
            range(int(np.floor(i * size / target)), int(np.ceil((i + 1) * size / target))) for i in range(target)
        ]
        x = np.stack([operation(np.take(x, window, axis), axis) for window in windows], axis)
    return x


def first_minus_last(window):
    return window[0] - window[-1]


@hypothesis.settings(max_examples=10)
@hypothesis.given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3))
@hypothesis.example([(13, 9)])  # many windows of two lengths
def test_each_window_is_reduced(sizes_and_targets):
    """The maximum, the mean, and a function. The shapes are known before anything is computed."""
    sizes, target_shape = zip(*sizes_and_targets)
    dimensions = len(sizes)
    x = randoms(2, *sizes)
    layers = [
        getattr(nn, "AdaptiveMaxPool{}d".format(dimensions))(target_shape),
        getattr(nn, "AdaptiveAvgPool{}d".format(dimensions))(target_shape),
        nn.AdaptivePool(target_shape, dimensions, first_minus_last),
    ]
    operations = np.max, np.mean, lambda x, axis: np.take(x, 0, axis) - np.take(x, -1, axis)
    results = jax.jit(lambda x: [layer(x) for layer in layers])(x)
    for layer, result, operation in zip(layers, results, operations):
        assert eqx.filter_eval_shape(layer, x).shape == (2,) + target_shape
        np.testing.assert_allclose(result, pooled_by_loop(x, target_shape, operation), rtol=1e-5, atol=1e-6)


# Laws


def test_the_own_shape_of_the_input_gives_the_input():
    x = randoms(2, 3, 5)
    layers = nn.AdaptiveMaxPool2d((3, 5)), nn.AdaptiveAvgPool2d((3, 5)), nn.AdaptivePool((3, 5), 2, jnp.sum)
    for y in jax.jit(lambda x: [layer(x) for layer in layers])(x):
        np.testing.assert_array_equal(y, x)


def test_sizes_that_divide_give_pooling_without_overlap():
    x = randoms(2, 6, 8)
    adaptive = nn.AdaptiveMaxPool2d((3, 2)), nn.AdaptiveAvgPool2d((3, 2))
    fixed = nn.MaxPool2d((2, 4), (2, 4)), nn.AvgPool2d((2, 4), (2, 4))
    for a, b in jax.jit(lambda x: [(one(x), other(x)) for one, other in zip(adaptive, fixed)])(x):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_the_mean_of_a_constant_is_the_constant():
    y = jax.jit(nn.AdaptiveAvgPool2d(3))(jnp.full((1, 5, 7), 2.5))
    np.testing.assert_allclose(y, np.full((1, 3, 3), 2.5), rtol=1e-6)


@pytest.mark.parametrize(
    "pool",
    [
        nn.AdaptiveMaxPool2d((3, 2)),
        nn.AdaptiveMaxPool2d(1),
        nn.AdaptiveAvgPool2d((3, 2)),
        nn.AdaptivePool((3, 2), 2, first_minus_last),
    ],
    ids=["AdaptiveMaxPool2d", "AdaptiveMaxPool2d, one output", "AdaptiveAvgPool2d", "AdaptivePool"],
)
def test_derivatives_of_each_order_and_mode(pool):
    """Forward mode gives what reverse mode gives, also over reverse mode, and under `vmap` and `jit`."""
    xs = randoms(2, 1, 4, 3)

    def cubes(x):
        return jnp.sum(pool(x) ** 3)

    functions = jax.jacfwd(pool), jax.jacrev(pool), jax.jacfwd(jax.grad(cubes)), jax.jacrev(jax.grad(cubes)), pool
    by_columns, by_rows, forward, reverse, value = jax.jit(lambda xs: tuple(jax.vmap(f)(xs) for f in functions))(xs)
    np.testing.assert_allclose(by_columns, by_rows, rtol=1e-5)
    np.testing.assert_allclose(forward, reverse, rtol=1e-4, atol=1e-5)
    assert np.any(forward != 0)
    np.testing.assert_allclose(value[1], pool(xs[1]), rtol=1e-6)


@pytest.mark.parametrize(
    "pool", [nn.AdaptiveMaxPool2d(1), nn.MaxPool2d((2, 3))], ids=["AdaptiveMaxPool2d", "MaxPool2d"]
)
def test_the_gradient_of_one_output_belongs_to_the_first_of_the_largest(pool):
    """Or to the first NaN. A channel has its own."""
    nan, inf = np.nan, np.inf
    xs = np.array([[[1, 3, 0], [3, 3, 2]], [[5, 7, nan], [9, nan, 7]], [[-inf, -inf, -inf]] * 2], np.float32)
    expected = np.zeros((3, 6))
    expected[[0, 1, 2], [1, 2, 0]] = 1
    gradient = jax.grad(lambda x: jnp.sum(pool(x)))(xs)
    np.testing.assert_array_equal(np.reshape(gradient, (3, 6)), expected)


def test_nan_and_infinity_stay_in_their_windows():
    x = jnp.array([[jnp.nan, 0.0, 2.0, -jnp.inf, jnp.inf]])
    nan, inf = np.nan, np.inf
    largest, mean = jax.jit(lambda x: (nn.AdaptiveMaxPool1d(3)(x), nn.AdaptiveAvgPool1d(3)(x)))(x)
    np.testing.assert_array_equal(largest, [[nan, 2, inf]])
    np.testing.assert_array_equal(mean, [[nan, -inf, nan]])


def test_dtypes():
    """Maxima keep the dtype. Averages are floating-point and summed in float32: in bfloat16 256 + 1 is 256."""
    xs = [np.array([[1, 2, 4]]).astype(dtype) for dtype in (jnp.uint8, jnp.bfloat16)]
    for x, y in zip(xs, jax.jit(lambda all_xs: [nn.AdaptiveMaxPool1d(2)(one) for one in all_xs])(xs)):
        assert (y.dtype, y.tolist()) == (x.dtype, [[2, 4]])
    xs = np.array([[1, 2, 3, 6]]), np.array([[256, 1, 1, 1] * 2], jnp.bfloat16)
    layers = [nn.AdaptiveAvgPool1d(target) for target in (1, 2)]
    (one, two), (one_in_bfloat16, two_in_bfloat16) = jax.jit(lambda xs: [[f(x) for f in layers] for x in xs])(xs)
    assert (one.tolist(), two.tolist()) == ([[3.0]], [[1.5, 4.5]])
    assert (one_in_bfloat16.tolist(), two_in_bfloat16.tolist()) == ([[65.0]], [[65.0, 65.0]])
    assert {one_in_bfloat16.dtype, two_in_bfloat16.dtype} == {jnp.dtype(jnp.bfloat16)}


# Errors


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: nn.AdaptiveAvgPool2d(3)(jnp.ones((5, 1, 4, 4))),
            ValueError,
            r"`AdaptiveAvgPool2d` expects .* \(channels, height, width\), got \(5, 1, 4, 4\). Batch with `jax.vmap",
        ),
        (
            lambda: nn.AdaptiveMaxPool1d(3)(jnp.ones((2, 0))),
            ValueError,
            r"no spatial axis of length 0, got shape \(2, 0\)",
        ),
        (lambda: nn.AdaptiveMaxPool1d(3)(jnp.array([[1j]])), TypeError, "real numbers"),
        (lambda: nn.AdaptiveMaxPool3d((2, 3)), ValueError, "`target_shape` to be an integer, or one for each of its 3"),
        (lambda: nn.AdaptiveAvgPool1d(0), ValueError, "`AdaptiveAvgPool1d` expects `target_shape` to be at least 1"),
        (lambda: nn.AdaptivePool(2, 1, 3), TypeError, "`operation` to be a function"),
        (
            lambda: nn.AdaptivePool(2, 1, jnp.sort)(jnp.ones((1, 6))),
            ValueError,
            r"one number for a vector of 3 numbers, got shape \(3,\)",
        ),
    ],
    ids=map(str, range(7)),
)
def test_errors(call, error, message):
    """They name the layer, the argument, what came and what to do."""
    with pytest.raises(error, match=message):
        call()

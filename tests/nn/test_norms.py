"""The layers that normalise: PyTorch's numbers, and the laws of each."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from helpers.torch_cases import check, each_case, filled
from jax import tree_util

import equinox as eqx
from equinox import nn


def with_outputs(case, values):
    """`case` with further outputs, which have no gradient."""
    cotangents = {name: np.zeros(np.shape(x)) for name, x in values.items()}
    return dict(case, expected=dict(case["expected"], **values), cotangents=dict(case["cotangents"], **cotangents))


def randoms(*shape):
    return np.random.RandomState(0).normal(1.0, 2.0, shape).astype(np.float32)


def batched(norm, axis_name="batch", **options):
    return jax.vmap(
        lambda x, state: norm(x, state, **options), axis_name=axis_name, in_axes=(0, None), out_axes=(0, None)
    )


EACH = {
    "LayerNorm": lambda **options: nn.LayerNorm((4, 6), **options),
    "RMSNorm": lambda **options: nn.RMSNorm((4, 6), **options),
    "GroupNorm": lambda **options: nn.GroupNorm(2, 4, **options),
    "InstanceNorm": lambda **options: nn.InstanceNorm(4, channelwise_affine=True, **options),
}
each = pytest.mark.parametrize("make", list(EACH.values()), ids=list(EACH))


# PyTorch's numbers


@each_case("norms", "LayerNorm", "RMSNorm", "GroupNorm", "InstanceNorm")
def test_values_and_gradients_are_those_of_pytorch(case):
    """Over shapes, `eps`, and with each choice of parameters."""
    options = dict(case["options"])
    kind = getattr(nn, options.pop("kind"))

    def call(parameters, inputs):
        norm = filled(kind(**options), parameters)
        return {"y": jax.vmap(norm)(inputs["x"])}

    check(case, call)


@each_case("norms", "BatchNorm")
def test_batch_norm_trains_and_infers_as_pytorch(case):
    """Three batches and one inference, their gradients, and the running statistics after them."""
    options = dict(case["options"])
    channels = options.pop("channels")

    def call(parameters, inputs):
        norm, state = nn.make_with_state(nn.BatchNorm)(channels, "batch", **options)
        first = {
            "running_mean": jnp.zeros(channels),
            "running_var": jnp.ones(channels),
            "num_batches_tracked": jnp.array(0),
        }
        norm, state = filled((norm, state), dict(parameters, **first))
        outputs = {}
        for i in range(3):
            outputs["y{}".format(i)], state = batched(norm)(inputs["x{}".format(i)], state)
        outputs["inference"], state = batched(nn.inference_mode(norm))(inputs["x0"], state)
        outputs.update(state.get(norm.running))
        return outputs

    check(with_outputs(case, case["running"]), call)


@each_case("norms", "SpectralNorm")
def test_spectral_norm_is_that_of_pytorch(case):
    """Two calls in training, one in inference, and the vectors after them."""
    steps = case["options"].get("n_power_iterations", 1)

    def call(parameters, inputs):
        weight = parameters["parametrizations.weight.original"]
        linear = nn.Linear(weight.shape[1], weight.shape[0], key=jrandom.PRNGKey(0))
        norm, state = nn.make_with_state(nn.SpectralNorm)(linear, num_power_iterations=steps, key=jrandom.PRNGKey(0))
        vectors = {"parametrizations.weight.0._" + name: jnp.array(case["before"][name]) for name in "uv"}
        norm, state = filled((norm, state), dict(parameters, **vectors))
        shared = jax.vmap(norm, in_axes=(0, None), out_axes=(0, None))
        outputs = {}
        outputs["y0"], state = shared(inputs["x"], state)
        outputs["y1"], state = shared(inputs["x"], state)
        kept = jax.vmap(nn.inference_mode(norm), in_axes=(0, None), out_axes=(0, None))
        outputs["inference"], state = kept(inputs["x"], state)
        outputs["u"], outputs["v"] = state.get(norm.vectors)
        return outputs

    check(with_outputs(case, case["after"]), call)


@each_case("norms", "WeightNorm")
def test_weight_norm_is_that_of_pytorch(case):
    """With a length for each row, each column, or the whole weight."""

    def call(parameters, inputs):
        linear = nn.Linear(3, 4, key=jrandom.PRNGKey(0))
        norm = nn.WeightNorm(linear, axis=case["options"]["axis"])
        return {"y": jax.vmap(filled(norm, parameters))(inputs["x"])}

    check(case, call)


# Laws


def grouped(make, y):
    """The numbers that are normalised together, one group a row."""
    rows = {EACH["LayerNorm"]: 1, EACH["GroupNorm"]: 2, EACH["InstanceNorm"]: 4}[make]
    return np.asarray(y).reshape(rows, -1)


NUMBERS = st.integers(-100, 100)


@pytest.mark.parametrize(
    "make", [EACH[name] for name in EACH if name != "RMSNorm"], ids=["LayerNorm", "GroupNorm", "InstanceNorm"]
)
def test_mean_0_and_variance_1(make):
    """Also after a scale and a shift of the input, which change nothing."""
    norm = jax.jit(make().__call__)

    @hypothesis.given(NUMBERS, st.integers(1, 10), st.integers(0, 2**31))
    @hypothesis.settings(max_examples=10)
    def check_one(shift, scale, seed):
        x = np.random.RandomState(seed).normal(size=(4, 6)).astype(np.float32)
        y = norm(x)
        np.testing.assert_allclose(grouped(make, y).mean(1), 0, atol=1e-5)
        np.testing.assert_allclose(grouped(make, y).var(1), 1, rtol=1e-3)
        np.testing.assert_allclose(norm(scale * x + shift), y, atol=1e-3)

    check_one()


def batch_norm(xs):
    norm, state = make_batch_norm(xs.shape[1])
    return batched(norm)(xs, state)[0]


@pytest.mark.parametrize(
    "call, axes",
    [
        (jax.vmap(EACH["LayerNorm"]()), (1, 2)),
        (jax.vmap(EACH["GroupNorm"]()), (2, 3)),
        (jax.vmap(EACH["InstanceNorm"]()), 2),
        (batch_norm, (0, 2)),
    ],
    ids=["LayerNorm", "GroupNorm", "InstanceNorm", "BatchNorm"],
)
def test_the_variance_keeps_its_digits_if_the_mean_is_large(call, axes):
    """In float32 the mean of the squares has no digits left for a variance of 1 beside a mean of 4096."""
    xs = np.random.RandomState(0).normal(4096, 1, (8, 4, 6)).astype(np.float32)
    wide = xs.astype(np.float64).reshape((8, 2, 2, 6) if axes == (2, 3) else xs.shape)
    expected = (wide - wide.mean(axes, keepdims=True)) / np.sqrt(wide.var(axes, keepdims=True) + 1e-5)
    np.testing.assert_allclose(jax.jit(call)(xs), expected.reshape(xs.shape), atol=3e-3)


@hypothesis.given(st.integers(1, 3), st.integers(1, 3), st.lists(st.integers(1, 3), min_size=1, max_size=3))
@hypothesis.settings(max_examples=10)
def test_the_shape_stays(groups, per_group, spatial):
    """The output has the shape and dtype of the input, for any number of axes, groups and channels."""
    channels = groups * per_group
    x = jax.ShapeDtypeStruct((channels, *spatial, 2), jnp.float16)
    for norm in (
        nn.LayerNorm(x.shape),
        nn.RMSNorm(x.shape),
        nn.GroupNorm(groups, channels),
        nn.InstanceNorm(channels),
    ):
        y = eqx.filter_eval_shape(norm, x)
        assert (y.shape, y.dtype) == (x.shape, x.dtype)


@each
def test_in_double_precision(make, x64):
    """With x64, parameters and output are float64, and exact to this precision."""
    norm, x = make(), np.random.RandomState(0).normal(size=(4, 6))
    y = norm(x)
    assert norm.weight.dtype == y.dtype == np.float64
    if make is EACH["RMSNorm"]:
        expected = x / np.sqrt((x**2).mean() + 1e-5)
    else:
        rows = grouped(make, x)
        expected = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, expected.reshape(4, 6), rtol=1e-10)


@pytest.mark.parametrize("make", [lambda: nn.LayerNorm((4, 6)), lambda: nn.GroupNorm(2, 4)], ids=["layer", "group"])
def test_complex_numbers(make):
    """The variance of complex numbers is the mean of the squared distances to their mean."""
    rows = (randoms(2, 12) + 1j * randoms(2, 12)).astype(np.complex64)
    rows = rows.reshape(1, 24) if isinstance(make(), nn.LayerNorm) else rows
    expected = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + 1e-5)
    y = make()(rows.reshape(4, 6))
    assert y.dtype == np.complex64
    np.testing.assert_allclose(y, expected.reshape(4, 6), rtol=1e-4, atol=1e-5)


def test_rms_norm_is_its_formula():
    """With a bias, which PyTorch's has not. A scale of the input changes nothing."""
    x, bias = randoms(6), randoms(6)
    norm = eqx.replace(nn.RMSNorm(6), bias=jnp.array(bias))
    np.testing.assert_allclose(norm(x), x / np.sqrt((x.astype(float) ** 2).mean() + 1e-5) + bias, rtol=1e-5)
    np.testing.assert_allclose(norm(5 * x), norm(x), atol=1e-4)


@each
def test_under_transformations(make):
    """`vmap`, `jit` and `grad` give what a loop, the plain call and finite differences give."""
    norm, xs = make(), randoms(2, 4, 6)
    mapped = jax.jit(jax.vmap(norm))(xs)
    np.testing.assert_allclose(mapped, [norm(x) for x in xs], atol=1e-5)
    direction, loss = xs[1], jax.jit(lambda x: jnp.sum(norm(x) ** 3))
    slope = jnp.sum(jax.grad(loss)(xs[0]) * direction)
    step = 1e-2
    difference = (loss(xs[0] + step * direction) - loss(xs[0] - step * direction)) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=2e-2, atol=2e-2)
    assert eqx.filter_eval_shape(norm, xs[0]).shape == (4, 6)


@each
def test_computes_in_float32_and_returns_the_dtype_of_the_input(make):
    """So an offset that bfloat16 and float16 can hold doesn't spoil the variance."""
    x = randoms(4, 6)
    for dtype in (jnp.bfloat16, jnp.float16):
        low = jnp.asarray(x + 100, dtype)
        y = make()(low)
        assert y.dtype == dtype
        np.testing.assert_allclose(
            np.asarray(y, np.float32), np.asarray(make()(low.astype(jnp.float32))), rtol=2e-2, atol=2e-2
        )
    assert make(dtype=jnp.bfloat16).weight.dtype == jnp.bfloat16
    assert make()(jnp.arange(24).reshape(4, 6)).dtype == jnp.float32


@each
def test_a_state_passes_through(make):
    """A layer without state returns the state that it is given."""
    norm, x = make(), randoms(4, 6)
    y, state = norm(x, nn.State(norm))
    assert isinstance(state, nn.State)
    assert y.tolist() == norm(x).tolist()


@each
def test_initialisers(make):
    """They make the parameters. The default is ones and zeros."""
    norm = make()
    assert (norm.weight == 1).all()
    assert (norm.bias == 0).all()
    twos = make(weight_init=lambda key, shape, dtype: jnp.full(shape, 2, dtype), bias_init=jax.nn.initializers.ones)
    assert (twos.weight == 2).all()
    assert (twos.bias == 1).all()
    drawn = make(weight_init=jax.nn.initializers.normal(), key=jrandom.PRNGKey(0))
    assert (drawn.weight != 1).all()


# BatchNorm


def make_batch_norm(channels=3, axis_name="batch", **options):
    return nn.make_with_state(nn.BatchNorm)(channels, axis_name, **options)


def test_batch_norm_in_double_precision(x64):
    """With x64, output and running statistics are float64, and exact to this precision."""
    norm, state = make_batch_norm(momentum=0.1)
    xs = np.random.RandomState(0).normal(1.0, 2.0, (6, 3, 2))
    mean, var = xs.mean((0, 2)), xs.var((0, 2))
    ys, state = batched(norm)(xs, state)
    assert ys.dtype == np.float64
    np.testing.assert_allclose(ys, (xs - mean[:, None]) / np.sqrt(var[:, None] + 1e-5), rtol=1e-10)
    running = state.get(norm.running)
    assert running["mean"].dtype == running["var"].dtype == np.float64
    np.testing.assert_allclose(running["mean"], 0.1 * mean, rtol=1e-12)
    np.testing.assert_allclose(running["var"], 0.9 + 0.1 * var * 12 / 11, rtol=1e-12)


def test_a_batch_over_shards_is_the_whole_batch():
    """Over two axes the statistics, running ones too, are those of all examples."""
    xs = randoms(6, 3, 2)
    whole, state = make_batch_norm()
    expected, after = batched(whole)(xs, state)
    split, state = make_batch_norm(axis_name=("shards", "batch"))
    call = jax.vmap(batched(split), axis_name="shards", in_axes=(0, None), out_axes=(0, None))
    ys, split_after = jax.jit(call)(xs.reshape(2, 3, 3, 2), state)
    np.testing.assert_allclose(ys.reshape(6, 3, 2), expected, atol=1e-5)
    for a, b in zip(tree_util.tree_leaves(split_after), tree_util.tree_leaves(after)):
        np.testing.assert_allclose(a, b, atol=1e-6)
    np.testing.assert_allclose(np.asarray(expected).mean((0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(np.asarray(expected).var((0, 2)), 1, rtol=1e-3)
    np.testing.assert_allclose(batched(whole)(2 * xs - 5, make_batch_norm()[1])[0], expected, atol=1e-4)


@pytest.mark.parametrize("mode", ["batch", "ema", "legacy"])
def test_the_published_modes(mode):
    """Against a loop in NumPy, which gives the numbers of the published package."""
    norm, state = make_batch_norm(2, mode=mode, momentum=0.9)
    mean, var = np.zeros(2), np.ones(2)
    for i in range(3):
        xs = randoms(5, 2, 3) * (i + 1) + i
        batch_mean, batch_var = xs.mean((0, 2)), xs.var((0, 2))
        if mode != "batch" and i == 0:
            mean, var = batch_mean, batch_var
        mean, var = 0.9 * mean + 0.1 * batch_mean, 0.9 * var + 0.1 * batch_var
        used = (batch_mean, batch_var, 1) if mode == "batch" else (mean, var, 1)
        ys, state = batched(norm)(xs, state)
        kept, state = batched(norm, inference=True)(xs, state)
        debiased = (mean, var, 1 - 0.9 ** (i + 1)) if mode == "batch" else used
        for got, (m, v, weight) in ((ys, used), (kept, debiased)):
            expected = (xs - m[:, None] / weight) / np.sqrt(v[:, None] / weight + 1e-5)
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_batch_norm_in_inference_needs_no_batch():
    """The state stays, and isn't spent. A traced flag selects."""
    norm, state = make_batch_norm()
    xs = randoms(4, 3)
    _, state = batched(norm)(xs, state)
    y, same = nn.inference_mode(norm)(xs[0], state)
    assert same is state
    for flag in (True, False):
        ys, after = batched(norm, inference=flag)(xs, tree_util.tree_map(lambda x: x, state))
        traced, traced_after = jax.jit(lambda flag, state: batched(norm, inference=flag)(xs, state))(flag, state)
        np.testing.assert_allclose(traced, ys, rtol=1e-5)
        for a, b in zip(tree_util.tree_leaves(traced_after), tree_util.tree_leaves(after)):
            np.testing.assert_allclose(a, b, rtol=1e-5)
        if flag:
            np.testing.assert_allclose(ys[0], y, rtol=1e-5)


def test_batch_norm_of_bfloat16():
    """The running statistics stay in float32."""
    norm, state = make_batch_norm()
    xs = jnp.asarray(randoms(4, 3) + 100, jnp.bfloat16)
    ys, state = batched(norm)(xs, state)
    assert ys.dtype == jnp.bfloat16
    mean = state.get(norm.running)["mean"]
    assert mean.dtype == jnp.float32
    np.testing.assert_allclose(mean, 0.1 * np.asarray(xs, np.float32).mean(0), rtol=1e-5)


def test_a_model_with_batch_norm_trains_under_filter_jit():
    """In a `Sequential`, with the gradient, and an ensemble with a state each."""

    def make(key):
        return nn.Sequential([nn.Linear(3, 4, key=key), nn.BatchNorm(4, "batch"), jnp.tanh])

    def loss(model, xs, state):
        ys, state = jax.vmap(model, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(xs, state)
        return jnp.mean(ys**2), state

    xs = randoms(5, 3)
    models, states = eqx.filter_vmap(nn.make_with_state(make))(jrandom.split(jrandom.PRNGKey(0), 2))
    one = eqx.if_array(0)
    step = eqx.filter_jit(
        eqx.filter_vmap(eqx.filter_value_and_grad(loss, has_aux=True), in_axes=(one, None, one), out_axes=one)
    )
    (values, states), grads = step(models, xs, states)
    assert values.shape == (2,)
    assert grads.layers[1].weight.shape == (2, 4)
    assert states.get(models.layers[1].running)["steps"].tolist() == [1, 1]


# SpectralNorm and WeightNorm


def test_spectral_norm_makes_the_largest_singular_value_1():
    """After enough iterations. Here each iteration makes the error nine times smaller, or more."""
    linear = nn.Linear(4, 3, bias=False, key=jrandom.PRNGKey(0))
    orthogonal, _ = np.linalg.qr(randoms(4, 4))
    linear = eqx.replace(linear, weight=jnp.array(np.diag([3.0, 1.0, 0.5]) @ orthogonal[:3]))
    norm, state = nn.make_with_state(nn.SpectralNorm)(linear, num_power_iterations=10, key=jrandom.PRNGKey(1))
    columns, state = jax.vmap(norm, in_axes=(0, None), out_axes=(0, None))(jnp.eye(4), state)
    np.testing.assert_allclose(np.linalg.svd(columns, compute_uv=False), [1, 1 / 3, 1 / 6], rtol=1e-4)
    assert [x.shape for x in state.get(norm.vectors)] == [(3,), (4,)]


def test_computed_weights_in_double_precision(x64):
    """With x64, `SpectralNorm` and `WeightNorm` compute float64 weights that are exact to this precision."""
    weight = np.diag([8.0, 1.0, 0.5]) @ np.random.RandomState(0).normal(size=(3, 3))
    linear = eqx.replace(nn.Linear(3, 3, bias=False, key=jrandom.PRNGKey(0)), weight=jnp.array(weight))
    norm, state = nn.make_with_state(nn.SpectralNorm)(linear, num_power_iterations=30, key=jrandom.PRNGKey(1))
    x = np.array([1.0, -2.0, 0.5])
    y, state = norm(x, state)
    assert {y.dtype, *(v.dtype for v in state.get(norm.vectors))} == {np.dtype(np.float64)}
    np.testing.assert_allclose(y, weight @ x / np.linalg.svd(weight, compute_uv=False)[0], rtol=1e-10)

    norm = eqx.tree_at(lambda norm: norm.g, nn.WeightNorm(linear), replace_fn=lambda g: 3 * g / g)
    y = norm(x)
    assert norm.g.dtype == y.dtype == np.float64
    np.testing.assert_allclose(y, weight / np.linalg.norm(weight, axis=1, keepdims=True) @ (3 * x), rtol=1e-12)


def make_spectral_norm():
    linear = nn.Linear(3, 4, key=jrandom.PRNGKey(0))
    return nn.make_with_state(nn.SpectralNorm)(linear, key=jrandom.PRNGKey(1))


# Errors


@pytest.mark.parametrize("make", [make_batch_norm, make_spectral_norm], ids=["BatchNorm", "SpectralNorm"])
def test_a_state_that_vmap_made_larger_is_refused(make):
    """Without `out_axes`, each example gets its own copy. The error shows the call, which then runs."""
    layer, state = make()
    xs, axes = randoms(5, 3), {"in_axes": (0, None)}
    message = r"in the state to have shape .*\(5, .* A `jax.vmap` added an axis .* out_axes=\(0, None\)"
    _, wrong = jax.vmap(layer, axis_name="batch", **axes)(xs, make()[1])
    for model in (layer, nn.inference_mode(layer)):
        with pytest.raises(ValueError, match=message):
            jax.vmap(model, axis_name="batch", out_axes=(0, None), **axes)(xs, wrong)
    jax.vmap(layer, axis_name="batch", out_axes=(0, None), **axes)(xs, state)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: nn.LayerNorm(4)(jnp.ones((3, 4))), ValueError, r"got \(3, 4\). Batch with `jax.vmap\(layer\)\(x\)`"),
        (lambda: nn.RMSNorm((2, 3))(jnp.ones(4)), ValueError, r"`RMSNorm` with `shape=\(2, 3\)` expects `x` .* \(4,\)"),
        (lambda: nn.LayerNorm(0), ValueError, "`shape` to be at least 1, got 0"),
        (lambda: nn.LayerNorm(4, eps=-1), ValueError, "`eps` to be at least 0, got -1"),
        (lambda: nn.LayerNorm(4, eps="a"), TypeError, "`eps` to be a number, got 'a'"),
        (lambda: nn.LayerNorm(4, use_bias=1), TypeError, "`use_bias` to be `True` or `False`, got 1"),
        (lambda: nn.GroupNorm(3, 4), ValueError, "`groups` to divide `channels`, got 3 groups for 4 channels"),
        (lambda: nn.GroupNorm(2), ValueError, "needs `channels`.*`channelwise_affine=False`"),
        (
            lambda: nn.GroupNorm(2, channelwise_affine=False)(jnp.ones(3)),
            ValueError,
            "divide the number of channels of `x`, got 2 groups for 3 channels",
        ),
        (
            lambda: nn.GroupNorm(2, 4)(jnp.ones((3, 4, 5))),
            ValueError,
            r"shape \(4, \*spatial\), got \(3, 4, 5\). Batch",
        ),
        (lambda: nn.GroupNorm(2, 4)(3), TypeError, "expects `x` to be an array, got 3"),
        (lambda: nn.InstanceNorm(3)(jnp.ones(3)), ValueError, "at least two numbers in each channel"),
        (lambda: nn.BatchNorm(3, "batch", mode="torsh"), ValueError, "one of 'torch', 'batch', 'ema', 'legacy', got"),
        (lambda: nn.BatchNorm(3, "batch", momentum=2), ValueError, "`momentum` to be from 0 to 1, got 2"),
        (lambda: nn.BatchNorm(3, {}), TypeError, "`axis_name` to be the name of the axis"),
        (lambda: nn.BatchNorm(3, "batch")(jnp.ones(3)), ValueError, "`BatchNorm` needs a state. Make model and state"),
        (lambda: nn.BatchNorm(3, "batch")(jnp.ones(3), 3), TypeError, "`state` to be a `State`, got 3"),
        (lambda: make_spectral_norm()[0](jnp.ones(3)), ValueError, "`SpectralNorm` needs a state. Make model and"),
        (lambda: make_spectral_norm()[0](jnp.ones(3), 3), TypeError, "`SpectralNorm` expects `state` to be a `State`"),
        (
            lambda: make_batch_norm(4)[0](jnp.ones(4), make_batch_norm(5)[1]),
            ValueError,
            r"`BatchNorm` expects `model.running\['mean'\]` in the state to have shape \(4,\), got \(5,\). It is the s",
        ),
        (
            lambda: make_batch_norm()[0](jnp.ones(3), make_batch_norm()[1]),
            NameError,
            r"finds no axis named 'batch'.*`ys, state = jax.vmap\(model, axis_name='batch', in_axes=\(0, None\)",
        ),
        (
            lambda: batched(make_batch_norm()[0])(jnp.ones((1, 3)), make_batch_norm()[1]),
            ValueError,
            "more than one number for each channel",
        ),
        (
            lambda: make_batch_norm()[0](jnp.ones(3), make_batch_norm()[1], inference="no"),
            TypeError,
            "`inference` to be `True` or `False`, got 'no'",
        ),
        (lambda: nn.WeightNorm(nn.Identity()), ValueError, "the name of a field of `Identity`, got 'weight'"),
        (lambda: nn.WeightNorm(3), TypeError, "`layer` to be a function, a layer"),
        (lambda: nn.WeightNorm(nn.LayerNorm(3), axis=1), ValueError, r"an axis of the weight, got 1 for shape \(3,\)"),
        (
            lambda: nn.SpectralNorm(nn.LayerNorm(3), key=jrandom.PRNGKey(0)),
            ValueError,
            r"at least two axes, got shape \(3,\)",
        ),
        (
            lambda: jax.vmap(lambda _: nn.LayerNorm(3))(jnp.ones(2))(jnp.ones(3)),
            ValueError,
            "stacked parameters: `weight` has shape .*Map over the layer too",
        ),
    ],
    ids=map(str, range(28)),
)
def test_errors(call, error, message):
    """They name the layer, the argument, what came and what to do."""
    with pytest.raises(error, match=message):
        call()


def test_batch_norm_of_another_mode_takes_the_statistics_of_pytorch():
    """The mode `"ema"` keeps only whether there was no batch yet."""
    like = nn.make_with_state(nn.BatchNorm)(2, "batch", mode="ema")
    ones = np.ones(2, np.float32)
    names = ("weight", "bias", "running_mean", "running_var")
    for count, back in ((0, 0), (3, 1)):
        arrays = dict(dict.fromkeys(names, ones), num_batches_tracked=np.array(count))
        norm, state = eqx.from_dict(like, arrays, rename=nn.torch_names(like))
        assert bool(state.get(norm.running)["first"]) == (count == 0)
        again = eqx.to_dict((norm, state), rename=nn.torch_names(like))["num_batches_tracked"]
        assert again.dtype == np.int64 and again == back

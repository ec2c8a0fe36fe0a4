"""Attention: PyTorch's numbers, laws, and decoding step by step."""

import functools as ft

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from helpers.layer_laws import drawn, randoms
from helpers.torch_cases import check, filled, load
from jax import lax

import equinox as eqx
from equinox import nn

CASES = load("attention")


def cases(kind):
    names = [name for name in CASES if name.split()[0] == kind]
    return pytest.mark.parametrize("case", [CASES[name] for name in names], ids=names)


def heads_of(q, kv, heads=4, kv_heads=4, size=3, value_size=2):
    return (
        randoms(q, heads, size),
        randoms(kv, kv_heads, size, seed=1),
        randoms(kv, kv_heads, value_size, seed=2),
    )


def make_layer(*args, **options):
    return nn.MultiheadAttention(*args, key=jrandom.PRNGKey(0), **options)


def make_decoder(max_length, **options):
    make = ft.partial(nn.MultiheadAttention, 4, 8, max_length=max_length, key=jrandom.PRNGKey(0), **options)
    return nn.make_with_state(make)()


SMALL = drawn(nn.MultiheadAttention, 2, 4)

# PyTorch's numbers


@cases("function")
def test_dot_product_attention_is_that_of_pytorch(case):
    """Over masks, biases, causal, scale and shared heads. An empty row of the mask gives zeros, also as gradients."""

    def call(parameters, inputs):
        arrays = [jnp.swapaxes(inputs[name], 0, 1) for name in ("query", "key", "value")]
        y = nn.dot_product_attention(*arrays, mask=inputs.get("mask"), bias=inputs.get("bias"), **case["options"])
        return {"y": jnp.swapaxes(y, 0, 1)}

    check(case, call)


@cases("layer")
def test_the_layer_is_that_of_pytorch(case):
    """With and without biases, masks, and other lengths of keys and values."""
    bias = "in_proj_bias" in case["parameters"]
    flags = {"use_{}_bias".format(name): bias for name in ("query", "key", "value", "output")}
    sizes = case["options"]["num_heads"], *case["options"]["sizes"]
    like = drawn(nn.MultiheadAttention, *sizes, output_size=4, **flags)

    def call(parameters, inputs):
        layer = filled(like, parameters)
        return {"y": layer(inputs["query"], inputs["key"], inputs["value"], inputs.get("mask"))}

    check(case, call)


# Laws


@hypothesis.settings(max_examples=20)
@hypothesis.given(st.lists(st.integers(1, 3), min_size=10, max_size=10))
def test_shapes(sizes):
    """Those of parameters and output are as the docstring says."""
    q, kv, kv_heads, group, query_size, key_size, value_size, output_size, qk_size, vo_size = sizes
    heads = kv_heads * group
    layer = eqx.filter_eval_shape(
        ft.partial(nn.MultiheadAttention, num_kv_heads=kv_heads, use_key_bias=True),
        *(heads, query_size, key_size, value_size, output_size, qk_size, vo_size),
        key=jrandom.PRNGKey(0),
    )
    assert layer.query_proj.weight.shape == (heads * qk_size, query_size)
    assert layer.key_proj.weight.shape == (kv_heads * qk_size, key_size)
    assert layer.key_proj.bias.shape == (kv_heads * qk_size,)
    assert layer.value_proj.weight.shape == (kv_heads * vo_size, value_size)
    assert layer.output_proj.weight.shape == (output_size, heads * vo_size)
    inputs = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((q, query_size), (kv, key_size), (kv, value_size))]
    assert eqx.filter_eval_shape(lambda layer, *xs: layer(*xs), layer, *inputs).shape == (q, output_size)


def by_loops(query, key_, value, mask=None):
    """Attention in NumPy, one number at a time."""
    q, heads, size = query.shape
    y = np.zeros((q, heads, value.shape[2]))
    for i in range(q):
        for h in range(heads):
            k = h // (heads // key_.shape[1])
            scores = [np.dot(query[i, h], key_[j, k]) / np.sqrt(size) for j in range(len(key_))]
            weights = [np.exp(s) if mask is None or mask[h, i, j] else 0 for j, s in enumerate(scores)]
            for j, weight in enumerate(weights):
                y[i, h] += weight / max(sum(weights), 1e-30) * np.asarray(value[j, k])
    return y


@pytest.mark.parametrize("heads, kv_heads", [(4, 4), (6, 2), (4, 1)])
def test_the_formula_with_a_mask_for_each_head(heads, kv_heads):
    """Also with keys in another order, which changes nothing, and with repeated heads instead of shared ones."""
    query, key_, value = heads_of(3, 5, heads, kv_heads)
    mask = np.random.RandomState(0).uniform(size=(heads, 3, 5)) < 0.5
    mask[1, 2] = False
    order = np.array([3, 0, 4, 1, 2])

    @jax.jit
    def in_three_ways(query, key_, value):
        attend = nn.dot_product_attention
        repeated = [jnp.repeat(x, heads // kv_heads, 1) for x in (key_, value)]
        return (
            attend(query, key_, value, mask),
            attend(query, key_[order], value[order], mask[:, :, order]),
            attend(query, *repeated, mask=mask),
        )

    expected = by_loops(query, key_, value, mask)
    assert (expected[2, 1] == 0).all()
    for y in in_three_ways(query, key_, value):
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
        assert (y[2, 1] == 0).all()


@pytest.mark.parametrize("implementation", [None, "xla"])
def test_causal_is_a_mask(implementation):
    """Together with another mask. A query without keys has zeros, for the implementation of JAX too."""
    if implementation is not None and not hasattr(jax.nn, "dot_product_attention"):
        pytest.skip("`jax.nn.dot_product_attention` is missing")
    query, key_, value = heads_of(4, 4, kv_heads=2, value_size=3)  # JAX needs values as long as keys
    attend = ft.partial(nn.dot_product_attention, is_causal=True, implementation=implementation)
    lower = np.tril(np.ones((4, 4), bool))
    mask = np.random.RandomState(1).uniform(size=(4, 4, 4)) < 0.5
    mask[:, 1, :2] = False
    causal, masked = jax.jit(lambda *arrays: (attend(*arrays), attend(*arrays, mask=mask)))(query, key_, value)
    np.testing.assert_allclose(causal, by_loops(query, key_, value, lower[None].repeat(4, 0)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(masked, by_loops(query, key_, value, mask & lower), rtol=1e-4, atol=1e-5)
    assert (masked[1] == 0).all()


@pytest.mark.parametrize("by", ["mask", "bias"])
def test_a_query_without_keys_has_zero_gradients(by):
    """A bias of minus infinity is a mask."""
    query, key_, value = heads_of(2, 3)
    mask = np.array([[True, False, True], [False, False, False]])
    scores = {"mask": mask} if by == "mask" else {"bias": jnp.where(mask, 0.0, -jnp.inf)}

    def loss(query, key_, value):
        return jnp.sum(nn.dot_product_attention(query, key_, value, **scores) ** 2)

    @jax.jit
    def gradients(query, key_, value):
        alone = jax.grad(lambda q: jnp.sum(nn.dot_product_attention(q, key_[::2], value[::2]) ** 2))
        return jax.grad(loss, (0, 1, 2))(query, key_, value), alone(query[:1])

    (in_query, in_key, in_value), alone = gradients(query, key_, value)
    assert (in_query[1] == 0).all()
    assert (in_key[1] == 0).all()
    assert (in_value[1] == 0).all()
    assert np.isfinite(in_query).all()
    assert (in_query[0] != 0).any()
    np.testing.assert_allclose(in_query[:1], alone, rtol=1e-4, atol=1e-5)


def test_empty_sequences():
    """Without keys the heads are zero. Without queries there is no output."""
    assert (jax.jit(nn.dot_product_attention)(*heads_of(3, 0)) == 0).all()
    some, none = randoms(3, 4), randoms(0, 4)
    y, empty = jax.jit(lambda layer: (layer(some, none, none), layer(none, some, some)))(SMALL)
    assert (y == 0).all()
    assert empty.shape == (0, 4)


def test_scale_may_be_traced():
    """So a temperature can be learnt."""
    query, key_, value = heads_of(3, 5)
    y = jax.jit(lambda scale: nn.dot_product_attention(query, key_, value, scale=scale))(0.5)
    np.testing.assert_allclose(y, by_loops(query * 0.5 * np.sqrt(3), key_, value), rtol=1e-4, atol=1e-5)


def test_float32_is_not_converted():
    """The jaxpr with a mask, or with a cache, converts no floating-point number."""
    attention, state = make_decoder(4)
    mask = np.ones((3, 3), bool)
    calls = (lambda x, state: attention(x, x, x, mask), lambda x, state: attention(x, x, x, state=state))
    for call in calls:
        assert "new_dtype=float32" not in str(jax.make_jaxpr(call)(X, state))


def test_softmax_in_float32():
    """Inputs in 16 bits give the numbers of float32, rounded, with gradients in 16 bits."""

    @jax.jit
    def value_and_gradient(*arrays):
        def total(query):
            return jnp.sum(nn.dot_product_attention(query, *arrays[1:], is_causal=True).astype(jnp.float32))

        return nn.dot_product_attention(*arrays, is_causal=True), jax.grad(total)(arrays[0])

    for dtype in (jnp.bfloat16, jnp.float16):
        low = [x.astype(dtype) for x in heads_of(3, 5, kv_heads=2)]
        for y, wide in zip(value_and_gradient(*low), value_and_gradient(*[x.astype(jnp.float32) for x in low])):
            assert y.dtype == dtype
            np.testing.assert_allclose(np.asarray(y, np.float32), wide, rtol=3e-2, atol=3e-2)
        # The scores are 4097 and 4096. They are equal in 16 bits.
        query, keys = jnp.array([[[64, 1]]], dtype), jnp.array([[[64, 1]], [[64, 0]]], dtype)
        y = nn.dot_product_attention(query, keys, keys[:, :, 1:], scale=1.0)
        np.testing.assert_allclose(float(y[0, 0, 0]), 1 / (1 + np.exp(-1)), rtol=1e-2)
    x = randoms(3, 4).astype(jnp.bfloat16)
    assert eqx.filter_eval_shape(SMALL, x, x, x).dtype == jnp.bfloat16
    assert make_layer(2, 4, dtype=jnp.bfloat16).key_proj.weight.dtype == jnp.bfloat16


def test_in_double_precision(x64):
    """The formula holds to 12 digits, in decoding too."""
    arrays = [np.random.RandomState(i).normal(size=(3, 2, 4)) for i in range(3)]
    attention, state = make_decoder(3)
    x = np.random.RandomState(0).normal(size=(3, 8))

    @jax.jit
    def compute(x, state):
        formula = nn.dot_product_attention(*arrays)
        return formula, attention(x, x, x, state=state)[0], attention(x, x, x, is_causal=True)

    y, decoded, whole = compute(x, state)
    np.testing.assert_allclose(y, by_loops(*arrays), rtol=1e-12)
    assert decoded.dtype == jnp.float64
    np.testing.assert_allclose(decoded, whole, rtol=1e-10)


def test_dropout_has_the_right_mean():
    """It drops weights of the attention, differently with each key. In inference it does nothing."""
    query, key_, value = heads_of(2, 6, kv_heads=2)

    @jax.jit
    def compute(keys):
        drop = jax.vmap(lambda key: nn.dot_product_attention(query, key_, value, dropout_p=0.3, key=key))
        return drop(keys), nn.dot_product_attention(query, key_, value)

    ys, expected = compute(jrandom.split(jrandom.PRNGKey(0), 2000))
    assert np.std(ys, 0).min() > 0.01
    np.testing.assert_allclose(np.mean(ys, 0), expected, atol=0.06)
    layer, x = drawn(nn.MultiheadAttention, 2, 4, dropout_p=0.5), randoms(3, 4)
    evaluated = nn.inference_mode(layer)

    @jax.jit
    def in_four_ways(key):
        return layer(x, x, x, key=key), layer(x, x, x, inference=True), evaluated(x, x, x), SMALL(x, x, x)

    dropped, *others = in_four_ways(jrandom.PRNGKey(0))
    for y in others:
        np.testing.assert_allclose(y, others[-1], atol=1e-6)
    assert not np.allclose(dropped, others[-1], atol=1e-3)


def test_under_transformations():
    """A batch, compiled."""
    layer = drawn(nn.MultiheadAttention, 4, 8, 3, 5, 6, qk_size=2, vo_size=3, num_kv_heads=2)
    arrays = randoms(2, 3, 8), randoms(2, 5, 3), randoms(2, 5, 5)
    ys = jax.jit(jax.vmap(layer))(*arrays)
    one = jax.jit(layer.__call__)
    np.testing.assert_allclose(ys, [one(*[x[i] for x in arrays]) for i in range(2)], rtol=1e-4, atol=1e-5)


def test_heads_are_processed():
    """With rotary embeddings the output depends on differences of positions only."""
    layer, rotary, x = (
        drawn(nn.MultiheadAttention, 2, 8, num_kv_heads=1),
        nn.RotaryPositionalEmbedding(4),
        randoms(5, 8),
    )

    def process(query, key_, value, offset=0):
        assert (query.shape, key_.shape, value.shape) == ((5, 2, 4), (5, 1, 4), (5, 1, 4))
        rotate = jax.vmap(ft.partial(rotary, offset=offset), in_axes=1, out_axes=1)
        return rotate(query), rotate(key_), value

    processes = [process, ft.partial(process, offset=100), None]
    y, later, plain = jax.jit(lambda x: [layer(x, x, x, process_heads=p) for p in processes])(x)
    assert not np.allclose(y, plain, atol=1e-3)
    np.testing.assert_allclose(later, y, rtol=1e-3, atol=1e-4)


def test_initialisation():
    """The bounds are those of PyTorch, where queries, keys and values are made together if they are of one length."""
    layer = make_layer(4, 64, use_query_bias=True, use_output_bias=True)
    np.testing.assert_allclose(abs(layer.query_proj.weight).max(), np.sqrt(6 / 256), rtol=0.01)
    np.testing.assert_allclose(abs(layer.output_proj.weight).max(), 1 / 8, rtol=0.01)
    assert (layer.query_proj.bias == 0).all()
    assert layer.key_proj.bias is None
    assert all(make_layer(2, 4, dropout_p=p).dropout is None for p in (0, 0.0, np.float32(0)))
    other = make_layer(4, 64, key_size=32, weight_init=None)
    np.testing.assert_allclose(abs(other.key_proj.weight).max(), np.sqrt(6 / 96), rtol=0.01)
    ones = make_layer(2, 4, use_output_bias=True, bias_init=jax.nn.initializers.ones)
    assert (ones.output_proj.bias == 1).all()


# Decoding


@pytest.mark.parametrize("steps", [(3, 2, 1), (6,)], ids=str)
def test_decoding_is_causal_attention(steps):
    """However many vectors come at a time, with room left or not, with shared heads and rotary embeddings."""
    attention, state = make_decoder(9 if len(steps) == 1 else 6, num_kv_heads=2)
    xs, rotary = randoms(6, 8), nn.RotaryPositionalEmbedding(2)

    def process(query, key_, value, offset):
        rotate = jax.vmap(ft.partial(rotary, offset=offset), in_axes=1, out_axes=1)
        return rotate(query), rotate(key_), value

    @jax.jit
    def decode(x, state):
        length = state.get(attention.cache)["length"]
        return attention(x, x, x, state=state, process_heads=ft.partial(process, offset=length))

    whole = jax.jit(lambda xs: attention(xs, xs, xs, is_causal=True, process_heads=ft.partial(process, offset=0)))(xs)
    ys, begin = [], 0
    for step in steps:
        y, state = decode(xs[begin : begin + step], state)
        ys.append(y)
        begin += step
    np.testing.assert_allclose(jnp.concatenate(ys), whole, rtol=1e-4, atol=1e-5)


def test_decoding_in_a_compiled_loop():
    """A batch under `scan`, with a state for each example. Beyond the end of the cache the output is NaN."""
    attention, state = make_decoder(4)
    xs = randoms(3, 6, 8)
    whole = jax.vmap(lambda x: attention(x, x, x, is_causal=True))(xs)
    states = jax.tree_util.tree_map(lambda x: jnp.stack([x] * 3), state)
    traces = []

    def step(states, x):
        traces.append(None)
        y, states = jax.vmap(lambda x, state: attention(x[None], x[None], x[None], state=state))(x, states)
        return states, y[:, 0]

    states, ys = jax.jit(lambda states: lax.scan(step, states, jnp.swapaxes(xs, 0, 1)))(states)
    assert len(traces) <= 2
    np.testing.assert_allclose(jnp.swapaxes(ys[:4], 0, 1), whole[:, :4], rtol=1e-4, atol=1e-5)
    assert np.isnan(ys[4:]).all()
    assert states.get(attention.cache)["length"].tolist() == [6, 6, 6]


def test_decoding_with_a_mask():
    """The mask is over the whole cache. A masked vector takes no part, as if it were not there."""
    attention, state = make_decoder(4)
    xs = randoms(3, 8)
    mask = np.array([[True, False, True, True]]).repeat(3, 0)

    @jax.jit
    def compute(xs, state):
        kept = xs[::2]
        return attention(xs, xs, xs, mask, state=state)[0], attention(kept, kept, kept, is_causal=True)

    y, of_kept = compute(xs, state)
    np.testing.assert_allclose(y[::2], of_kept, rtol=1e-4, atol=1e-5)


# Errors


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"mask": np.ones((3, 3), bool), "key": jrandom.PRNGKey(0)}, "`mask`"),
        ({"mask": np.ones((3, 4)), "key": jrandom.PRNGKey(0)}, "`mask`"),
        ({"is_causal": 3, "key": jrandom.PRNGKey(0)}, "`is_causal`"),
        ({}, "needs a PRNG key"),
        ({"key": 3}, "`key` to be a PRNG key"),
    ],
    ids=map(str, range(5)),
)
def test_a_failed_call_does_not_spend_the_state(wrong, message):
    """It can be repeated with good arguments."""
    attention, state = make_decoder(4, dropout_p=0.5)
    with pytest.raises((TypeError, ValueError), match=message):
        attention(X, X, X, state=state, **wrong)
    _, new = attention(X, X, X, state=state, key=jrandom.PRNGKey(0))
    assert int(new.get(attention.cache)["length"]) == 3


X = np.ones((3, 8), np.float32)
HEADS = [np.ones((3, 4, 2), np.float32)] * 3
LAYER = drawn(nn.MultiheadAttention, 4, 8)


def decode(max_length, of=None, **options):
    attention, state = make_decoder(max_length)
    return attention(X, X, X, state=state if of is None else of, **options)


def copies(state):
    return jax.tree_util.tree_map(lambda x: jnp.stack([x, x]), state)


def full():
    attention, state = make_decoder(4)
    _, state = attention(X, X, X, state=state)
    attention(X, X, X, state=state)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: make_layer(3, 8), ValueError, "`num_heads` to divide `query_size`, got 3 heads of 8.*`qk_size`"),
        (lambda: make_layer(4, 8, num_kv_heads=3), ValueError, "`num_kv_heads` to divide `num_heads`, got 3 and 4"),
        (lambda: make_layer(4, 8, key_size=0), ValueError, "`key_size` to be at least 1, got 0"),
        (lambda: make_layer(4, 8, use_key_bias=1), TypeError, "`use_key_bias` to be `True` or `False`, got 1"),
        (lambda: make_layer(4, 8, dtype=jnp.complex64), ValueError, "`dtype` to be floating-point, got complex64"),
        (lambda: make_layer(4, 8, dropout_p=2), ValueError, "`MultiheadAttention` expects `dropout_p` .* got 2.0"),
        (lambda: make_layer(4, 8, dropout_p="1"), TypeError, "`MultiheadAttention` expects `dropout_p` .* got '1'"),
        (lambda: make_layer(4, 8, inference=3), TypeError, "`MultiheadAttention` expects `inference` .* got 3"),
        (
            lambda: make_layer(4, 8, dropout_p=0.5)(X, X, X, inference=3),
            TypeError,
            "`MultiheadAttention` expects `inference` to be `True` or `False`, got 3",
        ),
        (
            lambda: nn.dot_product_attention(*HEADS, dropout_p=2.0, key=jrandom.PRNGKey(0)),
            ValueError,
            "`dot_product_attention` expects `dropout_p` to be a probability, from 0 to 1, got 2.0",
        ),
        (lambda: nn.MultiheadAttention(4, 8, key=None), TypeError, "`key` to be a PRNG key"),
        (lambda: LAYER(X[:, :7], X, X), ValueError, r"`query_size=8` expects `query` .* got \(3, 7\)"),
        (
            lambda: LAYER(X[None], X[None], X[None]),
            ValueError,
            r"got \(1, 3, 8\). Batch with `jax.vmap\(layer\)\(query",
        ),
        (lambda: LAYER(X, X[:2], X), ValueError, r"`key_` and `value` of one length, got \(2, 8\) and \(3, 8\)"),
        (lambda: LAYER(X, X, X, np.ones((3, 3))), TypeError, "`MultiheadAttention` expects `mask` to hold bools"),
        (lambda: LAYER(X, X, X, np.ones((2, 3), bool)), ValueError, r"here \(3, 3\) or \(4, 3, 3\), got \(2, 3\)"),
        (lambda: LAYER(X * 1j, X, X), TypeError, "`MultiheadAttention` expects `query` to be floating-point, got comp"),
        (lambda: LAYER(X, X * 1j, X), TypeError, "`MultiheadAttention` expects `key_` to be real, got complex64"),
        (
            lambda: decode(5, mask=np.ones((3, 3), bool)),
            ValueError,
            r"`max_length=5` expects `mask` .* \(3, 5\) or \(4",
        ),
        (
            lambda: decode(3, of=make_decoder(7)[1]),
            ValueError,
            r"'key'\]` .* shape \(3, 4, 2\), got \(7, 4, 2\). It is",
        ),
        (
            lambda: decode(7, of=make_decoder(3)[1]),
            ValueError,
            r"shape \(7, 4, 2\), got \(3, 4, 2\). It is the state of",
        ),
        (
            lambda: decode(3, of=copies(make_decoder(3)[1])),
            ValueError,
            r"got \(2, 3, 4, 2\). .* Map over the state too",
        ),
        (lambda: LAYER(X, X, X, process_heads=lambda *heads: heads[:2]), ValueError, "return three arrays"),
        (
            lambda: decode(4, process_heads=lambda query, key_, value: (query, key_[:, :1], value)),
            ValueError,
            r"keeps heads of shape \(4, 2\) for each key, but `process_heads` returns \(1, 2\)",
        ),
        (lambda: decode(4, process_heads=lambda query, key_, value: (query[:2], key_, value)), ValueError, "2 and 3"),
        (lambda: decode(2), ValueError, "`max_length=2` has no room for 3 more. It holds 0 already"),
        (lambda: LAYER(X, X, X, process_heads=3), TypeError, "`process_heads` to be a function"),
        (lambda: LAYER(X, X, X, state=nn.State(LAYER)), ValueError, "Make it with `max_length="),
        (lambda: make_decoder(4)[0](X, X, X, state=3), TypeError, "`state` to be a `State`, got 3"),
        (
            lambda: make_layer(4, 8, dropout_p=0.5)(X, X, X),
            ValueError,
            "`MultiheadAttention` needs .*`inference=True`, or",
        ),
        (
            lambda: nn.dot_product_attention(*HEADS, dropout_p=0.5),
            ValueError,
            "`dot_product_attention` .*`dropout_p=0.0`",
        ),
        (full, ValueError, "`max_length=4` has no room for 3 more. It holds 3 already"),
        (
            lambda: jax.vmap(lambda key: nn.MultiheadAttention(4, 8, key=key))(jrandom.split(jrandom.PRNGKey(0)))(
                X, X, X
            ),
            ValueError,
            "stacked weights",
        ),
        (lambda: nn.dot_product_attention(HEADS[0][0], *HEADS[1:]), ValueError, r"`query` .* \(q, heads, size\)"),
        (
            lambda: nn.dot_product_attention(HEADS[0], HEADS[0][:, :3], HEADS[0][:, :3]),
            ValueError,
            "divide those of `query`, got 3 heads of `key_` and 4 of `query`",
        ),
        (lambda: nn.dot_product_attention(*[x.astype(int) for x in HEADS]), TypeError, "floating-point, got int"),
        (lambda: nn.dot_product_attention(*HEADS, bias=np.ones((3, 3), int)), TypeError, "`bias` to be floating-point"),
        (lambda: nn.dot_product_attention(*HEADS, scale="1"), TypeError, "`scale` to be a number, got '1'"),
        (lambda: nn.dot_product_attention(*HEADS, scale=np.ones(3)), ValueError, r"got an array of shape \(3,\)"),
        (lambda: nn.dot_product_attention(*HEADS, is_causal=1), TypeError, "`is_causal` to be `True` or `False`"),
        (lambda: nn.dot_product_attention(*HEADS, implementation="cuda"), ValueError, "`None`, 'xla' or 'cudnn', got"),
        (
            lambda: nn.dot_product_attention(*HEADS, implementation="xla", dropout_p=0.5),
            ValueError,
            "has no dropout, got `dropout_p=0.5`",
        ),
        (
            lambda: nn.dot_product_attention(*HEADS[:2], HEADS[2][:, :, :1], implementation="xla"),
            ValueError,
            "`implementation='xla'` expects `value` to have vectors .* got 1 and 2",
        ),
    ],
    ids=lambda x: x.__name__ if isinstance(x, type) else "",
)
def test_errors_say_what_to_do(call, error, message):
    with pytest.raises(error, match=message):
        call()

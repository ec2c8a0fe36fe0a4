"""`Dropout` drops each element with probability `p`, keeps the expected value, and can be switched off."""

import functools as ft

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from jax import lax

import equinox as eqx

Dropout = eqx.nn.Dropout


def call(dropout, x, key):
    return dropout(x, key=key)


traced_call = jax.jit(call)
by_jitf = eqx.jitf(call, filter_fn=eqx.is_array_like)
by_filter_jit = eqx.filter_jit(call)


@pytest.mark.parametrize("p", [0.3, 0.9])
def test_drops_or_scales(p, run, getkey, draw):
    """Each element is either zero or `x / (1 - p)`. About a fraction `p` is zero, so the mean is that of `x`."""
    size = 20000
    x = 1 + jnp.clip(draw(size), -0.5, 0.5)
    y = np.asarray(run(ft.partial(call, Dropout(p)), x, getkey()))
    dropped = y == 0
    np.testing.assert_allclose(y[~dropped], np.asarray(x)[~dropped] / (1 - p), rtol=1e-5)
    five_sigma = 5 * np.sqrt(p * (1 - p) / size)
    assert abs(dropped.mean() - p) < five_sigma
    assert abs(y.mean() - np.asarray(x).mean()) < 1.1 * five_sigma / (1 - p)


def test_elements_are_independent(getkey):
    """An element tells nothing about the next one in its row, and nothing about the next one in its column."""
    kept = np.asarray(Dropout(0.5)(jnp.ones((200, 200)), key=getkey())) != 0
    for a, b in [(kept[1:], kept[:-1]), (kept[:, 1:], kept[:, :-1])]:
        assert abs((a == b).mean() - 0.5) < 5 * 0.5 / np.sqrt(a.size)


def test_the_key_decides(getkey):
    """The same key drops the same elements. Another key drops others."""
    dropout, x = Dropout(0.5), jnp.ones(100)
    key = getkey()
    first = dropout(x, key=key)
    assert np.array_equal(first, dropout(x, key=key))
    assert np.array_equal(first, by_filter_jit(dropout, x, key))
    assert not np.array_equal(first, dropout(x, key=getkey()))


def test_typed_keys():
    """Keys made by `jax.random.key` are keys too, if JAX has them."""
    make_key = getattr(jrandom, "key", jrandom.PRNGKey)
    y = np.asarray(Dropout(0.5)(jnp.ones(100), key=make_key(0)))
    assert set(y.tolist()) == {0.0, 2.0}


def test_deterministic(run, getkey, draw):
    """A deterministic layer is the identity for any `p`. It needs no key."""
    x = draw(100)
    for p in (0, 0.5, 1):
        assert np.array_equal(run(Dropout(p, deterministic=True).__call__, x), x)
        assert Dropout(p, True)(x) is x
        assert Dropout(p, True)(x, key=getkey()) is x
        assert Dropout(p, np.bool_(True))(x) is x
        assert Dropout(p, jnp.array(True))(x) is x


def test_the_flag_of_the_call_takes_precedence(getkey):
    """`deterministic` at the call overrides that of the layer, if it is not `None`."""
    x = jnp.ones(100)
    y = Dropout(0.5, deterministic=True)(x, key=getkey(), deterministic=False)
    assert set(np.asarray(y).tolist()) == {0.0, 2.0}
    assert Dropout(0.5, deterministic=False)(x, key=getkey(), deterministic=True) is x
    assert np.array_equal(Dropout(0.5, deterministic=True)(x, deterministic=None), x)


def test_the_flag_is_a_leaf():
    """`deterministic` can be changed by `tree_at`."""
    dropout, x = Dropout(), jnp.ones(100)
    assert jax.tree_util.tree_leaves(dropout) == [False]
    assert eqx.tree_at(lambda d: d.deterministic, dropout, True)(x) is x


def test_a_number_is_structure_and_an_array_a_leaf(getkey):
    """If `p` is a number, it is no leaf, and `replace` changes it. If `p` is an array, `tree_at` changes it."""
    x = jnp.ones(100)
    for p in (0, 0.5, np.float32(0.5)):
        assert jax.tree_util.tree_leaves(Dropout(p)) == [False]
    always = eqx.replace(Dropout(), p=0.75)
    assert set(np.asarray(always(x, key=getkey())).tolist()) == {0.0, 4.0}
    for p in (jnp.array(0.5), np.array(0.5)):
        assert jax.tree_util.tree_leaves(Dropout(p)) == [p, False]
        always = eqx.tree_at(lambda d: d.p, Dropout(p), jnp.array(0.75))
        assert set(np.asarray(always(x, key=getkey())).tolist()) == {0.0, 4.0}
    with pytest.raises(ValueError, match="probability, from 0 to 1, got 2"):
        Dropout(eqx.replace(Dropout(), p=2)(x, key=getkey()))


def test_zero_probability(run, getkey, draw):
    """`p=0` is the identity. It needs no key."""
    x = draw(100)
    assert np.array_equal(run(Dropout(0).__call__, x), x)
    assert np.array_equal(run(ft.partial(call, Dropout(0.0)), x, getkey()), x)


def test_certain_probability(run, getkey, draw):
    """`p=1`, known or traced, gives zeros. The gradients are zero and not NaN."""

    def total(x, p, key):
        return jnp.sum(Dropout(p)(x, key=key)) + jnp.sum(Dropout(1)(x, key=key))

    value, gradients = run(jax.value_and_grad(total, (0, 1)), draw(100), jnp.array(1.0), getkey())
    assert value == 0
    assert np.array_equal(gradients[0], np.zeros(100))
    assert gradients[1] == 0


def test_gradient_is_the_mask(run, getkey):
    """The gradient of the sum is `1 / (1 - p)` where an element is kept, and zero where it is dropped."""
    dropout, x, key = Dropout(0.8), jnp.ones(100), getkey()
    gradient = run(jax.grad(lambda x, key: jnp.sum(dropout(x, key=key))), x, key)
    np.testing.assert_allclose(gradient, dropout(x, key=key), rtol=1e-6)


def test_dropped_elements_are_zero_whatever_they_were(getkey):
    """If an infinity or NaN is dropped, the value and the gradient hold no NaN."""
    x = jnp.array([jnp.inf, jnp.nan] * 50)
    y, gradient = jax.value_and_grad(lambda x, key: jnp.sum(Dropout(1.0)(x, key=key)))(x, getkey())
    assert y == 0
    assert np.array_equal(gradient, np.zeros(100))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.complex64], ids=lambda x: x.__name__)
def test_dtype_of_x(dtype, getkey):
    """The result has the dtype of `x`, for any kind of number `p`, known or traced."""
    x, key = jnp.ones(100, dtype), getkey()
    rates = [0.5, np.float64(0.5), np.float32(0.5), np.array(0.5), jnp.array(0.5), jnp.array(0.5, jnp.float16)]
    for p in rates:
        y = Dropout(p)(x, key=key)
        assert y.dtype == dtype
        assert set(np.asarray(y).astype(complex).tolist()) == {0, 2}
        assert jax.eval_shape(call, Dropout(p), x, key).dtype == dtype


def test_any_shape(getkey):
    """`x` may have any shape, and the result has it too."""
    for shape in [(), (3,), (2, 0), (2, 3, 4)]:
        x = jax.ShapeDtypeStruct(shape, jnp.float32)
        assert jax.eval_shape(call, Dropout(), x, getkey()).shape == shape
    assert Dropout()(jnp.ones((2, 0)), key=getkey()).shape == (2, 0)


def test_numbers_and_lists(getkey):
    """Python numbers and lists count as arrays."""
    assert float(Dropout()(1.0, key=getkey())) in (0.0, 2.0)
    assert set(np.asarray(Dropout()([1.0] * 100, key=getkey())).tolist()) == {0.0, 2.0}


def test_vmap_over_keys(getkey):
    """Mapped over examples and keys, each example has its own mask. Mapped over examples only, all share one mask."""
    dropout, x = Dropout(0.5), jnp.ones((2, 100))
    keys = jrandom.split(getkey(), 2)
    y = jax.vmap(dropout)(x, key=keys)
    for i in range(2):
        assert np.array_equal(y[i], dropout(x[i], key=keys[i]))
    assert not np.array_equal(y[0], y[1])
    shared = jax.vmap(lambda x: dropout(x, key=keys[0]))(x)
    assert np.array_equal(shared[0], shared[1])


def test_scan_over_keys(getkey):
    """Inside `lax.scan`, the key of a step decides the mask of that step."""
    dropout, keys = Dropout(0.5), jrandom.split(getkey(), 2)
    _, ys = lax.scan(lambda x, key: (x, dropout(x, key=key)), jnp.ones(100), keys)
    for y, key in zip(ys, keys):
        assert np.array_equal(y, dropout(jnp.ones(100), key=jnp.asarray(key)))


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("p", [0, 0.0, 0.5, 1.0])
def test_traced_arguments(p, deterministic, getkey, draw):
    """If all leaves are traced, as `jitf(filter_fn=is_array_like)` does, the values are those of the eager call."""
    dropout, x, key = Dropout(p, deterministic), draw(100), getkey()
    expected = np.asarray(dropout(x, key=key))
    for compiled in (by_jitf, traced_call, by_filter_jit):
        np.testing.assert_allclose(compiled(dropout, x, key), expected, rtol=1e-6)


def test_traced_flag_of_the_call(run, getkey, draw):
    """A traced `deterministic` at the call overrides that of the layer too."""
    x, key = draw(100), getkey()

    def both(x, key, flag):
        return [Dropout(0.5, mine)(x, key=key, deterministic=flag) for mine in (False, True)]

    for flag in (False, True):
        for y in run(both, x, key, jnp.array(flag)):
            np.testing.assert_allclose(y, Dropout(0.5)(x, key=key, deterministic=flag), rtol=1e-6)


def test_no_retrace_when_traced_arguments_change(getkey):
    """If the probability and the flag are traced, new values need no compilation."""
    traces = []

    @ft.partial(eqx.jitf, filter_fn=eqx.is_array_like)
    def compiled(dropout, x, key):
        traces.append(None)
        return dropout(x, key=key)

    x, key = jnp.ones(100), getkey()
    for p, deterministic in [(0.5, False), (0.25, False), (0.25, True)]:
        y = compiled(Dropout(jnp.array(p), deterministic), x, key)
        assert set(np.asarray(y).tolist()) <= {0.0, np.float32(1 / (1 - p)).item(), 1.0}
    assert len(traces) == 1


def test_closed_over_arrays(getkey):
    """Concrete arrays are known inside `jit` too. No key is needed if they make the layer deterministic."""
    dropout = Dropout(jnp.array(0.5), jnp.array(True))
    assert np.array_equal(jax.jit(lambda x: dropout(x))(jnp.ones(3)), np.ones(3))


def test_gradient_of_the_probability_is_zero(getkey):
    """`p` isn't trained. With a fixed mask, its gradient would be that of the scale alone."""

    def total(p, x, key):
        return jnp.sum(Dropout(p)(x, key=key))

    assert jax.grad(total)(0.5, jnp.ones(100), getkey()) == 0


def test_missing_key(run):
    """Without a key the layer can't choose what to drop. The error says what to pass."""
    with pytest.raises(
        ValueError, match="`Dropout` needs a PRNG key .* `key=...`.* `deterministic=True`.* `eqx.nn.inference_mode"
    ):
        run(Dropout().__call__, jnp.ones(3))
    with pytest.raises(ValueError, match="needs a PRNG key"):
        Dropout(deterministic=True)(jnp.ones(3), deterministic=False)


def test_missing_key_while_traced():
    """A traced flag isn't known to be true, so a key is needed. The error gives this reason."""
    with pytest.raises(ValueError, match="The flag of the dropout is traced.* `filter_fn=eqx.is_array`"):
        eqx.jitf(lambda d, x: d(x), filter_fn=eqx.is_array_like)(Dropout(deterministic=True), jnp.ones(3))
    y = eqx.jitf(lambda d, x: d(x), filter_fn=eqx.is_array)(Dropout(deterministic=True), jnp.ones(3))
    assert np.array_equal(y, np.ones(3))


def test_wrong_probability():
    """`p` is one number from 0 to 1, when the layer is made and when it is called."""
    for p in (-0.1, 1.5, float("nan"), 2, np.float32(-1), jnp.array(3.0)):
        with pytest.raises(ValueError, match="`Dropout` expects `p` to be a probability, from 0 to 1, got"):
            Dropout(p)
    for p in ("0.5", None, True, jnp.ones(2), [0.5]):
        with pytest.raises(TypeError, match="`Dropout` expects `p` to be a number from 0 to 1, got"):
            Dropout(p)
    with pytest.raises(ValueError, match="from 0 to 1, got 5.0"):
        eqx.replace(Dropout(), p=5.0)(jnp.ones(3), key=jrandom.PRNGKey(0))


def test_wrong_flag():
    """`deterministic` is a bool, when the layer is made and when it is called."""
    for flag in ("no", None, 1, jnp.ones(2), jnp.ones(2, bool)):
        with pytest.raises(TypeError, match="`Dropout` expects `deterministic` to be `True` or `False`, got"):
            Dropout(0.5, flag)
    with pytest.raises(TypeError, match="`deterministic` to be `True` or `False`, got 'no'"):
        Dropout()(jnp.ones(3), deterministic="no")


def test_wrong_input(getkey):
    """Integers can't be scaled in their own dtype. A seed is no key."""
    with pytest.raises(TypeError, match="`Dropout` expects `input` to be floating-point or complex, got int32"):
        Dropout()(jnp.arange(3), key=getkey())
    with pytest.raises(TypeError, match=r"`Dropout` expects `key` to be a PRNG key, such as .*\(7\)`, got 7"):
        Dropout()(jnp.ones(3), key=7)

"""How `LoRA`, `WeightNorm` and `SpectralNorm` nest in each other, wrap cells, and pass everything to the layer."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest

import equinox as eqx
from equinox import nn
from equinox.nn import GRUCell, Linear, LoRA, LSTMCell, SpectralNorm, WeightNorm

KEY = jrandom.PRNGKey(0)
X = jnp.array([1.0, -2.0, 0.5])
A, B = np.array([[0.5, -1.0, 2.0]]), np.array([[1.0], [0.5], [-1.0], [3.0]])
G = np.array([[1.0], [2.0], [-3.0], [0.5]])


def lora(layer):
    made = LoRA(layer, 1, key=KEY)
    return eqx.tree_at(lambda m: (m.lora_a, m.lora_b), made, (jnp.array(A, "float32"), jnp.array(B, "float32")))


def weight_norm(layer):
    return eqx.tree_at(lambda m: m.g, WeightNorm(layer), jnp.array(G, "float32"))


def spectral_norm(layer):
    return SpectralNorm(layer, num_power_iterations=50, key=KEY)


# How each wrapper is made, and its formula. 50 iterations give the largest singular value.
WRAPPERS = {
    "LoRA": (lora, lambda w: w + B @ A),
    "WeightNorm": (weight_norm, lambda w: G * w / np.linalg.norm(w, axis=1, keepdims=True)),
    "SpectralNorm": (spectral_norm, lambda w: w / np.linalg.svd(w, compute_uv=False)[0]),
}


@pytest.mark.parametrize("names", list(itertools.product(WRAPPERS, repeat=2)), ids=" of ".join)
def test_wrappers_nest(names):
    """The outer wrapper changes the weight that the inner one computes. The state passes through both."""
    (outer, outer_formula), (inner, inner_formula) = (WRAPPERS[name] for name in names)
    linear = Linear(3, 4, key=KEY)
    model, state = nn.make_with_state(lambda: outer(inner(linear)))()
    expected = outer_formula(inner_formula(np.asarray(linear.weight, np.float64))) @ np.asarray(X) + linear.bias
    assert model.is_stateful() == ("SpectralNorm" in names)
    if not model.is_stateful():
        np.testing.assert_allclose(model(X), expected, rtol=1e-4, atol=1e-4)
        return
    y, new = model(X, state)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(nn.Sequential([model])(X, new)[0], expected, rtol=1e-4, atol=1e-4)


def test_a_new_wrapper_changes_nothing():
    """The first length of `WeightNorm` is that of the weight that the inner wrapper computes. The merge has it too."""
    inner = lora(Linear(3, 4, key=KEY))
    for outer in (WeightNorm(inner), LoRA(inner, 2, key=KEY), LoRA(WeightNorm(inner), 2, key=KEY)):
        np.testing.assert_allclose(outer(X), inner(X), rtol=1e-4, atol=1e-5)
    merged = LoRA(WeightNorm(inner), 2, key=KEY).merge()
    assert type(merged) is Linear
    np.testing.assert_allclose(merged.weight, inner.merge().weight, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, None])
def test_a_stack_is_merged_as_each_of_its_layers(axis, getkey):
    """`merge` of a stack gives what `merge` under `vmap` gives, if a `WeightNorm` is inside."""

    def make(key):
        norm = WeightNorm(Linear(3, 4, key=key), axis=axis)
        return lora(eqx.tree_at(lambda norm: norm.g, norm, replace_fn=lambda g: g * jrandom.normal(key, g.shape)))

    stack = eqx.filter_vmap(make)(jrandom.split(getkey(), 2))
    expected = eqx.filter_vmap(lambda layer: layer.merge())(stack)
    np.testing.assert_allclose(stack.merge().weight, expected.weight, rtol=1e-5, atol=1e-6)


class WithoutKey(eqx.Module):
    """A layer of a user, whose call takes no key."""

    weight: Any

    def __call__(self, x):
        return self.weight @ x


class WithKey(WithoutKey):
    def __call__(self, x, *, key=None):
        return super().__call__(x), key


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_layer_gets_the_key_if_it_takes_one(wrapper):
    """If it takes none, the wrapper takes a key anyway. The key is `None` if it isn't passed."""
    weight = jnp.arange(12.0).reshape(4, 3)
    for layer, key in itertools.product((WithoutKey(weight), WithKey(weight)), (None, KEY)):
        model, state = nn.make_with_state(WRAPPERS[wrapper][0])(layer)
        y = model(X, state, key=key)[0] if model.is_stateful() else model(X, key=key)
        if isinstance(layer, WithKey):
            y, got = y
            assert got is key
        assert y.shape == (4,)


def test_what_has_gradients():
    """`LoRA` freezes all that it wraps. What is around it has gradients."""
    grads = jax.grad(lambda m: jnp.sum(m(X) ** 2))(weight_norm(lora(Linear(3, 4, key=KEY))))
    assert not np.any(grads.layer.layer.weight) and not np.any(grads.layer.layer.bias)
    assert np.all(grads.g) and np.any(grads.layer.lora_a) and np.any(grads.layer.lora_b)
    grads = jax.grad(lambda m: jnp.sum(m(X) ** 2))(lora(weight_norm(Linear(3, 4, key=KEY))))
    assert not any(np.any(leaf) for leaf in jax.tree_util.tree_leaves(grads.layer))
    assert np.any(grads.lora_a) and np.any(grads.lora_b)


@pytest.mark.parametrize("cell", [GRUCell, LSTMCell], ids=lambda cell: cell.__name__)
def test_wrapped_cells(cell):
    """A wrapped cell takes a hidden state, and runs in `RNN`, also without `initial`."""
    plain = cell(3, 4, key=KEY)
    wrapped = WeightNorm(LoRA(plain, 1, weight_name="weight_ih", key=KEY), "weight_hh")
    wrapped = eqx.tree_at(lambda w: w.g, wrapped, 2 * wrapped.g)
    expected = eqx.tree_at(lambda c: c.weight_hh, plain, 2 * plain.weight_hh)
    hidden = jnp.ones(4) if cell is GRUCell else (jnp.ones(4), jnp.zeros(4))
    results = (wrapped(X, hidden), nn.RNN(wrapped)(jnp.stack([X, -X])))
    others = (expected(X, hidden, key=KEY), nn.RNN(expected)(jnp.stack([X, -X])))
    for got, other in zip(*map(jax.tree_util.tree_leaves, (results, others))):
        np.testing.assert_allclose(got, other, rtol=1e-4, atol=1e-5)


class Scaled(nn.StatefulLayer):
    """A stateful layer that takes another argument. It counts its calls."""

    weight: Any = eqx.field(converter=jnp.asarray)
    calls: nn.StateIndex

    def __call__(self, x, state, scale, *, key=None, shift=0.0):
        if key is not None:
            shift = shift + 100.0
        return self.weight @ x * scale + shift, state.set(self.calls, state.get(self.calls) + 1)


@pytest.mark.parametrize("wrap", [LoRA, WeightNorm, SpectralNorm], ids=lambda wrap: wrap.__name__)
def test_everything_is_passed_on(wrap):
    """A wrapped stateful layer gets its state, further arguments, keywords and the key."""
    options = {"rank": 1, "key": KEY} if wrap is LoRA else {"key": KEY} if wrap is SpectralNorm else {}
    matrix = np.diag([1.0, 0.5]).astype("float32")  # its largest singular value is 1

    model, state = nn.make_with_state(lambda: wrap(Scaled(matrix, nn.StateIndex(jnp.array(0))), **options))()
    y, state = model(jnp.ones(2), state, 3.0, shift=1.0)
    np.testing.assert_allclose(y, [4.0, 2.5], rtol=1e-4)
    y, state = model(jnp.ones(2), state, 3.0, key=KEY)
    np.testing.assert_allclose(y, [103.0, 101.5], rtol=1e-4)
    assert int(state.get(model.layer.calls)) == 2


def test_a_failed_call_spends_no_state():
    """The state can be used again after a call that failed."""
    model, state = nn.make_with_state(lambda: LoRA(spectral_norm(Linear(3, 4, key=KEY)), 1, key=KEY))()
    with pytest.raises(ValueError, match="`Linear`"):
        model(jnp.ones((5, 3)), state)
    assert model(X, state=state)[0].shape == (4,)


def test_lora_of_a_model_that_has_its_state_already():
    """It needs only the shape of the weight. `WeightNorm` needs the values, which are in the state."""
    inner, state = nn.make_with_state(lambda: spectral_norm(Linear(3, 4, key=KEY)))()
    y, _ = inner(X, state, inference=True)
    changed = eqx.tree_at(lambda m: m.layer.inference, LoRA(inner, 1, key=KEY), True)
    np.testing.assert_allclose(changed(X, state)[0], y, rtol=1e-5)
    with pytest.raises(ValueError, match="Make all wrappers inside `eqx.nn.make_with_state`"):
        WeightNorm(inner)


def test_a_zero_direction_has_no_weight():
    """Where `v` is zero, the weight is NaN, as in PyTorch. Other rows keep theirs."""
    norm = WeightNorm(Linear(3, 2, key=KEY))
    norm = eqx.tree_at(lambda n: n.layer.weight, norm, norm.layer.weight.at[0].set(0.0))
    np.testing.assert_array_equal(jnp.isnan(norm(X)), [True, False])


STACKED = nn.Stacked(lambda key: Linear(3, 3, key=key), 2, key=KEY)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: lora(spectral_norm(Linear(3, 4, key=KEY)))(X), "`LoRA` needs a state. .*make_with_state"),
        (lambda: lora(spectral_norm(Linear(3, 4, key=KEY))).merge(), "can't merge into a `SpectralNorm`"),
        (lambda: nn.RNN(spectral_norm(GRUCell(3, 4, key=KEY))), "a field of `GRUCell`, got 'weight'"),
        (lambda: nn.RNN(SpectralNorm(GRUCell(3, 4, key=KEY), "weight_hh", key=KEY)), "`RNN` can't pass a `State`"),
        (lambda: WeightNorm(STACKED), "a field of `Stacked`, got 'weight'. .*inside a model: `eqx.tree_at"),
        (lambda: LoRA(STACKED.layers, 1, key=KEY), r"`Linear.weight` has shape \(2, 3, 3\), .* Wrap each of them"),
        (
            lambda: eqx.tree_at(eqx.select(STACKED, Linear), STACKED, replace_fn=WeightNorm),
            "`WeightNorm` expects one layer, but",
        ),
    ],
    ids=["no state", "merge", "no weight", "stateful cell", "container", "stack", "layer of Stacked"],
)
def test_errors(call, message):
    """They name the wrapper, what came, and what to do."""
    with pytest.raises(ValueError, match=message):
        call()

"""State: values that layers update, kept beside the model."""

import copy
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from jax import lax, tree_util

import equinox as eqx
from equinox.nn import Sequential, State, StatefulLayer, StateIndex, delete_init_state, make_with_state


class Counter(StatefulLayer):
    """Add the number of the calls before to `x`."""

    count: StateIndex
    scale: Any

    def __init__(self, scale=1.0):
        self.count = StateIndex(0.0)
        self.scale = jnp.asarray(scale)

    def __call__(self, x, state, *, key=None):
        count = state.get(self.count)
        return x + self.scale * count, state.set(self.count, count + 1)


def two_counters():
    return make_with_state(lambda: Sequential([Counter(), jnp.abs, Counter(10.0)]))()


def counts(model, state):
    return [np.asarray(state.get(model[i].count)).tolist() for i in (0, 2)]


def call(model, x, state):
    return model(x, state)


def compiled(model, x, state):
    return jax.jit(lambda x, state: model(x, state))(x, state)


def filtered(model, x, state):
    return eqx.filter_jit(model)(x, state)


def donated(model, x, state):
    return eqx.filter_jit(model, donate="all")(x, state)


def branch(model, x, state):
    return lax.cond(x < 1000, lambda s: model(x, s), lambda s: (x, s), state)


def differentiated(model, x, state):
    def aux(x):
        y, new = model(x, state)
        return y, (y, new)

    return jax.grad(aux, has_aux=True)(x)[1]


@pytest.mark.parametrize("how", [call, compiled, filtered, donated, branch, differentiated])
def test_each_call_sees_the_update_of_the_call_before(how):
    """Three calls in a row count to three, through every transformation."""
    model, state = two_counters()
    results = []
    for _ in range(3):
        y, state = how(model, jnp.array(1.0), state)
        results.append(float(y))
    assert results == [1.0, 12.0, 23.0]
    assert counts(model, state) == [3.0, 3.0]


def test_a_scan_carries_the_state():
    """A scan gives what a Python loop gives. The first value was a Python number, and the carry keeps its type."""
    model, state = two_counters()
    state, ys = lax.scan(lambda state, x: model(x, state)[::-1], state, jnp.ones(3))
    assert ys.tolist() == [1.0, 12.0, 23.0]
    assert counts(model, state) == [3.0, 3.0]


def test_an_ensemble_has_a_state_each():
    """`filter_vmap` over the construction and over the call: each model counts on its own."""
    models, states = eqx.filter_vmap(make_with_state(Counter))(jnp.array([1.0, 2.0, 3.0]))
    assert states.get(models.count).shape == (3,)
    states = states.set(models.count, jnp.array([0.0, 1.0, 2.0]))
    ys, states = eqx.filter_vmap(lambda m, x, s: m(x, s), in_axes=(eqx.if_array(0), None, eqx.if_array(0)))(
        models, 1.0, states
    )
    assert ys.tolist() == [1.0, 3.0, 7.0]
    assert states.get(models.count).tolist() == [1.0, 2.0, 3.0]


def test_a_batch_shares_a_state():
    """A state that isn't mapped over stays one state."""
    model, state = two_counters()
    ys, state = jax.vmap(model, in_axes=(0, None), out_axes=(0, None))(jnp.ones(4), state)
    assert ys.tolist() == [1.0] * 4
    assert counts(model, state) == [1.0, 1.0]


def test_copies_and_pickles_keep_the_values():
    """A copy of a model fits a copy of its state, also before `make_with_state`."""
    model, state = two_counters()
    _, state = model[:1](1.0, state)
    for copied in (copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
        new_layer, new_state = copied(model[0]), copied(state)
        assert float(new_state.get(new_layer.count)) == 1.0
        assert float(new_state.set(new_layer.count, 7.0).get(new_layer.count)) == 7.0
        assert float(state.get(model[0].count)) == 1.0
        counter = Counter()
        new_counter = copied(counter)
        assert float(State(counter).get(new_counter.count)) == 0.0


def test_trees():
    """A state is a pytree: `tree_map`, `tree_at` and paths work. It compares by its values."""
    model, state = two_counters()
    more = tree_util.tree_map(lambda x: x + 1, state)
    assert counts(model, more) == [1.0, 1.0]
    changed = eqx.tree_at(lambda s: s.get(model[2].count), state, jnp.array(5.0))
    assert counts(model, changed) == [0.0, 5.0]
    paths = [path for path, _ in eqx.named_leaves(state, "state")]
    assert paths == ["state.values['model.layers[0].count']", "state.values['model.layers[2].count']"]
    assert eqx.tree_equal(state, two_counters()[1])
    assert not eqx.tree_equal(state, changed)
    assert repr(state) == "State(model.layers[0].count=float32[], model.layers[2].count=float32[])"


def test_models_of_one_class_have_one_structure_and_their_own_values():
    """So a compiled function takes each of them. Updating one doesn't change the other."""
    (a, state_a), (b, state_b) = two_counters(), two_counters()
    assert tree_util.tree_structure(a) == tree_util.tree_structure(b)
    _, state_a = a(1.0, state_a)
    assert counts(a, state_a) == [1.0, 1.0]
    assert counts(b, state_b) == [0.0, 0.0]


def test_a_layer_in_two_places_has_one_value():
    """The index is the same, so the second place sees the update of the first."""

    def make():
        counter = Counter()
        return Sequential([counter, counter])

    model, state = make_with_state(make)()
    assert len(tree_util.tree_leaves(state)) == 1
    y, state = model(0.0, state)
    assert float(y) == 1.0
    assert float(state.get(model[0].count)) == float(state.get(model[1].count)) == 2.0


def test_the_model_has_no_first_values():
    """`make_with_state` and `delete_init_state` take them out of the model."""
    model, _ = two_counters()
    assert model[0].count.init is None
    counter = Counter()
    state = State(counter)
    assert float(counter.count.init) == 0.0
    counter = delete_init_state(counter)
    assert counter.count.init is None
    assert float(counter(1.0, state)[1].get(counter.count)) == 1.0


def test_a_part_of_the_state():
    """`substate` takes the values of a layer out, `update` puts them back."""
    model, state = two_counters()
    part = state.substate(model[2])
    assert len(tree_util.tree_leaves(part)) == 1
    _, part = model[2](1.0, part)
    new = state.update(part)
    assert counts(model, new) == [0.0, 1.0]
    assert counts(model, new.update(part)) == [0.0, 1.0]
    with pytest.raises(ValueError, match=r"by `update`"):
        state.get(model[0].count)
    with pytest.raises(ValueError, match=r"`State.update` got `model.layers\[0\].count`"):
        part.update(two_counters()[1])
    with pytest.raises(TypeError, match="expects `substate` to be a `State`, got 3"):
        part.update(3)
    model, state = two_counters()
    both, reverse = state.substate([model[0], model[2]]), state.substate([model[2], model[0]])
    assert tree_util.tree_structure(both) == tree_util.tree_structure(reverse)


def test_a_spent_state_is_refused():
    """Every use says what spent the state, and where."""
    model, state = two_counters()
    index = model[0].count
    new = state.set(index, 1.0)
    uses = [
        lambda: state.get(index),
        lambda: state.set(index, 2.0),
        lambda: state.substate(model),
        lambda: state.update(new),
        lambda: new.update(state),
        lambda: model(1.0, state),
        lambda: jax.jit(lambda s: s)(state),
        lambda: eqx.filter_jit(model)(1.0, state),
        lambda: tree_util.tree_leaves(state),
        lambda: eqx.named_leaves(state),
    ]
    for use in uses:
        with pytest.raises(ValueError, match=r"is spent, by `set` of `model.layers\[0\].count` at .*test_state.py:\d"):
            use()
    assert "spent" in repr(state)
    assert counts(model, new) == [1.0, 0.0]


@pytest.mark.parametrize(
    "value, error, message",
    [
        (jnp.ones(3), ValueError, r"`model\['a'\]` to be `Array` float32\[\], as before, got `Array` float32\[3\]"),
        (jnp.array(1), ValueError, r"`model\['a'\]` to be `Array` float32\[\], as before, got `Array` int32\[\]"),
        ((1.0, 2.0), ValueError, r"`model\['a'\]` to be a leaf .*, got a `tuple`"),
        (1j, TypeError, r"`model\['a'\]` to be an array of float32, got 1j"),
        ("text", TypeError, r"`model\['a'\]` to be an array of float32, got 'text'"),
    ],
)
def test_the_new_value_is_like_the_old_one(value, error, message):
    """Structure, shape and dtype stay. Otherwise the error names the path, and the state isn't spent."""
    model, state = make_with_state(lambda: {"a": StateIndex(0.0)})()
    with pytest.raises(error, match=message):
        state.set(model["a"], value)
    state.set(model["a"], 1)


def test_another_models_state_is_refused():
    """The error names the layer, and what the state has."""
    model, _ = two_counters()
    _, other = make_with_state(Counter)()
    with pytest.raises(ValueError, match=r"got `model.layers\[0\].count`, .* another model: it has `model.count`"):
        model(1.0, other)
    with pytest.raises(ValueError, match="got an index without a path"):
        other.get(Counter().count)
    with pytest.raises(TypeError, match="expects a `StateIndex`, got 3"):
        other.get(3)


X = jnp.ones(3)


def two_dropouts():
    return Sequential([Counter(), Sequential([Counter(), eqx.nn.Dropout(0.5)])])


def spectral_norm():
    return eqx.nn.SpectralNorm(eqx.nn.Linear(3, 3, key=jrandom.PRNGKey(0)), key=jrandom.PRNGKey(1))


def stacked():
    return eqx.nn.Stacked(lambda key: two_dropouts(), 2, key=jrandom.PRNGKey(0))


@pytest.mark.parametrize(
    "make, wrong, right",
    [
        (two_dropouts, (X,), {"key": jrandom.PRNGKey(0)}),
        (stacked, (X,), {"key": jrandom.PRNGKey(0)}),
        (spectral_norm, (jnp.ones((2, 3)),), {}),
    ],
)
def test_a_failed_call_does_not_spend_the_state(make, wrong, right):
    """The call can be repeated with good arguments. Only then the state is spent."""
    model, state = make_with_state(make)()
    with pytest.raises(ValueError, match="needs a PRNG key|one example of shape"):
        model(*wrong, state=state)
    y, new = model(X, state=state, **right)
    assert y.shape == (3,)
    with pytest.raises(ValueError, match="is spent, by `(set|update)`"):
        model(X, state=state, **right)
    model(X, state=new, **right)


def test_wrong_construction():
    """An index keeps arrays. A model whose first values are gone makes no state."""
    with pytest.raises(TypeError, match=r"expects `init\[1\]` to be an array, got 'b'"):
        StateIndex([1, "b"])
    with pytest.raises(ValueError, match="at least one array, got None"):
        StateIndex(None)
    model, _ = two_counters()
    with pytest.raises(ValueError, match=r"`model.layers\[0\].count` has none"):
        State(model)
    with pytest.raises(TypeError, match="expects `make_model` to be a class"):
        make_with_state(3)


def test_a_sequential_passes_the_state():
    """Only layers that are stateful get it, at any depth. With a state the result is a pair."""
    model, state = make_with_state(lambda: Sequential([Sequential([Counter()]), eqx.nn.Dropout(0.0), jnp.abs]))()
    y, state = model(-1.0, state, key=jrandom.PRNGKey(0))
    assert (float(y), len(model)) == (1.0, 3)
    assert model.is_stateful()
    assert not model[1:].is_stateful()
    assert float(model[1:](-1.0)) == 1.0
    assert model[1:](-1.0, state)[1] is state
    with pytest.raises(ValueError, match=r"needs a state, because `layers\[0\]`, a `Sequential`, is stateful"):
        model(1.0)

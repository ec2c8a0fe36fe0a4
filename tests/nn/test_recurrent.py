"""`RNN`, `GRU` and `LSTM` over sequences: PyTorch's numbers, and laws about halves, directions and padding."""

import functools as ft

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from layer_laws import drawn
from rnn_oracle import numpy_step
from torch_cases import check, each_case, filled

import equinox as eqx
from equinox.nn import GRU, LSTM, RNN, Dropout, GRUCell, LSTMCell, RNNCell

LAYERS = pytest.mark.parametrize("layer", [GRU, LSTM], ids=lambda x: x.__name__)
CELLS = pytest.mark.parametrize("cell", [RNNCell, GRUCell, LSTMCell], ids=lambda x: x.__name__)
leaves = jax.tree_util.tree_leaves


def assert_close(got, expected):
    assert jax.tree_util.tree_structure(got) == jax.tree_util.tree_structure(expected)
    for a, b in zip(leaves(got), leaves(expected)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@each_case("recurrent")
def test_same_as_pytorch(case):
    """Values and gradients are PyTorch's: over several layers, both directions, states, and packed lengths."""
    options = dict(case["options"])
    kind = options.pop("kind")
    like = drawn(getattr(eqx.nn, kind), 3, 2, use_bias=options.pop("bias", True), **options)

    def call(parameters, inputs):
        model = filled(like, parameters)
        state = [inputs[name] for name in ("h", "c") if name in inputs]
        state = None if not state else tuple(state) if kind == "LSTM" else state[0]

        def one(xs, state, lengths):
            return model(xs, state, lengths=lengths)

        in_axes = (0, None if state is None else 1, 0 if "lengths" in inputs else None)
        ys, final = jax.vmap(one, in_axes, (0, 1))(inputs["xs"], state, inputs.get("lengths"))
        return dict(zip(("ys", "h_n", "c_n"), (ys,) + tuple(leaves(final))))

    check(case, call)


@CELLS
def test_rnn_is_a_loop(cell, draw):
    """`RNN` gives what calling the cell in a loop gives, also for a cell of the user's and with `unroll`."""
    cell, xs = drawn(cell, 2, 3), draw(3, 2)
    start = jax.tree_util.tree_map(lambda n: draw(n), (3, 3) if isinstance(cell, LSTMCell) else 3)
    state, states, one_step = start, [], jax.jit(cell.__call__)
    for x in xs:
        state = one_step(x, state)
        states.append(leaves(state)[0])
    expected = (jnp.stack(states), state)
    for rnn in (RNN(cell), RNN(cell, unroll=2)):
        assert_close(jax.jit(rnn.__call__)(xs, start), expected)
    ys, final = RNN(lambda x, state: cell(x, state))(xs, start)
    assert_close((leaves(ys)[0], final), expected)
    first = one_step(xs[0], jax.tree_util.tree_map(jnp.zeros_like, start))
    assert_close(RNN(cell)(xs[:1])[1], first)


@LAYERS
def test_two_parts_are_the_whole(layer, draw):
    """The state after the first part continues with the second part, wherever the cut is. A part may be empty."""
    model, xs = drawn(layer, 2, 3), draw(4, 2)

    @jax.jit
    def outcome(cut, length):
        first, state = model(xs, lengths=cut)
        second, state = model(jnp.roll(xs, -cut, 0), state, lengths=length - cut)
        return model(xs, lengths=length), (first + jnp.roll(second, cut, 0), state)

    for length in range(5):
        for cut in range(length + 1):
            assert_close(*outcome(cut, length))
    nothing, state = model(xs[:0])
    assert nothing.shape == (0, 3)
    assert_close(state, outcome(0, 0)[0][1])


@LAYERS
def test_reverse_is_the_reversed_sequence(layer, draw):
    """`reverse` begins at the end. In both directions, the second cell is the first one reversed."""
    model, xs = drawn(layer, 2, 3, num_layers=2), draw(3, 2)
    ys, final = model(xs[::-1])
    assert_close(model(xs, reverse=True), (ys[::-1], final))
    both = drawn(layer, 2, 3, bidirectional=True)
    ys, final = both(xs)
    for d, cell in enumerate(both.layers[0]):
        expected_ys, expected = RNN(cell)(xs, reverse=d == 1)
        assert_close(ys[:, 3 * d : 3 * d + 3], expected_ys)
        assert_close(jax.tree_util.tree_map(lambda x, d=d: x[d], final), expected)


@LAYERS
def test_padding_has_no_effect(layer, draw):
    """What is in the padding changes no value and no gradient, also if it is NaN. Its own gradient is zero."""
    model, xs = drawn(layer, 2, 3, bidirectional=True), draw(5, 2)
    unpadded_ys, unpadded_final = model(xs[:3])

    @jax.jit
    def outcome(xs, lengths):
        def total(model, xs):
            ys, final = model(xs, lengths=lengths)
            return sum(jnp.sum(x * x) for x in leaves((ys, final))), (ys, final)

        return jax.value_and_grad(total, (0, 1), has_aux=True)(model, xs)

    outcomes = []
    for padding in (0.0, 7.0, jnp.nan):
        (_, (ys, final)), grads = outcome(jnp.where(jnp.arange(5)[:, None] < 3, xs, padding), 3)
        assert_close((ys[:3], final), (unpadded_ys, unpadded_final))
        assert not ys[3:].any() and not grads[1][3:].any() and grads[1][:3].all()
        outcomes.append(grads)
    assert_close(outcomes[1:], outcomes[:1] * 2)
    (_, (nothing, state)), _ = outcome(xs, 0)
    assert not nothing.any() and not any(x.any() for x in leaves(state))


@LAYERS
def test_a_wider_state_makes_the_output_wider(layer, getkey):
    """Outputs and final states have the common dtype of `xs` and `initial`."""
    model, half, single = layer(2, 3, key=getkey()), jnp.bfloat16, jnp.float32

    def dtypes(xs_dtype, dtype):
        initial = jax.ShapeDtypeStruct((1, 3), dtype)
        xs = jax.ShapeDtypeStruct((5, 2), xs_dtype)
        return {x.dtype for x in leaves(jax.eval_shape(model, xs, (initial,) * 2 if layer is LSTM else initial))}

    assert dtypes(half, half) == {jnp.dtype(half)}
    assert dtypes(half, single) == dtypes(single, half) == {jnp.dtype(single)}


@LAYERS
def test_lengths_out_of_range(layer, draw):
    """A known length is refused. A traced one gives NaN in its own sequence, and changes no other one."""
    model, xs = drawn(layer, 2, 3, 2, True), draw(5, 2)
    for wrong in (6, -1, np.int64(6), jnp.array(-1)):
        message = r"`{}` expects `lengths` to be from 0 to 5, .*got {}".format(layer.__name__, int(wrong))
        with pytest.raises(ValueError, match=message):
            model(xs, lengths=wrong)
    batch = jax.jit(jax.vmap(lambda xs, n: model(xs, lengths=n)))
    good, bad = batch(jnp.stack([xs] * 3), jnp.array([5, 0, 3])), batch(jnp.stack([xs] * 3), jnp.array([6, -1, 3]))
    for x, y in zip(leaves(good), leaves(bad)):
        assert not jnp.isnan(x).any() and jnp.isnan(y[:2]).all()
        np.testing.assert_array_equal(y[2], x[2])


def test_lengths_out_of_range_for_a_cell_of_the_user():
    """Its floating-point states are NaN. Integers can't be NaN."""
    rnn = RNN(lambda x, state: (state[0] + x, state[1] + 1))
    with pytest.raises(ValueError, match="`RNN` expects `lengths` to be from 0 to 2, .*got 3"):
        rnn(jnp.ones(2), (0.0, 0), lengths=3)
    ys, (total, count) = jax.jit(lambda n: rnn(jnp.ones(2), (0.0, 0), lengths=n))(3)
    assert jnp.isnan(ys[0]).all() and jnp.isnan(total) and ys[1].tolist() == [0, 0] and count == 0


@hypothesis.given(st.integers(0, 5), st.integers(1, 3), st.integers(1, 3), st.booleans(), st.sampled_from([GRU, LSTM]))
@hypothesis.settings(max_examples=10)
def test_shapes_are_those_of_the_formula(length, width, num_layers, bidirectional, layer):
    """Over lengths, sizes, layers and directions, also if the layer is made under `filter_eval_shape`."""
    make = ft.partial(layer, 2, width, num_layers, bidirectional)
    model = eqx.filter_eval_shape(lambda: make(key=jrandom.PRNGKey(0)))
    ys, final = eqx.filter_eval_shape(lambda model, xs: model(xs), model, jnp.ones((length, 2)))
    directions = 2 if bidirectional else 1
    assert ys.shape == (length, directions * width)
    assert {x.shape for x in leaves(final)} == {(num_layers * directions, width)}
    assert len(leaves(final)) == (2 if layer is LSTM else 1)


def test_in_double_precision(x64):
    """With x64 the parameters and the states are float64, and exact to this precision."""
    xs, h, c = np.random.RandomState(0).normal(size=(3, 2)), np.zeros(3), np.zeros(3)

    @jax.jit
    def outcome(key, xs):
        made = LSTMCell(2, 3, key=key)
        return made, RNN(made)(xs)[0]

    cell, ys = outcome(jrandom.PRNGKey(0), xs)
    assert {x.dtype for x in leaves((cell, ys))} == {jnp.dtype("float64")}
    for x, y in zip(xs, ys):
        h, c = numpy_step(cell, x, h, c)
        np.testing.assert_allclose(y, h, rtol=1e-10)


@LAYERS
def test_structure(layer, getkey):
    """The leaves are arrays, four for each cell, unless there is dropout. Each cell has its own numbers."""
    model = layer(2, 3, 2, True, key=getkey())
    assert len(leaves(model)) == 16 and all(map(eqx.is_array, leaves(model)))
    assert [cell.input_size for cells in model.layers for cell in cells] == [2, 2, 6, 6]
    assert not np.array_equal(model.layers[0][0].weight_hh, model.layers[0][1].weight_hh)
    half = jax.eval_shape(lambda key: layer(2, 3, dtype=jnp.bfloat16, key=key), getkey())
    assert {x.dtype for x in leaves(half)} == {jnp.dtype(jnp.bfloat16)}
    shapes = jax.eval_shape(model.__call__, jax.ShapeDtypeStruct((5, 2), jnp.bfloat16))
    assert {(x.shape, str(x.dtype)) for x in leaves(shapes)} == {((5, 6), "bfloat16"), ((4, 3), "bfloat16")}
    ensemble = jax.eval_shape(jax.vmap(lambda key: layer(2, 3, key=key)), jrandom.split(getkey(), 2))
    called = jax.eval_shape(lambda models: jax.vmap(lambda model: model(jnp.ones((5, 2)))[0])(models), ensemble)
    assert called.shape == (2, 5, 3)
    with pytest.raises(ValueError, match="has stacked weights"):
        jax.eval_shape(lambda models: models(jnp.ones((5, 2))), ensemble)


def test_dropout_is_between_layers(getkey, draw):
    """At probability 1 the second layer gets zeros. Inference drops nothing and needs no key."""
    model, xs, key = drawn(GRU, 2, 3, 2, dropout=1.0), draw(3, 2), getkey()
    assert isinstance(model.dropout, Dropout)
    first, second = model.layers[0][0], model.layers[1][0]
    assert_close(model(xs, key=key)[0], RNN(second)(jnp.zeros((3, 3)))[0])
    assert_close(eqx.tree_inference(model)(xs)[0], RNN(second)(RNN(first)(xs)[0])[0])
    with pytest.raises(ValueError, match="`GRU` needs a PRNG key .* or turn .* `eqx.nn.inference_mode"):
        model(xs)
    assert GRU(2, 3, dropout=0.5, key=getkey()).dropout is None
    assert GRU(2, 3, 2, dropout=np.float32(0), key=getkey()).dropout is None
    with pytest.raises(ValueError, match="`GRU` expects `dropout` to be a probability, from 0 to 1, got 2.0"):
        GRU(2, 3, 2, dropout=2.0, key=getkey())


@LAYERS
def test_wrong_arguments(layer, getkey):
    """Errors name the layer, the argument, what came, and what to do."""
    name, model, xs = layer.__name__, layer(2, 3, key=getkey()), jnp.ones((5, 2))
    with pytest.raises(
        ValueError, match=r"`{}` .* `xs` .*\(length, 2\), got \(7, 5, 2\).*jax.vmap\(layer\)".format(name)
    ):
        model(jnp.ones((7, 5, 2)))
    with pytest.raises(ValueError, match=r"`xs` .*\(length, 2\), got \(5, 3\).*another `input_size`"):
        model(jnp.ones((5, 3)))
    bad = jnp.ones((1, 4))
    with pytest.raises(ValueError, match=r"`initial.*\(1, 3\), got \(1, 4\)"):
        model(xs, bad if layer is GRU else (bad, bad))
    with pytest.raises(TypeError, match=r"`{}` expects `lengths` to be one integer, .*lengths=n".format(name)):
        model(xs, lengths=jnp.array([1, 2]))
    with pytest.raises(TypeError, match="`{}` expects `reverse` to be `True`".format(name)):
        model(xs, reverse=1)
    for option in ("input_size", "hidden_size", "num_layers", "unroll"):
        with pytest.raises(ValueError, match="`{}` expects `{}` to be at least 1".format(name, option)):
            layer(**dict({"input_size": 2, "hidden_size": 3}, **{option: 0}), key=getkey())
    if layer is LSTM:
        with pytest.raises(TypeError, match=r"`LSTM` expects `initial` to be the pair `\(h, c\)`, got an array"):
            model(xs, jnp.ones((1, 3)))
    with pytest.raises(ValueError, match="`RNN` needs `initial`"):
        RNN(jnp.add)(xs)
    with pytest.raises(TypeError, match="`RNN` expects `cell` to be a function"):
        RNN(3)
    for no_cell in (eqx.nn.Linear(2, 3, key=getkey()), eqx.nn.WeightNorm(eqx.nn.Linear(2, 3, key=getkey()))):
        with pytest.raises(TypeError, match="`RNN` expects `cell` .* got a `{}`.".format(type(no_cell).__name__)):
            RNN(no_cell)

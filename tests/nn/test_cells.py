"""The cells are PyTorch's cells: the same numbers, the same layout, and gates with the same effects."""

import pickle

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from jax import lax
from rnn_oracle import PARAMETERS, assert_close, cells, numpy_step, to_state
from torch_cases import check, each_case, filled

import equinox as eqx
from equinox.nn import GRUCell, LSTMCell, PReLU, RNNCell


def number_of_gates(cell_type):
    return {RNNCell: 1, GRUCell: 3, LSTMCell: 4}[cell_type]


def scan(cell, state, xs):
    """Return the states after each step of the sequence `xs`."""

    def step(state, x):
        state = cell(x, state)
        return state, state

    return lax.scan(step, state, xs)[1]


def with_gate_biases(cell, biases):
    """Copy `cell` with zeros for all parameters except `bias_ih`. That has one number for all rows of a gate."""
    zeros = jax.tree_util.tree_map(jnp.zeros_like, cell)
    return eqx.tree_at(lambda m: m.bias_ih, zeros, jnp.repeat(jnp.array(biases, jnp.float32), cell.hidden_size))


@pytest.mark.rnn_scan
@each_case("cells", "RNNCell", "GRUCell", "LSTMCell")
def test_same_as_pytorch(case, getkey):
    """The states of several steps are PyTorch's, and the gradients: for parameters, sequence and first state."""
    options = dict(case["options"])
    cell_type = getattr(eqx.nn, options.pop("kind"))
    if options.pop("nonlinearity", None) == "relu":
        options["activation"] = jax.nn.relu
    cell = cell_type(3, 4, key=getkey(), **options)
    assert sorted(name for name in PARAMETERS if getattr(cell, name) is not None) == sorted(case["parameters"])

    def call(parameters, inputs):
        states = scan(filled(cell, parameters), to_state(cell_type, inputs["h"], inputs.get("c")), inputs["x"])
        return dict(zip(("h", "c"), jax.tree_util.tree_leaves(states)))

    check(case, call)


@pytest.mark.parametrize("input_size,hidden_size", [(1, 1), (3, 4)])
@cells
def test_same_as_the_formula(cell_type, input_size, hidden_size, getkey, draw):
    """One step gives what the formula gives in NumPy, also at the smallest size."""
    cell = cell_type(input_size, hidden_size, key=getkey())
    x, h, c = draw(input_size), draw(hidden_size), draw(hidden_size)
    got = jax.jit(cell.__call__)(x, to_state(cell_type, h, c))
    expected_h, expected_c = numpy_step(cell, np.asarray(x), np.asarray(h), np.asarray(c))
    if cell_type is LSTMCell:
        assert type(got) is tuple
        got, got_c = got
        assert_close(got_c, expected_c)
    assert_close(got, expected_h)


@cells
def test_vmap_is_a_batch(cell_type, getkey, draw):
    """`jax.vmap(cell)` applies the cell to each pair of input and state separately."""
    cell = cell_type(3, 4, key=getkey())
    xs, h, c = draw(2, 3), draw(2, 4), draw(2, 4)
    batch = jax.vmap(cell)(xs, to_state(cell_type, h, c))
    for i in range(2):
        one = cell(xs[i], to_state(cell_type, h[i], c[i]))
        for got, expected in zip(jax.tree_util.tree_leaves(batch), jax.tree_util.tree_leaves(one)):
            assert_close(got[i], expected)


@pytest.mark.rnn_scan
@cells
def test_remembers(cell_type, getkey, draw):
    """The state after a sequence depends on the first element of the sequence, and on every part of the first state."""
    cell = cell_type(3, 4, key=getkey())
    xs, state = draw(3, 3), to_state(cell_type, draw(4), draw(4))

    def last(state, xs):
        return jax.tree_util.tree_leaves(scan(cell, state, xs))[0][-1]

    in_state, in_xs = jax.jit(jax.jacrev(last, (0, 1)))(state, xs)
    assert (np.asarray(in_xs)[:, 0] != 0).all()  # each unit on each element of the first input
    for jacobian in jax.tree_util.tree_leaves(in_state):
        assert (np.asarray(jacobian) != 0).all()


def test_gates_of_gru(getkey, draw):
    """A closed update gate keeps the state. An open one takes the new value.

    A closed reset gate hides the state from the new value.
    """
    cell, x, h = GRUCell(3, 4, key=getkey()), draw(3), draw(4)
    assert_close(with_gate_biases(cell, [0, 50, 1])(x, h), h)
    assert_close(with_gate_biases(cell, [0, -50, 1])(x, h), np.full(4, np.tanh(1)))
    assert_close(with_gate_biases(cell, [0, 0, 0])(x, h), h / 2)
    sum_for_n = np.zeros((12, 4))
    sum_for_n[8:] = 1
    shown = eqx.tree_at(lambda m: m.weight_hh, with_gate_biases(cell, [50, -50, 0]), jnp.array(sum_for_n))
    assert_close(shown(x, h), np.full(4, np.tanh(np.sum(np.asarray(h)))))
    hidden = eqx.tree_at(lambda m: m.bias_ih, shown, jnp.array([-50.0] * 8 + [1.0] * 4))
    assert_close(hidden(x, h), np.full(4, np.tanh(1)))
    # The reset gate also switches off the bias of the state. It doesn't switch off the bias of the input.
    hidden = eqx.tree_at(lambda m: m.bias_hh, hidden, jnp.array([0.0] * 8 + [7.0] * 4))
    assert_close(hidden(x, h), np.full(4, np.tanh(1)))


def test_gates_of_lstm(getkey, draw):
    """An open forget gate keeps `c`. An open input gate adds the new value. An open output gate shows `c`."""
    cell, x, h, c = LSTMCell(3, 4, key=getkey()), draw(3), draw(4), draw(4)
    cases = [
        # the biases of i, f, g, o; the new c; the part of tanh(c) that is shown
        ([-50, 50, 1, 50], c, 1),
        ([-50, 50, 1, -50], c, 0),
        ([50, -50, 1, 50], np.full(4, np.tanh(1)), 1),
        ([50, 50, -2, 0], np.asarray(c) + np.tanh(-2), 0.5),
        ([0, 0, 0, 0], np.asarray(c) / 2, 0.5),
    ]
    for biases, expected, shown in cases:
        new_h, new_c = with_gate_biases(cell, biases)(x, (h, c))
        assert_close(new_c, expected)
        assert_close(new_h, shown * np.tanh(np.asarray(expected)))


@cells
def test_layout(cell_type, getkey):
    """The leaves are the weights and biases. Each has one block of rows for each gate. The sizes are static."""
    rows = number_of_gates(cell_type) * 4
    cell = cell_type(np.int32(3), hidden_size=4, key=getkey())
    assert [getattr(cell, name).shape for name in PARAMETERS] == [(rows, 3), (rows, 4), (rows,), (rows,)]
    assert [x.shape for x in jax.tree_util.tree_leaves(cell)] == [(rows, 3), (rows, 4), (rows,), (rows,)]
    assert (type(cell.input_size), cell.input_size, cell.hidden_size) == (int, 3, 4)


@cells
def test_without_bias(cell_type, getkey):
    """With `bias=False` both biases are `None`, and zeros give zeros."""
    cell = cell_type(3, 4, bias=False, key=getkey())
    assert cell.bias_ih is None
    assert cell.bias_hh is None
    assert len(jax.tree_util.tree_leaves(cell)) == 2
    for x in jax.tree_util.tree_leaves(cell(jnp.zeros(3), to_state(cell_type, jnp.zeros(4), jnp.zeros(4)))):
        assert (np.asarray(x) == 0).all()


@cells
def test_initial_distribution(cell_type, getkey):
    """All parameters are uniform between -1/sqrt(hidden) and 1/sqrt(hidden), for any `input_size`."""
    many = [cell_type(3, 4, key=getkey()) for _ in range(200)]
    for name in PARAMETERS:
        values = np.sort(np.concatenate([np.asarray(getattr(cell, name)).ravel() for cell in many]))
        assert 0.49 < np.abs(values).max() <= 0.5
        # The Kolmogorov-Smirnov test fails for right values once in 10^7 times.
        ranks = (np.arange(values.size) + 0.5) / values.size
        assert np.abs(values + 0.5 - ranks).max() < 3 / np.sqrt(values.size)


@cells
def test_initial_values_depend_on_the_key_alone(cell_type, getkey):
    """The same key gives the same parameters. Another key gives others. No two parameters have the same numbers."""
    key = getkey()
    cell, other = cell_type(1, 1, key=key), cell_type(1, 1, key=getkey())
    assert eqx.tree_equal(cell, cell_type(1, 1, key=key))
    # All have the same size: before JAX 0.5.0 one key gave different numbers for different sizes.
    drawn = [np.asarray(getattr(c, name)).ravel() for c in (cell, other) for name in PARAMETERS]
    assert all(not np.array_equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])


@pytest.mark.parametrize("make_key", [jrandom.PRNGKey, getattr(jrandom, "key", jrandom.PRNGKey)])
@cells
def test_made_while_tracing(cell_type, make_key):
    """A cell can be made under `eval_shape`, with old-style keys, and with typed keys if JAX has them."""
    cell = jax.eval_shape(lambda: cell_type(3, 4, key=make_key(0)))
    rows = number_of_gates(cell_type) * 4
    assert [getattr(cell, name).shape for name in PARAMETERS] == [(rows, 3), (rows, 4), (rows,), (rows,)]


@cells
def test_other_kinds_of_input(cell_type, getkey):
    """NumPy arrays and lists are inputs too. A `key` at the call changes nothing."""
    cell = cell_type(3, 4, key=getkey())
    x, h = [1.0, 2.0, 3.0], [3.0, 4.0, 5.0, 6.0]
    expected = cell(jnp.array(x), to_state(cell_type, jnp.array(h), jnp.array(h)))
    for got in (
        cell(x, to_state(cell_type, h, h)),
        cell(np.array(x, np.float32), to_state(cell_type, np.array(h, np.float32), np.array(h, np.float32))),
        cell(jnp.array(x), to_state(cell_type, jnp.array(h), jnp.array(h)), key=getkey()),
    ):
        for a, b in zip(jax.tree_util.tree_leaves(got), jax.tree_util.tree_leaves(expected)):
            assert_close(a, b)


def test_a_list_is_a_pair_too(getkey):
    """`[h, c]` gives the same result as `(h, c)`: a tuple."""
    cell, h, c = LSTMCell(3, 4, key=getkey()), jnp.ones(4), jnp.zeros(4)
    got = cell(jnp.ones(3), [h, c])
    assert type(got) is tuple
    assert eqx.tree_equal(got, cell(jnp.ones(3), (h, c)))


@cells
def test_dtype_follows_the_parameters(cell_type, getkey):
    """A cell that is cast to bfloat16 returns bfloat16. So its state can be scanned over."""
    cell = jax.tree_util.tree_map(lambda x: x.astype(jnp.bfloat16), cell_type(3, 4, key=getkey()))
    x, h = jnp.ones(3, jnp.bfloat16), jnp.zeros(4, jnp.bfloat16)
    for state in jax.tree_util.tree_leaves(jax.eval_shape(cell.__call__, x, to_state(cell_type, h, h))):
        assert state.dtype == jnp.bfloat16


@cells
def test_wrong_shapes(cell_type, run, getkey):
    """The error names the argument whose shape is wrong, also while JAX traces. For a batch it mentions `vmap`."""
    cell = cell_type(3, 4, key=getkey())
    name = cell_type.__name__
    good, bad = jnp.ones(4), jnp.ones(5)
    message = (
        r"`{}` with `input_size=3` expects `input` to be one example of shape \(3,\), got \(7, 3\). "
        r"Batch with `jax.vmap\(cell\)\(input, hidden\)`"
    )
    with pytest.raises(ValueError, match=message.format(name)):
        run(cell.__call__, jnp.ones((7, 3)), to_state(cell_type, good, good))
    with pytest.raises(ValueError, match=r"expects `input` .*\(3,\), got \(4,\).*another `input_size`"):
        run(cell.__call__, good, to_state(cell_type, good, good))
    hidden = r"hidden\[0\]" if cell_type is LSTMCell else "hidden"
    message = r"`{}` with `hidden_size=4` expects `{}` to be one example of shape \(4,\), got \(5,\)"
    with pytest.raises(ValueError, match=message.format(name, hidden)):
        run(cell.__call__, jnp.ones(3), to_state(cell_type, bad, good))
    if cell_type is LSTMCell:
        with pytest.raises(ValueError, match=r"`hidden\[1\]` to be one example of shape \(4,\), got \(5,\)"):
            run(cell.__call__, jnp.ones(3), (good, bad))


@pytest.mark.parametrize(
    "hidden,words",
    [
        (np.ones(4), r"an array of shape \(4,\)"),
        (np.ones((2, 4)), r"an array of shape \(2, 4\)"),
        ((np.ones(4),), "a tuple of 1"),
        ([np.ones(4)] * 3, "a list of 3"),
        (None, "None"),
    ],
)
def test_hidden_must_be_a_pair(hidden, words, getkey):
    """The state of an LSTM is `(h, c)`. An array is refused, even if it could be unpacked into two."""
    message = (
        r"`LSTMCell` expects `hidden` to be the pair `\(h, c\)`, got {}. "
        r"Begin with `\(jnp.zeros\(4\), jnp.zeros\(4\)\)`"
    )
    error = ValueError if isinstance(hidden, (tuple, list)) else TypeError
    with pytest.raises(error, match=message.format(words)):
        LSTMCell(3, 4, key=getkey())(jnp.ones(3), hidden)


@pytest.mark.parametrize("cell_type", [RNNCell, GRUCell])
def test_hidden_is_one_array(cell_type, getkey):
    """The state of a cell that is no LSTM is no pair."""
    cell, name = cell_type(3, 4, key=getkey()), cell_type.__name__
    with pytest.raises(ValueError, match=r"`{}` .* `hidden` to be one example of shape \(4,\), got".format(name)):
        cell(jnp.ones(3), (jnp.ones(4), jnp.ones(4)))
    message = r"`{}` with `hidden_size=4` expects `hidden` to be an array of shape \(4,\), got None"
    with pytest.raises(TypeError, match=message.format(name)):
        cell(jnp.ones(3), None)


def test_activation_of_rnn_cell(getkey, draw):
    """A function is structure and can be pickled. A layer is data, and its parameters are learnt."""
    cell, x, h = RNNCell(3, 4, activation=PReLU(0.5), key=getkey()), draw(3), -jnp.ones(4)
    plain = eqx.replace(cell, activation=lambda x: x)
    assert_close(cell(x, h), np.where(plain(x, h) > 0, plain(x, h), plain(x, h) / 2))
    negative = eqx.replace(cell, bias_ih=-10 * jnp.ones(4))
    assert (jax.grad(lambda cell: cell(x, h).sum())(negative).activation.negative_slope != 0).all()
    assert len(jax.tree_util.tree_leaves(cell)) == len(jax.tree_util.tree_leaves(plain)) + 1
    assert eqx.tree_equal(
        pickle.loads(pickle.dumps(RNNCell(3, 4, key=jrandom.PRNGKey(0)))), RNNCell(3, 4, key=jrandom.PRNGKey(0))
    )
    with pytest.raises(TypeError, match="`RNNCell` expects `activation` to be a function, .* got 'relu'"):
        RNNCell(3, 4, activation="relu", key=getkey())


@cells
def test_wrong_sizes_and_keys(cell_type, getkey):
    """Sizes are integers of at least 1, `bias` is a bool, and `key` is required."""
    name = cell_type.__name__
    for sizes, argument in [((0, 3), "input_size"), ((3, -1), "hidden_size")]:
        with pytest.raises(ValueError, match="`{}` expects `{}` to be at least 1".format(name, argument)):
            cell_type(*sizes, key=getkey())
    for sizes, argument in [((2.0, 3), "input_size"), ((3, None), "hidden_size")]:
        with pytest.raises(TypeError, match="`{}` expects `{}` to be an integer".format(name, argument)):
            cell_type(*sizes, key=getkey())
    with pytest.raises(TypeError, match="`{}` expects `bias` to be `True` or `False`".format(name)):
        cell_type(2, 3, "yes", key=getkey())
    with pytest.raises(TypeError, match="key"):
        cell_type(2, 3)
    with pytest.raises(TypeError, match="`{}` expects `key` to be a PRNG key.*, got None".format(name)):
        cell_type(2, 3, key=None)

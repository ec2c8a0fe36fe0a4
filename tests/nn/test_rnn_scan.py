"""Recurrent cells under `lax.scan`, against a Python loop and against NumPy.

The gradients are compared with finite differences.
"""

import functools as ft
import os

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from jax import lax, tree_util
from jax.tree_util import tree_leaves, tree_map
from rnn_oracle import assert_close, cells, numpy_step, to_state

import equinox as eqx
from equinox.nn import GRUCell, LSTMCell

pytestmark = pytest.mark.rnn_scan

LENGTH, INPUT, HIDDEN = 3, 2, 3


@pytest.fixture(scope="module", params=[GRUCell, LSTMCell])
def case(request):
    """Make a cell, its first state and a sequence."""
    seed = int(os.environ["EQX_SEED"])
    rng = np.random.RandomState(seed)
    h, c, xs = (jnp.asarray(rng.standard_normal(n), jnp.float32) for n in (HIDDEN, HIDDEN, (LENGTH, INPUT)))
    return request.param(INPUT, HIDDEN, key=jrandom.PRNGKey(seed)), to_state(request.param, h, c), xs


# The cell whose state is a tree. It is for laws about `scan` rather than about cells.
of_lstm = pytest.mark.parametrize("case", [LSTMCell], indirect=True)


@pytest.fixture(scope="module")
def expected(case):
    """Compute what `outcome` must return, by a Python loop and plain `jax.grad`."""
    return jax.jit(ft.partial(outcome, go=loop, value_and_grad=jax.value_and_grad))(*case)


def scan(cell, state, xs, **options):
    """Return the last state and all states."""

    def step(state, x):
        state = cell(x, state)
        return state, state

    return lax.scan(step, state, xs, **options)


def loop(cell, state, xs):
    """Return the last state and all states, step by step."""
    states = []
    for i in range(len(xs)):
        state = cell(xs[i], state)
        states.append(state)
    return state, stacked(states)


def stacked(trees):
    return tree_map(lambda *xs: jnp.stack(xs), *trees)


def total(cell, state, xs, go=scan):
    """Return a scalar to which each number of each state contributes with another weight, and what `go` returns."""
    out = go(cell, state, xs)
    states = enumerate(tree_leaves(out[1]))
    return sum((jnp.cos(jnp.arange(x.size) + i).reshape(x.shape) * x).sum() for i, x in states), out


def outcome(cell, state, xs, go=scan, value_and_grad=eqx.filter_value_and_grad):
    """Return the last state, all states, and the gradients for the cell, the first state and the sequence."""
    (_, out), grads = value_and_grad(ft.partial(total, go=go), argnums=(0, 1, 2), has_aux=True)(cell, state, xs)
    return out, grads


def numpy_states(cell, state, xs):
    """Compute all states in NumPy, in double precision: an array (1 or 2, length, hidden)."""
    h, c = [np.asarray(x, np.float64) for x in (state if isinstance(state, tuple) else (state, state))]
    states = []
    for x in np.asarray(xs, np.float64):
        h, c = numpy_step(cell, x, h, c)
        states.append([h, c] if isinstance(cell, LSTMCell) else [h])
    return np.array(states).swapaxes(0, 1)


def assert_same(got, expected):
    """Check that two trees have the same structure and close arrays."""
    assert tree_util.tree_structure(got) == tree_util.tree_structure(expected)
    for a, b in zip(tree_leaves(got), tree_leaves(expected)):
        assert np.shape(a) == np.shape(b)
        assert_close(a, b)


# A scan is a loop


def test_states_and_gradients_are_those_of_a_loop(case, expected, run):
    """This holds eagerly, under `jit` and under `vmap`, with `filter_value_and_grad`."""
    assert_same(run(outcome, *case), expected)


def test_states_are_numpys(case):
    """The states are those of the loop in NumPy."""
    for x, by_numpy in zip(tree_leaves(scan(*case)[1]), numpy_states(*case)):
        assert_close(x, by_numpy)


def test_gradients_are_finite_differences(case, expected):
    """The gradient of each input number is the finite difference of the loop in NumPy, in double precision."""
    inputs = tree_map(lambda x: np.array(x, np.float64), case)

    def numpy_total():
        states = numpy_states(*inputs)
        return sum((np.cos(np.arange(x.size) + i).reshape(x.shape) * x).sum() for i, x in enumerate(states))

    eps = 1e-4
    for grad, x in zip(tree_leaves(expected[1]), tree_leaves(inputs)):
        by_differences = np.zeros(x.shape)
        for i in np.ndindex(*x.shape):
            before = x[i]
            x[i] = before + eps
            above = numpy_total()
            x[i] = before - eps
            by_differences[i] = (above - numpy_total()) / (2 * eps)
            x[i] = before
        assert_close(grad, by_differences)


# Other ways to write the scan. Each takes the arguments of `scan`, and must give the same outcome.


def jitted(cell, state, xs):
    return eqx.filter_jit(scan)(cell, state, xs)


def jitted_step(cell, state, xs):
    return scan(eqx.filter_jit(cell), state, xs)


def recomputed(cell, state, xs):
    """A scan that computes the steps again for the gradient, to save memory."""
    return scan(jax.checkpoint(lambda x, state: cell(x, state)), state, xs)


def unrolled(cell, state, xs):
    return scan(cell, state, xs, unroll=2)


def bound_method(cell, state, xs):
    return scan(cell.__call__, state, xs)


def in_the_carry(cell, state, xs):
    def step(carry, x):
        cell, state = carry
        state = cell(x, state)
        return (cell, state), state

    (_, last), states = lax.scan(step, (cell, state), xs)
    return last, states


def arrays_in_the_carry(cell, state, xs):
    """A scan that carries the arrays of the model. A model that holds other leaves can't be carried whole."""
    arrays, others = eqx.partition({"cell": cell, "name": "text", "activation": jnp.tanh}, eqx.is_array)

    def step(carry, x):
        arrays, state = carry
        state = eqx.combine(arrays, others)["cell"](x, state)
        return (arrays, state), state

    (_, last), states = lax.scan(step, (arrays, state), xs)
    return last, states


def with_each_input(cell, state, xs):
    """A scan over a cell for each step, together with the inputs."""

    def step(state, cell_and_x):
        cell, x = cell_and_x
        state = cell(x, state)
        return state, state

    return lax.scan(step, state, (stacked([cell] * LENGTH), xs))


def reversed_twice(cell, state, xs):
    """A scan with `reverse`, which begins at the end. It returns the states in the order of the inputs."""
    last, states = scan(cell, state, xs[::-1], reverse=True)
    return last, tree_map(lambda x: x[::-1], states)


WAYS = [
    jitted,
    jitted_step,
    recomputed,
    unrolled,
    bound_method,
    in_the_carry,
    arrays_in_the_carry,
    with_each_input,
    reversed_twice,
]


@of_lstm
@pytest.mark.parametrize("way", WAYS)
def test_ways_to_write_it(way, case, expected):
    """For each way to write the scan, the states and gradients are those of a loop."""
    assert_same(eqx.filter_jit(ft.partial(outcome, go=way))(*case), expected)


@pytest.mark.none_gradients
@cells
def test_without_bias(cell_type, getkey, draw):
    """The cell computes what NumPy computes without a bias. The gradient of the missing bias is `None`."""
    cell = cell_type(INPUT, HIDDEN, bias=False, key=getkey())
    state, xs = to_state(cell_type, draw(HIDDEN), draw(HIDDEN)), draw(LENGTH, INPUT)
    (_, states), (grads, _, _) = jax.jit(outcome)(cell, state, xs)
    for x, by_numpy in zip(tree_leaves(states), numpy_states(cell, state, xs)):
        assert_close(x, by_numpy)
    assert tree_util.tree_structure(grads) == tree_util.tree_structure(cell)
    assert grads.bias_ih is None and grads.bias_hh is None


def test_a_sequence_of_one(case):
    """A sequence of one element is one step."""
    cell, state, xs = case
    last, states = scan(cell, state, xs[:1])
    assert_same(last, cell(xs[0], state))
    assert_same(states, tree_map(lambda x: x[None], last))


def test_an_empty_sequence(case):
    """An empty sequence doesn't change the state. The gradient of each parameter is zero, not `None`."""
    cell, state, xs = case
    (last, states), grads = outcome(cell, state, xs[:0])
    assert_same(last, state)
    assert [x.shape for x in tree_leaves(states)] == [(0, HIDDEN)] * len(tree_leaves(state))
    assert_same(grads, tree_map(jnp.zeros_like, (cell, state, xs[:0])))


@cells
def test_a_cell_fed_with_its_own_output(cell_type, getkey, draw):
    """Without inputs, `length` or the bound of `lax.fori_loop` gives the number of steps."""
    cell, state = cell_type(HIDDEN, HIDDEN, key=getkey()), to_state(cell_type, draw(HIDDEN), draw(HIDDEN))

    def step(state):
        return cell(tree_leaves(state)[0], state)

    expected = step(step(step(state)))
    assert_same(lax.scan(lambda state, _: (step(state), None), state, None, length=3)[0], expected)
    assert_same(lax.fori_loop(0, 3, lambda _, state: step(state), state), expected)


@cells
def test_layers_are_scanned_over(cell_type, getkey, draw):
    """If several cells are stacked and scanned over, they are applied one after another. Each has its own weights."""
    layers = [cell_type(HIDDEN, HIDDEN, key=getkey()) for _ in range(3)]
    x, state = draw(HIDDEN), to_state(cell_type, draw(HIDDEN), draw(HIDDEN))
    got, _ = lax.scan(lambda x, layer: (tree_leaves(layer(x, state))[0], None), x, stacked(layers))
    for layer in layers:
        x = tree_leaves(layer(x, state))[0]
    assert_close(got, x)


# Batches


def test_a_batch_of_sequences(case, draw):
    """`vmap` of the scan, and a scan of the cell under `vmap`, treat each sequence as if it were alone."""
    cell, state, _ = case
    states, xs = tree_map(lambda x: jnp.stack([x, -x, 2 * x]), state), draw(3, LENGTH, INPUT)
    outside, _ = jax.vmap(ft.partial(scan, cell))(states, xs)
    inside, _ = scan(jax.vmap(cell), states, jnp.swapaxes(xs, 0, 1))
    alone = stacked([loop(cell, tree_map(lambda x, i=i: x[i], states), xs[i])[0] for i in range(3)])
    assert_same(outside, alone)
    assert_same(inside, alone)


@cells
def test_a_batch_of_cells(cell_type, getkey, draw):
    """Stacked cells under `vmap` are an ensemble: each gets the whole sequence."""
    ensemble = [cell_type(INPUT, HIDDEN, key=getkey()) for _ in range(3)]
    state, xs = to_state(cell_type, draw(HIDDEN), draw(HIDDEN)), draw(LENGTH, INPUT)
    got = jax.vmap(scan, in_axes=(0, None, None))(stacked(ensemble), state, xs)
    assert_same(got, stacked([loop(cell, state, xs) for cell in ensemble]))


def test_sequences_of_different_lengths(case, draw):
    """Sequences are padded to one length, and a mask keeps the state. Each ends with the state that it has alone."""
    cell, state, _ = case
    xs, lengths = draw(3, LENGTH, INPUT), [2, LENGTH, 0]

    def last(xs, length):
        def step(state, i_and_x):
            i, x = i_and_x
            return tree_map(lambda new, old: jnp.where(i < length, new, old), cell(x, state), state), None

        return lax.scan(step, state, (jnp.arange(LENGTH), xs))[0]

    got = jax.vmap(last)(xs, jnp.array(lengths))
    assert_same(got, stacked([loop(cell, state, x[:n])[0] if n else state for x, n in zip(xs, lengths)]))


# Gradients together with other transformations


@of_lstm
def test_gradients_of_each_example(case, draw):
    """`vmap` gives for each sequence the gradient that it has alone."""
    cell, state, _ = case
    xs = draw(3, LENGTH, INPUT)

    def gradient(cell, state, xs):
        return eqx.filter_grad(total, has_aux=True)(cell, state, xs)[0]

    # The weights are inputs, not constants. If a constant is needed in two layouts, jaxlib 0.4.13 on the CPU mixes them
    # up in about one of some hundred processes, and computes wrong numbers. (openxla/xla#8471)
    each, alone = jax.vmap(ft.partial(gradient, cell, state))(xs), jax.jit(gradient)
    assert_same(each, stacked([alone(cell, state, x) for x in xs]))


def test_forward_mode_agrees_with_reverse_mode(case, expected, draw):
    """The derivative in one direction is the gradient times the direction."""
    directions = tree_map(lambda x: draw(*x.shape), case)
    _, derivative = jax.jvp(jax.jit(lambda *case: total(*case)[0]), case, directions)
    assert_close(derivative, sum(np.vdot(g, d) for g, d in zip(tree_leaves(expected[1]), tree_leaves(directions))))


@pytest.mark.none_gradients
def test_frozen_parameters_have_no_gradient(case, expected):
    """If a tree selects parameters, their gradients are the same as without a selection. The others have `None`."""
    cell = case[0]
    mask = eqx.tree_at(lambda m: (m.weight_hh, m.bias_ih), tree_map(lambda _: False, cell), (True, True))
    grads, _ = jax.jit(eqx.gradf(total, filter_tree=mask, has_aux=True))(*case)
    assert grads.weight_ih is None and grads.bias_hh is None
    assert_close(grads.weight_hh, expected[1][0].weight_hh)
    assert_close(grads.bias_ih, expected[1][0].bias_ih)


@of_lstm
def test_training_as_a_scan(case):
    """A scan over steps of gradient descent, with the cell in the carry, gives what a Python loop gives."""
    cell, state, xs = case

    @jax.jit
    def descend(cell):
        grads, _ = eqx.filter_grad(total, has_aux=True)(cell, state, xs)
        return eqx.apply_updates(cell, tree_map(lambda g: -0.01 * g, grads))

    trained, _ = lax.scan(lambda cell, _: (descend(cell), None), cell, None, length=3)
    assert_same(trained, descend(descend(descend(cell))))


# How often the step is traced


def traces_of_the_step(cell, state, xs, transform):
    """Count how often the body of a scan is traced: in the first call, and in a second one with other numbers."""
    count = 0

    def step(state, x):
        nonlocal count
        count += 1
        return cell(x, state), None

    f = transform(lambda state, xs: sum(x.sum() for x in tree_leaves(lax.scan(step, state, xs)[0])))
    f(state, xs)
    first, count = count, 0
    f(tree_map(lambda x: x + 1, state), xs + 1)
    return first, count


TRANSFORMS = {
    "eager": (lambda f: f, lambda f: f),
    "jit": (jax.jit, eqx.filter_jit),
    "grad": (jax.grad, eqx.filter_grad),
    "jit of grad": (lambda f: jax.jit(jax.grad(f)), lambda f: eqx.filter_jit(eqx.filter_grad(f))),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_step_is_traced_as_often_as_a_plain_function(transform, getkey, draw):
    """A cell and filtering cause no more tracing than a function of arrays in plain JAX."""
    plain, filtered = TRANSFORMS[transform]
    state, xs = draw(HIDDEN), draw(LENGTH, INPUT)
    got = traces_of_the_step(GRUCell(INPUT, HIDDEN, key=getkey()), state, xs, filtered)
    assert got == traces_of_the_step(lambda x, state: state * x.sum(), state, xs, plain)
    assert got[1] == 0 or "jit" not in transform


@of_lstm
def test_another_cell_alike_is_not_traced_again(case, getkey):
    """Cells are arguments. A trained cell, or a new one of the same sizes, uses the compiled function."""
    cell, state, xs = case
    traces = 0

    @eqx.filter_jit
    def go(cell, state, xs):
        nonlocal traces
        traces += 1
        return scan(cell, state, xs)

    for other in (cell, tree_map(lambda x: x + 1, cell), type(cell)(INPUT, HIDDEN, key=getkey())):
        for x, by_numpy in zip(tree_leaves(go(other, state, xs)[1]), numpy_states(other, state, xs)):
            assert_close(x, by_numpy)
    assert traces == 1
    go(cell, state, xs[:2])
    assert traces == 2

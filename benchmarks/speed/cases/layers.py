"""The time of each compiled layer. The floor is handwritten code on the same arrays. Both use `jax.jit`."""

from collections.abc import Callable, Iterator
from typing import Any

import dispatch_speed
import jax
import jax.numpy as jnp
from interleaved import FLOOR
from jax import lax
from jax.nn import relu, sigmoid
from jax.tree_util import tree_flatten

import equinox as eqx
from speed.case import EQUINOX, Call, Case

WIDTH, BATCH, LENGTH = 512, 64, 64
HIDDEN = 128  # of the recurrent networks
KEY = jax.random.PRNGKey(0)

nn = eqx.nn


def cases() -> Iterator[Case]:
    for name, make in LAYERS.items():
        yield Case("layer: " + name, make, timed=dispatch_speed.done, seconds=2)


def beside(layer: Any, call: Callable[..., Any], by_hand: Callable[..., Any], *inputs: Any) -> dict[str, Call]:
    """Two contenders: `call(layer, *inputs)`, and `by_hand(arrays, *inputs)` with the arrays of the layer in a list."""
    leaves, treedef = tree_flatten(layer)
    arrays = [x for x in leaves if eqx.is_array(x)]

    def filled(arrays: Any) -> Any:
        remaining = iter(arrays)
        return treedef.unflatten([next(remaining) if eqx.is_array(x) else x for x in leaves])

    ours, floor = jax.jit(lambda arrays, *inputs: call(filled(arrays), *inputs)), jax.jit(by_hand)
    return {FLOOR: lambda: floor(arrays, *inputs), EQUINOX: lambda: ours(arrays, *inputs)}


def linear() -> dict[str, Call]:
    return beside(nn.Linear(WIDTH, WIDTH, key=KEY), lambda layer, x: layer(x), affine, jnp.ones(WIDTH))


def linear_batch() -> dict[str, Call]:
    def by_hand(arrays: Any, x: Any) -> Any:
        weight, bias = arrays
        return x @ weight.T + bias

    return beside(nn.Linear(WIDTH, WIDTH, key=KEY), lambda layer, x: jax.vmap(layer)(x), by_hand, rows(BATCH, WIDTH))


def mlp() -> dict[str, Call]:
    return beside(nn.MLP(WIDTH, WIDTH, WIDTH, 3, key=KEY), lambda layer, x: layer(x), perceptron, jnp.ones(WIDTH))


def mlp_grad() -> dict[str, Call]:
    """The gradient for a batch."""

    def call(layer: Any, x: Any) -> Any:
        arrays, rest = eqx.partition(layer, eqx.is_inexact_array)
        return jax.grad(lambda arrays: jnp.sum(jax.vmap(eqx.combine(arrays, rest))(x)))(arrays)

    def by_hand(arrays: Any, x: Any) -> Any:
        return jax.grad(lambda arrays: jnp.sum(jax.vmap(lambda x: perceptron(arrays, x))(x)))(arrays)

    return beside(nn.MLP(WIDTH, WIDTH, WIDTH, 3, key=KEY), call, by_hand, rows(BATCH, WIDTH))


def dropout() -> dict[str, Call]:
    def by_hand(arrays: Any, x: Any, key: Any) -> Any:
        return jnp.where(jax.random.bernoulli(key, 0.5, x.shape), x * 2, 0)

    return beside(nn.Dropout(0.5), lambda layer, x, key: layer(x, key=key), by_hand, rows(BATCH, WIDTH), KEY)


def lstm_cell() -> dict[str, Call]:
    hidden = jnp.ones(HIDDEN), jnp.ones(HIDDEN)
    cell = nn.LSTMCell(HIDDEN, HIDDEN, key=KEY)
    return beside(cell, lambda cell, x, hidden: cell(x, hidden), lstm, jnp.ones(HIDDEN), hidden)


def gru_cell() -> dict[str, Call]:
    cell = nn.GRUCell(HIDDEN, HIDDEN, key=KEY)
    return beside(cell, lambda cell, x, hidden: cell(x, hidden), gru, jnp.ones(HIDDEN), jnp.ones(HIDDEN))


def lstm_scan() -> dict[str, Call]:
    hidden = jnp.zeros(HIDDEN), jnp.zeros(HIDDEN)
    return along_sequence(nn.LSTMCell(HIDDEN, HIDDEN, key=KEY), lstm, hidden)


def gru_scan() -> dict[str, Call]:
    return along_sequence(nn.GRUCell(HIDDEN, HIDDEN, key=KEY), gru, jnp.zeros(HIDDEN))


def gru_scan_grad() -> dict[str, Call]:
    def call(cell: Any, xs: Any) -> Any:
        return jax.grad(lambda cell: jnp.sum(scanned(cell, jnp.zeros(HIDDEN), xs)))(cell)

    def by_hand(arrays: Any, xs: Any) -> Any:
        return jax.grad(lambda arrays: jnp.sum(scanned(lambda x, h: gru(arrays, x, h), jnp.zeros(HIDDEN), xs)))(arrays)

    return beside(nn.GRUCell(HIDDEN, HIDDEN, key=KEY), call, by_hand, rows(LENGTH, HIDDEN))


def along_sequence(cell: Any, step: Callable[..., Any], hidden: Any) -> dict[str, Call]:
    def by_hand(arrays: Any, xs: Any) -> Any:
        return scanned(lambda x, hidden: step(arrays, x, hidden), hidden, xs)

    return beside(cell, lambda cell, xs: scanned(cell, hidden, xs), by_hand, rows(LENGTH, HIDDEN))


def scanned(cell: Callable[..., Any], hidden: Any, xs: Any) -> Any:
    """The last hidden state."""
    return lax.scan(lambda hidden, x: (cell(x, hidden), None), hidden, xs)[0]


def rows(*shape: int) -> Any:
    return jax.random.normal(KEY, shape)


# By hand


def affine(arrays: Any, x: Any) -> Any:
    weight, bias = arrays
    return weight @ x + bias


def perceptron(arrays: Any, x: Any) -> Any:
    *hidden, last = zip(arrays[::2], arrays[1::2], strict=True)
    for pair in hidden:
        x = relu(affine(pair, x))
    return affine(last, x)


def lstm(arrays: Any, x: Any, hidden: Any) -> Any:
    weight_ih, weight_hh, bias_ih, bias_hh = arrays
    h, c = hidden
    gates = weight_ih @ x + bias_ih + weight_hh @ h + bias_hh
    size = len(h)
    i, f, g, o = gates[:size], gates[size : 2 * size], gates[2 * size : 3 * size], gates[3 * size :]
    c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
    return sigmoid(o) * jnp.tanh(c), c


def gru(arrays: Any, x: Any, h: Any) -> Any:
    weight_ih, weight_hh, bias_ih, bias_hh = arrays
    of_x, of_h = weight_ih @ x + bias_ih, weight_hh @ h + bias_hh
    size = len(h)
    rz = sigmoid(of_x[: 2 * size] + of_h[: 2 * size])
    r, z = rz[:size], rz[size:]
    n = jnp.tanh(of_x[2 * size :] + r * of_h[2 * size :])
    return n + z * (h - n)


LAYERS = {
    "Linear": linear,
    "Linear, batch": linear_batch,
    "MLP": mlp,
    "MLP, gradient": mlp_grad,
    "Dropout": dropout,
    "LSTMCell": lstm_cell,
    "GRUCell": gru_cell,
    "LSTMCell, scan": lstm_scan,
    "GRUCell, scan": gru_scan,
    "GRUCell, scan, gradient": gru_scan_grad,
}

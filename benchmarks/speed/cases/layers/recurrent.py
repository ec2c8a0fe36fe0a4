"""`GRUCell` and `LSTMCell`: one step, and a scan over a sequence. `GRU` and `LSTM` over a batch of sequences."""

import functools as ft
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.nn import sigmoid

import equinox as eqx
from speed.case import Call
from speed.cases.layers.beside import KEY, beside, gradients_beside, rows

HIDDEN, LENGTH, BATCH = 128, 64, 16

nn = eqx.nn


def lstm_cell() -> dict[str, Call]:
    return step_of(nn.LSTMCell(HIDDEN, HIDDEN, key=KEY), lstm, (jnp.ones(HIDDEN), jnp.ones(HIDDEN)))


def gru_cell() -> dict[str, Call]:
    return step_of(nn.GRUCell(HIDDEN, HIDDEN, key=KEY), gru, jnp.ones(HIDDEN))


def lstm_scan(compare: Any = beside) -> dict[str, Call]:
    return scan_of(compare, nn.LSTMCell(HIDDEN, HIDDEN, key=KEY), lstm, (jnp.zeros(HIDDEN), jnp.zeros(HIDDEN)))


def gru_scan(compare: Any = beside) -> dict[str, Call]:
    return scan_of(compare, nn.GRUCell(HIDDEN, HIDDEN, key=KEY), gru, jnp.zeros(HIDDEN))


def whole(name: str, by_hand: Any, compare: Any = beside) -> dict[str, Call]:
    """The outputs of a layer over a batch of sequences."""
    layer = getattr(nn, name)(HIDDEN, HIDDEN, key=KEY)

    def call(layer: Any, xs: Any) -> Any:
        return jax.vmap(lambda xs: layer(xs)[0])(xs)

    return compare(layer, call, by_hand, rows(BATCH, LENGTH, HIDDEN), parameters=parameters(layer.layers[0][0]))


def step_of(cell: Any, by_hand: Any, hidden: Any) -> dict[str, Call]:
    def call(cell: Any, x: Any, hidden: Any) -> Any:
        return cell(x, hidden)

    return beside(cell, call, by_hand, jnp.ones(HIDDEN), hidden, parameters=parameters(cell))


def scan_of(compare: Any, cell: Any, by_hand: Any, hidden: Any) -> dict[str, Call]:
    def call(cell: Any, xs: Any) -> Any:
        return scanned(cell, hidden, xs)

    def scan_by_hand(arrays: Any, xs: Any) -> Any:
        return scanned(lambda x, hidden: by_hand(arrays, x, hidden), hidden, xs)

    return compare(cell, call, scan_by_hand, rows(LENGTH, HIDDEN), parameters=parameters(cell))


def scanned(cell: Any, hidden: Any, xs: Any) -> Any:
    """The last hidden state."""
    return lax.scan(lambda hidden, x: (cell(x, hidden), None), hidden, xs)[0]


def parameters(cell: Any) -> list[Any]:
    """The two weights and the two biases. The published cells have one bias, of the input."""
    if hasattr(cell, "bias_ih"):
        return [cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh]
    return [cell.weight_ih, cell.weight_hh, cell.bias, jnp.zeros_like(cell.bias)]


# By hand


def lstm(arrays: Any, x: Any, hidden: Any) -> Any:
    weight_ih, weight_hh, bias_ih, bias_hh = arrays
    h, c = hidden
    return lstm_of(weight_ih @ x + bias_ih + weight_hh @ h + bias_hh, c)


def lstm_of(gates: Any, c: Any) -> Any:
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
    return sigmoid(o) * jnp.tanh(c), c


def gru(arrays: Any, x: Any, h: Any) -> Any:
    weight_ih, weight_hh, bias_ih, bias_hh = arrays
    return gru_of(weight_ih @ x + bias_ih, weight_hh @ h + bias_hh, h)


def gru_of(of_x: Any, of_h: Any, h: Any) -> Any:
    size = h.shape[-1]
    r, z = jnp.split(sigmoid(of_x[..., : 2 * size] + of_h[..., : 2 * size]), 2, axis=-1)
    n = jnp.tanh(of_x[..., 2 * size :] + r * of_h[..., 2 * size :])
    return n + z * (h - n)


def lstm_layer(arrays: Any, xs: Any) -> Any:
    """The products of the inputs are computed before the scan. The scan is over the second axis of `xs`."""
    weight_ih, weight_hh, bias_ih, bias_hh = arrays
    of_x = jnp.swapaxes(xs @ weight_ih.T + (bias_ih + bias_hh), 0, 1)
    transposed = weight_hh.T

    def step(state: Any, of_x: Any) -> Any:
        h, c = lstm_of(of_x + state[0] @ transposed, state[1])
        return (h, c), h

    start = jnp.zeros((xs.shape[0], HIDDEN))
    return jnp.swapaxes(lax.scan(step, (start, start), of_x)[1], 0, 1)


def gru_layer(arrays: Any, xs: Any) -> Any:
    weight_ih, weight_hh, bias_ih, bias_hh = arrays
    of_x = jnp.swapaxes(xs @ weight_ih.T + bias_ih, 0, 1)
    transposed = weight_hh.T

    def step(h: Any, of_x: Any) -> Any:
        h = gru_of(of_x, h @ transposed + bias_hh, h)
        return h, h

    return jnp.swapaxes(lax.scan(step, jnp.zeros((xs.shape[0], HIDDEN)), of_x)[1], 0, 1)


LAYERS = {
    "LSTMCell": lstm_cell,
    "GRUCell": gru_cell,
    "LSTMCell, scan": lstm_scan,
    "LSTMCell, scan, gradient": ft.partial(lstm_scan, gradients_beside),
    "GRUCell, scan": gru_scan,
    "GRUCell, scan, gradient": ft.partial(gru_scan, gradients_beside),
    "LSTM, batch": ft.partial(whole, "LSTM", lstm_layer),
    "LSTM, batch, gradient": ft.partial(whole, "LSTM", lstm_layer, gradients_beside),
    "GRU, batch": ft.partial(whole, "GRU", gru_layer),
    "GRU, batch, gradient": ft.partial(whole, "GRU", gru_layer, gradients_beside),
}

"""`GRUCell` and `LSTMCell`: one step, and a scan over a sequence."""

import functools as ft
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.nn import sigmoid

import equinox as eqx
from speed.case import Call
from speed.cases.layers.beside import KEY, beside, gradients_beside, rows

HIDDEN, LENGTH = 128, 64

nn = eqx.nn


def lstm_cell() -> dict[str, Call]:
    return step_of(nn.LSTMCell(HIDDEN, HIDDEN, key=KEY), lstm, (jnp.ones(HIDDEN), jnp.ones(HIDDEN)))


def gru_cell() -> dict[str, Call]:
    return step_of(nn.GRUCell(HIDDEN, HIDDEN, key=KEY), gru, jnp.ones(HIDDEN))


def lstm_scan(compare: Any = beside) -> dict[str, Call]:
    return scan_of(compare, nn.LSTMCell(HIDDEN, HIDDEN, key=KEY), lstm, (jnp.zeros(HIDDEN), jnp.zeros(HIDDEN)))


def gru_scan(compare: Any = beside) -> dict[str, Call]:
    return scan_of(compare, nn.GRUCell(HIDDEN, HIDDEN, key=KEY), gru, jnp.zeros(HIDDEN))


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
    "LSTMCell": lstm_cell,
    "GRUCell": gru_cell,
    "LSTMCell, scan": lstm_scan,
    "LSTMCell, scan, gradient": ft.partial(lstm_scan, gradients_beside),
    "GRUCell, scan": gru_scan,
    "GRUCell, scan, gradient": ft.partial(gru_scan, gradients_beside),
}

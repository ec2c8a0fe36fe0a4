"""Recurrent cells in NumPy, with the formulas of PyTorch's documentation. The tests of cells share them."""

import numpy as np
import pytest

from equinox.nn import GRUCell, LSTMCell, RNNCell

PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

cells = pytest.mark.parametrize("cell_type", [RNNCell, GRUCell, LSTMCell])


def assert_close(got, expected):
    np.testing.assert_allclose(np.asarray(got), np.asarray(expected), rtol=1e-4, atol=1e-5)


def to_state(cell_type, h, c):
    """Return the state that such a cell takes: `h`, or `(h, c)`."""
    return (h, c) if cell_type is LSTMCell else h


def numpy_step(cell, x, h, c):
    """Do one step in NumPy, one unit and one gate at a time."""

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    def affine(weight, bias, x):
        y = [np.dot(row, x) for row in np.asarray(weight)]
        return y if bias is None else [a + b for a, b in zip(y, np.asarray(bias))]

    from_input = affine(cell.weight_ih, cell.bias_ih, x)
    from_hidden = affine(cell.weight_hh, cell.bias_hh, h)
    size, new_h, new_c = len(h), [], []
    for unit in range(size):
        a, b = from_input[unit::size], from_hidden[unit::size]
        if type(cell) is RNNCell:
            new_h.append(np.tanh(a[0] + b[0]))
        elif type(cell) is GRUCell:
            reset, update = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1])
            new = np.tanh(a[2] + reset * b[2])
            new_h.append((1 - update) * new + update * h[unit])
        else:
            add, forget, show = [sigmoid(a[gate] + b[gate]) for gate in (0, 1, 3)]
            new_c.append(forget * c[unit] + add * np.tanh(a[2] + b[2]))
            new_h.append(show * np.tanh(new_c[-1]))
    return np.array(new_h), np.array(new_c)

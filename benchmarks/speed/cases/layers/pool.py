"""Pooling of a batch of images. By hand it is `lax.reduce_window`, and for adaptive pooling the fastest form."""

import functools as ft
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import equinox as eqx
from speed.case import Call
from speed.cases.layers.beside import beside, gradients_beside, rows

IMAGES = (16, 32, 32, 32)  # batch, channels, height, width
TARGET = 7  # doesn't divide the height and the width

nn = eqx.nn


def batch(layer: Any, xs: Any) -> Any:
    return jax.vmap(layer)(xs)


def against(layer: Any, by_hand: Any, compare: Any = beside) -> dict[str, Call]:
    return compare(layer, batch, by_hand, rows(*IMAGES))


# By hand


def windows(kernel: int, stride: int, padding: int, operation: Any, init: float) -> Any:
    def by_hand(_: Any, xs: Any) -> Any:
        pairs = ((0, 0), (0, 0)) + ((padding, padding),) * 2
        start = np.array(init, xs.dtype)
        return lax.reduce_window(xs, start, operation, (1, 1, kernel, kernel), (1, 1, stride, stride), pairs)

    return by_hand


def average(kernel: int, stride: int) -> Any:
    total = windows(kernel, stride, 0, lax.add, 0.0)
    return lambda arrays, xs: total(arrays, xs) / kernel**2


def bounds(size: int) -> list[tuple[int, int]]:
    """Where each window of adaptive pooling begins and ends."""
    return [(i * size // TARGET, -(-(i + 1) * size // TARGET)) for i in range(TARGET)]


def chain(operation: Any, divide: bool) -> Any:
    """Combine the rows of each window one by one, then the columns. No other form has values as fast."""

    def by_hand(_: Any, xs: Any) -> Any:
        for axis in (2, 3):
            reduced = []
            for begin, end in bounds(xs.shape[axis]):
                slices = [lax.slice_in_dim(xs, i, i + 1, axis=axis) for i in range(begin, end)]
                total = ft.reduce(operation, slices)
                reduced.append(total / (end - begin) if divide else total)
            xs = jnp.concatenate(reduced, axis)
        return xs

    return by_hand


def maximum_of_slices(_: Any, xs: Any) -> Any:
    """The maximum of each slice of rows, then of columns. No other form has gradients as fast."""
    for axis in (2, 3):
        slices = [lax.slice_in_dim(xs, *pair, axis=axis) for pair in bounds(xs.shape[axis])]
        xs = jnp.stack([jnp.max(x, axis) for x in slices], axis)
    return xs


def mean_by_matrices(_: Any, xs: Any) -> Any:
    """A product with a matrix that averages, along each axis. No other form has gradients as fast."""
    for _ in range(2):
        matrix = np.zeros((xs.shape[3], TARGET), xs.dtype)
        for i, (begin, end) in enumerate(bounds(xs.shape[3])):
            matrix[begin:end, i] = 1 / (end - begin)
        xs = jnp.swapaxes(xs @ matrix, 2, 3)
    return xs


def mean_of_all(_: Any, xs: Any) -> Any:
    return jnp.mean(xs, (2, 3), keepdims=True)


def maximum_of_all(_: Any, xs: Any) -> Any:
    return jnp.max(xs, (2, 3), keepdims=True)


MAKERS = {
    "MaxPool2d, halves": ft.partial(against, nn.MaxPool2d(2, 2), windows(2, 2, 0, lax.max, -np.inf)),
    "MaxPool2d, overlap": ft.partial(against, nn.MaxPool2d(3, 2, 1), windows(3, 2, 1, lax.max, -np.inf)),
    "AvgPool2d, halves": ft.partial(against, nn.AvgPool2d(2, 2), average(2, 2)),
    "AvgPool2d, overlap": ft.partial(against, nn.AvgPool2d(3, 1), average(3, 1)),
    "AdaptiveMaxPool2d": ft.partial(against, nn.AdaptiveMaxPool2d(TARGET), chain(jnp.maximum, False)),
    "AdaptiveMaxPool2d, one output": ft.partial(against, nn.AdaptiveMaxPool2d(1), maximum_of_all),
    "AdaptiveAvgPool2d": ft.partial(against, nn.AdaptiveAvgPool2d(TARGET), chain(jnp.add, True)),
    "AdaptiveAvgPool2d, one output": ft.partial(against, nn.AdaptiveAvgPool2d(1), mean_of_all),
}
OF_GRADIENTS = {
    **MAKERS,
    "AdaptiveMaxPool2d": ft.partial(against, nn.AdaptiveMaxPool2d(TARGET), maximum_of_slices),
    "AdaptiveAvgPool2d": ft.partial(against, nn.AdaptiveAvgPool2d(TARGET), mean_by_matrices),
}
LAYERS = {
    **{name + ", batch": make for name, make in MAKERS.items()},
    **{name + ", batch, gradient": ft.partial(make, compare=gradients_beside) for name, make in OF_GRADIENTS.items()},
}

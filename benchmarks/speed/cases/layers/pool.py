"""Pooling of a batch of images. By hand it is `lax.reduce_window`, and for adaptive pooling a slice for each window."""

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


def adaptive(operation: Any) -> Any:
    """A slice for each window of the last axis, then for each window of the one before."""

    def by_hand(_: Any, xs: Any) -> Any:
        for axis in (3, 2):
            size = xs.shape[axis]
            ends = [(i * size // TARGET, -(-(i + 1) * size // TARGET)) for i in range(TARGET)]
            xs = jnp.stack([operation(lax.slice_in_dim(xs, *pair, axis=axis), axis) for pair in ends], axis)
        return xs

    return by_hand


def mean_of_all(_: Any, xs: Any) -> Any:
    return jnp.mean(xs, (2, 3), keepdims=True)


def maximum_of_all(_: Any, xs: Any) -> Any:
    return jnp.max(xs, (2, 3), keepdims=True)


MAKERS = {
    "MaxPool2d, halves": ft.partial(against, nn.MaxPool2d(2, 2), windows(2, 2, 0, lax.max, -np.inf)),
    "MaxPool2d, overlap": ft.partial(against, nn.MaxPool2d(3, 2, 1), windows(3, 2, 1, lax.max, -np.inf)),
    "AvgPool2d, halves": ft.partial(against, nn.AvgPool2d(2, 2), average(2, 2)),
    "AvgPool2d, overlap": ft.partial(against, nn.AvgPool2d(3, 1), average(3, 1)),
    "AdaptiveMaxPool2d": ft.partial(against, nn.AdaptiveMaxPool2d(TARGET), adaptive(jnp.max)),
    "AdaptiveMaxPool2d, one output": ft.partial(against, nn.AdaptiveMaxPool2d(1), maximum_of_all),
    "AdaptiveAvgPool2d": ft.partial(against, nn.AdaptiveAvgPool2d(TARGET), adaptive(jnp.mean)),
    "AdaptiveAvgPool2d, one output": ft.partial(against, nn.AdaptiveAvgPool2d(1), mean_of_all),
}
LAYERS = {
    **{name + ", batch": make for name, make in MAKERS.items()},
    **{name + ", batch, gradient": ft.partial(make, compare=gradients_beside) for name, make in MAKERS.items()},
}

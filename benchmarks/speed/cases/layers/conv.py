"""`Conv2d` and `ConvTranspose2d` over a batch of images."""

import functools as ft
from collections.abc import Callable
from typing import Any

import jax
from jax import lax

import equinox as eqx
from speed.case import Call
from speed.cases.layers.beside import KEY, beside, gradients_beside, rows

IMAGES = (16, 16, 28, 28)  # batch, channels, height, width
CHANNELS = 32

nn = eqx.nn


def batch(layer: Any, xs: Any) -> Any:
    return jax.vmap(layer)(xs)


def conv(by_hand: Callable[..., Any], compare: Any = beside, **options: Any) -> dict[str, Call]:
    return compare(nn.Conv2d(IMAGES[1], key=KEY, **options), batch, by_hand, rows(*IMAGES))


def conv_transpose(compare: Any = beside) -> dict[str, Call]:
    layer = nn.ConvTranspose2d(IMAGES[1], CHANNELS, 4, stride=2, padding=1, key=KEY)
    return compare(layer, batch, conv_transpose_by_hand, rows(*IMAGES))


# By hand


def conv_by_hand(arrays: Any, xs: Any, padding: int = 1, groups: int = 1) -> Any:
    weight, bias = arrays
    return lax.conv_general_dilated(xs, weight, (1, 1), ((padding, padding),) * 2, feature_group_count=groups) + bias


def conv_transpose_by_hand(arrays: Any, xs: Any) -> Any:
    weight, bias = arrays
    flipped = lax.rev(weight, (2, 3))
    return lax.conv_general_dilated(xs, flipped, (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2)) + bias


def one_by_one_by_hand(arrays: Any, xs: Any) -> Any:
    return conv_by_hand(arrays, xs, padding=0)


def depthwise_by_hand(arrays: Any, xs: Any) -> Any:
    return conv_by_hand(arrays, xs, groups=IMAGES[1])


MAKERS: dict[str, Callable[..., dict[str, Call]]] = {
    "Conv2d": ft.partial(conv, conv_by_hand, out_channels=CHANNELS, kernel_size=3, padding=1),
    "Conv2d 1x1": ft.partial(conv, one_by_one_by_hand, out_channels=CHANNELS, kernel_size=1),
    "Conv2d depthwise": ft.partial(
        conv, depthwise_by_hand, out_channels=IMAGES[1], kernel_size=3, padding=1, groups=IMAGES[1]
    ),
    "ConvTranspose2d": conv_transpose,
}
LAYERS = {
    **{name + ", batch": make for name, make in MAKERS.items()},
    **{name + ", batch, gradient": ft.partial(make, compare=gradients_beside) for name, make in MAKERS.items()},
}

"""`Stacked`: equal layers in one `lax.scan`, with and without rematerialisation."""

import functools as ft
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

import equinox as eqx
from speed.case import Call
from speed.cases.layers.beside import KEY, beside, gradients_beside, rows
from speed.cases.layers.linear import affine_rows, batch

WIDTH, BATCH, DEPTH = 128, 64, 16

nn = eqx.nn


def layer(key: Any) -> Any:
    return nn.Sequential([nn.Linear(WIDTH, WIDTH, key=key), jnp.tanh])


def stacked(compare: Any = beside, checkpoint: bool = False) -> dict[str, Call]:
    model = nn.Stacked(layer, DEPTH, checkpoint=checkpoint, key=KEY)
    return compare(model, batch, ft.partial(stacked_by_hand, checkpoint), rows(BATCH, WIDTH))


# By hand


def stacked_by_hand(checkpoint: bool, arrays: Any, xs: Any) -> Any:
    def one(xs: Any, arrays: Any) -> Any:
        return jnp.tanh(affine_rows(arrays, xs)), None

    return lax.scan(jax.checkpoint(one, prevent_cse=False) if checkpoint else one, xs, arrays)[0]


LAYERS = {
    "Stacked, batch": stacked,
    "Stacked, batch, gradient": ft.partial(stacked, gradients_beside),
    "Stacked, batch, gradient, checkpoint": ft.partial(stacked, gradients_beside, checkpoint=True),
}

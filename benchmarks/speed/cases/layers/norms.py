"""`LayerNorm`, `RMSNorm`, `GroupNorm` and `BatchNorm`, over a batch."""

import functools as ft
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

import equinox as eqx
from speed.case import Call
from speed.cases.layers.beside import PUBLISHED, beside, gradients_beside, rows

WIDTH, BATCH = 512, 256
IMAGES = (16, 32, 32, 32)  # batch, channels, height, width
GROUPS, EPS = 4, 1e-5

nn = eqx.nn


def batch(layer: Any, xs: Any) -> Any:
    return jax.vmap(layer)(xs)


def gradients(layer: Any, call: Any, by_hand: Any, *inputs: Any) -> dict[str, Call]:
    """Those of fourth powers, made small: the sum of squares of what is normalised is constant."""

    def squares(function: Any) -> Any:
        return lambda *args: function(*args) ** 2 / 10

    return gradients_beside(layer, squares(call), squares(by_hand), *inputs)


def layer_norm(compare: Any = beside) -> dict[str, Call]:
    return compare(nn.LayerNorm(WIDTH), batch, layer_norm_by_hand, rows(BATCH, WIDTH))


def rms_norm(compare: Any = beside) -> dict[str, Call]:
    return compare(nn.RMSNorm(WIDTH, use_bias=False), batch, rms_norm_by_hand, rows(BATCH, WIDTH))


def group_norm(compare: Any = beside) -> dict[str, Call]:
    return compare(nn.GroupNorm(GROUPS, IMAGES[1]), batch, group_norm_by_hand, rows(*IMAGES))


def batch_norm(compare: Any = beside) -> dict[str, Call]:
    """In training, without the new state if it is differentiated."""
    options: Any = {"mode": "batch"} if PUBLISHED else {}
    norm, state = nn.make_with_state(nn.BatchNorm)(IMAGES[1], "batch", **options)
    running = {"mean": jnp.zeros(IMAGES[1]), "var": jnp.ones(IMAGES[1]), "steps": jnp.array(0)}
    with_state = compare is beside

    def call(norm: Any, xs: Any, state: Any) -> Any:
        ys, state = jax.vmap(norm, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(xs, state)
        return (ys, state) if with_state else ys

    def by_hand(arrays: Any, xs: Any, _: Any) -> Any:
        ys, after = batch_norm_by_hand(arrays, xs, running)
        return (ys, after) if with_state else ys

    return compare(norm, call, by_hand, rows(*IMAGES), state)


# By hand. With channels the output is `x * scale + shift`, which is faster than `(x - mean) * scale + bias`.


def layer_norm_by_hand(arrays: Any, xs: Any) -> Any:
    weight, bias = arrays
    mean, var = jnp.mean(xs, -1, keepdims=True), jnp.var(xs, -1, keepdims=True)
    return (xs - mean) * lax.rsqrt(var + EPS) * weight + bias


def rms_norm_by_hand(arrays: Any, xs: Any) -> Any:
    (weight,) = arrays
    return xs * lax.rsqrt(jnp.mean(xs * xs, -1, keepdims=True) + EPS) * weight


def group_norm_by_hand(arrays: Any, xs: Any) -> Any:
    weight, bias = (a.reshape(GROUPS, -1, 1) for a in arrays)
    grouped = xs.reshape(IMAGES[0], GROUPS, IMAGES[1] // GROUPS, -1)
    mean, var = jnp.mean(grouped, (2, 3), keepdims=True), jnp.var(grouped, (2, 3), keepdims=True)
    scale = lax.rsqrt(var + EPS) * weight
    return (grouped * scale + (bias - mean * scale)).reshape(xs.shape)


def batch_norm_by_hand(arrays: Any, xs: Any, running: Any) -> Any:
    weight, bias = arrays
    flat = xs.reshape(*IMAGES[:2], -1)
    mean, var = jnp.mean(flat, (0, 2)), jnp.var(flat, (0, 2))
    size = xs.size // IMAGES[1]
    after = {
        "mean": 0.9 * running["mean"] + 0.1 * mean,
        "var": 0.9 * running["var"] + 0.1 * var * (size / (size - 1)),
        "steps": running["steps"] + 1,
    }
    scale = lax.rsqrt(var + EPS) * weight
    return (flat * scale[:, None] + (bias - mean * scale)[:, None]).reshape(xs.shape), after


MAKERS = {"LayerNorm": layer_norm, "RMSNorm": rms_norm, "GroupNorm": group_norm, "BatchNorm": batch_norm}
LAYERS = {
    **{name + ", batch": make for name, make in MAKERS.items()},
    **{name + ", batch, gradient": ft.partial(make, gradients) for name, make in MAKERS.items()},
}

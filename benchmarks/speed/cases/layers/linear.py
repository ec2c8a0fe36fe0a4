"""`Linear`, `Einsum`, `MLP`, `LoRA` of a `Linear`, and `Dropout`."""

import functools as ft
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.nn import relu

import equinox as eqx
from speed.case import Call
from speed.cases.layers.beside import KEY, beside, gradients_beside, rows

WIDTH, BATCH, DEPTH, RANK = 512, 64, 3, 8

nn = eqx.nn


def one(layer: Any, x: Any) -> Any:
    return layer(x)


def batch(layer: Any, xs: Any) -> Any:
    return jax.vmap(layer)(xs)


def linear() -> dict[str, Call]:
    return beside(nn.Linear(WIDTH, WIDTH, key=KEY), one, affine, jnp.ones(WIDTH))


def linear_batch(compare: Any = beside) -> dict[str, Call]:
    return compare(nn.Linear(WIDTH, WIDTH, key=KEY), batch, affine_rows, rows(BATCH, WIDTH))


def einsum_batch(compare: Any = beside) -> dict[str, Call]:
    return compare(nn.Einsum("i,oi->o", (WIDTH, WIDTH), (WIDTH,), key=KEY), batch, affine_rows, rows(BATCH, WIDTH))


def lora_batch(compare: Any = beside) -> dict[str, Call]:
    return compare(nn.LoRA(nn.Linear(WIDTH, WIDTH, key=KEY), RANK, key=KEY), batch, lora_rows, rows(BATCH, WIDTH))


def mlp() -> dict[str, Call]:
    return beside(nn.MLP(WIDTH, WIDTH, WIDTH, DEPTH, key=KEY), one, ft.partial(perceptron, affine), jnp.ones(WIDTH))


def mlp_batch(compare: Any = beside) -> dict[str, Call]:
    by_hand = ft.partial(perceptron, affine_rows)
    return compare(nn.MLP(WIDTH, WIDTH, WIDTH, DEPTH, key=KEY), batch, by_hand, rows(BATCH, WIDTH))


def dropout() -> dict[str, Call]:
    def by_hand(arrays: Any, x: Any, key: Any) -> Any:
        return jnp.where(jax.random.bernoulli(key, 0.5, x.shape), x * 2, 0)

    return beside(nn.Dropout(0.5), lambda layer, x, key: layer(x, key=key), by_hand, rows(BATCH, WIDTH), KEY)


# By hand


def affine(arrays: Any, x: Any) -> Any:
    weight, bias = arrays
    return weight @ x + bias


def affine_rows(arrays: Any, xs: Any) -> Any:
    weight, bias = arrays
    return xs @ weight.T + bias


def lora_rows(arrays: Any, xs: Any) -> Any:
    weight, bias, lora_a, lora_b = arrays
    weight, bias = lax.stop_gradient((weight, bias))
    return affine_rows((weight + lora_b @ lora_a, bias), xs)


def perceptron(affine: Any, arrays: Any, x: Any) -> Any:
    *hidden, last = zip(arrays[::2], arrays[1::2], strict=True)
    for pair in hidden:
        x = relu(affine(pair, x))
    return affine(last, x)


LAYERS = {
    "Linear": linear,
    "Linear, batch": linear_batch,
    "Linear, batch, gradient": ft.partial(linear_batch, gradients_beside),
    "Einsum, batch": einsum_batch,
    "Einsum, batch, gradient": ft.partial(einsum_batch, gradients_beside),
    "LoRA, batch": lora_batch,
    "LoRA, batch, gradient": ft.partial(lora_batch, gradients_beside),
    "MLP": mlp,
    "MLP, batch": mlp_batch,
    "MLP, batch, gradient": ft.partial(mlp_batch, gradients_beside),
    "Dropout": dropout,
}

"""`MultiheadAttention`, causal, over a batch, and `Embedding`."""

import functools as ft
import math
from typing import Any

import jax
import jax.numpy as jnp

import equinox as eqx
from speed.case import Call
from speed.cases.layers.beside import KEY, PUBLISHED, beside, gradients_beside, rows

BATCH, LENGTH, WIDTH, HEADS, TOKENS = 8, 128, 256, 4, 1000

nn = eqx.nn


def attention(compare: Any = beside) -> dict[str, Call]:
    def causal() -> dict[str, Any]:
        return {"mask": jnp.tril(jnp.ones((LENGTH, LENGTH), bool))} if PUBLISHED else {"is_causal": True}

    def call(layer: Any, xs: Any) -> Any:
        return jax.vmap(lambda x: layer(x, x, x, **causal()))(xs)

    return compare(nn.MultiheadAttention(HEADS, WIDTH, key=KEY), call, attention_by_hand, rows(BATCH, LENGTH, WIDTH))


def embedding() -> dict[str, Call]:
    def call(layer: Any, tokens: Any) -> Any:
        return jax.vmap(jax.vmap(layer))(tokens)

    tokens = jax.random.randint(KEY, (BATCH, LENGTH), 0, TOKENS)
    return beside(nn.Embedding(TOKENS, WIDTH, key=KEY), call, embedding_by_hand, tokens)


# By hand


def attention_by_hand(arrays: Any, xs: Any) -> Any:
    query, key, value, output = arrays
    q, k, v = (jnp.einsum("bsi,oi->bso", xs, w).reshape(*xs.shape[:2], HEADS, -1) for w in (query, key, value))
    scores = jnp.einsum("bqhd,bkhd->bhqk", q / math.sqrt(WIDTH // HEADS), k)
    scores = jnp.where(jnp.tril(jnp.ones((LENGTH, LENGTH), bool)), scores, -jnp.inf)
    y = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), v).reshape(xs.shape)
    return jnp.einsum("bsi,oi->bso", y, output)


def embedding_by_hand(arrays: Any, tokens: Any) -> Any:
    (weight,) = arrays
    return weight.at[tokens].get(mode="fill", fill_value=jnp.nan)


LAYERS = {
    "MultiheadAttention, causal, over a batch": attention,
    "MultiheadAttention, causal, over a batch, gradient": ft.partial(attention, gradients_beside),
    "Embedding of a batch of sequences": embedding,
}

"""The time to compile a `Sequential` of n equal layers. The floor is a handwritten loop over the same matrices."""

import functools as ft
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from interleaved import FLOOR

import equinox as eqx
from speed.case import EQUINOX, Call, Case

WIDTH = 8


def cases() -> Iterator[Case]:
    for layers in (1, 4, 16, 64):
        yield Case("compile_sequential", ft.partial(make, layers), layers, unit="layers", seconds=3)


def make(layers: int) -> dict[str, Call]:
    rng = np.random.default_rng(0)
    keys = jax.random.split(jax.random.PRNGKey(0), layers)
    model = eqx.nn.Sequential([eqx.nn.Linear(WIDTH, WIDTH, key=key) for key in keys])
    pairs = [(layer.weight, layer.bias) for layer in model.layers]
    x = jnp.ones(WIDTH)

    def by_hand(pairs, x):
        for weight, bias in pairs:
            x = weight @ x + bias
        return x * new

    def sequential(model, x):
        return model(x) * new

    # A new number in each program, so that XLA doesn't find the program in its cache.
    new = 0.0

    def compile_floor():
        nonlocal new
        new = rng.random()
        return jax.jit(lambda pairs, x: by_hand(pairs, x)).lower(pairs, x).compile()

    def compile_filtered():
        nonlocal new
        new = rng.random()
        return eqx.filter_jit(lambda model, x: sequential(model, x)).lower(model, x).compile()

    return {FLOOR: compile_floor, EQUINOX: compile_filtered}

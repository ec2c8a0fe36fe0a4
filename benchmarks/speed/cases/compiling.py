"""The time to compile n equal layers, as a `Sequential` and as a `Stacked`.

The floor is a handwritten loop over the same matrices, or a handwritten `lax.scan`. For a `Stacked` the time doesn't
depend on n.
"""

import functools as ft
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from interleaved import FLOOR
from jax import lax

import equinox as eqx
from speed.case import EQUINOX, Call, Case

WIDTH = 8


def cases() -> Iterator[Case]:
    for layers in (1, 4, 16, 64):
        yield Case("compile_sequential", ft.partial(sequential, layers), layers, unit="layers", seconds=3)
        yield Case("compile_stacked", ft.partial(stacked, layers), layers, unit="layers", seconds=3)


def sequential(layers: int) -> dict[str, Call]:
    keys = jax.random.split(jax.random.PRNGKey(0), layers)
    model = eqx.nn.Sequential([linear(key) for key in keys])

    def by_hand(pairs, x):
        for weight, bias in pairs:
            x = weight @ x + bias
        return x

    return compilations(model, by_hand, [(layer.weight, layer.bias) for layer in model.layers])


def stacked(layers: int) -> dict[str, Call]:
    model = eqx.nn.Stacked(linear, layers, key=jax.random.PRNGKey(0))

    def by_hand(pairs, x):
        return lax.scan(lambda x, pair: (pair[0] @ x + pair[1], None), x, pairs)[0]

    return compilations(model, by_hand, (model.layers.weight, model.layers.bias))


def linear(key: Any) -> eqx.nn.Linear:
    return eqx.nn.Linear(WIDTH, WIDTH, key=key)


def compilations(model: Any, by_hand: Callable[..., Any], pairs: Any) -> dict[str, Call]:
    rng = np.random.default_rng(0)
    x = jnp.ones(WIDTH)

    def compiled(jit: Any, function: Callable[..., Any], parameters: Any) -> Any:
        new = rng.random()  # a new number in each program, so that XLA doesn't find the program in its cache
        return jit(lambda parameters, x: function(parameters, x) * new).lower(parameters, x).compile()

    return {
        FLOOR: lambda: compiled(jax.jit, by_hand, pairs),
        EQUINOX: lambda: compiled(eqx.filter_jit, lambda model, x: model(x), model),
    }

"""The same layers in Flax NNX, as a function of their arrays under `jax.jit`."""

import functools as ft
from collections.abc import Callable, Iterator
from typing import Any

import dispatch_speed
import jax
import jax.numpy as jnp
from flax import nnx
from interleaved import FLOOR

from speed.case import Call, Case
from speed.cases.layers import LAYERS, norms
from speed.cases.layers.beside import gradient_of, rows
from speed.cases.layers.conv import CHANNELS, IMAGES
from speed.cases.layers.linear import BATCH, DEPTH, WIDTH
from speed.cases.layers.recurrent import HIDDEN, LENGTH, scanned


def cases() -> Iterator[Case]:
    for name, make in NNX_LAYERS.items():
        yield Case("layer: " + name, ft.partial(contenders, name, make), timed=dispatch_speed.done, seconds=1.5)


def contenders(name: str, make: Callable[[], tuple[Any, ...]]) -> dict[str, Call]:
    layer, call, *inputs = make()
    structure, arrays = nnx.split(layer)

    def of_arrays(arrays: Any, *inputs: Any) -> Any:
        return call(nnx.merge(structure, arrays), *inputs)

    jitted = jax.jit(gradient_of(of_arrays) if name.endswith(", gradient") else of_arrays)
    return {FLOOR: LAYERS[name]()[FLOOR], "nnx": lambda: jitted(arrays, *inputs)}


def one(layer: Any, x: Any) -> Any:
    return layer(x)


def linear(*batch: int) -> tuple[Any, ...]:
    return nnx.Linear(WIDTH, WIDTH, rngs=nnx.Rngs(0)), one, rows(*batch, WIDTH)


def conv() -> tuple[Any, ...]:
    """On images whose last axis holds the channels, as NNX has them."""
    batch, channels, *sizes = IMAGES
    return nnx.Conv(channels, CHANNELS, (3, 3), padding=1, rngs=nnx.Rngs(0)), one, rows(batch, *sizes, channels)


class MLP(nnx.Module):
    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.layers = nnx.List([nnx.Linear(WIDTH, WIDTH, rngs=rngs) for _ in range(DEPTH + 1)])

    def __call__(self, x: Any) -> Any:
        *hidden, last = self.layers
        for layer in hidden:
            x = nnx.relu(layer(x))
        return last(x)


def mlp(*batch: int) -> tuple[Any, ...]:
    return MLP(), one, rows(*batch, WIDTH)


def norm(make: Callable[..., Any], *shape: int, gradient: bool = False) -> tuple[Any, ...]:
    """The variance is that of the floor. Flax's own choice is faster, but loses digits if the mean is large.

    With `gradient`, the call returns the powers of the output whose gradient the floor computes.
    """

    def call(layer: Any, xs: Any) -> Any:
        return layer(xs) ** 2 / 10 if gradient else layer(xs)

    return make(shape[-1], epsilon=norms.EPS, use_fast_variance=False, rngs=nnx.Rngs(0)), call, rows(*shape)


def batch_norm(gradient: bool = False) -> tuple[Any, ...]:
    make = ft.partial(nnx.BatchNorm, momentum=0.9, use_running_average=False)
    layer, call, xs = norm(make, *CHANNELS_LAST, gradient=gradient)
    return (layer, call, xs) if gradient else (layer, lambda layer, xs: (call(layer, xs), nnx.state(layer)), xs)


def cell_step(cell: Any, x: Any, hidden: Any) -> Any:
    return cell(hidden, x)[0]


def lstm_cell() -> tuple[Any, ...]:
    hidden = jnp.ones(HIDDEN), jnp.ones(HIDDEN)
    return nnx.OptimizedLSTMCell(HIDDEN, HIDDEN, rngs=nnx.Rngs(0)), cell_step, jnp.ones(HIDDEN), hidden


def gru_cell() -> tuple[Any, ...]:
    return nnx.GRUCell(HIDDEN, HIDDEN, rngs=nnx.Rngs(0)), cell_step, jnp.ones(HIDDEN), jnp.ones(HIDDEN)


def scan_of(cell: Any, hidden: Any) -> tuple[Any, ...]:
    def call(cell: Any, xs: Any) -> Any:
        return scanned(lambda x, hidden: cell(hidden, x)[0], hidden, xs)

    return cell, call, rows(LENGTH, HIDDEN)


def lstm_scan() -> tuple[Any, ...]:
    cell = nnx.OptimizedLSTMCell(HIDDEN, HIDDEN, rngs=nnx.Rngs(0))
    return scan_of(cell, (jnp.zeros(HIDDEN), jnp.zeros(HIDDEN)))


def gru_scan() -> tuple[Any, ...]:
    return scan_of(nnx.GRUCell(HIDDEN, HIDDEN, rngs=nnx.Rngs(0)), jnp.zeros(HIDDEN))


CHANNELS_LAST = (norms.IMAGES[0], *norms.IMAGES[2:], norms.IMAGES[1])  # the layout of Flax
NORMS: dict[str, Callable[..., tuple[Any, ...]]] = {
    "LayerNorm": ft.partial(norm, nnx.LayerNorm, norms.BATCH, norms.WIDTH),
    "RMSNorm": ft.partial(norm, nnx.RMSNorm, norms.BATCH, norms.WIDTH),
    "GroupNorm": ft.partial(norm, ft.partial(nnx.GroupNorm, num_groups=norms.GROUPS), *CHANNELS_LAST),
    "BatchNorm": batch_norm,
}

NNX_LAYERS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "Linear": linear,
    "Linear, batch": ft.partial(linear, BATCH),
    "Linear, batch, gradient": ft.partial(linear, BATCH),
    "Conv2d, batch": conv,
    "Conv2d, batch, gradient": conv,
    "MLP": mlp,
    "MLP, batch": ft.partial(mlp, BATCH),
    "MLP, batch, gradient": ft.partial(mlp, BATCH),
    **{name + ", batch": make for name, make in NORMS.items()},
    **{name + ", batch, gradient": ft.partial(make, gradient=True) for name, make in NORMS.items()},
    "LSTMCell": lstm_cell,
    "GRUCell": gru_cell,
    "LSTMCell, scan": lstm_scan,
    "LSTMCell, scan, gradient": lstm_scan,
    "GRUCell, scan": gru_scan,
    "GRUCell, scan, gradient": gru_scan,
}

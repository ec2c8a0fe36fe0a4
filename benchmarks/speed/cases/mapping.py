"""The cost of mapping a model with `filter_vmap`, beside `jax.vmap` on a flat list of the same arrays."""

import functools as ft
from collections.abc import Iterator
from typing import Any

import dispatch_speed
import jax
import jax.numpy as jnp
from interleaved import FLOOR

import equinox as eqx
from speed.case import EQUINOX, Call, Case

EXAMPLES = 4


def cases() -> Iterator[Case]:
    for leaves in (10, 100):
        yield Case("trace_lower_vmap", ft.partial(trace, leaves, None), leaves, seconds=2)
        yield Case("trace_lower_ensemble", ft.partial(trace, leaves, 0), leaves, seconds=2)
        yield Case("call_vmap", ft.partial(call, leaves, None), leaves)


def trace(leaves: int, axis: int | None) -> dict[str, Call]:
    """Each call makes a new function, of which JAX remembers nothing. The model is mapped along `axis`."""
    model, arrays, xs = inputs(leaves, axis)

    def flat(arrays, xs):
        return jax.vmap(lambda arrays, x: flat_loss(arrays, x), in_axes=(axis, 0))(arrays, xs)

    def filtered(model, xs):
        return eqx.filter_vmap(lambda model, x: dispatch_speed.model_loss(model, x), in_axes=(axis, 0))(model, xs)

    return {
        FLOOR: lambda: jax.jit(lambda arrays, xs: flat(arrays, xs)).lower(arrays, xs),
        EQUINOX: lambda: eqx.filter_jit(lambda model, xs: filtered(model, xs)).lower(model, xs),
    }


def call(leaves: int, axis: int | None) -> dict[str, Call]:
    """Outside of `jit`, where each operation runs by itself."""
    model, arrays, xs = inputs(leaves, axis)
    flat = jax.vmap(flat_loss, in_axes=(axis, 0))
    filtered = eqx.filter_vmap(dispatch_speed.model_loss, in_axes=(axis, 0))
    return {FLOOR: lambda: flat(arrays, xs), EQUINOX: lambda: filtered(model, xs)}


def inputs(leaves: int, axis: int | None) -> tuple[Any, list[Any], Any]:
    """A model, its arrays, and what it is called with. An ensemble of models if `axis` isn't `None`."""
    model: Any = dispatch_speed.net(leaves)
    arrays: Any = dispatch_speed.flat_model(leaves)
    if axis is not None:
        stack = ft.partial(jax.tree_util.tree_map, lambda x: jnp.stack([x] * EXAMPLES) if eqx.is_array(x) else x)
        model, arrays = stack(model), stack(arrays)
    return model, arrays, jnp.ones((EXAMPLES, dispatch_speed.SIZE))


def flat_loss(arrays, x):
    return dispatch_speed.loss_of(zip(arrays[::2], arrays[1::2], strict=True), jnp.tanh, x)

"""The time to trace and lower a function. The floor is `jax.jit` on a flat list of the same arrays."""

import functools as ft
from collections.abc import Iterator

import dispatch_speed
import jax
import jax.numpy as jnp
from interleaved import FLOOR

import equinox as eqx
from speed.case import EQUINOX, Call, Case


def cases() -> Iterator[Case]:
    for leaves in (10, 100):
        yield Case("trace_lower", ft.partial(trace, leaves), leaves, seconds=2)
        yield Case("trace_lower_grad", ft.partial(trace_gradient, leaves), leaves, seconds=2)


# Each call makes a new function, so JAX finds nothing in its caches.


def trace(leaves: int) -> dict[str, Call]:
    model, arrays, x = dispatch_speed.net(leaves), dispatch_speed.flat_model(leaves), jnp.ones(dispatch_speed.SIZE)
    return {
        FLOOR: lambda: jax.jit(lambda arrays, x: flat_loss(arrays, x)).lower(arrays, x),
        EQUINOX: lambda: eqx.filter_jit(lambda model, x: dispatch_speed.model_loss(model, x)).lower(model, x),
    }


def trace_gradient(leaves: int) -> dict[str, Call]:
    model, arrays, x = dispatch_speed.net(leaves), dispatch_speed.flat_model(leaves), jnp.ones(dispatch_speed.SIZE)

    def filtered(model, x):
        return eqx.filter_value_and_grad(dispatch_speed.model_loss)(model, x)

    return {
        FLOOR: lambda: jax.jit(lambda arrays, x: jax.value_and_grad(flat_loss)(arrays, x)).lower(arrays, x),
        EQUINOX: lambda: eqx.filter_jit(lambda model, x: filtered(model, x)).lower(model, x),
    }


def flat_loss(arrays, x):
    return dispatch_speed.loss_of(zip(arrays[::2], arrays[1::2], strict=True), jnp.tanh, x)

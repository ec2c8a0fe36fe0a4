"""The time to trace and lower derivatives of a model, beside JAX's own of a flat list of the same arrays."""

import functools as ft
from collections.abc import Callable, Iterator
from typing import Any

import dispatch_speed
import jax
import jax.numpy as jnp
from interleaved import FLOOR
from jax.tree_util import tree_map

import equinox as eqx
from speed.case import EQUINOX, Call, Case


def cases() -> Iterator[Case]:
    for leaves in (10, 100):
        for name, (flat, filtered) in DERIVATIVES.items():
            yield Case("trace_lower_" + name, ft.partial(trace, flat, filtered, leaves), leaves, seconds=2)


def flat_loss(arrays, x):
    return dispatch_speed.loss_of(zip(arrays[::2], arrays[1::2], strict=True), jnp.tanh, x)


def flat_jvp(loss, arrays, x):
    return jax.jvp(loss, (arrays, x), (arrays, x))


def filtered_jvp(loss, model, x):
    direction = tree_map(lambda leaf: leaf if eqx.is_inexact_array(leaf) else None, model)
    return eqx.filter_jvp(loss, (model, x), (direction, x))


def flat_vjp(loss, arrays, x):
    out, pull_back = jax.vjp(loss, arrays, x)
    return pull_back(out)


def filtered_vjp(loss, model, x):
    out, pull_back = eqx.filter_vjp(loss, model, x)
    return pull_back(out)


# Name -> the derivative of a flat list of arrays, and that of a model.
DERIVATIVES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "jvp": (flat_jvp, filtered_jvp),
    "vjp": (flat_vjp, filtered_vjp),
    "jacrev": (
        lambda loss, arrays, x: jax.jacrev(loss)(arrays, x),
        lambda loss, model, x: eqx.filter_jacrev(loss)(model, x),
    ),
    "checkpoint": (
        lambda loss, arrays, x: jax.grad(jax.checkpoint(loss))(arrays, x),
        lambda loss, model, x: eqx.filter_grad(eqx.filter_checkpoint(loss))(model, x),
    ),
}


def trace(flat: Callable[..., Any], filtered: Callable[..., Any], leaves: int) -> dict[str, Call]:
    """Each call makes a new function, of which JAX remembers nothing."""
    model, arrays, x = dispatch_speed.net(leaves), dispatch_speed.flat_model(leaves), jnp.ones(dispatch_speed.SIZE)
    loss = dispatch_speed.model_loss

    def of_arrays(arrays, x):
        return flat(lambda arrays, x: flat_loss(arrays, x), arrays, x)

    def of_model(model, x):
        return filtered(lambda model, x: loss(model, x), model, x)

    return {
        FLOOR: lambda: jax.jit(lambda arrays, x: of_arrays(arrays, x)).lower(arrays, x),
        EQUINOX: lambda: eqx.filter_jit(lambda model, x: of_model(model, x)).lower(model, x),
    }

"""The cost of a loop or a branch of a model, beside JAX's own of a flat list of the same arrays."""

import functools as ft
from collections.abc import Iterator

import dispatch_speed
import jax
import jax.numpy as jnp
from interleaved import FLOOR
from jax import lax

import equinox as eqx
from speed.case import EQUINOX, Call, Case

STEPS = 3


def cases() -> Iterator[Case]:
    for leaves in (10, 100):
        yield Case("trace_lower_scan", ft.partial(trace_scan, leaves), leaves, seconds=2)
        yield Case("trace_lower_cond", ft.partial(trace_cond, leaves), leaves, seconds=2)
        yield Case("call_scan", ft.partial(call_scan, leaves), leaves)
        yield Case("call_cond", ft.partial(call_cond, leaves), leaves)


# A step has the model in its carry. A branch has it for an operand.


def step(carry, x):
    model, total = carry
    return (model, total + dispatch_speed.model_loss(model, x)), x


def flat_step(carry, x):
    arrays, total = carry
    return (arrays, total + flat_loss(arrays, x)), x


def flat_loss(arrays, x):
    return dispatch_speed.loss_of(zip(arrays[::2], arrays[1::2], strict=True), jnp.tanh, x)


def flat_loss_of(operands):
    return flat_loss(*operands)


def double_loss(model, x):
    return 2 * dispatch_speed.model_loss(model, x)


def double_flat_loss(operands):
    return 2 * flat_loss(*operands)


# Each call to trace makes a new function, of which JAX remembers nothing.


def trace_scan(leaves: int) -> dict[str, Call]:
    model, arrays, zero, xs = dispatch_speed.net(leaves), dispatch_speed.flat_model(leaves), jnp.zeros(()), slices()

    def flat(arrays, xs):
        return lax.scan(lambda carry, x: flat_step(carry, x), (arrays, zero), xs)

    def filtered(model, xs):
        return eqx.filter_scan(lambda carry, x: step(carry, x), (model, zero), xs)

    return {
        FLOOR: lambda: jax.jit(lambda arrays, xs: flat(arrays, xs)).lower(arrays, xs),
        EQUINOX: lambda: eqx.filter_jit(lambda model, xs: filtered(model, xs)).lower(model, xs),
    }


def trace_cond(leaves: int) -> dict[str, Call]:
    model, arrays, x = dispatch_speed.net(leaves), dispatch_speed.flat_model(leaves), slices()[0]

    def flat(arrays, x):
        return lax.cond(x[0] > 0, lambda both: flat_loss_of(both), lambda both: double_flat_loss(both), (arrays, x))

    def filtered(model, x):
        loss, double = dispatch_speed.model_loss, double_loss
        return eqx.filter_cond(x[0] > 0, lambda m, x: loss(m, x), lambda m, x: double(m, x), model, x)

    return {
        FLOOR: lambda: jax.jit(lambda arrays, x: flat(arrays, x)).lower(arrays, x),
        EQUINOX: lambda: eqx.filter_jit(lambda model, x: filtered(model, x)).lower(model, x),
    }


def call_scan(leaves: int) -> dict[str, Call]:
    model, arrays, zero, xs = dispatch_speed.net(leaves), dispatch_speed.flat_model(leaves), jnp.zeros(()), slices()
    return {
        FLOOR: lambda: lax.scan(flat_step, (arrays, zero), xs),
        EQUINOX: lambda: eqx.filter_scan(step, (model, zero), xs),
    }


def call_cond(leaves: int) -> dict[str, Call]:
    model, arrays, x = dispatch_speed.net(leaves), dispatch_speed.flat_model(leaves), slices()[0]
    pred = jnp.array(True)
    return {
        FLOOR: lambda: lax.cond(pred, flat_loss_of, double_flat_loss, (arrays, x)),
        EQUINOX: lambda: eqx.filter_cond(pred, dispatch_speed.model_loss, double_loss, model, x),
    }


def slices():
    return jnp.ones((STEPS, dispatch_speed.SIZE))

"""A step of `eqx.Optimizer`. The floor is the step of Optax itself, on the same model and in the same `filter_jit`."""

import functools as ft
from collections.abc import Iterator

import dispatch_speed
import jax.numpy as jnp
import optax
from interleaved import FLOOR

import equinox as eqx
from speed.case import EQUINOX, Call, Case, several


def cases() -> Iterator[Case]:
    if not hasattr(eqx, "Optimizer"):
        return
    for leaves in (10, 100, 1000):
        make = ft.partial(several, ft.partial(optimizer_step, leaves), leaves)
        yield Case("optimizer_step", make, leaves, timed=dispatch_speed.trained, seconds=1.5)
    yield Case("trace_lower_optimizer", ft.partial(trace, 100), 100, seconds=2)


def optimizer_step(leaves: int) -> dict[str, Call]:
    """A step of training, until it is done."""
    model = dispatch_speed.net(leaves)
    start = jnp.zeros(())
    bare_step, state, step, optimizer = steps(model)
    return {
        FLOOR: dispatch_speed.chained(eqx.filter_jit(bare_step), (start, model, state)),
        EQUINOX: dispatch_speed.chained(eqx.filter_jit(step), (start, model, optimizer)),
    }


def trace(leaves: int) -> dict[str, Call]:
    """The first call, without compiling. Each call makes a new function, so JAX finds nothing in its caches."""
    model = dispatch_speed.net(leaves)
    start = jnp.zeros(())
    bare_step, state, step, optimizer = steps(model)
    return {
        FLOOR: lambda: eqx.filter_jit(lambda carry: bare_step(carry)).lower((start, model, state)),
        EQUINOX: lambda: eqx.filter_jit(lambda carry: step(carry)).lower((start, model, optimizer)),
    }


def steps(model):
    """The bare step and its state, and the same with an `Optimizer`."""
    transform, x = optax.adam(1e-3), jnp.ones(dispatch_speed.SIZE)

    def bare_step(carry):
        _, model, state = carry
        loss, grads = eqx.filter_value_and_grad(dispatch_speed.model_loss)(model, x)
        updates, state = transform.update(grads, state)
        return loss, eqx.apply_updates(model, updates), state

    def step(carry):
        _, model, optimizer = carry
        loss, grads = eqx.filter_value_and_grad(dispatch_speed.model_loss)(model, x)
        return (loss, *optimizer.step(model, grads))

    state = transform.init(eqx.filter(model, eqx.is_inexact_array))
    return bare_step, state, step, eqx.Optimizer(transform, model)

"""Dispatch is asynchronous: a call returns long before the device is done."""

from collections.abc import Iterator

import dispatch_speed
import jax
import jax.numpy as jnp
from interleaved import FLOOR

import equinox as eqx
from speed.case import EQUINOX, Call, Case

WIDTH, STEPS = 256, 100


def cases() -> Iterator[Case]:
    # The floor is the time until the work is done. So the ratio is the part of it for which the call blocks the host.
    yield Case("returns_before_done", make, timed=one_by_one, seconds=2)


def one_by_one(call: Call, repeats: int) -> float:
    """Each call finds an idle device, so the queue isn't measured."""
    return sum(dispatch_speed.dispatched(call, 1) for _ in range(repeats))


def work(weight, x):
    """Keep a device busy for a while."""
    return jax.lax.fori_loop(0, STEPS, lambda _, x: jnp.tanh(weight @ x), x)


def make() -> dict[str, Call]:
    model = dispatch_speed.net(10)
    big = jnp.eye(WIDTH)
    model = dispatch_speed.Net((dispatch_speed.Linear(big, big, WIDTH, WIDTH), *model.layers), jnp.tanh, 3, "net")
    raw = jax.jit(work)
    filtered = eqx.filter_jit(lambda model: work(model.layers[0].weight, model.layers[0].bias))
    return {
        FLOOR: lambda: dispatch_speed.wait(raw(big, big)),
        "raw jit": lambda: raw(big, big),
        EQUINOX: lambda: filtered(model),
    }

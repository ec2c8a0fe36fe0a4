"""The cost of `filter_shard_map` of a model, and of a call that donates its inputs."""

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
        yield Case("trace_lower_shard_map", ft.partial(trace_shard_map, leaves), leaves, seconds=2)
        yield Case(
            "dispatch_donated", ft.partial(donated, leaves), leaves, timed=dispatch_speed.dispatched, seconds=1.5
        )


def trace_shard_map(leaves: int) -> dict[str, Call]:
    """Each call makes a new function, of which JAX remembers nothing."""
    model, arrays, x = dispatch_speed.net(leaves), dispatch_speed.flat_model(leaves), jnp.ones((4, dispatch_speed.SIZE))
    whole, split = jax.sharding.PartitionSpec(), jax.sharding.PartitionSpec("d")
    mesh = jax.sharding.Mesh(jax.devices()[:1], ("d",))
    options = {"mesh": mesh, "in_specs": (whole, split), "out_specs": split}

    def flat_loss(arrays, x):
        return dispatch_speed.loss_of(zip(arrays[::2], arrays[1::2], strict=True), jnp.tanh, x[0])[None]

    def loss(model, x):
        return dispatch_speed.model_loss(model, x[0])[None]

    return {
        FLOOR: lambda: jax.jit(jax.shard_map(lambda arrays, x: flat_loss(arrays, x), **options)).lower(arrays, x),
        EQUINOX: lambda: eqx.filter_jit(eqx.filter_shard_map(lambda m, x: loss(m, x), **options)).lower(model, x),
    }


def donated(leaves: int) -> dict[str, Call]:
    """Each call gets the output of the one before it."""
    step = ft.partial(jax.tree_util.tree_map, lambda x: jnp.negative(x) if eqx.is_array(x) else x)
    raw = jax.jit(step, donate_argnums=0)
    filtered = eqx.filter_jit(step, donate="all")
    return {
        FLOOR: dispatch_speed.chained(raw, dispatch_speed.flat_model(leaves)),
        EQUINOX: dispatch_speed.chained(filtered, dispatch_speed.net(leaves)),
    }

"""Loops and branches, callbacks to the host, errors, several devices."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from . import VERSION, Skip, case, eq, raises


@case
def scan_cond_while():
    c, ys = lax.scan(lambda c, x: (c + x, c * x), 0.0, jnp.arange(4.0))
    eq(c, 6)
    eq(ys, [0, 0, 2, 9])
    eq(jax.grad(lambda a: lax.scan(lambda c, x: (c * a, None), 1.0, None, length=3)[0])(2.0), 12)
    eq(lax.scan(lambda c, x: (c, x + 1), 0.0, jnp.arange(3), reverse=True, unroll=2)[1], [1, 2, 3])
    eq(lax.cond(True, lambda x: x + 1, lambda x: x - 1, 1.0), 2)
    eq(jax.jit(lambda p, x: lax.cond(p, lambda x: x + 1, lambda x: x - 1, x))(False, 1.0), 0)
    eq(jax.grad(lambda x: lax.cond(x > 0, lambda x: x**2, lambda x: x, x))(3.0), 6)

    def add_if(p, x):
        return lax.cond(p, lambda x: x + 1, lambda x: x, x)

    eq(jax.vmap(add_if)(jnp.array([True, False]), jnp.ones(2)), [2, 1])
    eq(lax.while_loop(lambda i: i < 10, lambda i: i + 3, 0), 12)

    def cube(x):
        return lax.while_loop(lambda t: t[0] < 3, lambda t: (t[0] + 1, t[1] * x), (0, 1.0))[1]

    eq(jax.jvp(cube, (2.0,), (1.0,)), (8, 12))
    eq(jax.vmap(lambda n: lax.while_loop(lambda i: i < n, lambda i: i + 1, 0))(jnp.array([2, 5])), [2, 5])
    eq(lax.fori_loop(0, 5, lambda i, x: x + i, 0), 10)
    eq(lax.switch(1, [lambda x: x, lambda x: 2 * x], 3.0), 6)
    eq(lax.map(lambda x: x * x, jnp.arange(3.0)), [0, 1, 4])
    eq(lax.associative_scan(jnp.add, jnp.arange(4.0)), [0, 1, 3, 6])
    eq(jax.jit(jax.grad(lambda a: jax.checkpoint(lambda x: jnp.sin(x * a))(2.0)))(0.5), 2 * np.cos(1.0))


@case
def host_callbacks():
    if hasattr(jax, "pure_callback"):
        s = jax.ShapeDtypeStruct((2,), jnp.float32)
        eq(jax.jit(lambda x: jax.pure_callback(lambda x: np.asarray(x) * 2, s, x))(jnp.ones(2)), [2, 2])
    elif VERSION < (0, 4):
        hcb = importlib.import_module("jax.experimental.host_callback")
        s = jax.ShapeDtypeStruct((2,), jnp.float32)
        eq(jax.jit(lambda x: hcb.call(lambda x: x * 2, x, result_shape=s))(jnp.ones(2)), [2, 2])
    if hasattr(jax, "debug") and hasattr(jax.debug, "callback"):
        seen = []
        jax.jit(lambda x: jax.debug.callback(lambda v: seen.append(float(v)), x))(3.0)
        if hasattr(jax, "effects_barrier"):
            jax.effects_barrier()
        assert seen == [3.0], seen


@case
def tracer_errors():
    err = jax.errors
    raises(err.ConcretizationTypeError, jax.jit(lambda x: 1 if x > 0 else 2), 1.0)
    raises(err.TracerArrayConversionError, jax.jit(np.asarray), 1.0)
    raises(err.TracerIntegerConversionError, jax.jit(lambda i: [1, 2][i]), 0)
    leaked = []
    jax.jit(lambda x: leaked.append(x))(1.0)
    raises(getattr(err, "UnexpectedTracerError", None) or jax.core.UnexpectedTracerError, lambda: leaked[0] + 1)
    assert isinstance(leaked[0], jax.core.Tracer)


@case
def debug_nans():
    jax.config.update("jax_debug_nans", True)
    try:
        raises(FloatingPointError, jax.jit(lambda x: jnp.log(x)), -1.0)
    finally:
        jax.config.update("jax_debug_nans", False)


@case
def pmap():
    n = jax.local_device_count()
    x = jnp.arange(n * 3.0).reshape(n, 3)
    eq(jax.pmap(lambda v: v * 2)(x), 2 * x)
    eq(jax.pmap(lambda v: v * 2)(jax.pmap(lambda v: v + 1)(x)), 2 * x + 2)
    eq(jax.pmap(lambda v: lax.psum(v, "i"), axis_name="i")(x), np.tile(np.asarray(x).sum(0), (n, 1)))
    eq(jax.pmap(lambda v, c: v + c, in_axes=(0, None))(x, 1.0), x + 1)
    eq(jax.pmap(lambda v, c: v + c, in_axes=(0, None))(x, jnp.array(1.0)), x + 1)
    eq(jax.grad(lambda x: jax.pmap(lambda v: v**2)(x).sum())(x), 2 * x)


@case
def devices():
    for device in jax.devices():
        x = jax.device_put(jnp.ones(3), device)
        assert device_of(x) == device
        assert device_of(jax.jit(lambda x: x + 1)(x)) == device


def device_of(x):
    if not hasattr(x, "devices"):
        return x.device()
    (device,) = x.devices()
    return device


@case
def shardings():
    if VERSION < (0, 4, 1):
        raise Skip("no jax.sharding.NamedSharding in this release")
    x = jnp.arange(jax.device_count() * 3.0).reshape(-1, 3)
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("i",))
    by_row = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("i"))
    y = jax.jit(lambda x: x * 2)(jax.device_put(x, by_row))
    assert len(y.sharding.device_set) == jax.device_count()
    eq(y, 2 * x)
    eq(jax.jit(lambda y: y.sum(0))(y), 2 * x.sum(0))
    eq([shard.data.sum() for shard in y.addressable_shards], 2 * x.sum(1))

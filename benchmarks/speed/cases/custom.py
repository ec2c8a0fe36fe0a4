"""The cost of a custom rule for a function of a model, beside JAX's own of a flat list of the same arrays."""

import functools as ft
from collections.abc import Callable, Iterator
from typing import Any

import dispatch_speed
import jax
import jax.numpy as jnp
from interleaved import FLOOR

import equinox as eqx
from speed.case import EQUINOX, Call, Case


def cases() -> Iterator[Case]:
    for leaves in (10, 100):
        yield Case("trace_lower_custom_jvp", ft.partial(trace, leaves, custom_jvp), leaves, seconds=2)
        yield Case("trace_lower_custom_vjp", ft.partial(trace, leaves, custom_vjp), leaves, seconds=2)
        yield Case("trace_lower_closure", ft.partial(trace_closure, leaves), leaves, seconds=2)
        yield Case("call_custom_jvp", ft.partial(call, leaves, custom_jvp), leaves)
        yield Case("call_custom_vjp", ft.partial(call, leaves, custom_vjp), leaves)


# The rules say that the gradient of each array is the array itself, so that they cost little.


def custom_jvp():
    def flat_rule(primals, tangents):
        (arrays, x), (t_arrays, _) = primals, tangents
        return flat(arrays, x), sum(jnp.vdot(w, t) for w, t in zip(arrays, t_arrays, strict=True))

    def rule(primals, tangents):
        weights, t_weights = (eqx.filter(tree[0], eqx.is_array) for tree in (primals, tangents))
        pairs = zip(*map(jax.tree_util.tree_leaves, (weights, t_weights)), strict=True)
        return filtered(*primals), sum(jnp.vdot(w, t) for w, t in pairs)

    flat, filtered = jax.custom_jvp(flat_loss), eqx.filter_custom_jvp(dispatch_speed.model_loss, jvp=rule)
    flat.defjvp(flat_rule)
    return flat, filtered


def custom_vjp():
    def flat_fwd(arrays, x):
        return flat(arrays, x), arrays

    def flat_bwd(arrays, grad_out):
        return [grad_out * w for w in arrays], None

    def fwd(perturbed, model, x):
        return filtered(model, x), None

    def bwd(residuals, grad_out, perturbed, model, x):
        return jax.tree_util.tree_map(lambda w: grad_out * w if eqx.is_array(w) else None, model)

    flat, filtered = jax.custom_vjp(flat_loss), eqx.filter_custom_vjp(dispatch_speed.model_loss, fwd=fwd, bwd=bwd)
    flat.defvjp(flat_fwd, flat_bwd)
    return flat, filtered


def trace(leaves: int, make: Callable[[], Any]) -> dict[str, Call]:
    """The gradient. Each call makes a new function, of which JAX remembers nothing."""
    model, arrays, x = inputs(leaves)
    flat, filtered = make()
    return {
        FLOOR: lambda: jax.jit(lambda arrays, x: jax.grad(lambda arrays: flat(arrays, x))(arrays)).lower(arrays, x),
        EQUINOX: lambda: eqx.filter_jit(
            lambda model, x: eqx.filter_grad(lambda model: filtered(model, x))(model)
        ).lower(model, x),
    }


def trace_closure(leaves: int) -> dict[str, Call]:
    """The conversion of a closure of the arrays, and a call of the result."""
    model, arrays, x = inputs(leaves)

    def flat(arrays, x):
        fun, consts = jax.closure_convert(lambda x: flat_loss(arrays, x), x)
        return fun(x, *consts)

    def filtered(model, x):
        return eqx.filter_closure_convert(lambda x: dispatch_speed.model_loss(model, x), x)(x)

    return {
        FLOOR: lambda: jax.jit(lambda arrays, x: flat(arrays, x)).lower(arrays, x),
        EQUINOX: lambda: eqx.filter_jit(lambda model, x: filtered(model, x)).lower(model, x),
    }


def call(leaves: int, make: Callable[[], Any]) -> dict[str, Call]:
    """Outside of `jit`, and not differentiated."""
    model, arrays, x = inputs(leaves)
    flat, filtered = make()
    return {FLOOR: lambda: flat(arrays, x), EQUINOX: lambda: filtered(model, x)}


def inputs(leaves: int) -> tuple[Any, Any, Any]:
    return dispatch_speed.net(leaves), dispatch_speed.flat_model(leaves), jnp.ones(dispatch_speed.SIZE)


def flat_loss(arrays, x):
    return dispatch_speed.loss_of(zip(arrays[::2], arrays[1::2], strict=True), jnp.tanh, x)

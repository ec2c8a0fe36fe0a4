"""The time of a call of a compiled function: with a model in, with a model in and out, and a training step."""

import functools as ft
import itertools
from collections.abc import Iterator
from typing import Any

import dispatch_speed
import jax
import jax.numpy as jnp
import optax
from interleaved import FLOOR

import equinox as eqx
from speed.case import EQUINOX, Call, Case, several

LEAVES = {"dispatch_in": (10, 100, 1000, 5000), "dispatch_in_out": (10, 100, 1000, 5000), "train_step": (10, 100, 1000)}


def cases() -> Iterator[Case]:
    for name, (work, timed) in dispatch_speed.WORKS.items():
        for leaves in LEAVES[name]:
            make = ft.partial(contenders, name, work, leaves)
            yield Case(name, ft.partial(several, make, leaves), leaves, timed=timed, seconds=1.5)
    for name, work in OTHERWISE.items():
        yield Case(name, ft.partial(work, 100), 100, timed=dispatch_speed.dispatched, seconds=1.5)
    for leaves in (100, 1000):
        make = ft.partial(made_again, leaves)
        yield Case("dispatch_made", make, leaves, timed=dispatch_speed.dispatched, seconds=1.5)


def contenders(name: str, work: Any, leaves: int) -> dict[str, Call]:
    return {**work(leaves), **MORE[name](leaves)}


def parameters(leaves: int) -> dict:
    """The arrays of the model in nested dicts, as in code without a library."""
    pairs = dispatch_speed.pairs(leaves)
    return {"layer{}".format(i): {"weight": weight, "bias": bias} for i, (weight, bias) in enumerate(pairs)}


def more_inputs_only(leaves: int) -> dict[str, Call]:
    params, model = parameters(leaves), dispatch_speed.net(leaves)
    raw = jax.jit(lambda params: -params["layer0"]["weight"])
    on_modules = jax.jit(lambda layers: -layers[0].weight)
    calls = {"raw jit, dict": lambda: raw(params), "raw jit, modules": lambda: on_modules(model.layers)}
    if hasattr(eqx, "jitf"):
        jitf = eqx.jitf(lambda model: -model.layers[0].weight, filter_fn=eqx.is_inexact_array)
        calls["jitf"] = lambda: jitf(model)
    return calls


def more_in_and_out(leaves: int) -> dict[str, Call]:
    raw = jax.jit(ft.partial(jax.tree_util.tree_map, lambda x: -x))
    return {"raw jit, dict": dispatch_speed.chained(raw, parameters(leaves))}


def more_train_step(leaves: int) -> dict[str, Call]:
    optimiser = optax.adam(1e-3)
    x = jnp.ones(dispatch_speed.SIZE)

    def loss_of(params):
        layers = [params["layer{}".format(i)] for i in range(len(params))]
        return dispatch_speed.loss_of([(layer["weight"], layer["bias"]) for layer in layers], jnp.tanh, x)

    def step(state):
        _, params, opt_state = state
        loss, grads = jax.value_and_grad(loss_of)(params)
        updates, opt_state = optimiser.update(grads, opt_state)
        return loss, optax.apply_updates(params, updates), opt_state

    params = parameters(leaves)
    state = jnp.zeros(()), params, optimiser.init(params)
    return {"raw jit, dict": dispatch_speed.chained(jax.jit(step), state)}


def model_second(leaves: int) -> dict[str, Call]:
    """The model is the second input. A known model is fast in any position."""
    arrays, model, x = dispatch_speed.flat_model(leaves), dispatch_speed.net(leaves), jnp.ones(())
    raw, filtered = jax.jit(lambda x, arrays: x), eqx.filter_jit(lambda x, model: x)
    return {FLOOR: lambda: raw(x, arrays), EQUINOX: lambda: filtered(x, model)}


def models_in_turn(leaves: int) -> dict[str, Call]:
    """Two models of the same structure are passed in turn."""
    turns = itertools.cycle([dispatch_speed.net(leaves), dispatch_speed.net(leaves)])
    flat_turns = itertools.cycle([dispatch_speed.flat_model(leaves), dispatch_speed.flat_model(leaves)])
    raw, filtered = jax.jit(lambda arrays: -arrays[0]), eqx.filter_jit(lambda model: -model.layers[0].weight)
    return {FLOOR: lambda: raw(next(flat_turns)), EQUINOX: lambda: filtered(next(turns))}


class Callable(eqx.Module):
    net: Any

    def __call__(self, x):
        return -self.net.layers[0].weight + x


def made_again(leaves: int) -> dict[str, Call]:
    """A model that is jitted at each call. The floor is the same model, jitted once."""
    model, x = Callable(dispatch_speed.net(leaves)), jnp.ones(())
    kept = eqx.filter_jit(model)
    return {FLOOR: lambda: kept(x), EQUINOX: lambda: eqx.filter_jit(model)(x)}


OTHERWISE = {"dispatch_in, second": model_second, "dispatch_in, in turn": models_in_turn}
MORE = {"dispatch_in": more_inputs_only, "dispatch_in_out": more_in_and_out, "train_step": more_train_step}

"""The same work with Flax NNX, which changes models in place: `nnx.jit`, and with the model cached."""

import functools as ft
from collections.abc import Iterator
from typing import Any

import dispatch_speed
import jax.numpy as jnp
import optax
from flax import nnx
from interleaved import FLOOR

from speed.case import Call, Case
from speed.cases.dispatch import LEAVES


class Linear(nnx.Module):
    def __init__(self, weight: Any, bias: Any):
        self.weight = nnx.Param(weight)
        self.bias = nnx.Param(bias)
        self.in_features = self.out_features = dispatch_speed.SIZE


class Net(nnx.Module):
    def __init__(self, leaves: int):
        self.layers = nnx.List([Linear(*pair) for pair in dispatch_speed.pairs(leaves)])
        self.activation = jnp.tanh
        self.steps = 3
        self.title = "net"


def cases() -> Iterator[Case]:
    for name, (work, timed) in dispatch_speed.WORKS.items():
        for leaves in LEAVES[name]:
            if leaves <= 1000:  # more takes minutes
                yield Case(name, ft.partial(contenders, name, work, leaves), leaves, timed=timed, seconds=1.5)


def contenders(name: str, work: Any, leaves: int) -> dict[str, Call]:
    function, *state = WORKS[name](leaves)
    model = state[0]

    def waited_for(call: Call) -> Call:
        """The call, with the changed model as its result if it returns `None`: the timer waits for the result."""

        def and_return() -> Any:
            result = call()
            return model if result is None else result

        return and_return

    jitted = nnx.jit(function)
    cached = nnx.cached_partial(jitted, *state)
    return {
        FLOOR: work(leaves)[FLOOR],
        "nnx": waited_for(lambda: jitted(*state)),
        "nnx cached": waited_for(cached),
    }


def inputs_only(leaves: int) -> Any:
    return lambda model: -model.layers[0].weight[...], Net(leaves)


def in_and_out(leaves: int) -> Any:
    def negate(model: Net) -> None:
        for layer in model.layers:
            layer.weight[...] = -layer.weight[...]
            layer.bias[...] = -layer.bias[...]

    return negate, Net(leaves)


def train_step(leaves: int) -> Any:
    model = Net(leaves)
    x = jnp.ones(dispatch_speed.SIZE)

    def loss_of(model: Net) -> Any:
        pairs = [(layer.weight[...], layer.bias[...]) for layer in model.layers]
        return dispatch_speed.loss_of(pairs, model.activation, x)

    def step(model: Net, optimiser: nnx.Optimizer) -> Any:
        loss, grads = nnx.value_and_grad(loss_of)(model)
        optimiser.update(model, grads)
        return loss

    return step, model, nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)


WORKS = {"dispatch_in": inputs_only, "dispatch_in_out": in_and_out, "train_step": train_step}

"""Measure how much slower `filter_jit` with a model is than `jax.jit` with a flat list of the same arrays.

`python dispatch_speed.py` prints the ratios as JSON. There are three kinds of work, on a model with `leaves` arrays and
some static leaves: pass the model in; pass it in and out; do a whole training step. Each function for a kind of work
returns the calls for `interleaved.race`. They use the public functions of `equinox` only, so any library with the same
functions can be measured.
"""

import json
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from interleaved import FLOOR, race, timed_by
from jax.tree_util import tree_flatten, tree_leaves, tree_map

import equinox as eqx

SIZE = 3  # of the arrays: small, so that the cost of the call dominates
LEAVES = 100
SECONDS = 0.8


class Linear(eqx.Module):
    weight: Any
    bias: Any
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)


class Net(eqx.Module):
    layers: Any
    activation: Any  # a static leaf, as are the next two
    steps: Any
    title: Any


def net(leaves):
    """A model with this number of arrays."""
    layers = [Linear(weight, bias, SIZE, SIZE) for weight, bias in pairs(leaves)]
    return Net(tuple(layers), activation=jnp.tanh, steps=3, title="net")


def pairs(leaves):
    """The arrays of the model: a weight and a bias for each layer."""
    rng = np.random.RandomState(0)
    arrays = [jnp.asarray(rng.uniform(-1, 1, [SIZE] * (2 - i % 2)), jnp.float32) for i in range(leaves)]
    return list(zip(arrays[::2], arrays[1::2]))


def wait(tree):
    """Wait until all arrays of the tree are computed."""
    for leaf in tree_leaves(tree):
        if hasattr(leaf, "block_until_ready"):
            leaf.block_until_ready()


def wait_for_loss(state):
    """Wait for the loss, the first item of the state. The rest is computed together with it.

    Flattening the new model to wait for it would add to the measured time.
    """
    wait(state[0] if isinstance(state, (tuple, list)) else state)


def chained(function, state):
    """A call that passes the last result of `function` to it again, as a training loop does."""

    def call():
        nonlocal state
        state = function(state)
        return state

    return call


def flat_model(leaves):
    return [array for pair in pairs(leaves) for array in pair]


def inputs_only(leaves):
    model, arrays = net(leaves), flat_model(leaves)
    raw = jax.jit(lambda arrays: -arrays[0])
    filtered = eqx.filter_jit(lambda model: -model.layers[0].weight)
    return {FLOOR: lambda: raw(arrays), "equinox": lambda: filtered(model)}


def in_and_out(leaves):
    raw = jax.jit(lambda arrays: [-x for x in arrays])
    filtered = eqx.filter_jit(lambda model: tree_map(lambda x: jnp.negative(x) if eqx.is_array(x) else x, model))
    return {FLOOR: chained(raw, flat_model(leaves)), "equinox": chained(filtered, net(leaves))}


def loss_of(pairs, activation, x):
    """The loss of a network. `pairs` holds the weight and the bias of each layer."""
    for weight, bias in pairs:
        x = activation(weight @ x + bias)
    return jnp.mean((x - 0.5) ** 2)


def model_loss(model, x):
    return loss_of([(layer.weight, layer.bias) for layer in model.layers], model.activation, x)


def train_step(leaves):
    import optax  # noqa: PLC0415  (the other kinds of work run without it)

    optimiser = optax.adam(1e-3)
    x = jnp.ones(SIZE)

    def step(state):
        _, model, opt_state = state
        loss, grads = eqx.filter_value_and_grad(model_loss)(model, x)
        updates, opt_state = optimiser.update(grads, opt_state)
        return loss, eqx.apply_updates(model, updates), opt_state

    model = net(leaves)
    filtered = chained(eqx.filter_jit(step), (jnp.zeros(()), model, optimiser.init(eqx.filter(model, eqx.is_array))))

    # The baseline takes and returns the parameters and the state of the optimiser in one flat list.
    params = flat_model(leaves)
    flat_state, treedef = tree_flatten((params, optimiser.init(params)))

    def flat_step(state):
        params, opt_state = treedef.unflatten(state[1:])
        value_and_grad = jax.value_and_grad(lambda params: loss_of(zip(params[::2], params[1::2]), jnp.tanh, x))
        loss, grads = value_and_grad(params)
        updates, opt_state = optimiser.update(grads, opt_state)
        return [loss] + tree_leaves(([p + u for p, u in zip(params, updates)], opt_state))

    return {FLOOR: chained(jax.jit(flat_step), [jnp.zeros(())] + flat_state), "equinox": filtered}


# A dispatch is timed until the call returns, a training step until its result is computed.
dispatched = timed_by(time.perf_counter, wait)
done = timed_by(time.perf_counter, wait, whole=True)
trained = timed_by(time.perf_counter, wait_for_loss, whole=True)

WORKS = {
    "dispatch_in": (inputs_only, dispatched),
    "dispatch_in_out": (in_and_out, dispatched),
    "train_step": (train_step, trained),
}


def names(leaves=LEAVES):
    """The name of the ratio of each kind of work."""
    return {work: "{}_{}".format(work, leaves) for work in WORKS}


def measure(leaves=LEAVES, seconds=SECONDS):
    """The ratios by name. A ratio is left out if the machine was too noisy to measure it."""
    ratios = {}
    for name, (work, timed) in WORKS.items():
        times = race(work(leaves), seconds, timed)
        if not times.is_noisy("equinox"):
            ratios[names(leaves)[name]] = round(times.ratio("equinox"), 2)
    return ratios


if __name__ == "__main__":
    json.dump(dict(dict.fromkeys(names().values(), "too noisy to tell"), **measure()), sys.stdout)
    print()

"""Measure how much slower a step of a long loop is than a step of a short loop.

`python loop_speed.py` prints the ratios as JSON. A compiled loop normally updates its buffers in place, so a step costs
the same however long the loop is, and the ratio is about 1. Some releases of JAX copy the buffers in each step on the
CPU, and the ratio is 9 or more: JAX 0.7.1 in the gradient of a recurrent network, 0.11.1 in a plain `lax.scan`. Their
results are right, so no test of results finds this. Both loops run in turns in one process, so that a busy machine
slows both.
"""

import json
import sys
import time

import jax
import jax.numpy as jnp
from jax import lax

import equinox as eqx

SHORT, LONG = 512, 16384
HIDDEN = 8
SECONDS = 2.0  # for each kind of loop, after it is compiled
MIN_TURNS, MAX_TURNS = 3, 30


def rnn(length):
    """The gradient of a recurrent network over a sequence, and its arguments."""
    cell = eqx.nn.GRUCell(2, HIDDEN, key=jax.random.PRNGKey(0))

    @eqx.filter_grad
    def gradient(cell, xs):
        def step(hidden, x):
            hidden = cell(x, hidden)
            return hidden, hidden

        return jnp.sum(lax.scan(step, jnp.zeros(HIDDEN), xs)[1])

    return eqx.filter_jit(gradient), (cell, jnp.ones((length, 2)))


def outputs(length):
    """A plain `lax.scan` that stacks its outputs, and its arguments."""

    def run(matrix, xs):
        def step(hidden, x):
            hidden = jnp.tanh(matrix @ hidden + x)
            return hidden, hidden

        return lax.scan(step, jnp.zeros(HIDDEN), xs)[1]

    return jax.jit(run), (jnp.eye(HIDDEN) / 2, jnp.ones((length, HIDDEN)))


def slowdown(make, seconds=SECONDS, clock=time.perf_counter):
    """The time of a step of the long loop, divided by that of the short loop.

    `make(length)` returns a function that runs a loop of this length, and its arguments.
    """
    calls = {length: make(length) for length in (SHORT, LONG)}
    for function, args in calls.values():
        _wait(function(*args))
    best = dict.fromkeys(calls, float("inf"))
    stop = clock() + seconds
    for turn in range(MAX_TURNS):
        if turn >= MIN_TURNS and clock() > stop:
            break
        for length, (function, args) in calls.items():
            start = clock()
            _wait(function(*args))
            best[length] = min(best[length], (clock() - start) / length)
    return best[LONG] / best[SHORT]


def _wait(tree):
    for leaf in jax.tree_util.tree_leaves(tree):
        leaf.block_until_ready()


def measure():
    ratios = {"loop_ratio_rnn": slowdown(rnn), "loop_ratio_outputs": slowdown(outputs)}
    ratios["loop_ratio"] = max(ratios.values())
    return {name: round(ratio, 2) for name, ratio in ratios.items()}


if __name__ == "__main__":
    json.dump(measure(), sys.stdout)
    print()

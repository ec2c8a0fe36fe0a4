"""How much slower a step of a long loop is than one of a short loop: `python loop_speed.py` prints it as JSON.

A compiled loop updates its buffers in place, so a step costs the same however long they are. Where a release of JAX
copies them instead, each step costs as much as the whole loop is long. It happens, on the CPU: JAX 0.7.1 did it to the
gradient of a recurrent network, and 0.11.1 to a plain `lax.scan`, while all results stayed right. So the figures are
ratios, of times taken in turns in one process: about 1, on a busy machine too, and 9 or more where buffers are copied.
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
SECONDS = 2.0  # for each loop, beyond the time to compile it
FEWEST, MOST = 3, 30  # how often each is timed


def rnn(length):
    """The gradient of a recurrent network along a sequence."""
    cell = eqx.nn.GRUCell(2, HIDDEN, key=jax.random.PRNGKey(0))

    @eqx.filter_grad
    def gradient(cell, xs):
        def step(hidden, x):
            hidden = cell(x, hidden)
            return hidden, hidden

        return jnp.sum(lax.scan(step, jnp.zeros(HIDDEN), xs)[1])

    return eqx.filter_jit(gradient), (cell, jnp.ones((length, 2)))


def outputs(length):
    """The outputs of a plain recurrence, stacked by `lax.scan`."""

    def run(matrix, xs):
        def step(hidden, x):
            hidden = jnp.tanh(matrix @ hidden + x)
            return hidden, hidden

        return lax.scan(step, jnp.zeros(HIDDEN), xs)[1]

    return jax.jit(run), (jnp.eye(HIDDEN) / 2, jnp.ones((length, HIDDEN)))


def slowdown(make, seconds=SECONDS, clock=time.perf_counter):
    """`make(length)` gives a function and its arguments: the time of a step at LONG over that at SHORT."""
    calls = {length: make(length) for length in (SHORT, LONG)}
    for function, args in calls.values():
        _wait(function(*args))
    best = dict.fromkeys(calls, float("inf"))
    stop = clock() + seconds
    for turn in range(MOST):
        if turn >= FEWEST and clock() > stop:
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

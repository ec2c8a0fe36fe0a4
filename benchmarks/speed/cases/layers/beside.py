"""The contenders of a case: a layer, and handwritten code on the same arrays."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from interleaved import FLOOR
from jax.tree_util import tree_leaves

import equinox as eqx
from speed.case import EQUINOX, Call

KEY = jax.random.PRNGKey(0)
PUBLISHED = not hasattr(eqx.nn, "InstanceNorm")  # the published package is measured. It has other arguments in places.

Function = Callable[..., Any]  # from arrays and inputs to the output


def beside(layer: Any, call: Function, by_hand: Function, *inputs: Any, parameters: Any = None) -> dict[str, Call]:
    """Two contenders: `call(layer, *inputs)` and `by_hand(parameters, *inputs)`.

    The parameters are the arrays of the layer in a list, if they aren't given.
    """
    arrays, rest = eqx.partition(layer, eqx.is_array)
    parameters = tree_leaves(arrays) if parameters is None else parameters
    ours, floor = jax.jit(lambda arrays, *inputs: call(eqx.combine(arrays, rest), *inputs)), jax.jit(by_hand)
    return {FLOOR: lambda: floor(parameters, *inputs), EQUINOX: lambda: ours(arrays, *inputs)}


def gradients_beside(
    layer: Any, call: Function, by_hand: Function, *inputs: Any, parameters: Any = None
) -> dict[str, Call]:
    """The same for the gradients by the floating-point arrays of the layer and by the first input."""

    def gradient(layer: Any, *inputs: Any) -> Any:
        arrays, rest = eqx.partition(layer, eqx.is_inexact_array)
        return gradient_of(lambda arrays, *inputs: call(eqx.combine(arrays, rest), *inputs))(arrays, *inputs)

    return beside(layer, gradient, gradient_of(by_hand), *inputs, parameters=parameters)


def gradient_of(function: Function) -> Function:
    """The gradient of the sum of squares of all outputs, by the first two arguments."""

    def loss(*args: Any) -> Any:
        return sum(jnp.sum(out**2) for out in tree_leaves(function(*args)))

    return jax.grad(loss, argnums=(0, 1))


def rows(*shape: int) -> Any:
    return jax.random.normal(KEY, shape)

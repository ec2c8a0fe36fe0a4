"""`backward_nan`: where does a NaN in a gradient come from?"""

from __future__ import annotations

import functools as ft
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import _compat
from .._compat.types import T
from .._dispatch.leaf_groups import separate
from .._runtime.error_if import branched_error_if
from .._trees.paths import leaf_paths
from .._trees.predicates import is_inexact_jax_or_numpy


def backward_nan(x: T, name: Any = None, terminate: bool = True) -> T:
    """Return a value unchanged, and show its cotangent in the backward pass, to find NaNs that only gradients have.

    In the backward pass, each floating-point or complex array in `x` is printed with its cotangent, by path. With
    `vmap`, each example is printed by itself. A function with it can be differentiated once, and only in reverse mode:
    `jax.grad` works, `jax.jvp` and `jax.hessian` don't.

    Args:
        x: Any pytree.
        name: What to call the value in the words.
        terminate: Whether to raise an error if there is a NaN in a cotangent, as `error_if` does. So the environment
            variable `EQX_ON_ERROR` may choose a breakpoint instead.

    Returns:
        `x`.

    Raises:
        EquinoxRuntimeError: There is a NaN in a cotangent. The message has the path. As for `error_if`, JAX may raise
            an error of its own instead.
        ValueError: `EQX_ON_ERROR` is none of the values that `error_if` knows.
        NotImplementedError: The running JAX is older than 0.3.17, which added `jax.pure_callback`.

    Example:
        >>> def f(x):
        ...     return jnp.sum(jnp.sqrt(eqx.debug.backward_nan(x, "x")))
        >>> gradient = jax.grad(f)(jnp.array([1.0, 4.0]))
        x: [1. 4.]
        cotangent of x: [0.5  0.25]
    """
    _compat.require("backward_nan")
    arrays, merge = separate(x, is_inexact_jax_or_numpy)
    root = "x" if name is None else str(name)
    paths = tuple(
        path for path, leaf in zip(leaf_paths(x, root), jax.tree_util.tree_leaves(x)) if is_inexact_jax_or_numpy(leaf)
    )
    result: T = merge(_watched(paths, bool(terminate))(arrays)) if arrays else x
    return result


@ft.lru_cache(maxsize=256)  # JAX keeps much of each function that it differentiates
def _watched(paths: Any, terminate: bool) -> Any:
    """The identity on a list of arrays, with a backward pass that prints."""

    def on_host(primals: Any, cotangents: Any) -> Any:
        for path, primal, cotangent in zip(paths, primals, cotangents):
            print("{0}: {1}\ncotangent of {0}: {2}".format(path, np.asarray(primal), np.asarray(cotangent)))
        return list(map(np.asarray, cotangents))

    def backward(primals: Any, cotangents: Any) -> Any:
        shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in cotangents]
        cotangents = _compat.pure_callback(on_host, shapes, (primals, cotangents), None, "sequential")
        if terminate:
            has_nan = jnp.stack([jnp.isnan(x).any() for x in cotangents])
            cotangents = branched_error_if(cotangents, has_nan.any(), has_nan.argmax(), messages)
        return (cotangents,)

    messages = ["`backward_nan` found a NaN in the cotangent of `{}`.".format(path) for path in paths]
    identity: Any = jax.custom_vjp(lambda arrays: arrays)
    identity.defvjp(lambda arrays: (arrays, arrays), backward)
    return identity

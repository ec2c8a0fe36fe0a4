"""`breakpoint_if`: stop a running program where a condition is true."""

from __future__ import annotations

import functools as ft
from typing import Any, Union

import jax
import jax.numpy as jnp

from .. import _compat
from .._compat.types import AnyArray
from .._trees.paths import describe_leaf
from .._trees.predicates import is_boolean


def breakpoint_if(pred: Union[bool, AnyArray], **kwargs: Any) -> None:
    """Call `jax.debug.breakpoint` when the program runs, if a condition is true. Compiled functions stop, too.

    Leave the debugger with `c`. `q` raises an error in the program. If the program runs on several devices, JAX before
    0.5 may then wait forever.

    Args:
        pred: A bool, or a boolean array. The program stops if any of them is true. With `vmap`, it stops if any
            example has a true one. It may then stop once for each example, to show the values of each.
        **kwargs: As for `jax.debug.breakpoint`. `num_frames=2` keeps only the frame of the caller, below that of this
            function. Without it, JAX copies the local variables of all frames.

    Raises:
        TypeError: `pred` isn't boolean.
        NotImplementedError: The running JAX is older than 0.3.17, which added `jax.debug.breakpoint`.

    Example:
        >>> @jax.jit
        ... def f(x):
        ...     eqx.debug.breakpoint_if(jnp.isnan(x), num_frames=2)
        ...     return 2 * x
        >>> f(jnp.ones(2)).tolist()
        [2.0, 2.0]
    """
    _compat.require("breakpoint_if")
    if not is_boolean(pred):
        message = "`breakpoint_if` expects `pred` to be a bool or a boolean array, got {}."
        raise TypeError(message.format(describe_leaf(pred)))
    jax.lax.cond(_any_of_batch()(jnp.asarray(pred)), ft.partial(jax.debug.breakpoint, **kwargs), lambda: None)


@ft.lru_cache(maxsize=None)
def _any_of_batch() -> Any:
    """A function from an array to whether any item of any example is true. Its result has no axis of a batch."""
    any_of_batch = jax.custom_batching.custom_vmap(lambda pred: jnp.any(pred))  # `jnp.any` has more parameters
    any_of_batch.def_vmap(lambda size, is_batched, pred: (any_of_batch(pred), False))
    return any_of_batch

"""`Dropout`: the one layer that needs randomness at its call."""

import numbers
from typing import Any

import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
from jax import core, lax

from .._module import Module
from ._checks import check_key, in_words


class Dropout(Module):
    """Set each element of `input` to zero with probability `p`, and divide the others by `1 - p`.

    So the expected value is that of `input`. Both arguments are ordinary leaves, to be changed with `eqx.tree_at`:

        eqx.tree_at(lambda d: d.deterministic, dropout, True)

    They may be traced, as `eqx.jitf(filter_fn=eqx.is_array_like)` does; then a key is needed whatever their values.
    The gradient with respect to `p` is zero.

    Args:
        p: probability, from 0 to 1. At 0 nothing changes; at 1 all becomes zero.
        deterministic: whether to return `input` as it is, as is usual in inference.

    Shapes: input of any shape -> the same shape and dtype. Each element is dropped or kept by itself.
    Raises: ValueError: `p` is outside [0, 1]. TypeError: `p` is no number, or `deterministic` no bool.
    Source: `torch.nn.Dropout`.
    """

    p: Any
    deterministic: Any

    def __init__(self, p=0.5, deterministic=False):
        _known_probability(p)
        _known_flag(deterministic)
        self.p = p
        self.deterministic = deterministic

    def __call__(self, input, *, key=None, deterministic=None):
        """Drop elements of `input`.

        Args:
            input: an array of any shape.
            key: PRNG key, needed unless nothing random happens: `deterministic` is true, or `p` is 0.
            deterministic: if given, takes precedence over the one of the layer.

        Raises: ValueError: the key is missing. TypeError: `input` isn't floating-point or complex, so that dividing it
            by `1 - p` would change its dtype.
        """
        flag = self.deterministic if deterministic is None else deterministic
        known_flag, known_p = _known_flag(flag), _known_probability(self.p)
        if known_flag or known_p == 0:
            return input
        if key is None:
            raise ValueError(_NO_KEY + (_NO_KEY_TRACED if known_flag is None else ""))
        check_key(key, "Dropout")
        input = jnp.asarray(input)
        if not jnp.issubdtype(input.dtype, jnp.inexact):
            raise TypeError(
                "`Dropout` expects `input` to be floating-point or complex, got {}: convert it first, as with "
                "`input.astype(jnp.float32)`.".format(input.dtype)
            )
        keep = 1 - (lax.stop_gradient(self.p) if known_p is None else known_p)
        # Where nothing is kept, any finite scale will do; an infinite one would make the gradient NaN.
        scale = 1 / jnp.where(keep > 0, keep, 1)
        mask = jrandom.bernoulli(key, jnp.asarray(keep, jnp.float32), input.shape)
        dropped = jnp.where(mask, input * jnp.asarray(scale, input.dtype), 0)
        return jnp.where(flag, input, dropped) if known_flag is None else dropped


_NO_KEY = (
    "`Dropout` needs a PRNG key to choose what to drop: call it with `key=...`; or with `deterministic=True`, to "
    "return `input` as it is."
)
_NO_KEY_TRACED = (
    " Its `deterministic` is traced, so whether it is true can't be known yet: pass a key anyway, or hold the flag "
    "static, as `filter_fn=eqx.is_array` does."
)


def _known_flag(flag):
    """`deterministic` as a bool, or `None` while it is traced."""
    if isinstance(flag, core.Tracer):
        return None
    if isinstance(flag, (bool, np.bool_)) or (_is_scalar_array(flag) and flag.dtype == jnp.bool_):
        return bool(flag)
    raise TypeError("`Dropout` expects `deterministic` to be `True` or `False`, got {}.".format(in_words(flag)))


def _known_probability(p):
    """`p` as a float, or `None` while it is traced."""
    if isinstance(p, core.Tracer):
        return None
    if isinstance(p, bool) or not (isinstance(p, numbers.Real) or _is_scalar_array(p)):
        raise TypeError("`Dropout` expects `p` to be a number from 0 to 1, got {}.".format(in_words(p)))
    value = float(p)
    if not 0 <= value <= 1:  # NaN isn't either
        raise ValueError("`Dropout` expects `p` to be a probability, from 0 to 1, got {}.".format(value))
    return value


def _is_scalar_array(x):
    return getattr(x, "shape", None) == ()

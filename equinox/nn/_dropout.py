"""`Dropout`: the only layer that is random at each call."""

import numbers
from typing import Any, Dict, Optional, cast

import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
from jax import core, lax

from .._compat.types import AnyArray, Array, Key
from .._module import Module, field
from ._checks import MAP_OVER_LAYERS, check_key, in_words, two_names
from ._dtypes import where_or
from ._published import Published


def _is_number(x: Any) -> bool:
    """Whether `x` is a Python or NumPy number."""
    return isinstance(x, (numbers.Number, np.generic))


class Dropout(Module):
    """Set each element of `input` to zero with probability `p`, and divide the others by `1 - p`.

    So the expected value of the output is `input`, as in `torch.nn.Dropout`.

    If `p` is a number, it is part of the structure of the tree. If `p` is an array, it is a leaf. Change it with
    `eqx.replace`. The gradient with respect to `p` is zero. `deterministic` is a leaf. Change it with `eqx.tree_at`:

        eqx.tree_at(lambda d: d.deterministic, dropout, True)

    While `deterministic` is traced, its value isn't known. Then every call needs a key, and the compiled code selects
    `input` or the result. `jax.jit` traces `deterministic` if the layer is an input. `eqx.filter_jit` doesn't trace it.
    If `jax.jit` returns a layer, its `deterministic` is an array.

    Args:
        p: The probability, from 0 to 1. At 0 nothing changes. At 1 the output is zero.
        deterministic: Whether to return `input` unchanged, as is usual in inference.
        inference: Another name of `deterministic`. Pass one of them.

    Shapes:
        input: Any shape. The output has its shape and dtype. Each element is dropped independently of the others.

    Raises:
        ValueError: `p` is outside 0 to 1.
        TypeError: `p` is no number.
        TypeError: `deterministic` or `inference` is no bool, or both are given.

    Example:
        >>> dropout = eqx.nn.Dropout(0.5)
        >>> dropout(jnp.ones(3), key=jax.random.PRNGKey(0)).shape
        (3,)
        >>> eqx.tree_at(lambda d: d.deterministic, dropout, True)("anything")
        'anything'
    """

    p: Any = field(static=_is_number)
    deterministic: Any

    __published__ = Published("p")

    @two_names("deterministic", "inference")
    def __init__(self, p: Any = 0.5, deterministic: Any = False, *, inference: Any = None) -> None:
        deterministic = deterministic if inference is None else inference
        _known_probability(p)
        _known_flag(deterministic)
        self.p = p
        self.deterministic = deterministic

    def _torch_names(self) -> Dict[str, Any]:
        return {}  # the probability and the flag are no buffers there

    @property
    def inference(self) -> Any:
        """The flag `deterministic`, by its other name."""
        return self.deterministic

    @two_names("deterministic", "inference")
    def __call__(
        self, input: AnyArray, *, key: Optional[Key] = None, deterministic: Any = None, inference: Any = None
    ) -> Array:
        """Drop elements of `input`.

        Args:
            input: An array of any shape.
            key: A PRNG key. It is not needed if `deterministic` is true or `p` is 0.
            deterministic: If given, it is used instead of the layer's `deterministic`.
            inference: Another name of `deterministic`. Pass one of them.

        Returns:
            An array of the shape and dtype of `input`.

        Raises:
            ValueError: `key` is missing.
            ValueError: The layer is a stack of layers, as `jax.vmap` over the construction makes it.
            TypeError: `input` isn't floating-point or complex. Its dtype would change when it is divided by `1 - p`.
            TypeError: `deterministic` or `inference` is no bool, or both are given.
            TypeError: `key` is no PRNG key.

        Example:
            >>> dropout = eqx.nn.Dropout(0.5)
            >>> kept = dropout(jnp.ones(1000), key=jax.random.PRNGKey(0)) > 0
            >>> 400 < int(kept.sum()) < 600
            True
            >>> dropout(jnp.ones(2), deterministic=True).tolist()
            [1.0, 1.0]
        """
        flag = deterministic if inference is None else inference
        flag = self.deterministic if flag is None else flag
        _check_unstacked("deterministic", flag)
        _check_unstacked("p", self.p)
        known_flag, known_p = _known_flag(flag), _known_probability(self.p)
        if known_flag or known_p == 0:
            return input  # pyright: ignore[reportReturnType]  # a NumPy array stays one
        check_dropout_key(self, key, flag, "Dropout", _TURN_OFF_HERE + TURN_OFF)
        input = jnp.asarray(input)
        if not jnp.issubdtype(input.dtype, jnp.inexact):
            raise TypeError(
                "`Dropout` expects `input` to be floating-point or complex, got {}: convert it first, as with "
                "`input.astype(jnp.float32)`.".format(input.dtype)
            )
        # If nothing is kept, the scale has no effect. It must be finite: an infinite one makes the gradient NaN.
        if known_p is None:
            keep = 1 - lax.stop_gradient(self.p)
            scale = 1 / jnp.where(keep > 0, keep, 1)
        else:
            keep = 1 - known_p
            scale = 1 / keep if keep > 0 else 1.0
        mask = jrandom.bernoulli(cast(Key, key), jnp.asarray(keep, jnp.float32), input.shape)
        dropped = where_or(mask, input * jnp.asarray(scale, input.dtype), 0)
        return jnp.where(flag, input, dropped) if known_flag is None else dropped


def as_dropout(p: Any, name: str, layer: str, inference: Any = False) -> Optional[Dropout]:
    """The dropout of `layer`, whose argument `name` is `p`.

    It is `None` if `p` is the number 0. Then there is no flag, and all leaves of `layer` are arrays.
    """
    _known_probability(p, name, layer)
    _known_flag(inference, "inference", layer)
    return None if _is_number(p) and p == 0 else Dropout(p, inference)


def check_dropout_key(dropout: Any, key: Any, flag: Any, layer: str, otherwise: str) -> None:
    """Raise an error if `dropout`, that of `layer`, needs a key and `key` is none.

    Args:
        dropout: A `Dropout`, or `None`. A user may put another layer in its place. That checks its key itself.
        key: The argument `key` of the call of `layer`.
        flag: If not `None`, it is used instead of the flag of `dropout`.
        layer: The layer that the user calls.
        otherwise: What to do instead of passing a key.
    """
    if not isinstance(dropout, Dropout):
        return
    known_flag = _known_flag(dropout.deterministic) if flag is None else _known_flag(flag, "inference", layer)
    if known_flag or _known_probability(dropout.p) == 0:
        return
    if key is None:
        traced = (
            " The flag of the dropout is traced, so its value isn't known yet. Pass a key anyway, or keep the flag "
            "static, as `filter_fn=eqx.is_array` does."
        )
        raise ValueError(
            "`{}` needs a PRNG key to choose what to drop. Call it with `key=...`, or {}.{}".format(
                layer, otherwise, traced if known_flag is None else ""
            )
        )
    check_key(key, layer)


TURN_OFF = "turn the dropout of the model off: `eqx.nn.inference_mode(model)`"
_TURN_OFF_HERE = "with `deterministic=True` to return `input` unchanged, or "


def _known_flag(flag: Any, name: str = "deterministic", layer: str = "Dropout") -> Optional[bool]:
    """`flag`, the argument `name` of `layer`, as a bool, or `None` while it is traced."""
    if isinstance(flag, core.Tracer):
        return None
    if isinstance(flag, (bool, np.bool_)) or (_is_scalar_array(flag) and flag.dtype == jnp.bool_):
        return bool(flag)
    raise TypeError("`{}` expects `{}` to be `True` or `False`, got {}.".format(layer, name, in_words(flag)))


def _known_probability(p: Any, name: str = "p", layer: str = "Dropout") -> Optional[float]:
    """`p`, the argument `name` of `layer`, as a float, or `None` while it is traced."""
    if isinstance(p, core.Tracer):
        return None
    if isinstance(p, bool) or not (isinstance(p, numbers.Real) or _is_scalar_array(p)):
        raise TypeError("`{}` expects `{}` to be a number from 0 to 1, got {}.".format(layer, name, in_words(p)))
    value = float(p)
    if not 0 <= value <= 1:  # this refuses NaN too
        raise ValueError("`{}` expects `{}` to be a probability, from 0 to 1, got {}.".format(layer, name, value))
    return value


def _check_unstacked(name: str, value: Any) -> None:
    """Raise an error if `value` has an axis. `jnp.where` would broadcast it over the elements."""
    if getattr(value, "shape", ()) != ():
        raise ValueError(
            "`Dropout` expects `{}` to be one value, got {}. After `jax.vmap` over the construction, each layer has "
            "its own value. {}".format(name, in_words(value), MAP_OVER_LAYERS)
        )


def _is_scalar_array(x: Any) -> bool:
    return getattr(x, "shape", None) == ()

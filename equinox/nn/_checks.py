"""Checks of the layers' arguments. Only the shape of an array is checked, so traced arrays pass."""

import operator
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._compat.types import Array
from .._trees.predicates import is_array_like


def as_size(value: Any, name: str, layer: str, least: int = 1) -> int:
    """`value`, the argument `name` of `layer`, as an int that is at least `least`."""
    try:
        if isinstance(value, bool):
            raise TypeError
        size = operator.index(value)
    except TypeError:
        raise TypeError(
            "`{}` expects `{}` to be an integer of at least {}, got {}.".format(layer, name, least, in_words(value))
        ) from None
    if size < least:
        raise ValueError("`{}` expects `{}` to be at least {}, got {}.".format(layer, name, least, size))
    return size


def as_bool(value: Any, name: str, layer: str) -> bool:
    """`value`, the argument `name` of `layer`, as a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError("`{}` expects `{}` to be `True` or `False`, got {}.".format(layer, name, in_words(value)))
    return bool(value)


def check_key(key: Any, layer: str) -> None:
    """Raise an error if `key` can't be a PRNG key. Usual mistakes are `None`, and the seed instead of the key."""
    if not hasattr(key, "shape"):
        raise TypeError(
            "`{}` expects `key` to be a PRNG key, such as `jax.random.PRNGKey({})`, got {}.".format(
                layer, key if type(key) is int else 0, in_words(key)
            )
        )


def check_callable(value: Any, name: str, layer: str) -> None:
    """Raise an error if `value`, the argument `name` of `layer`, can't be called."""
    if not callable(value):
        raise TypeError(
            "`{}` expects `{}` to be a function, a layer or another callable, got {}.".format(
                layer, name, in_words(value)
            )
        )


def columns(layer: Any, name: str) -> int:
    """The number of columns of the weight `name` of `layer`. `tree_at` may change it, so the weight itself is read."""
    shape = getattr(layer, name).shape
    if len(shape) > 2:
        raise ValueError(
            "`{0}` has stacked weights: `{1}` has shape {2}, expected {3}. They carry an additional axis, as after "
            "`jax.vmap` over the construction. {4}".format(
                type(layer).__name__, name, shape, shape[-2:], MAP_OVER_LAYERS
            )
        )
    return shape[-1]


MAP_OVER_LAYERS = "Map over the layer too: `jax.vmap(lambda layer, x: layer(x))(layers, xs)`."


def as_example(x: Any, name: str, size: int, size_name: str, layer: Any, batched: str) -> Array:
    """`x`, the argument `name` of the call of `layer`, as an array of shape `(size,)`.

    Args:
        x: The argument.
        name: Its name.
        size: The length that `layer` expects.
        size_name: The argument of the constructor that sets `size`.
        layer: The layer.
        batched: The call that takes a batch, as code.
    """
    if not hasattr(x, "shape"):
        if not is_array_like(x):
            raise TypeError(
                "`{}` expects `{}` to be an array of shape ({},), got {}.".format(
                    type(layer).__name__, name, size, in_words(x)
                )
            )
        x = jnp.asarray(x)
    if x.shape != (size,):
        if len(x.shape) > 1 and x.shape[-1] == size:
            next_move = "Batch with `{}`.".format(batched)
        else:
            next_move = "Reshape it, or make the layer with another `{}`.".format(size_name)
        raise ValueError(
            "`{}` with `{}={}` expects `{}` to be one example of shape ({},), got {}. {}".format(
                type(layer).__name__, size_name, size, name, size, x.shape, next_move
            )
        )
    return x


def in_words(x: Any) -> str:
    """Describe an unexpected argument in a few words."""
    if hasattr(x, "shape"):
        return "an array of shape {}".format(x.shape)
    if isinstance(x, (tuple, list)):
        return "a {} of {}".format(type(x).__name__, len(x))
    text = repr(x)
    return text if len(text) <= 60 else text[:57] + "..."

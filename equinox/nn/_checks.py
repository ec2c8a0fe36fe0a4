"""Checks of the layers' arguments. Only the shape of an array is checked, so traced arrays pass."""

import functools as ft
import inspect
import math
import numbers
import operator
from typing import Any, Callable, Sequence, Tuple, TypeVar, Union, cast

import jax.numpy as jnp
import numpy as np

from .._compat.types import Array, Literal
from .._trees.layout import layout_of
from .._trees.paths import short_repr
from .._trees.predicates import is_array_like

F = TypeVar("F", bound=Callable[..., Any])
Features = Union[int, Literal["scalar"]]  # the length of a vector, or a number instead of a vector


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


def as_sizes(value: Any, dimensions: int, name: str, layer: str, least: int = 1) -> Tuple[int, ...]:
    """`value`, the argument `name` of `layer`, as one int for each spatial dimension. An int stands for all of them."""
    if not isinstance(value, (tuple, list)):
        return (as_size(value, name, layer, least),) * dimensions
    if len(value) != dimensions:
        raise ValueError(
            "`{}` expects `{}` to be an integer, or one for each of its {} spatial dimensions, got {}: {}.".format(
                layer, name, dimensions, in_words(value), value
            )
        )
    return tuple(as_size(size, "{}[{}]".format(name, i), layer, least) for i, size in enumerate(value))


def as_bool(value: Any, name: str, layer: str) -> bool:
    """`value`, the argument `name` of `layer`, as a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError("`{}` expects `{}` to be `True` or `False`, got {}.".format(layer, name, in_words(value)))
    return bool(value)


def two_names(name: str, other_name: str) -> Callable[[F], F]:
    """Decorate a method, two arguments of which mean one: `name` and `other_name`. Both at once are an error.

    The signature stays as it is, so `name` may have any default, such as the one that 0.0.1 specifies. `None` counts as
    not passed.
    """

    def decorate(method: F) -> F:
        place = list(inspect.signature(method).parameters).index(name)

        @ft.wraps(method)
        def with_one_name(*args: Any, **kwargs: Any) -> Any:
            value = args[place] if len(args) > place else kwargs.get(name)
            if value is not None and kwargs.get(other_name) is not None:
                raise TypeError(
                    "`{}` takes `{}` and `{}` as two names of one argument, got both. Pass one of them.".format(
                        type(args[0]).__name__, name, other_name
                    )
                )
            return method(*args, **kwargs)

        return cast(F, with_one_name)

    return decorate


def as_features(value: Any, name: str, layer: str) -> Features:
    """`value`, the argument `name` of `layer`, as the length of a vector, or as `"scalar"`."""
    return "scalar" if isinstance(value, str) and value == "scalar" else as_size(value, name, layer)


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
    who = "`{}` with `{}={}`".format(type(layer).__name__, size_name, size)
    next_move = "Reshape it, or make the layer with another `{}`.".format(size_name)
    return as_array_of(x, name, (size,), who, batched, next_move)


def as_array_of(
    x: Any, name: str, shape: Sequence[Union[int, str]], who: str, batched: str, next_move: str = ""
) -> Array:
    """`x`, the argument `name` of a call, as an array of `shape`.

    Args:
        x: The argument.
        name: Its name.
        shape: The length of each axis, or a name for an axis of any length, as `(3, "height", "width")`.
        who: The layer, in the words that begin the message.
        batched: The call that takes a batch, as code.
        next_move: What to do if `x` isn't a batch of such arrays.
    """
    if not hasattr(x, "shape"):
        if not is_array_like(x):
            raise TypeError(
                "{} expects `{}` to be an array of shape {}, got {}.".format(who, name, _shape_text(shape), in_words(x))
            )
        x = jnp.asarray(x)
    elif isinstance(x, (np.ndarray, np.generic)):
        x = jnp.asarray(x)  # its dtype may be one that JAX doesn't use, such as float64
    if not _has_shape(x.shape, shape):
        if len(x.shape) > len(shape) and _has_shape(x.shape[len(x.shape) - len(shape) :], shape):
            next_move = "Batch with `{}`.".format(batched)
        raise ValueError(
            "{} expects `{}` to be one example of shape {}, got {}. {}".format(
                who, name, _shape_text(shape), x.shape, next_move
            ).rstrip()
        )
    return x


def _has_shape(got: Sequence[int], expected: Sequence[Union[int, str]]) -> bool:
    return len(got) == len(expected) and all(isinstance(e, str) or g == e for g, e in zip(got, expected))


def _shape_text(shape: Sequence[Union[int, str]]) -> str:
    """`shape` as Python writes a tuple, with names as they are."""
    return "({}{})".format(", ".join(map(str, shape)), "," if len(shape) == 1 else "")


def as_index(index: Any, length: int, layer: str) -> int:
    """`index`, the number of one of the `length` layers in `layer`, as an int. JAX doesn't check it."""
    number = operator.index(index)
    if not -length <= number < length:
        raise IndexError("`{}` has {} layers, so it has no layer {}.".format(layer, length, number))
    return number


def call_layer(path: str, layer: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a layer of a container. If it raises a `TypeError` or `ValueError`, the message gets its path.

    The error keeps its type and traceback. In a container of containers the message has the whole path. Errors of other
    classes stay as they are, such as those of JAX.
    """
    try:
        return layer(*args, **kwargs)
    except (TypeError, ValueError) as error:
        if type(error) in (TypeError, ValueError) and len(error.args) == 1 and isinstance(error.args[0], str):
            message, _, inner_path = error.args[0].partition(_AT_LAYER)
            error.args = (message + _AT_LAYER + path + ("." + inner_path if inner_path else "`."),)
        raise


_AT_LAYER = "\nThe error is in `"


def in_words(x: Any) -> str:
    """Describe an unexpected argument in a few words."""
    if hasattr(x, "shape"):
        return "an array of shape {}".format(x.shape)
    if isinstance(x, (tuple, list)):
        return "a {} of {}".format(type(x).__name__, len(x))
    return "a `{}`".format(type(x).__name__) if layout_of(x) is not None else short_repr(x, 60)


def as_number(value: Any, name: str, layer: str, least: float, most: float = math.inf) -> float:
    """`value`, the argument `name` of `layer`, as a float from `least` to `most`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Real, np.number)):
        raise TypeError("`{}` expects `{}` to be a number, got {}.".format(layer, name, in_words(value)))
    if not least <= float(value) <= most:
        expected = "at least {}".format(least) if most == math.inf else "from {} to {}".format(least, most)
        raise ValueError("`{}` expects `{}` to be {}, got {}.".format(layer, name, expected, value))
    return float(value)


def check_unstacked(layer: Any, name: str, ndim: int) -> None:
    """Raise an error if the parameter `name` of `layer` has more than `ndim` axes."""
    shape = getattr(layer, name).shape
    if len(shape) > ndim:
        raise ValueError(
            "`{0}` has stacked parameters: `{1}` has shape {2}, expected {3}. They carry an additional axis, as after "
            "`jax.vmap` over the construction. {4}".format(
                type(layer).__name__, name, shape, shape[len(shape) - ndim :], MAP_OVER_LAYERS
            )
        )

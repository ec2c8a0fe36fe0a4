"""What the layers ask of their arguments. Of arrays only shapes are looked at, so traced ones will do."""

import operator

import jax.numpy as jnp
import numpy as np

from .._trees.predicates import is_array_like


def as_size(value, name, layer, least=1):
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


def as_bool(value, name, layer):
    """`value`, the argument `name` of `layer`, as a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError("`{}` expects `{}` to be `True` or `False`, got {}.".format(layer, name, in_words(value)))
    return bool(value)


def check_key(key, layer):
    """Refuse what can't be a PRNG key: `None` above all, and the seed that a key is made from."""
    if not hasattr(key, "shape"):
        raise TypeError(
            "`{}` expects `key` to be a PRNG key, such as `jax.random.PRNGKey({})`, got {}.".format(
                layer, key if type(key) is int else 0, in_words(key)
            )
        )


def check_callable(value, name, layer):
    """Refuse an argument of `layer` that can't be called; `name` says which, or which part of it."""
    if not callable(value):
        raise TypeError(
            "`{}` expects `{}` to be a function, a layer or another callable, got {}.".format(
                layer, name, in_words(value)
            )
        )


def columns(layer, name):
    """The number of columns of the weight `name` of `layer`. It is looked up, because `tree_at` may have changed it."""
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


def as_example(x, name, size, size_name, layer, batched):
    """`x`, the argument `name` of the call of `layer`, as an array of shape `(size,)`.

    `size_name` is the argument that `layer` was made with for `size`, and `batched` the call that takes a batch.
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


def in_words(x):
    """An argument that isn't what was expected, in a few words."""
    if hasattr(x, "shape"):
        return "an array of shape {}".format(x.shape)
    if isinstance(x, (tuple, list)):
        return "a {} of {}".format(type(x).__name__, len(x))
    text = repr(x)
    return text if len(text) <= 60 else text[:57] + "..."

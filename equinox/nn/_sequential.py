"""`Sequential`: layers in a row."""

import inspect
from typing import Any, Tuple

import jax.random as jrandom
from jax import tree_util

from .._module import Module
from ._checks import check_callable, check_key, in_words


class Sequential(Module):
    """Layers in a row: each is called on what the one before it returned.

    A layer is anything callable; `jax.nn.relu` is one. It gets a `key` of its own if it takes an argument of that
    name (or `**kwargs`) and the whole was called with one. Indexing gives a layer, slicing a shorter `Sequential`.

    Args: layers: a list, tuple or other iterable of callables; kept as the tuple `layers`. None of them is as good
        as the identity.
    Shapes: those of the first layer's input -> those of the last one's output.
    Raises: TypeError: `layers` isn't iterable, or one of them isn't callable.
    Source: `torch.nn.Sequential`.
    """

    layers: Tuple[Any, ...]

    def __init__(self, layers):
        try:
            layers = iter(layers)
        except TypeError:
            raise TypeError(
                "`Sequential` expects `layers` to be a list or tuple of layers, got {}: write "
                "`Sequential([layer, ...])`.".format(in_words(layers))
            ) from None
        self.layers = tuple(layers)
        for i, layer in enumerate(self.layers):
            check_callable(layer, "layers[{}]".format(i), "Sequential")

    def __call__(self, input, *, key=None):
        """Call the layers, in their order.

        Args: input: what the first layer takes. key: PRNG key; split, so that each layer has a part of its own.
        """
        if key is not None:
            check_key(key, "Sequential")
        takes_key = [key is not None and _takes_key(layer) for layer in self.layers]
        keys = jrandom.split(key, len(self.layers)) if any(takes_key) else ()
        for i, layer in enumerate(self.layers):
            input = layer(input, key=keys[i]) if takes_key[i] else layer(input)
        return input

    def __len__(self):
        return len(self.layers)

    def __getitem__(self, index):
        if isinstance(index, slice):
            # Not by `Sequential(...)`, which would refuse a tree of gradients, where `None` stands for a function.
            return tree_util.tree_map(lambda layers: layers[index], self, is_leaf=lambda x: x is self.layers)
        return self.layers[index]

    def __iter__(self):
        return iter(self.layers)


def _takes_key(layer):
    """Whether `layer(x, key=...)` is a call that `layer` allows."""
    try:
        parameters = list(inspect.signature(layer).parameters.values())
    except (TypeError, ValueError):  # some functions written in C have no signature
        return False
    if any(p.kind == p.VAR_KEYWORD for p in parameters):
        return True
    return any(p.name == "key" and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) for p in parameters[1:])

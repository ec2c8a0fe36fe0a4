"""`Sequential` and `MLP`: layers made of layers."""

import inspect
from typing import Any, Tuple

import jax
import jax.random as jrandom
from jax import tree_util

from .._module import Module, field
from ._checks import as_size, check_callable, check_key, in_words
from ._linear import Linear


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


def identity(x):
    """`x` itself. A function with a name, unlike a lambda, can be pickled."""
    return x


class MLP(Module):
    """Multi-layer perceptron: `Linear` layers with an activation after each, and `final_activation` after the last.

    Args:
        in_size: length of `input`.
        out_size: length of the output.
        width_size: length of what the hidden layers return. At least 1 even if there are none.
        depth: number of hidden layers. At 0 the MLP is one `Linear` from `in_size` to `out_size`.
        activation: a function, or another layer, called on what each hidden layer returns.
        final_activation: the same for the last layer; by default the identity.
        key: PRNG key, used here and not kept. The one at the call is ignored.

    Shapes: input (in_size,) -> output (out_size,). Batch with `jax.vmap(mlp)(input)`.
        layers, a tuple of `Linear`: (in_size -> width_size), ..., (width_size -> out_size), `depth + 1` in all.
    Units: none; each layer's parameters are drawn as `Linear` draws them.
    Raises: ValueError: a size below 1, `depth` below 0; `input` of another shape. TypeError: a size or `depth` that
        is no integer; an activation that isn't callable; `key` is `None`.
    Source: none in PyTorch; a `torch.nn.Sequential` of `torch.nn.Linear` and activations is the same.
    """

    layers: Tuple[Linear, ...]
    activation: Any
    final_activation: Any
    in_size: int = field(static=True)
    out_size: int = field(static=True)
    width_size: int = field(static=True)
    depth: int = field(static=True)

    def __init__(self, in_size, out_size, width_size, depth, activation=jax.nn.relu, final_activation=identity, *, key):
        self.in_size = as_size(in_size, "in_size", "MLP")
        self.out_size = as_size(out_size, "out_size", "MLP")
        self.width_size = as_size(width_size, "width_size", "MLP")
        self.depth = as_size(depth, "depth", "MLP", least=0)
        check_callable(activation, "activation", "MLP")
        check_callable(final_activation, "final_activation", "MLP")
        check_key(key, "MLP")
        sizes = [self.in_size] + [self.width_size] * self.depth + [self.out_size]
        keys = jrandom.split(key, self.depth + 1)
        self.layers = tuple(Linear(i, o, key=k) for i, o, k in zip(sizes[:-1], sizes[1:], keys))
        self.activation = activation
        self.final_activation = final_activation

    def __call__(self, input, *, key=None):
        for layer in self.layers[:-1]:
            input = self.activation(layer(input))
        return self.final_activation(self.layers[-1](input))

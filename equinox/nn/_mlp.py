"""`MLP`: linear layers with activations between them."""

from typing import Any, Tuple

import jax
import jax.random as jrandom

from .._module import Module, field
from ._checks import as_size, check_callable, check_key
from ._linear import Linear


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

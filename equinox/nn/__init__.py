"""A small neural-network library in PyTorch's manner, made of nothing but `Module`.

Every layer acts on one example: use `jax.vmap` for a batch. Every layer's call takes a `key`, which most ignore, so
that layers can stand in for one another.

The leaves of the layers are arrays, so plain JAX takes them. Functions are part of the structure. One leaf is a flag:
`Dropout.deterministic`.
"""

from ._cells import GRUCell, LSTMCell
from ._dropout import Dropout
from ._linear import Identity, Linear
from ._mlp import MLP
from ._sequential import Sequential

__all__ = [
    "Dropout",
    "GRUCell",
    "Identity",
    "LSTMCell",
    "Linear",
    "MLP",
    "Sequential",
]

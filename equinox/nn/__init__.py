"""A small neural-network library in PyTorch's manner, made of nothing but `Module`.

Every layer acts on one example: batch it with `jax.vmap`. Every layer's call takes a `key`, which most ignore, so that
layers can stand in for one another.
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

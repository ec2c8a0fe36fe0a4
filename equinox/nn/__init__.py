"""A small neural-network library like PyTorch's. Every layer is a `Module`.

Every layer acts on one example. Use `jax.vmap` for a batch. Every layer's call takes a `key`, so any layer can replace
another. Most layers ignore it.

The leaves of the layers are arrays, so plain JAX takes them. Functions are part of the structure. One leaf is a flag:
`Dropout.deterministic`.
"""

from ._cells import GRUCell, LSTMCell
from ._dropout import Dropout
from ._inference import inference_mode
from ._linear import Identity, Linear
from ._mlp import MLP
from ._sequential import Sequential
from ._state import State, StatefulLayer, StateIndex, delete_init_state, make_with_state

__all__ = [
    "Dropout",
    "GRUCell",
    "Identity",
    "LSTMCell",
    "Linear",
    "MLP",
    "Sequential",
    "State",
    "StateIndex",
    "StatefulLayer",
    "delete_init_state",
    "inference_mode",
    "make_with_state",
]

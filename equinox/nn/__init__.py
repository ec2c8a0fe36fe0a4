"""A neural-network library like PyTorch's. Every layer is a `Module`.

Every layer acts on one example. Use `jax.vmap` for a batch. Every layer's call takes a `key`, so any layer can replace
another. Most layers ignore it. `Shared` is no layer: its call takes nothing, and gives a tree.

`torch_names` loads the weights of a PyTorch model, and gives them back.

The leaves of the layers are arrays, so plain JAX takes them. Functions are part of the structure. Flags are leaves too:
`deterministic` of `Dropout`, and `inference` of `BatchNorm` and `SpectralNorm`.
"""

from ._activations import Lambda, PReLU
from ._adaptive_pool import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
    AdaptivePool,
)
from ._attention import MultiheadAttention
from ._batch_norm import BatchNorm
from ._cells import GRUCell, LSTMCell, RNNCell
from ._conv import Conv, Conv1d, Conv2d, Conv3d
from ._conv_transpose import ConvTranspose, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ._dot_product_attention import dot_product_attention
from ._dropout import Dropout
from ._einsum import Einsum
from ._embedding import Embedding
from ._group_norm import GroupNorm, InstanceNorm
from ._inference import inference_mode
from ._layer_norm import LayerNorm, RMSNorm
from ._linear import Identity, Linear
from ._lora import LoRA
from ._mlp import MLP
from ._pool import AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d, Pool
from ._recurrent import GRU, LSTM, RNN
from ._reinitialise import reinitialise
from ._rotary import RotaryPositionalEmbedding
from ._sequential import Sequential
from ._shared import Shared
from ._spectral_norm import SpectralNorm
from ._stacked import Stacked
from ._state import State, StatefulLayer, StateIndex, delete_init_state, make_with_state
from ._torch_names import torch_names
from ._weight_norm import WeightNorm

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AdaptivePool",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BatchNorm",
    "Conv",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Dropout",
    "Einsum",
    "Embedding",
    "GRU",
    "GRUCell",
    "GroupNorm",
    "Identity",
    "InstanceNorm",
    "LSTM",
    "LSTMCell",
    "Lambda",
    "LayerNorm",
    "Linear",
    "LoRA",
    "MLP",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MultiheadAttention",
    "PReLU",
    "Pool",
    "RMSNorm",
    "RNN",
    "RNNCell",
    "RotaryPositionalEmbedding",
    "Sequential",
    "Shared",
    "SpectralNorm",
    "Stacked",
    "State",
    "StateIndex",
    "StatefulLayer",
    "WeightNorm",
    "delete_init_state",
    "dot_product_attention",
    "inference_mode",
    "make_with_state",
    "reinitialise",
    "torch_names",
]

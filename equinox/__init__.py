"""Callable pytrees and filtered transformations: neural networks in JAX, from 0.2.18 to the newest."""

from . import nn
from ._filters import (
    combine,
    filter,
    is_array,
    is_array_like,
    is_inexact_array,
    is_inexact_array_like,
    partition,
)
from ._grad import filter_grad, filter_value_and_grad, gradf, value_and_grad_f
from ._jit import filter_jit, jitf
from ._module import Module, field
from ._tree import tree_at, tree_equal
from ._update import apply_updates

__version__ = "0.1.0"

__all__ = [
    "Module",
    "apply_updates",
    "combine",
    "field",
    "filter",
    "filter_grad",
    "filter_jit",
    "filter_value_and_grad",
    "gradf",
    "is_array",
    "is_array_like",
    "is_inexact_array",
    "is_inexact_array_like",
    "jitf",
    "nn",
    "partition",
    "tree_at",
    "tree_equal",
    "value_and_grad_f",
]

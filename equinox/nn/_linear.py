"""`Linear` and `Identity`: maps of a vector."""

import math
from typing import Optional

import jax.numpy as jnp
import jax.random as jrandom

from .._module import Module, field
from ._checks import as_bool, as_example, as_size, check_key


class Linear(Module):
    """Affine map of one example: `weight @ input + bias`.

    Args:
        in_features: length of `input`.
        out_features: length of the output.
        bias: whether to add one; without it the field `bias` is `None`.
        key: PRNG key, used here and not kept. The one at the call is ignored.

    Shapes: input (in_features,) -> output (out_features,). Batch with `jax.vmap(linear)(input)`.
        weight (out_features, in_features), bias (out_features,).
    Units: none; weight and bias are drawn from U(-b, b), b = 1/sqrt(in_features).
    Raises: ValueError: a size below 1; `input` of another shape. TypeError: a size that is no integer; `key` is `None`.
    Source: `torch.nn.Linear`, its layout and its default initialisation.
    """

    weight: jnp.ndarray
    bias: Optional[jnp.ndarray]
    in_features: int = field(static=True)
    out_features: int = field(static=True)

    def __init__(self, in_features, out_features, bias=True, *, key):
        self.in_features = as_size(in_features, "in_features", "Linear")
        self.out_features = as_size(out_features, "out_features", "Linear")
        check_key(key, "Linear")
        weight_key, bias_key = jrandom.split(key)
        bound = 1 / math.sqrt(self.in_features)
        shape = (self.out_features, self.in_features)
        self.weight = jrandom.uniform(weight_key, shape, minval=-bound, maxval=bound)
        if as_bool(bias, "bias", "Linear"):
            self.bias = jrandom.uniform(bias_key, shape[:1], minval=-bound, maxval=bound)
        else:
            self.bias = None

    def __call__(self, input, *, key=None):
        # The weight's own shape, as `tree_at` may have put another in the place of the first.
        input = as_example(input, "input", self.weight.shape[-1], "in_features", self, "jax.vmap(layer)(input)")
        output = self.weight @ input
        return output if self.bias is None else output + self.bias


class Identity(Module):
    """The map that changes nothing: a place-holder for another layer.

    Args: any at all, which are ignored; so any layer's arguments will do.
    Shapes: input of any shape, or any pytree -> the same object.
    Source: `torch.nn.Identity`.
    """

    def __init__(self, *args, **kwargs):
        pass

    def __call__(self, input, *, key=None):
        return input

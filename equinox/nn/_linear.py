"""`Linear` and `Identity`: maps of a vector."""

import math
from typing import Any, Optional

import jax.random as jrandom

from .._compat.types import AnyArray, Array, Key, T
from .._module import Module, field
from ._checks import as_bool, as_example, as_size, check_key, columns


class Linear(Module):
    """Apply an affine map to one example: `weight @ input + bias`.

    Args:
        in_features: The length of `input`.
        out_features: The length of the output.
        bias: Whether to add a bias. Without it the field `bias` is `None`.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        input: `(in_features,)`. The output: `(out_features,)`. Use `jax.vmap(linear)(inputs)` for a batch.
        weight: `(out_features, in_features)`. bias: `(out_features,)`.

    Initialisation:
        Weight and bias are uniform in `(-b, b)` with `b = 1 / sqrt(in_features)`, as in `torch.nn.Linear`.

    Raises:
        ValueError: A size is below 1.
        TypeError: A size is no integer.
        TypeError: `bias` is no bool.
        TypeError: `key` is no PRNG key.

    Example:
        >>> linear = eqx.nn.Linear(3, 2, key=jax.random.PRNGKey(0))
        >>> linear(jnp.ones(3)).shape
        (2,)
    """

    weight: Array
    bias: Optional[Array]
    in_features: int = field(static=True)
    out_features: int = field(static=True)

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, key: Key) -> None:
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

    def __call__(self, input: AnyArray, *, key: Optional[Key] = None) -> Array:
        """Apply the map to one example.

        Args:
            input: An array of shape `(in_features,)`.
            key: It is ignored. Every layer takes a key.

        Returns:
            An array of shape `(out_features,)`.

        Raises:
            ValueError: `input` has another shape.
            ValueError: The layer is a stack of layers, as `jax.vmap` over the construction makes it.
            TypeError: `input` can't be made into an array.

        Example:
            >>> linear = eqx.nn.Linear(3, 2, key=jax.random.PRNGKey(0))
            >>> jax.vmap(linear)(jnp.ones((5, 3))).shape
            (5, 2)
        """
        input = as_example(input, "input", columns(self, "weight"), "in_features", self, "jax.vmap(layer)(input)")
        output = self.weight @ input
        return output if self.bias is None else output + self.bias


class Identity(Module):
    """Return the input as it is. It stands in for another layer.

    Args:
        *args: Anything. They are ignored, so `Identity` takes the arguments of any layer.
        **kwargs: Anything. They are ignored too.

    Shapes:
        input: An array of any shape, or any pytree. The output is the same object, as in `torch.nn.Identity`.

    Example:
        >>> eqx.nn.Identity(3, 2, bias=False)("anything")
        'anything'
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, input: T, *, key: Optional[Key] = None) -> T:
        """Return `input`.

        Args:
            input: Anything.
            key: It is ignored. Every layer takes a key.

        Returns:
            `input`, the same object.

        Example:
            >>> eqx.nn.Identity()(3)
            3
        """
        return input

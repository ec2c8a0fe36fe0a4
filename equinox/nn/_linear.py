"""`Linear` and `Identity`: maps of a vector."""

import math
from typing import Any, Optional

import jax.random as jrandom

from .._compat.types import AnyArray, Array, Key, T
from .._module import Module, field
from ._checks import Features, as_array_of, as_bool, as_example, as_features, check_key, columns, two_names
from ._dtypes import match_dtypes
from ._parameters import WEIGHT, Initialiser, as_dtype, make_parameter, uniform


class Linear(Module):
    """Apply an affine map to one example: `weight @ input + bias`.

    Args:
        in_features: The length of `input`. `"scalar"` means an input of shape `()`.
        out_features: The length of the output. `"scalar"` means an output of shape `()`.
        bias: Whether to add a bias. Without it the field `bias` is `None`.
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        use_bias: Another name of `bias`. Pass one of them.
        weight_init: A function that makes the weight, such as `jax.nn.initializers.he_normal()`. It sees the weight in
            JAX's layout, `(in_features, out_features)`.
        bias_init: A function that makes the bias, such as `jax.nn.initializers.zeros`.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        input: `(in_features,)`. The output: `(out_features,)`. Use `jax.vmap(linear)(inputs)` for a batch.
        weight: `(out_features, in_features)`. bias: `(out_features,)`. Here `"scalar"` counts as 1.

    Initialisation:
        Weight and bias are uniform in `(-b, b)` with `b = 1 / sqrt(in_features)`, as in `torch.nn.Linear`. Its `weight`
        and `bias` have the same names and shapes.

    Raises:
        ValueError: A size is below 1.
        ValueError: `dtype` is not floating-point or complex.
        ValueError: An initialiser fails, or returns another shape.
        TypeError: A size is not an integer or `"scalar"`.
        TypeError: `bias` or `use_bias` is no bool, or both are given.
        TypeError: `dtype` is no dtype.
        TypeError: An initialiser can't be called.
        TypeError: `key` is no PRNG key.

    Example:
        >>> linear = eqx.nn.Linear(3, 2, key=jax.random.PRNGKey(0))
        >>> linear(jnp.ones(3)).shape
        (2,)
    """

    weight: Array = field(metadata=WEIGHT)
    bias: Optional[Array]
    in_features: Features = field(static=True)
    out_features: Features = field(static=True)

    @two_names("bias", "use_bias")
    def __init__(
        self,
        in_features: Features,
        out_features: Features,
        bias: bool = True,
        dtype: Any = None,
        *,
        use_bias: Optional[bool] = None,
        weight_init: Optional[Initialiser] = None,
        bias_init: Optional[Initialiser] = None,
        key: Key,
    ) -> None:
        self.in_features = as_features(in_features, "in_features", "Linear")
        self.out_features = as_features(out_features, "out_features", "Linear")
        with_bias = as_bool(bias, "bias", "Linear") if use_bias is None else as_bool(use_bias, "use_bias", "Linear")
        dtype = as_dtype(dtype, "Linear")
        check_key(key, "Linear")
        weight_key, bias_key = jrandom.split(key)
        shape = (_length(self.out_features), _length(self.in_features))
        default = uniform(1 / math.sqrt(shape[1]))
        self.weight = make_parameter("Linear", "weight", weight_init, default, weight_key, shape, dtype, True)
        self.bias = None
        if with_bias:
            self.bias = make_parameter("Linear", "bias", bias_init, default, bias_key, shape[:1], dtype)

    def __call__(self, input: AnyArray, *, key: Optional[Key] = None) -> Array:
        """Apply the map to one example.

        Args:
            input: An array of shape `(in_features,)`.
            key: It is ignored. Every layer takes a key.

        Returns:
            An array of shape `(out_features,)`. It has the dtype of `input` if that is floating-point or complex.

        Raises:
            ValueError: `input` has another shape.
            ValueError: The layer is a stack of layers, as `jax.vmap` over the construction makes it.
            TypeError: `input` can't be made into an array.

        Example:
            >>> linear = eqx.nn.Linear(3, 2, key=jax.random.PRNGKey(0))
            >>> jax.vmap(linear)(jnp.ones((5, 3))).shape
            (5, 2)
        """
        size = columns(self, "weight")
        if self.in_features == "scalar":
            who = "`Linear` with `in_features='scalar'`"
            input = as_array_of(input, "input", (), who, "jax.vmap(layer)(input)").reshape(1)
        else:
            input = as_example(input, "input", size, "in_features", self, "jax.vmap(layer)(input)")
        input, weight, bias = match_dtypes(input, self.weight, self.bias)
        output = weight @ input
        output = output if bias is None else output + bias
        return output.reshape(()) if self.out_features == "scalar" else output


def _length(features: Features) -> int:
    return 1 if isinstance(features, str) else features


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

"""`LayerNorm` and `RMSNorm`: normalise each example on its own, over all of its axes."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple, Union

import jax.numpy as jnp
from jax import lax

from .._compat.types import AnyArray, Array, Key
from .._module import Module, field
from ._checks import as_array_of, as_number, as_size, check_unstacked
from ._dtypes import at_least_float32
from ._normalise import as_output, make_scale_and_shift, scale_and_shift, squared_size, with_state
from ._parameters import Initialiser
from ._state import State


class LayerNorm(Module):
    """Normalise one example over all of its axes: `(x - mean(x)) / sqrt(var(x) + eps) * weight + bias`.

    The variance is the biased one. Mean and variance are computed in at least float32, and the output has the dtype of
    `x`. So the output of a float32 layer for an input in bfloat16 is in bfloat16.

    Args:
        shape: The shape of `x`: an integer or several.
        eps: What is added to the variance.
        use_weight: Whether to multiply with a weight. Without it the field `weight` is `None`.
        use_bias: Whether to add a bias. Without it the field `bias` is `None`.
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        weight_init: A function like those of `jax.nn.initializers` that makes the weight.
        bias_init: The same for the bias.
        key: A PRNG key for the initialisers. Only those that draw random numbers need it.

    Shapes:
        x: `shape`. The output: `shape`. weight and bias: `shape`. Use `jax.vmap(norm)(xs)` for a batch, and for the
        other axes of one example.

    Initialisation:
        The weight is 1, the bias is 0.

    PyTorch:
        `torch.nn.LayerNorm(shape, eps)`. The parameters have the same names and shapes. The formula is that of
        [Layer Normalization](https://arxiv.org/abs/1607.06450).

    Raises:
        ValueError: A size is below 1, or `eps` is negative.
        TypeError: A size is no integer, `eps` is no number, a flag is no bool, or `dtype` is no dtype.

    Example:
        >>> norm = eqx.nn.LayerNorm(4)
        >>> y = norm(jnp.array([1.0, 2.0, 3.0, 6.0]))
        >>> bool(abs(y.mean()) < 1e-6), bool(abs(y.var() - 1) < 1e-4)
        (True, True)
    """

    weight: Optional[Array]
    bias: Optional[Array]
    shape: Tuple[int, ...] = field(static=True)
    eps: float = field(static=True)

    def __init__(
        self,
        shape: Union[int, Sequence[int]],
        eps: float = 1e-5,
        use_weight: bool = True,
        use_bias: bool = True,
        dtype: Any = None,
        *,
        weight_init: Optional[Initialiser] = None,
        bias_init: Optional[Initialiser] = None,
        key: Optional[Key] = None,
    ) -> None:
        self.shape = _as_shape(shape, "LayerNorm")
        self.eps = as_number(eps, "eps", "LayerNorm", 0)
        self.weight, self.bias = make_scale_and_shift(
            "LayerNorm", self.shape, use_weight, use_bias, dtype, weight_init, bias_init, key
        )

    def __call__(self, x: AnyArray, state: Optional[State] = None, *, key: Optional[Key] = None) -> Any:
        """Normalise one example.

        Args:
            x: An array of shape `shape`.
            state: If given, it is returned as it is. So the layer can replace one that has state.
            key: It is ignored. Every layer takes a key.

        Returns:
            An array of the shape and dtype of `x`. If `state` is given, `(output, state)`.

        Raises:
            ValueError: `x` has another shape.
            ValueError: The layer is a stack of layers, as `jax.vmap` over the construction makes it.
            TypeError: `x` can't be made into an array.

        Example:
            >>> jax.vmap(eqx.nn.LayerNorm(4))(jnp.ones((3, 4))).shape
            (3, 4)
        """
        x = _as_example(x, self)
        y = at_least_float32(x)
        centred = y - jnp.mean(y)
        y = centred * lax.rsqrt(jnp.mean(squared_size(centred)) + self.eps)
        return with_state(as_output(scale_and_shift(y, self.weight, self.bias), x), state)


class RMSNorm(Module):
    """Divide one example by the root of the mean of its squares: `x / sqrt(mean(x**2) + eps) * weight + bias`.

    The mean is computed in at least float32, and the output has the dtype of `x`.

    Args:
        shape: The shape of `x`: an integer or several.
        eps: What is added to the mean of the squares.
        use_weight: Whether to multiply with a weight. Without it the field `weight` is `None`.
        use_bias: Whether to add a bias. Without it the field `bias` is `None`.
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        weight_init: A function like those of `jax.nn.initializers` that makes the weight.
        bias_init: The same for the bias.
        key: A PRNG key for the initialisers. Only those that draw random numbers need it.

    Shapes:
        x: `shape`. The output: `shape`. weight and bias: `shape`. Use `jax.vmap(norm)(xs)` for a batch.

    Initialisation:
        The weight is 1, the bias is 0.

    PyTorch:
        `torch.nn.RMSNorm(shape, eps)`, which has no bias: use `use_bias=False`. The formula is that of
        [Root Mean Square Layer Normalization](https://arxiv.org/abs/1910.07467).

    Raises:
        ValueError: A size is below 1, or `eps` is negative.
        TypeError: A size is no integer, `eps` is no number, a flag is no bool, or `dtype` is no dtype.

    Example:
        >>> y = eqx.nn.RMSNorm(2)(jnp.array([1.0, 7.0]))
        >>> bool(jnp.allclose(y, jnp.array([0.2, 1.4]), atol=1e-4))
        True
    """

    weight: Optional[Array]
    bias: Optional[Array]
    shape: Tuple[int, ...] = field(static=True)
    eps: float = field(static=True)

    def __init__(
        self,
        shape: Union[int, Sequence[int]],
        eps: float = 1e-5,
        use_weight: bool = True,
        use_bias: bool = True,
        dtype: Any = None,
        *,
        weight_init: Optional[Initialiser] = None,
        bias_init: Optional[Initialiser] = None,
        key: Optional[Key] = None,
    ) -> None:
        self.shape = _as_shape(shape, "RMSNorm")
        self.eps = as_number(eps, "eps", "RMSNorm", 0)
        self.weight, self.bias = make_scale_and_shift(
            "RMSNorm", self.shape, use_weight, use_bias, dtype, weight_init, bias_init, key
        )

    def __call__(self, x: AnyArray, state: Optional[State] = None, *, key: Optional[Key] = None) -> Any:
        """Normalise one example.

        Args:
            x: An array of shape `shape`.
            state: If given, it is returned as it is. So the layer can replace one that has state.
            key: It is ignored. Every layer takes a key.

        Returns:
            An array of the shape and dtype of `x`. If `state` is given, `(output, state)`.

        Raises:
            ValueError: `x` has another shape.
            ValueError: The layer is a stack of layers, as `jax.vmap` over the construction makes it.
            TypeError: `x` can't be made into an array.

        Example:
            >>> jax.vmap(eqx.nn.RMSNorm(4))(jnp.ones((3, 4))).shape
            (3, 4)
        """
        x = _as_example(x, self)
        y = at_least_float32(x)
        y = y * lax.rsqrt(jnp.mean(y * y) + self.eps)
        return with_state(as_output(scale_and_shift(y, self.weight, self.bias), x), state)


def _as_shape(shape: Any, layer: str) -> Tuple[int, ...]:
    if isinstance(shape, (tuple, list)):
        return tuple(as_size(size, "shape[{}]".format(i), layer) for i, size in enumerate(shape))
    return (as_size(shape, "shape", layer),)


def _as_example(x: Any, layer: Any) -> Array:
    for name in ("weight", "bias"):
        if getattr(layer, name) is not None:
            check_unstacked(layer, name, len(layer.shape))
    shape = layer.shape if layer.weight is None else layer.weight.shape
    name = type(layer).__name__
    next_move = "Reshape it, or make the layer with another `shape`."
    return as_array_of(x, "x", shape, "`{}` with `shape={}`".format(name, shape), "jax.vmap(layer)(x)", next_move)

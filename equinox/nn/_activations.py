"""`PReLU` and `Lambda`: activations that are layers."""

from typing import Any, Callable, Dict, Optional, Tuple

import jax.numpy as jnp
import numpy as np

from .._compat.types import AnyArray, Array, Key
from .._module import Module, field
from .._trees.predicates import is_array_like, is_static_function
from ._checks import as_size, check_callable, in_words
from ._dtypes import match_dtypes
from ._parameters import as_dtype
from ._published import Published


def _without_axis(layer: Any, slope: Any) -> Tuple[Any]:
    """The published layer has an array without axes if there is one slope."""
    return (slope if slope is None or slope.shape[-1:] != (1,) else slope[..., 0],)


def _with_axis(layer: Any, slope: Any) -> Tuple[Any]:
    return (slope if slope is None else np.reshape(slope, layer.negative_slope.shape),)


class PReLU(Module):
    """Keep a positive element, and multiply a negative one by a slope that is learnt: `max(0, x) + a * min(0, x)`.

    Args:
        init_alpha: The first value of the slope.
        num_parameters: The number of slopes: 1, or the length of the first axis of `x`.
        dtype: The dtype of the slopes. The default is JAX's floating-point dtype.

    Shapes:
        x: Any shape. If `num_parameters` isn't 1, `(num_parameters, ...)`. The output has the shape of `x`.
        negative_slope: `(num_parameters,)`. It is the `weight` of `torch.nn.PReLU`.

    Initialisation:
        Each slope is `init_alpha`, 0.25 by default, as in `torch.nn.PReLU`.

    Source:
        He et al., "Delving Deep into Rectifiers", 2015.

    Raises:
        ValueError: `num_parameters` is below 1.
        ValueError: `dtype` is not floating-point or complex.
        TypeError: `init_alpha` is no number, or `num_parameters` no integer.
        TypeError: `dtype` is no dtype.

    Example:
        >>> eqx.nn.PReLU()(jnp.array([-4.0, 4.0])).tolist()
        [-1.0, 4.0]
    """

    negative_slope: Array

    __published__ = Published("negative_slope", to=_without_axis, back=_with_axis)

    def __init__(self, init_alpha: Any = 0.25, num_parameters: int = 1, dtype: Any = None) -> None:
        if not is_array_like(init_alpha) or jnp.shape(init_alpha) != ():
            raise TypeError("`PReLU` expects `init_alpha` to be a number, got {}.".format(in_words(init_alpha)))
        size = as_size(num_parameters, "num_parameters", "PReLU")
        self.negative_slope = jnp.full((size,), init_alpha, as_dtype(dtype, "PReLU"))

    def __call__(self, x: AnyArray, *, key: Optional[Key] = None) -> Array:
        """Apply the activation to one example.

        Args:
            x: An array. If there are several slopes, its first axis has their number.
            key: It is ignored. Every layer takes a key.

        Returns:
            An array of the shape of `x`. It has the dtype of `x` if that is floating-point.

        Raises:
            ValueError: The first axis of `x` hasn't the number of slopes.
            ValueError: The layer is a stack of layers, as `jax.vmap` over the construction makes it.

        Example:
            >>> prelu = eqx.nn.PReLU(num_parameters=2)
            >>> prelu(-jnp.ones((2, 3))).shape
            (2, 3)
        """
        x = jnp.asarray(x)
        shape = self.negative_slope.shape
        if len(shape) != 1 or (shape != (1,) and x.shape[:1] != shape):
            raise ValueError(
                "`PReLU` with `negative_slope` of shape {} expects `x` to have as many elements on its first axis, "
                "got an input of shape {}. Batch with `jax.vmap(layer)(x)`. Map over a stack of layers too: "
                "`jax.vmap(lambda layer, x: layer(x))(layers, xs)`.".format(shape, x.shape)
            )
        x, slope = match_dtypes(x, self.negative_slope)
        slope = slope.reshape(() if shape == (1,) else shape + (1,) * (x.ndim - 1))
        return jnp.where(x >= 0, x, slope * x)

    def _torch_names(self) -> Dict[str, Any]:
        return {"weight": self.negative_slope}


class Lambda(Module):
    """Make a layer of a function. It stands where a layer takes a `key`, such as in `Sequential`.

    A function is part of the structure of the tree. It is no leaf. A callable that holds arrays is data.

    Args:
        fn: A function of the input.

    Shapes:
        x: What `fn` takes. The output: what `fn` returns.

    Raises:
        TypeError: `fn` can't be called.

    Example:
        >>> eqx.nn.Lambda(jax.nn.relu)(jnp.array([-1.0, 1.0])).tolist()
        [0.0, 1.0]
    """

    fn: Any = field(static=is_static_function)

    def __init__(self, fn: Callable[[Any], Any]) -> None:
        check_callable(fn, "fn", "Lambda")
        self.fn = fn

    def __call__(self, x: Any, *, key: Optional[Key] = None) -> Any:
        """Call the function.

        Args:
            x: What `fn` takes.
            key: It is ignored. Every layer takes a key.

        Returns:
            What `fn` returns.

        Example:
            >>> eqx.nn.Lambda(abs)(-3)
            3
        """
        return self.fn(x)

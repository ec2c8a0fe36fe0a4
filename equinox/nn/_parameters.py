"""How a layer makes its parameters: the dtype, the initialiser, and the layout that the initialiser sees."""

from __future__ import annotations

from typing import Any, Callable, Optional, Tuple

import jax.numpy as jnp
import jax.random as jrandom

from .._compat.types import Array, Key
from ._checks import check_callable, in_words
from ._dtypes import as_dtype_of

Initialiser = Callable[[Key, Tuple[int, ...], Any], Array]  # as those that `jax.nn.initializers` makes

OUTPUT_FIRST = "equinox.nn: the first two axes are output and input"  # a key in the metadata of a field


WEIGHT = {OUTPUT_FIRST: True}  # the metadata of the field of a weight of shape `(output, input, *kernel)`


def as_dtype(dtype: Any, layer: str) -> Any:
    """`dtype`, the argument of `layer`, as the dtype of the parameters. `None` is JAX's floating-point dtype."""
    if dtype is None:
        return jnp.result_type(float)
    try:
        known = jnp.result_type(dtype)
    except TypeError:
        raise TypeError(
            "`{}` expects `dtype` to be a dtype, such as `jnp.float32`, got {}.".format(layer, in_words(dtype))
        ) from None
    if not jnp.issubdtype(known, jnp.inexact):
        raise ValueError("`{}` expects `dtype` to be floating-point or complex, got {}.".format(layer, known))
    return known


def uniform(bound: float) -> Initialiser:
    """Make an initialiser that draws from `(-bound, bound)`. A complex number is drawn by its two parts."""

    def initialise(key: Key, shape: Tuple[int, ...], dtype: Any) -> Array:
        if jnp.issubdtype(dtype, jnp.complexfloating):
            part = jnp.finfo(dtype).dtype
            real, imaginary = (jrandom.uniform(k, shape, part, -bound, bound) for k in jrandom.split(key))
            return real + 1j * imaginary
        drawn = jnp.promote_types(dtype, jnp.float32)  # JAX 0.2 can't draw bfloat16
        return as_dtype_of(jrandom.uniform(key, shape, drawn, -bound, bound), dtype)

    return initialise


def make_parameter(
    layer: str,
    name: str,
    given: Optional[Initialiser],
    default: Initialiser,
    key: Key,
    shape: Tuple[int, ...],
    dtype: Any,
    output_first: bool = False,
) -> Array:
    """Make the parameter `name` of `layer`.

    Args:
        layer: The name of the class of the layer.
        name: The name of the parameter. The argument that initialises it is `<name>_init`.
        given: This argument. `None` means `default`.
        default: The initialiser of the layer.
        key: A PRNG key.
        shape: The shape of the parameter.
        dtype: Its dtype.
        output_first: Whether its first two axes are output and input. Then `given` sees JAX's layout.
    """
    if given is None:
        return default(key, shape, dtype)
    check_callable(given, name + "_init", layer)
    return initialise(given, key, shape, dtype, output_first, "`{0}_init` of `{1}`".format(name, layer))


def initialise(init: Initialiser, key: Key, shape: Tuple[int, ...], dtype: Any, output_first: bool, who: str) -> Array:
    """Call an initialiser of the user's.

    The initialisers of JAX read the number of inputs and outputs from the last two axes, `(*kernel, input, output)`. So
    a weight of shape `(output, input, *kernel)` is made in that layout, and its axes are moved.
    """
    asked = shape
    if output_first:
        output, input, *kernel = shape
        asked = (*kernel, input, output)
    try:
        made = init(key, asked, dtype)
    except (IndexError, TypeError, ValueError) as error:  # an `IndexError` comes from JAX 0.2
        next_move = "Use another initialiser."
        if key is None:
            next_move = "The layer got no key. Pass a PRNG key: `key=jax.random.PRNGKey(0)`."
        elif len(asked) < 2:
            next_move = "The array isn't a matrix. Use an initialiser that takes any shape, such as `normal` or `ones`."
        raise ValueError(
            "{} can't make an array of shape {} and dtype {}: {} {}".format(
                who, asked, jnp.dtype(dtype), _as_sentence(error), next_move
            )
        ) from error
    if getattr(made, "shape", None) != asked:
        raise ValueError("{} must return an array of shape {}, got {}.".format(who, asked, in_words(made)))
    return jnp.asarray(jnp.moveaxis(made, (-1, -2), (0, 1)) if output_first else made, dtype)


def _as_sentence(error: Exception) -> str:
    text = str(error).strip()
    return text if text.endswith(".") else text + "."

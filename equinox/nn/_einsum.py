"""`Einsum`: a weight contracted with the input, by an equation."""

from __future__ import annotations

import math
import re
from typing import Any, Dict, Optional, Sequence, Tuple

import jax.numpy as jnp
import jax.random as jrandom

from .._compat.types import AnyArray, Array, Key
from .._module import Module, field
from ._checks import as_array_of, as_size, check_key, check_unstacked, in_words
from ._dtypes import match_dtypes
from ._parameters import Initialiser, as_dtype, make_parameter, uniform


class Einsum(Module):
    """Contract a weight with the input: `y = jnp.einsum(equation, x, weight) + bias`.

    Args:
        equation: The axes of input, weight and output, as in `jnp.einsum`: `"ti,io->to"`. Each axis is a letter. The
            input comes first. An axis that isn't in the output is summed over.
        shape: The shape of the weight.
        bias_shape: The shape of the bias, which is added to the output as NumPy broadcasts it. The output keeps its
            shape. `None` means no bias.
        dtype: The dtype of the parameters. `None` is JAX's floating-point dtype.
        weight_init: A function that makes the weight, such as `jax.nn.initializers.lecun_normal()`. It sees the weight
            in the shape that it has.
        bias_init: A function that makes the bias.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        x, the output: as the equation says. weight: `shape`. bias: `bias_shape`. Use `jax.vmap(layer)(xs)` for a batch.

    Initialisation:
        Weight and bias are uniform in `(-b, b)` with `b = 1 / sqrt(n)`, as in `Linear`. Here `n` is the number of
        products in the sum over the axes of the weight.

    PyTorch:
        It has no such layer. `torch.einsum` is the function. The equation is
        [that of NumPy](https://numpy.org/doc/stable/reference/generated/numpy.einsum.html).

    Raises:
        ValueError: `equation` isn't of the form `"ti,io->to"`, or `shape` has another number of axes.
        ValueError: A bias of `bias_shape` doesn't broadcast to the output.
        ValueError: A size is below 1, `dtype` is not floating-point or complex, or an initialiser returns another
            shape.
        TypeError: `equation` is no text, `shape` or `bias_shape` is no tuple of integers, or `dtype` is no dtype.
        TypeError: An initialiser can't be called, or `key` is no PRNG key.

    Example:
        >>> heads = eqx.nn.Einsum("ti,hoi->hto", (4, 8, 16), key=jax.random.PRNGKey(0))
        >>> heads(jnp.ones((5, 16))).shape
        (4, 5, 8)
    """

    weight: Array
    bias: Optional[Array]
    equation: str = field(static=True)

    def __init__(
        self,
        equation: str,
        shape: Sequence[int],
        bias_shape: Optional[Sequence[int]] = None,
        dtype: Any = None,
        *,
        weight_init: Optional[Initialiser] = None,
        bias_init: Optional[Initialiser] = None,
        key: Key,
    ) -> None:
        self.equation = _as_equation(equation)
        _, of_weight, output = _axes(self.equation)
        shape = _as_shape(shape, "shape")
        if len(shape) != len(of_weight):
            raise ValueError(
                "`Einsum` expects `shape` to have the {} axes `{}` of the weight in `{}`, got {}.".format(
                    len(of_weight), of_weight, self.equation, shape
                )
            )
        dtype = as_dtype(dtype, "Einsum")
        check_key(key, "Einsum")
        weight_key, bias_key = jrandom.split(key)
        products = 1
        for axis, size in zip(of_weight, shape):
            products *= 1 if axis in output else size
        default = uniform(1 / math.sqrt(products))
        self.weight = make_parameter("Einsum", "weight", weight_init, default, weight_key, shape, dtype)
        self.bias = None
        if bias_shape is not None:
            bias_shape = _as_shape(bias_shape, "bias_shape")
            _check_bias(self.equation, bias_shape, dict(zip(of_weight, shape)))
            self.bias = make_parameter("Einsum", "bias", bias_init, default, bias_key, bias_shape, dtype)

    def __call__(self, x: AnyArray, *, key: Optional[Key] = None) -> Array:
        """Contract the weight with one example.

        Args:
            x: An array with the axes that the equation says.
            key: It is ignored. Every layer takes a key.

        Returns:
            An array with the axes of the output. It has the dtype of `x` if that is floating-point or complex.

        Raises:
            ValueError: `x` has another shape, or the bias doesn't broadcast to the output.
            ValueError: The layer is a stack of layers, as `jax.vmap` over the construction makes it.
            TypeError: `x` can't be made into an array.

        Example:
            >>> layer = eqx.nn.Einsum("i,io->o", (3, 2), (2,), key=jax.random.PRNGKey(0))
            >>> jax.vmap(layer)(jnp.ones((5, 3))).shape
            (5, 2)
        """
        of_input, of_weight, _ = _axes(self.equation)
        check_unstacked(self, "weight", len(of_weight))
        sizes = dict(zip(of_weight, self.weight.shape))
        who = "`Einsum` with `equation={!r}`".format(self.equation)
        x = as_array_of(x, "x", [sizes.get(axis, axis) for axis in of_input], who, "jax.vmap(layer)(x)")
        if self.bias is not None:
            _check_bias(self.equation, self.bias.shape, dict(zip(of_input, x.shape), **sizes))
        x, weight, bias = match_dtypes(x, self.weight, self.bias)
        output = jnp.einsum(self.equation, x, weight)
        return output if bias is None else output + bias


def _axes(equation: str) -> Tuple[str, str, str]:
    """The axes of input, weight and output."""
    inputs, output = equation.split("->")
    of_input, of_weight = inputs.split(",")
    return of_input, of_weight, output


def _check_bias(equation: str, shape: Tuple[int, ...], sizes: Dict[str, int]) -> None:
    """Raise an error if the output grows when a bias of `shape` is added. `sizes` has the axes of known length."""
    _, _, output = _axes(equation)
    of_output = [sizes.get(axis, axis) for axis in output]
    pairs = zip(reversed(shape), reversed(of_output))
    if len(shape) > len(output) or any(n not in (1, size) for n, size in pairs if isinstance(size, int)):
        raise ValueError(
            "`Einsum` with `equation={!r}` expects `bias_shape` to broadcast to the output, of shape ({}), got "
            "{}.".format(equation, ", ".join(map(str, of_output)), shape)
        )


def _as_equation(equation: Any) -> str:
    """`equation` without spaces, checked."""
    if not isinstance(equation, str):
        raise TypeError(
            "`Einsum` expects `equation` to be a text such as 'ti,io->to', got {}.".format(in_words(equation))
        )
    bare = equation.replace(" ", "")
    fault = None
    if re.match(r"^[A-Za-z]*,[A-Za-z]*->[A-Za-z]*$", bare) is None:
        fault = (
            "It has letters for the axes of the input, a comma, letters for the weight, `->`, letters for the output"
        )
    else:
        of_input, of_weight, output = _axes(bare)
        unknown = [axis for axis in output if axis not in of_input + of_weight]
        for name, axes in (("input", of_input), ("weight", of_weight), ("output", output)):
            if len(set(axes)) < len(axes):
                fault = "An axis is twice in the {}".format(name)
        if unknown:
            fault = "The axis `{}` of the output is in neither of the two".format(unknown[0])
    if fault is not None:
        raise ValueError("`Einsum` expects `equation` to be like 'ti,io->to', got {!r}. {}.".format(equation, fault))
    return bare


def _as_shape(shape: Any, name: str) -> Tuple[int, ...]:
    if not isinstance(shape, (tuple, list)):
        raise TypeError("`Einsum` expects `{}` to be a tuple of integers, got {}.".format(name, in_words(shape)))
    return tuple(as_size(size, "{}[{}]".format(name, i), "Einsum") for i, size in enumerate(shape))

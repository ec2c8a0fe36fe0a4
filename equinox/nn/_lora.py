"""`LoRA`: a layer whose weight gets a trainable change of low rank."""

from __future__ import annotations

import math
from typing import Any, Optional, Tuple

import jax.numpy as jnp
import numpy as np
from jax import lax, tree_util

from .._compat.types import Array, Key
from .._module import field
from .._module.replace import replace_unchecked
from .._transforms.vmap import filter_vmap
from .._trees.predicates import is_inexact_array
from ._checks import as_number, as_size, check_key
from ._dtypes import as_dtype_of
from ._parameters import uniform
from ._reparametrised import Reparametrised, Updates, get_weight, unwrap
from ._state import State


class LoRA(Reparametrised):
    """Wrap a layer, freeze it, and give it the weight `weight + (alpha / rank) * lora_b @ lora_a`.

    Only `lora_a` and `lora_b` are trained. The gradients of the wrapped layer are zeros, by `jax.lax.stop_gradient`.
    An optimiser with weight decay changes parameters with zero gradients, too. So use `trainable` as the filter: it
    leaves out the wrapped layer. The second example trains the `LoRA`s of a model alone. `unfreeze` makes the wrapped
    layer count as trained, but its gradients stay zeros.

    The weight may have any number of axes, as that of a convolution has. The product `lora_b @ lora_a` is reshaped to
    the shape of the weight. The layers of a `Stacked` get a change each by `eqx.filter_vmap`, as in the third example.
    In a new model write `LoRA` inside `make_layer`.

    `LoRA`, `WeightNorm` and `SpectralNorm` nest in each other. Then the weight is the one that the inner wrapper
    computes.

    Args:
        layer: The layer, such as `Linear`. It has a field with a weight, or is another wrapper.
        rank: The rank of the change. It is small beside the sizes of the weight.
        alpha: The scale of the change. The default is `rank`, which makes the factor 1.
        weight_name: The name of the field with the weight.
        key: A PRNG key for `lora_a`. It is not kept.

    Shapes:
        The call takes and returns what `layer` does. With a weight of shape `(output, *rest)`, `lora_a` has shape
        `(rank, prod(rest))`, and `lora_b` has shape `(output, rank)`.

    Initialisation:
        `lora_b` is zero, so at first the layer gives the same output. `lora_a` is uniform in `(-b, b)` with
        `b = 1 / sqrt(prod(rest))`, as the weight of `Linear` is.

    PyTorch:
        It has no such layer. The formula is that of [LoRA](https://arxiv.org/abs/2106.09685), Hu et al. 2021, with `A`
        and `B` for `lora_a` and `lora_b`.

    Raises:
        ValueError: `layer` has no field `weight_name`, the weight has less than two axes, or `rank` is below 1.
        ValueError: `alpha` is negative, or `layer` is a stack of layers.
        TypeError: `layer` can't be called, the field holds no array, or `rank` is no integer.
        TypeError: `alpha` is no number, or `key` is no PRNG key.

    Example:
        >>> linear = eqx.nn.Linear(8, 8, key=jax.random.PRNGKey(0))
        >>> lora = eqx.nn.LoRA(linear, 2, key=jax.random.PRNGKey(1))
        >>> lora.lora_a.shape, lora.lora_b.shape, lora.merge().weight.shape
        ((2, 8), (8, 2), (8, 8))

        >>> model = eqx.nn.MLP(8, 8, 8, 1, key=jax.random.PRNGKey(0))
        >>> keys = iter(jax.random.split(jax.random.PRNGKey(1)))
        >>> wrap = lambda linear: eqx.nn.LoRA(linear, 2, key=next(keys))
        >>> model = eqx.tree_at(eqx.select(model, eqx.nn.Linear), model, replace_fn=wrap)
        >>> model = eqx.unfreeze(eqx.freeze(model), eqx.select(model, "*.lora_?"))
        >>> grads = eqx.gradf(lambda model, x: model(x).sum(), filter_fn=eqx.trainable)(model, jnp.ones(8))
        >>> [path for path, _ in eqx.named_leaves(grads)]
        ['.layers[0].lora_a', '.layers[0].lora_b', '.layers[1].lora_a', '.layers[1].lora_b']

        >>> stacked = eqx.nn.Stacked(lambda key: eqx.nn.Linear(8, 8, key=key), 3, key=jax.random.PRNGKey(0))
        >>> keys = jax.random.split(jax.random.PRNGKey(1), len(stacked))
        >>> layers = eqx.filter_vmap(lambda linear, key: eqx.nn.LoRA(linear, 2, key=key))(stacked.layers, keys)
        >>> stacked = eqx.tree_at(lambda stacked: stacked.layers, stacked, layers)
        >>> stacked.layers.lora_a.shape, stacked(jnp.ones(8)).shape
        ((3, 2, 8), (8,))
    """

    layer: Any = field(trainable=False)
    lora_a: Array
    lora_b: Array
    alpha: float = field(static=True)

    def __init__(
        self, layer: Any, rank: int, *, alpha: Optional[float] = None, weight_name: str = "weight", key: Key
    ) -> None:
        weight = get_weight(layer, weight_name, "LoRA")
        if weight.ndim < 2:
            raise ValueError(
                "`LoRA` expects the weight to have at least two axes, got shape {}. Its change is a product of two "
                "matrices.".format(weight.shape)
            )
        rank = as_size(rank, "rank", "LoRA")
        check_key(key, "LoRA")
        self.layer = layer
        self.alpha = float(rank) if alpha is None else as_number(alpha, "alpha", "LoRA", 0)
        self.weight_name = weight_name
        inputs = int(np.prod(weight.shape[1:]))
        self.lora_a = uniform(1 / math.sqrt(inputs))(key, (rank, inputs), weight.dtype)
        self.lora_b = jnp.zeros((weight.shape[0], rank), weight.dtype)

    def __call__(self, x: Any, *args: Any, key: Optional[Key] = None, **kwargs: Any) -> Any:
        """Call the layer with the changed weight.

        Args:
            x: What the layer takes.
            *args: They are passed to the layer, such as the hidden state of a cell.
            key: A PRNG key for the layer. If the layer takes no key, it is not used.
            **kwargs: They are passed to the layer.

        Returns:
            What the layer returns.

        Raises:
            ValueError: The layer is stateful, and its state isn't given.
            TypeError: The layer is stateful, and the argument after `x` is no `State`.

        Example:
            >>> lora = eqx.nn.LoRA(eqx.nn.Linear(8, 8, key=jax.random.PRNGKey(0)), 2, key=jax.random.PRNGKey(1))
            >>> lora(jnp.ones(8)).shape
            (8,)
        """
        return self._call(x, args, dict(kwargs, key=key))

    def merge(self) -> Any:
        """Add the change to the weight.

        Returns:
            The layer alone, with the changed weight. It gives the same output. It is trained, unless `freeze` was
            called on the layer itself. If other wrappers are inside, the layer has the weight that they compute. A
            stack of layers gives a stack.

        Raises:
            ValueError: The layer is stateful, such as `SpectralNorm`. Its weight depends on the state.

        Example:
            >>> lora = eqx.nn.LoRA(eqx.nn.Linear(8, 8, key=jax.random.PRNGKey(0)), 2, key=jax.random.PRNGKey(1))
            >>> model = eqx.nn.Sequential([lora, jax.nn.relu])
            >>> eqx.tree_at(eqx.select(model, eqx.nn.LoRA), model, replace_fn=lambda lora: lora.merge())[0]
            Linear(weight=f32[8,8], bias=f32[8], in_features=8, out_features=8)
        """
        if self.is_stateful():
            raise ValueError(
                "`LoRA.merge` can't merge into a `{}`, because the weight depends on the state.".format(
                    type(self.layer).__name__
                )
            )
        merge: Any = _merge
        for _ in range(self.lora_a.ndim - 2):  # a stack of wrappers, such as the layers of a `Stacked`
            merge = filter_vmap(merge)
        return merge(self)

    def _inner_layer(self) -> Any:
        return tree_util.tree_map(lambda leaf: lax.stop_gradient(leaf) if is_inexact_array(leaf) else leaf, self.layer)

    def _compute(self, weight: Array, state: Optional[State]) -> Tuple[Array, Updates]:
        change = self.alpha / self.lora_a.shape[-2] * (self.lora_b @ self.lora_a)
        return weight + as_dtype_of(change.reshape(weight.shape), weight.dtype), ()


def _merge(lora: LoRA) -> Any:
    layer, _ = unwrap(lora.layer, None)
    weight, _ = lora._compute(getattr(layer, lora.weight_name), None)
    return replace_unchecked(layer, {lora.weight_name: weight})

"""`SpectralNorm`: divide a weight by its largest singular value."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

import jax.numpy as jnp
import jax.random as jrandom
from jax import core, lax, tree_util

from .._compat.types import Array, Key
from .._module import field
from .._module.replace import replace_unchecked
from ._checks import as_bool, as_number, as_size, check_key
from ._dtypes import as_dtype_of, at_least_float32
from ._normalise import known_flag
from ._reparametrised import Reparametrised, Updates, call_with_state, first_weight, get_weight, unwrap
from ._state import SHARE_STATE, State, StateIndex, as_state, value_for


class SpectralNorm(Reparametrised):
    """Wrap a layer, and divide its weight by an estimate of the weight's largest singular value.

    The estimate is `u @ weight @ v`. The vectors `u` and `v` are in the state. Each call in training improves them by
    the power method. In inference they stay. The weight is seen as a matrix of `weight.shape[0]` rows. The gradient
    treats `u` and `v` as constants.

    `WeightNorm`, `SpectralNorm` and `LoRA` nest in each other. Then the weight is the one that the inner wrapper
    computes. To wrap the layers of a `Stacked`, write the wrapper inside `make_layer`.

    Args:
        layer: The layer, such as `Linear` or `Conv2d`. It may be another wrapper.
        weight_name: The name of the field with the weight. The weight has at least two axes.
        num_power_iterations: The number of iterations of the power method for each call in training.
        eps: The least norm that a vector is divided by.
        inference: Whether to keep `u` and `v` as they are. It is a leaf.
        key: A PRNG key for the first `u` and `v`.

    Shapes:
        The call takes and returns what `layer` does, with the state. The value of the state at `vectors` is `(u, v)`:
        `u` has the length of the first axis of the weight, `v` that of all others together.

    Initialisation:
        `u` and `v` are drawn from a normal distribution and improved by 15 iterations.

    PyTorch:
        `torch.nn.utils.parametrizations.spectral_norm` with `dim=0`. `_u` and `_v` are the state, `original` is the
        weight of `layer`. The formula is that of [Spectral Normalization](https://arxiv.org/abs/1802.05957).

    Raises:
        ValueError: `layer` has no field `weight_name`, or the weight has less than two axes.
        ValueError: `layer` is a stack of layers, or a `SpectralNorm` whose state was made before.
        ValueError: `num_power_iterations` is below 1, or `eps` is negative.
        TypeError: `layer` can't be called, the field holds no array, or another argument has the wrong type.

    Example:
        >>> linear = eqx.nn.Linear(3, 2, key=jax.random.PRNGKey(0))
        >>> norm, state = eqx.nn.make_with_state(eqx.nn.SpectralNorm)(linear, "weight", key=jax.random.PRNGKey(1))
        >>> y, state = norm(jnp.ones(3), state)
        >>> y.shape
        (2,)
    """

    vectors: StateIndex
    inference: Any
    num_power_iterations: int = field(static=True)
    eps: float = field(static=True)

    def __init__(
        self,
        layer: Any,
        weight_name: str = "weight",
        num_power_iterations: int = 1,
        eps: float = 1e-12,
        inference: bool = False,
        *,
        key: Key,
    ) -> None:
        weight = get_weight(layer, weight_name, "SpectralNorm")
        if weight.ndim < 2:
            raise ValueError(
                "`SpectralNorm` expects `{}` to have at least two axes, got shape {}. Use `WeightNorm`.".format(
                    weight_name, weight.shape
                )
            )
        self.layer = layer
        self.weight_name = weight_name
        self.num_power_iterations = as_size(num_power_iterations, "num_power_iterations", "SpectralNorm")
        self.eps = as_number(eps, "eps", "SpectralNorm", 0)
        self.inference = (
            inference if isinstance(inference, core.Tracer) else as_bool(inference, "inference", "SpectralNorm")
        )
        check_key(key, "SpectralNorm")
        u_key, v_key = jrandom.split(key)
        matrix = _as_matrix(first_weight(layer, weight_name))
        u = jrandom.normal(u_key, matrix.shape[:1], matrix.dtype)
        v = jrandom.normal(v_key, matrix.shape[1:], matrix.dtype)
        self.vectors = StateIndex(_improve(matrix, u, v, 15, self.eps))

    def __call__(
        self,
        x: Any,
        state: Optional[State] = None,
        *args: Any,
        key: Optional[Key] = None,
        inference: Any = None,
        **kwargs: Any,
    ) -> Tuple[Any, State]:
        """Call the layer with the normalised weight.

        Args:
            x: What the layer takes.
            state: The state with `u` and `v`. It is needed.
            *args: They are passed to the layer, such as the hidden state of a cell.
            key: A PRNG key for the layer. If the layer takes no key, it is not used.
            inference: If given, it is used instead of the layer's `inference`.
            **kwargs: They are passed to the layer.

        Returns:
            `(output of the layer, new state)`.

        Raises:
            ValueError: `state` is missing, is spent, or `u` and `v` have other lengths than the axes of the weight.
            TypeError: `state` is no `State`, or `inference` is no bool.

        Example:
            >>> linear = eqx.nn.Linear(3, 2, key=jax.random.PRNGKey(0))
            >>> norm, state = eqx.nn.make_with_state(eqx.nn.SpectralNorm)(linear, key=jax.random.PRNGKey(1))
            >>> y, state = norm(jnp.ones(3), state, inference=True)
        """
        state = as_state(state, "SpectralNorm")
        norm = self if inference is None else replace_unchecked(self, {"inference": inference})
        layer, updates = unwrap(norm, state)
        return call_with_state(layer, updates, x, state, args, dict(kwargs, key=key))

    def is_stateful(self) -> bool:
        """Say whether the call takes and returns a state.

        Returns:
            `True`: `u` and `v` are in it.

        Example:
            >>> linear = eqx.nn.Linear(3, 2, key=jax.random.PRNGKey(0))
            >>> eqx.nn.SpectralNorm(linear, key=jax.random.PRNGKey(1)).is_stateful()
            True
        """
        return True

    def _torch_parametrization(self, inside: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        number = sum(name.isdigit() for name in inside) + ("original0" in inside)  # of this one in PyTorch's list
        vectors = self.vectors if isinstance(self.vectors, tuple) else ()
        return dict(inside, **{str(number): dict(zip(("_u", "_v"), vectors))})

    def _compute(self, weight: Array, state: Optional[State]) -> Tuple[Array, Updates]:
        matrix = _as_matrix(weight)
        updates: Updates = ()
        if state is None and self.vectors.init is None:
            raise ValueError(
                "The weight of this `SpectralNorm` depends on the state, so no `WeightNorm` or `SpectralNorm` can be "
                "made around it now. Make all wrappers inside `eqx.nn.make_with_state`."
            )
        vectors: Tuple[Array, Array] = self.vectors.init
        if state is not None:
            shapes = (matrix.shape[:1], matrix.shape[1:])
            vectors = value_for(state, self.vectors, shapes, "SpectralNorm", _SHARE_STATE)
        traced = isinstance(self.inference, core.Tracer)
        if state is not None and (traced or not known_flag(self.inference, "SpectralNorm")):
            new = _improve(lax.stop_gradient(matrix), vectors[0], vectors[1], self.num_power_iterations, self.eps)
            vectors = tree_util.tree_map(lambda a, b: jnp.where(self.inference, a, b), vectors, new) if traced else new
            updates = ((self.vectors, vectors),)
        u, v = vectors
        return as_dtype_of((matrix / (u @ (matrix @ v))).reshape(weight.shape), weight.dtype), updates


_SHARE_STATE = SHARE_STATE.format("ys, state = jax.vmap(model, in_axes=(0, None), out_axes=(0, None))(xs, state)")


def _as_matrix(weight: Array) -> Array:
    return at_least_float32(weight).reshape((weight.shape[0], -1))


def _improve(matrix: Array, u: Array, v: Array, steps: int, eps: float) -> Tuple[Array, Array]:
    """The power method."""
    for _ in range(steps):
        u = _unit(matrix @ v, eps)
        v = _unit(u @ matrix, eps)
    return u, v


def _unit(x: Array, eps: float) -> Array:
    return x / jnp.maximum(jnp.sqrt(jnp.sum(x * x)), eps)

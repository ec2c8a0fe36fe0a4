"""`MultiheadAttention`: attention between two sequences, with projections for each head."""

import functools as ft
import math
from typing import Any, Callable, Dict, Optional, Tuple

import jax
import jax.numpy as jnp
import jax.random as jrandom
from jax import core, lax

from .._compat.types import AnyArray, Array, Key
from .._module import Module, field
from ._checks import as_array_of, as_bool, as_size, check_callable, check_key, in_words
from ._dot_product_attention import as_scores, attend
from ._dropout import TURN_OFF, Dropout, as_dropout, check_dropout_key
from ._dtypes import as_dtype_of, where_or
from ._linear import Linear
from ._parameters import Initialiser, as_dtype, uniform
from ._published import Published
from ._state import State, StateIndex, as_state, value_for
from ._torch_layout import joined, own_names

ProcessHeads = Callable[[Array, Array, Array], Tuple[Array, Array, Array]]

_MAP_STATE = (
    "It holds the caches of several sequences. Map over the state too: "
    "`jax.vmap(lambda x, state: layer(x, x, x, state=state))(xs, state)`."
)

_PROJECTIONS = ("query_proj", "key_proj", "value_proj", "output_proj")


def _with_dropout(layer: Any, dropout: Any) -> Tuple[Any]:
    return (Dropout(0.0) if dropout is None else dropout,)


def _without_dropout(layer: Any, dropout: Any) -> Tuple[Any]:
    return (None if layer.dropout is None and isinstance(dropout, Dropout) and dropout.p == 0 else dropout,)


class MultiheadAttention(Module):
    """Attend from one sequence to another, or to itself, with several heads.

    Queries, keys and values are projected and cut into heads. `eqx.nn.dot_product_attention` is applied to each head.
    The heads are joined and projected once more.

    To decode a sequence step by step, pass `max_length`. Then the layer keeps the keys and values of the steps before
    in a `State`, and a call with `state` attends to them too. The result is that of causal attention over the whole
    sequence.

    Args:
        num_heads: The number of heads of the queries.
        query_size: The length of a vector of `query`.
        key_size: The length of a vector of `key_`. The default is `query_size`.
        value_size: The length of a vector of `value`. The default is `query_size`.
        output_size: The length of a vector of the output. The default is `query_size`.
        qk_size: The length of a head of queries and keys. The default is `query_size // num_heads`.
        vo_size: The length of a head of values. The default is `query_size // num_heads`.
        use_query_bias: Whether the projection of the queries has a bias.
        use_key_bias: Whether the projection of the keys has a bias.
        use_value_bias: Whether the projection of the values has a bias.
        use_output_bias: Whether the projection of the output has a bias.
        dropout_p: The probability that a weight of the attention is set to zero.
        inference: Whether the dropout is off. It is the flag of the layer's `dropout`, which is
            `None` if `dropout_p` is 0.
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        num_kv_heads: The number of heads of keys and values. It divides `num_heads`. The default is `num_heads`.
        max_length: The length of the longest sequence that is decoded. The default is no cache.
        weight_init: A function that makes the weights, such as `jax.nn.initializers.he_normal()`.
        bias_init: A function that makes the biases, such as `jax.nn.initializers.zeros`.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        query: `(q, query_size)`. key_: `(kv, key_size)`. value: `(kv, value_size)`. The output: `(q, output_size)`.
        query_proj.weight: `(num_heads * qk_size, query_size)`. key_proj.weight: `(num_kv_heads * qk_size, key_size)`.
        value_proj.weight: `(num_kv_heads * vo_size, value_size)`.
        output_proj.weight: `(output_size, num_heads * vo_size)`.

    Initialisation:
        The weights of queries, keys and values are uniform in `(-b, b)` with `b = sqrt(6 / (inputs + outputs))`. If
        keys and values are as long as queries, `outputs` counts all three, as in `torch.nn.MultiheadAttention`. The
        weight of the output has `b = 1 / sqrt(inputs)`. The biases are 0.

    PyTorch:
        `torch.nn.MultiheadAttention(query_size, num_heads, dropout_p, bias)` with all biases or none. The rows of its
        `in_proj_weight` and `in_proj_bias` are those of `query_proj`, `key_proj` and `value_proj`, in this order:
        `q, k, v = jnp.split(in_proj_weight, 3)`. Otherwise they are `q_proj_weight`, `k_proj_weight` and
        `v_proj_weight`. `out_proj` is `output_proj`. Its masks are `True` where a key takes no part: `mask=~attn_mask`.
        The formula is that of [Attention Is All You Need](https://arxiv.org/abs/1706.03762).

    Raises:
        ValueError: A size is below 1, `num_kv_heads` doesn't divide `num_heads`, or `dropout_p` is outside 0 to 1.
        ValueError: `num_heads` doesn't divide `query_size`, and `qk_size` or `vo_size` isn't given.
        ValueError: `dtype` is not floating-point.
        ValueError: An initialiser fails, or returns another shape.
        TypeError: A size is no integer, `dropout_p` is no number, a flag is no bool, or `dtype` is no dtype.
        TypeError: An initialiser can't be called.
        TypeError: `key` is no PRNG key.

    Example:
        >>> attention = eqx.nn.MultiheadAttention(2, 8, key=jax.random.PRNGKey(0))
        >>> x = jnp.ones((5, 8))
        >>> attention(x, x, x, is_causal=True).shape
        (5, 8)
    """

    query_proj: Any
    key_proj: Any
    value_proj: Any
    output_proj: Any
    dropout: Optional[Dropout]
    cache: Optional[StateIndex]
    num_heads: int = field(static=True)
    num_kv_heads: int = field(static=True)
    query_size: int = field(static=True)
    key_size: int = field(static=True)
    value_size: int = field(static=True)
    output_size: int = field(static=True)
    qk_size: int = field(static=True)
    vo_size: int = field(static=True)
    max_length: Optional[int] = field(static=True)

    __published__ = Published("dropout", to=_with_dropout, back=_without_dropout)

    def __init__(
        self,
        num_heads: int,
        query_size: int,
        key_size: Optional[int] = None,
        value_size: Optional[int] = None,
        output_size: Optional[int] = None,
        qk_size: Optional[int] = None,
        vo_size: Optional[int] = None,
        use_query_bias: bool = False,
        use_key_bias: bool = False,
        use_value_bias: bool = False,
        use_output_bias: bool = False,
        dropout_p: float = 0.0,
        inference: bool = False,
        dtype: Any = None,
        *,
        num_kv_heads: Optional[int] = None,
        max_length: Optional[int] = None,
        weight_init: Optional[Initialiser] = None,
        bias_init: Optional[Initialiser] = None,
        key: Key,
    ) -> None:
        def size(value: Any, name: str, default: Any = None) -> int:
            return as_size(default if value is None else value, name, "MultiheadAttention")

        self.num_heads = size(num_heads, "num_heads")
        self.num_kv_heads = size(num_kv_heads, "num_kv_heads", self.num_heads)
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                "`MultiheadAttention` expects `num_kv_heads` to divide `num_heads`, got {} and {}.".format(
                    self.num_kv_heads, self.num_heads
                )
            )
        self.query_size = size(query_size, "query_size")
        self.key_size = size(key_size, "key_size", self.query_size)
        self.value_size = size(value_size, "value_size", self.query_size)
        self.output_size = size(output_size, "output_size", self.query_size)
        if (qk_size is None or vo_size is None) and self.query_size % self.num_heads:
            raise ValueError(
                "`MultiheadAttention` expects `num_heads` to divide `query_size`, got {} heads of {}. Otherwise give "
                "the length of a head, as `qk_size` and `vo_size`.".format(self.num_heads, self.query_size)
            )
        self.qk_size = size(qk_size, "qk_size", self.query_size // self.num_heads)
        self.vo_size = size(vo_size, "vo_size", self.query_size // self.num_heads)
        dtype = as_dtype(dtype, "MultiheadAttention")
        if not jnp.issubdtype(dtype, jnp.floating):
            raise ValueError("`MultiheadAttention` expects `dtype` to be floating-point, got {}.".format(dtype))
        self.dropout = as_dropout(dropout_p, "dropout_p", "MultiheadAttention", inference)
        check_key(key, "MultiheadAttention")

        queries, kv_heads = self.num_heads * self.qk_size, self.num_kv_heads
        shapes = (
            (self.query_size, queries, use_query_bias, "use_query_bias"),
            (self.key_size, kv_heads * self.qk_size, use_key_bias, "use_key_bias"),
            (self.value_size, kv_heads * self.vo_size, use_value_bias, "use_value_bias"),
            (self.num_heads * self.vo_size, self.output_size, use_output_bias, "use_output_bias"),
        )
        packed = self.query_size == self.key_size == self.value_size
        all_outputs = sum(outputs for _, outputs, _, _ in shapes[:3])
        for name, (inputs, outputs, with_bias, flag), k in zip(_PROJECTIONS, shapes, jrandom.split(key, 4)):
            default = None  # that of `Linear`
            if name != "output_proj":
                default = uniform(math.sqrt(6 / (inputs + (all_outputs if packed else outputs))))
            projection = Linear(
                inputs,
                outputs,
                as_bool(with_bias, flag, "MultiheadAttention"),
                dtype,
                weight_init=default if weight_init is None else weight_init,
                bias_init=_zeros if bias_init is None else bias_init,
                key=k,
            )
            setattr(self, name, projection)
        self.cache = None
        self.max_length = None if max_length is None else size(max_length, "max_length")
        if self.max_length is not None:
            rows = (self.max_length, kv_heads)
            self.cache = StateIndex(
                {
                    "key": jnp.zeros(rows + (self.qk_size,), dtype),
                    "value": jnp.zeros(rows + (self.vo_size,), dtype),
                    "length": jnp.zeros((), jnp.int32),
                }
            )

    def __call__(
        self,
        query: AnyArray,
        key_: AnyArray,
        value: AnyArray,
        mask: Optional[AnyArray] = None,
        *,
        state: Optional[State] = None,
        is_causal: bool = False,
        key: Optional[Key] = None,
        inference: Optional[bool] = None,
        process_heads: Optional[ProcessHeads] = None,
    ) -> Any:
        """Attend from `query` to `key_`.

        With a `state`, the arguments are the next vectors of a sequence, one or several. They attend to themselves and
        to all vectors before, as in causal attention. `state.get(attention.cache)["length"]` is the number of vectors
        before. The cache has room for `max_length` vectors. More of them are an error. If their number is traced, the
        output is NaN instead.

        Args:
            query: An array of shape `(q, query_size)`.
            key_: An array of shape `(kv, key_size)`.
            value: An array of shape `(kv, value_size)`.
            mask: An array of bools of shape `(q, kv)`, or `(num_heads, q, kv)`. Where it is `True`, the key takes part.
                If no key takes part for a query, its heads are zero. With `state`, `kv` is `max_length`.
            state: The state with the keys and values of the vectors before.
            is_causal: Whether vector `i` of `query` attends to the vectors `0` to `i` of `key_` only. With `state` it
                always does.
            key: A PRNG key for the dropout. It isn't needed in inference, or if `dropout_p` is 0.
            inference: If given, it is used instead of the flag of the layer's `dropout`.
            process_heads: A function that changes the heads before the attention, such as a rotary embedding. It gets
                arrays of shape `(q, num_heads, qk_size)`, `(kv, num_kv_heads, qk_size)` and
                `(kv, num_kv_heads, vo_size)`, and returns three such arrays.

        Returns:
            An array of shape `(q, output_size)` in the dtype of `query`. If `state` is given, `(output, new state)`.

        Raises:
            ValueError: An array has another shape, or `key` is missing.
            ValueError: `state` is given, and the layer has no `max_length`, or the cache is full.
            ValueError: `state` is spent, or its arrays have other shapes than this layer's cache.
            ValueError: `process_heads` doesn't return three arrays of three axes. With `state`, it returns other shapes
                than it gets.
            ValueError: The layer is a stack of layers, as `jax.vmap` over the construction makes it.
            TypeError: An argument can't be made into an array, `mask` has no bools, or `state` is no `State`.
            TypeError: `is_causal` or `inference` is no bool, `process_heads` can't be called, or `key` is no PRNG key.

        Example:
            >>> make = eqx.nn.make_with_state(eqx.nn.MultiheadAttention)
            >>> attention, state = make(2, 8, max_length=5, key=jax.random.PRNGKey(0))
            >>> xs = jax.random.normal(jax.random.PRNGKey(1), (5, 8))
            >>> whole = attention(xs, xs, xs, is_causal=True)
            >>> first, state = attention(xs[:4], xs[:4], xs[:4], state=state)
            >>> last, state = attention(xs[4:], xs[4:], xs[4:], state=state)
            >>> bool(jnp.allclose(jnp.concatenate([first, last]), whole, atol=1e-5))
            True
        """
        query, key_, value = self._as_sequences(query, key_, value)
        is_causal = as_bool(is_causal, "is_causal", "MultiheadAttention")
        heads = (
            _cut(self.query_proj, query, self.num_heads),
            _cut(self.key_proj, key_, self.num_kv_heads),
            _cut(self.value_proj, value, self.num_kv_heads),
        )
        if process_heads is not None:
            heads = _processed(process_heads, heads)
        check_dropout_key(self.dropout, key, inference, "MultiheadAttention", "with `inference=True`, or " + TURN_OFF)
        drop = None if self.dropout is None else ft.partial(self.dropout, key=key, inference=inference)
        if state is None:
            return self._join(attend("MultiheadAttention", *heads, mask=mask, is_causal=is_causal, drop=drop))
        cache, before = self._before(state)
        after, seen, fits = self._remember(before, *heads)
        if mask is not None:
            shape = (self.num_heads, len(query), seen.shape[1])
            who = "`MultiheadAttention` with `max_length={}`".format(shape[-1])
            seen = as_scores(mask, "mask", shape, who) & seen
        keys, values = after["key"], after["value"]
        y = self._join(attend("MultiheadAttention", heads[0], keys, values, mask=seen, drop=drop))
        y = where_or(fits, y, jnp.nan) if isinstance(fits, core.Tracer) else y
        # A call that fails doesn't spend the state, so `set` comes last.
        return y, state.set(cache, after)

    def _torch_names(self) -> Dict[str, Any]:
        """PyTorch's layer has heads of one size, and all biases or none. Any other layer keeps its own names."""
        query, key, value, output = parts = [getattr(self, name) for name in _PROJECTIONS]
        biases = {part.bias is not None for part in parts if type(part) is Linear}
        sizes = {self.query_size, self.output_size, self.num_heads * self.qk_size, self.num_heads * self.vo_size}
        plain = all(type(part) is Linear for part in parts) and self.num_heads == self.num_kv_heads
        if not plain or len(biases) > 1 or len(sizes) > 1:
            return own_names(self)
        names: Dict[str, Any] = {"out_proj": output}
        if self.key_size == self.value_size == self.query_size:
            names["in_proj_weight"] = joined([query.weight, key.weight, value.weight])
        else:
            names.update(q_proj_weight=query.weight, k_proj_weight=key.weight, v_proj_weight=value.weight)
        if biases == {True}:
            names["in_proj_bias"] = joined([query.bias, key.bias, value.bias])
        return names

    def _as_sequences(self, query: Any, key_: Any, value: Any) -> Tuple[Array, Array, Array]:
        batched = "jax.vmap(layer)(query, key_, value)"

        def as_sequence(x: Any, name: str, length: Any, size_name: str) -> Array:
            size = getattr(self, size_name)
            who = "`MultiheadAttention` with `{}={}`".format(size_name, size)
            next_move = "Reshape it, or make the layer with another `{}`.".format(size_name)
            return as_array_of(x, name, (length, size), who, batched, next_move)

        query = as_sequence(query, "query", "q", "query_size")
        key_ = as_sequence(key_, "key_", "kv", "key_size")
        value = as_sequence(value, "value", "kv", "value_size")
        if len(key_) != len(value):
            raise ValueError(
                "`MultiheadAttention` expects `key_` and `value` of one length, got {} and {}.".format(
                    key_.shape, value.shape
                )
            )
        return query, key_, value

    def _join(self, heads: Array) -> Array:
        q, number, size = heads.shape
        return jax.vmap(self.output_proj)(heads.reshape(q, number * size))

    def _before(self, state: State) -> Tuple[StateIndex, Dict[str, Array]]:
        """The index of the cache, and what it holds before the call."""
        if self.cache is None or self.max_length is None:
            raise ValueError(
                "`MultiheadAttention` keeps no keys and values, but got `state`. Make it with `max_length=...`, in "
                "`eqx.nn.make_with_state`."
            )
        rows = (self.max_length, self.num_kv_heads)
        shapes = {"key": rows + (self.qk_size,), "value": rows + (self.vo_size,), "length": ()}
        state = as_state(state, "MultiheadAttention")
        return self.cache, value_for(state, self.cache, shapes, "MultiheadAttention", _MAP_STATE)

    def _remember(self, before: Dict[str, Array], query: Array, key_: Array, value: Array) -> Tuple[Any, Array, Any]:
        """Write the heads of keys and values to the cache.

        Returns:
            The new value of the cache, the mask of the keys that each query sees, and whether all fit.
        """
        length, size, new = before["length"], len(before["key"]), len(key_)
        if len(query) != new:
            raise ValueError(
                "`MultiheadAttention` with `state` expects `query` and `key_` of one length, got {} and {}.".format(
                    len(query), new
                )
            )
        for name, x in (("key", key_), ("value", value)):
            if x.shape[1:] != before[name].shape[1:]:
                raise ValueError(
                    "`MultiheadAttention` keeps heads of shape {} for each {}, but `process_heads` returns {}. Return "
                    "the shapes that it gets.".format(before[name].shape[1:], name, x.shape[1:])
                )
        fits = length + new <= size
        if new > size or not (isinstance(fits, core.Tracer) or fits):
            known = "" if isinstance(length, core.Tracer) else " It holds {} already.".format(int(length))
            raise ValueError(
                "`MultiheadAttention` with `max_length={}` has no room for {} more.{} Make it with a greater "
                "`max_length`, or begin with the first state.".format(size, new, known)
            )
        after = {
            name: lax.dynamic_update_slice_in_dim(before[name], as_dtype_of(x, before[name].dtype), length, 0)
            for name, x in (("key", key_), ("value", value))
        }
        seen = jnp.arange(size) <= (length + jnp.arange(new))[:, None]
        return dict(after, length=as_dtype_of(length + new, length.dtype)), seen, fits


def _cut(projection: Any, x: Array, heads: int) -> Array:
    """The projection of a sequence, with an axis for the heads after that of the sequence."""
    y = jax.vmap(projection)(x)
    return y.reshape(y.shape[0], heads, y.shape[1] // heads)


def _processed(process_heads: Any, heads: Tuple[Array, Array, Array]) -> Tuple[Array, Array, Array]:
    check_callable(process_heads, "process_heads", "MultiheadAttention")
    processed = process_heads(*heads)
    if not isinstance(processed, (tuple, list)) or [getattr(x, "ndim", None) for x in processed] != [3, 3, 3]:
        raise ValueError(
            "`MultiheadAttention` expects `process_heads` to return three arrays of shapes (q, heads, size), got "
            "{}.".format(in_words(processed))
        )
    return processed[0], processed[1], processed[2]


def _zeros(key: Key, shape: Tuple[int, ...], dtype: Any) -> Array:
    return jnp.zeros(shape, dtype)

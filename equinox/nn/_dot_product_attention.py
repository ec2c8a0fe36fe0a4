"""`dot_product_attention`: a mean of values, weighted by how well their keys match a query."""

import functools as ft
import math
from typing import Any, Callable, Optional, Tuple, Union

import jax
import jax.numpy as jnp

from .. import _compat
from .._compat.types import AnyArray, Array, Key
from ._checks import as_array_of, as_bool, as_number, in_words
from ._dropout import as_dropout, check_dropout_key
from ._dtypes import as_dtype_of, match_dtypes, where_or

Drop = Callable[[Array], Array]

_NAME = "dot_product_attention"
_BATCHED = "jax.vmap(eqx.nn.dot_product_attention)(query, key_, value)"


def dot_product_attention(
    query: AnyArray,
    key_: AnyArray,
    value: AnyArray,
    mask: Optional[AnyArray] = None,
    *,
    bias: Optional[AnyArray] = None,
    is_causal: bool = False,
    scale: Optional[Union[float, AnyArray]] = None,
    dropout_p: float = 0.0,
    key: Optional[Key] = None,
    implementation: Optional[str] = None,
) -> Array:
    """Attend from each query to all keys: `softmax(query @ key_.T * scale + bias) @ value`, for each head.

    Several heads of the query may share a head of keys and values. Head `h` of the query uses head
    `h // (heads // kv_heads)`. If `kv_heads` is 1, this is multi-query attention.

    The softmax is computed in at least float32. If no key takes part for a query, its output is zero, and so are its
    gradients.

    Args:
        query: The queries.
        key_: The keys.
        value: The values.
        mask: An array of bools. Where it is `True`, the key takes part.
        bias: An array of numbers that are added before the softmax.
        is_causal: Whether query `i` attends to the keys `0` to `i` only.
        scale: A number. The default is `1 / sqrt(size)`.
        dropout_p: The probability that a weight is set to zero. The others are divided by `1 - dropout_p`.
        key: A PRNG key for the dropout. It isn't needed if `dropout_p` is 0.
        implementation: `None` computes it here, on any device and JAX. `"cudnn"` and `"xla"` are those of
            `jax.nn.dot_product_attention`, from JAX 0.4.31. `"cudnn"` is fused and needs an NVIDIA GPU and 16 bits. JAX
            can't be asked whether it takes given arrays, so the choice is yours. They have no dropout, and `size` is
            also the length of the values.

    Shapes:
        query: `(q, heads, size)`. key_: `(kv, kv_heads, size)`. value: `(kv, kv_heads, value_size)`. Use `jax.vmap` for
            a batch.
        mask and bias: `(q, kv)`, or `(heads, q, kv)`. The output: `(q, heads, value_size)`.

    PyTorch:
        `torch.nn.functional.scaled_dot_product_attention`, whose heads come before the sequence. Its `attn_mask` of
        bools is `mask`, its `attn_mask` of numbers is `bias`. `enable_gqa` isn't needed. The formula is that of
        [Attention Is All You Need](https://arxiv.org/abs/1706.03762).

    Returns:
        An array in the dtype of `query` if that is floating-point.

    Raises:
        ValueError: An array has another shape, or `kv_heads` doesn't divide `heads`.
        ValueError: `dropout_p` is outside 0 to 1, `key` is missing, or `implementation` is unknown.
        ValueError: `implementation` is given, and so is `dropout_p`, or the values have another length than the keys.
        TypeError: The queries aren't real numbers, `mask` has no bools, or `bias` has no real numbers.
        TypeError: `is_causal` is no bool, `dropout_p` is no number, or `key` is no PRNG key.
        NotImplementedError: This JAX lacks `implementation`.

    Example:
        >>> query = jax.random.normal(jax.random.PRNGKey(0), (5, 4, 8))
        >>> kv = jax.random.normal(jax.random.PRNGKey(1), (7, 2, 8))
        >>> eqx.nn.dot_product_attention(query, kv, kv).shape
        (5, 4, 8)
    """
    drop, dropout = None, as_dropout(dropout_p, "dropout_p", _NAME)
    if dropout is not None:
        if implementation is not None:
            raise ValueError(
                "`{}` with `implementation={!r}` has no dropout, got `dropout_p={}`. Leave out one of them.".format(
                    _NAME, implementation, dropout_p
                )
            )
        check_dropout_key(dropout, key, None, _NAME, "with `dropout_p=0.0`")
        drop = ft.partial(dropout, key=key)
    return attend(_NAME, query, key_, value, mask, bias, is_causal, scale, drop, implementation)


def attend(
    who: str,
    query: Any,
    key_: Any,
    value: Any,
    mask: Any = None,
    bias: Any = None,
    is_causal: Any = False,
    scale: Any = None,
    drop: Optional[Drop] = None,
    implementation: Optional[str] = None,
) -> Array:
    """`dot_product_attention`, with any function as the dropout. `who` is the layer or function, for the errors."""
    if implementation not in (None, "xla", "cudnn"):
        raise ValueError(
            "`{}` expects `implementation` to be `None`, 'xla' or 'cudnn', got {}.".format(
                who, in_words(implementation)
            )
        )
    is_causal = as_bool(is_causal, "is_causal", who)
    query, key_, value = _as_arrays(query, key_, value, who)
    q, heads, size = query.shape
    kv, kv_heads, value_size = value.shape
    if implementation is not None and value_size != size:
        raise ValueError(
            "`{}` with `implementation={!r}` expects `value` to have vectors as long as those of `query`, got {} and "
            "{}. Leave out `implementation`.".format(who, implementation, value_size, size)
        )
    if mask is not None:
        mask = as_scores(mask, "mask", (heads, q, kv), "`{}`".format(who))
    if bias is not None:
        bias = as_scores(bias, "bias", (heads, q, kv), "`{}`".format(who))
        # Minus infinity means that the key takes no part. The softmax of it alone would be NaN.
        finite = bias > -jnp.inf
        mask = finite if mask is None else mask & finite
    scale = 1 / math.sqrt(size) if scale is None else _as_scale(scale, who)
    if q == 0 or kv == 0:
        return jnp.zeros((q, heads, value_size), query.dtype)
    if implementation is not None:
        return _by_jax(query, key_, value, mask, bias, is_causal, scale, implementation)

    some = None if mask is None else _queries_with_keys(mask, is_causal)
    if is_causal:
        mask = _and_causal(mask, q, kv)
    # The heads that share keys count as further queries of one head.
    group = heads // kv_heads
    query = _as_queries(query, group)
    wide = jnp.promote_types(query.dtype, jnp.float32)
    scores = _compat.dot_general_in(wide, query, key_, (((2,), (2,)), ((1,), (1,)))) * jnp.asarray(scale, wide)
    if bias is not None:
        scores = scores + _as_rows(as_dtype_of(bias, wide), group)
    if mask is not None:
        scores = jnp.where(_as_rows(mask, group), scores, jnp.finfo(wide).min)
    weights = jax.nn.softmax(scores, 2)
    if drop is not None:
        weights = drop(weights)
    y = _compat.dot_general_in(wide, as_dtype_of(weights, query.dtype), value, (((2,), (0,)), ((0,), (1,))))
    y = as_dtype_of(_as_heads(jnp.moveaxis(y, 0, 1), group), query.dtype)
    return y if some is None else where_or(some, y, 0)


def _as_queries(x: Array, group: int) -> Array:
    """From `(q, kv_heads * group, size)` to `(q * group, kv_heads, size)`."""
    if group == 1:
        return x
    q, heads, size = x.shape
    return jnp.swapaxes(x.reshape(q, heads // group, group, size), 1, 2).reshape(q * group, heads // group, size)


def _as_heads(x: Array, group: int) -> Array:
    """From `(q * group, kv_heads, size)` to `(q, kv_heads * group, size)`."""
    if group == 1:
        return x
    rows, kv_heads, size = x.shape
    return jnp.swapaxes(x.reshape(rows // group, group, kv_heads, size), 1, 2).reshape(-1, kv_heads * group, size)


def _as_rows(x: Array, group: int) -> Array:
    """From `(q, kv)` to `(q * group, kv)`, or from `(kv_heads * group, q, kv)` to `(kv_heads, q * group, kv)`."""
    if group == 1:
        return x
    if x.ndim == 2:
        return jnp.repeat(x, group, 0)
    heads, q, kv = x.shape
    return jnp.swapaxes(x.reshape(heads // group, group, q, kv), 1, 2).reshape(heads // group, q * group, kv)


def _as_arrays(query: Any, key_: Any, value: Any, who: str) -> Tuple[Array, Array, Array]:
    """The three arrays in one dtype, with shapes that fit."""
    query = as_array_of(query, "query", ("q", "heads", "size"), "`{}`".format(who), _BATCHED)
    _, heads, size = query.shape
    with_query = "`{}` with `query` of {}".format(who, size)
    key_ = as_array_of(key_, "key_", ("kv", "kv_heads", size), with_query, _BATCHED)
    kv, kv_heads, _ = key_.shape
    with_key = "`{}` with `key_` of shape {}".format(who, key_.shape)
    value = as_array_of(value, "value", (kv, kv_heads, "value_size"), with_key, _BATCHED)
    if kv_heads == 0 or heads % kv_heads:
        raise ValueError(
            "`{}` expects the heads of `key_` and `value` to divide those of `query`, got {} heads of `key_` and {} of "
            "`query`.".format(who, kv_heads, heads)
        )
    for name, x in (("key_", key_), ("value", value)):
        if jnp.issubdtype(x.dtype, jnp.complexfloating):
            raise TypeError("`{}` expects `{}` to be real, got {}.".format(who, name, x.dtype))
    query, key_, value = match_dtypes(query, key_, value)
    if not jnp.issubdtype(query.dtype, jnp.floating):
        raise TypeError(
            "`{}` expects `query` to be floating-point, got {}: convert it first, as with "
            "`query.astype(jnp.float32)`.".format(who, query.dtype)
        )
    return query, key_, value


def as_scores(x: Any, name: str, shape: Tuple[int, int, int], who: str) -> Array:
    """The mask or the bias, as an array of shape `(q, kv)` or `(heads, q, kv)`. `who` begins the message."""
    if not hasattr(x, "shape"):
        raise TypeError("{} expects `{}` to be an array, got {}.".format(who, name, in_words(x)))
    x = jnp.asarray(x)
    if x.shape not in (shape, shape[1:]):
        raise ValueError(
            "{} expects `{}` to have shape (q, kv) or (heads, q, kv), here {} or {}, got {}.".format(
                who, name, shape[1:], shape, x.shape
            )
        )
    if name == "mask" and x.dtype != jnp.bool_:
        raise TypeError(
            "{} expects `mask` to hold bools, which are `True` where a key takes part, got {}. To add numbers, use "
            "the `bias` of `eqx.nn.dot_product_attention`.".format(who, x.dtype)
        )
    if name == "bias" and not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError("{} expects `bias` to be floating-point, got {}.".format(who, x.dtype))
    return x


def _as_scale(scale: Any, who: str) -> Any:
    """A number, or an array of shape `()`, such as a temperature that is learnt."""
    if not hasattr(scale, "shape"):
        return as_number(scale, "scale", who, -math.inf)
    if scale.shape != ():
        raise ValueError("`{}` expects `scale` to be one number, got an array of shape {}.".format(who, scale.shape))
    return scale


def _and_causal(mask: Optional[Array], q: int, kv: int) -> Array:
    causal = jnp.arange(q)[:, None] >= jnp.arange(kv)
    return causal if mask is None else mask & causal


def _by_jax(
    query: Array, key_: Array, value: Array, mask: Any, bias: Any, is_causal: bool, scale: Any, implementation: str
) -> Array:
    def with_batch(x: Any) -> Any:
        return None if x is None else x[(None,) * (4 - x.ndim)]

    y = _compat.dot_product_attention(
        query[None],
        key_[None],
        value[None],
        with_batch(bias),
        with_batch(mask),
        scale=scale,
        is_causal=is_causal,
        implementation=implementation,
    )[0]
    # JAX gives the mean of all values to a query for which no key takes part.
    return y if mask is None else where_or(_queries_with_keys(mask, is_causal), y, 0)


def _queries_with_keys(mask: Array, is_causal: bool) -> Array:
    """For each query, whether a key takes part, in shape `(q, 1, 1)` or `(q, heads, 1)`."""
    some = jnp.any(_and_causal(mask, *mask.shape[-2:]) if is_causal else mask, -1)
    return some.reshape(-1, 1, 1) if some.ndim == 1 else some.T[:, :, None]

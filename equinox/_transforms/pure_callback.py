"""`filter_pure_callback`: call a function on the host, with any inputs and outputs."""

from __future__ import annotations

from typing import Any, Callable, Optional

import jax
import numpy as np
from jax import tree_util

from .. import _compat
from .._compat.types import PyTree
from .._dispatch.leaf_groups import separate
from .._module.forwards_keywords import forwards_keywords
from .._trees.paths import describe_leaf, first_difference, leaf_paths
from .._trees.predicates import is_array, is_array_or_shape
from .._trees.static import hashable_key
from .wrap import check_callable

_ONE_BY_ONE = ("sequential", "sequential_unrolled")
_IN_BATCHES = ("expand_dims", "broadcast_all", "legacy_vectorized")


@forwards_keywords
def filter_pure_callback(
    __callback: Callable[..., Any],
    *args: Any,
    result_shape_dtypes: PyTree,
    sharding: Any = None,
    vmap_method: Optional[str] = None,
    vectorized: Optional[bool] = None,
    **kwargs: Any,
) -> Any:
    """Call a Python function on the host, also from a compiled function: `jax.pure_callback` for any pytrees.

    The function must have no side effects. JAX may call it several times, or never if the result isn't used. It has no
    gradient, unless a custom rule defines one.

    It should raise no error in a program for several devices. JAX calls it for one device. If it raises an error there,
    the other devices may wait forever. Let it return a flag, and raise the error with `error_if`:

        def on_host(x):
            try:
                return solve(x), False
            except ValueError:
                return np.zeros_like(x), True

        flag = jax.ShapeDtypeStruct((), bool)
        y, failed = eqx.filter_pure_callback(on_host, x, result_shape_dtypes=(x, flag))
        y = eqx.error_if(y, failed, "The solver failed.")

    Args:
        callback: The function. Arrays in its inputs become NumPy arrays, and PRNG keys become their data. Everything
            else is passed unchanged. If `callback` is a pytree, such as a model, its arrays become NumPy arrays too.
        *args: The inputs of `callback`.
        result_shape_dtypes: A tree like the result of `callback`. Each array is a `jax.ShapeDtypeStruct`, or an array
            with the same shape and dtype. Any other leaf is returned unchanged.
        sharding: The sharding whose device calls `callback`, as for `jax.pure_callback`.
        vmap_method: How `vmap` maps `callback`. With "sequential", it is called for one example at a time. With
            "expand_dims" or "broadcast_all", it is called once with the whole batch. An array that isn't mapped then
            has a new first axis: of size 1, or of the size of the batch. `jax.pure_callback` has more methods.
        vectorized: An older name for two methods: `False` means "sequential" and `True` means "legacy_vectorized".
        **kwargs: More inputs, by keyword. They may have any name that isn't one of the options above. `eqx.Partial`
            can pass the others.

    Returns:
        The result of `callback`, with JAX arrays.

    Raises:
        TypeError: `callback` isn't callable.
        ValueError: Both `vmap_method` and `vectorized` were given, or JAX has no such method.
        ValueError: `callback` returned another structure, shape or dtype. The error comes from the running program, so
            JAX may raise it as an error of another type. The message has the path.
        NotImplementedError: The running JAX is older than 0.3.17, which added `jax.pure_callback`, or lacks an option.

    Example:
        >>> rounded = lambda x, digits: np.round(x, digits)
        >>> shape = jax.ShapeDtypeStruct((2,), jnp.float32)
        >>> x = jnp.array([1.26, 2.0])
        >>> eqx.filter_pure_callback(rounded, x, 1, result_shape_dtypes=shape)[1].item()
        2.0
    """
    check_callable("filter_pure_callback", __callback)
    if vectorized is not None:
        if vmap_method is not None:
            raise ValueError("`filter_pure_callback` got both `vmap_method` and `vectorized`. Leave out the latter.")
        vmap_method = "legacy_vectorized" if vectorized else "sequential"
    if vmap_method not in (None, *_ONE_BY_ONE, *_IN_BATCHES):
        message = "`filter_pure_callback` expects `vmap_method` to be one of {}, got {!r}."
        raise ValueError(message.format(", ".join(map(repr, _ONE_BY_ONE + _IN_BATCHES)), vmap_method))
    arrays, merge = separate((__callback, args, kwargs), is_array)
    results, merge_results = separate(result_shape_dtypes, is_array_or_shape)
    shapes = list(map(_compat.abstract, results))
    on_host = _OnHost(merge, len(arrays), merge_results(shapes), gets_batches=vmap_method in _IN_BATCHES)
    return merge_results(_compat.pure_callback(on_host, shapes, arrays, sharding, vmap_method))


class _OnHost:
    """The function that JAX calls. It takes arrays and returns a list of arrays.

    Two are equal if they call the same function with the same static inputs. JAX then compiles only one of them.

    Args:
        merge: Makes callback, positional and keyword arguments from the arrays in them.
        number: How many arrays there are.
        expected: The result, with shapes for arrays.
        gets_batches: Whether the arrays may have more axes in front.
    """

    def __init__(self, merge, number, expected, gets_batches):
        self._merge = merge
        self._expected = expected
        self._gets_batches = gets_batches
        self._key = hashable_key((merge([_Array] * number), expected, gets_batches))

    def __call__(self, *arrays):
        callback, args, kwargs = self._merge(list(map(np.asarray, arrays)))
        out = callback(*args, **kwargs)
        leaves, treedef = tree_util.tree_flatten(out)
        expected, expected_treedef = tree_util.tree_flatten(self._expected)
        if treedef != expected_treedef:
            raise ValueError(
                "`filter_pure_callback` expects what `result_shape_dtypes` says. At `{}` expected {}, got {}.".format(
                    *first_difference(self._expected, out, "result")
                )
            )
        pairs = [(i, np.asarray(x), y) for i, (x, y) in enumerate(zip(leaves, expected)) if is_array_or_shape(y)]
        return [self._fitted(x, shape, i) for i, x, shape in pairs]

    def _fitted(self, x, shape, i):
        """The array `x` if it is as `shape` says. NumPy computes in 64 bits where JAX may have 32."""
        examples = x.shape[max(x.ndim - len(shape.shape), 0) :] if self._gets_batches else x.shape
        dtype = jax.dtypes.canonicalize_dtype(x.dtype) if is_array(x) else None
        if examples != shape.shape or shape.dtype not in (x.dtype, dtype):
            raise ValueError(
                "`filter_pure_callback` expects `{}` to be {}[{}]{}, as `result_shape_dtypes` says, but the callback "
                "returned {}.".format(
                    leaf_paths(self._expected, "result")[i],
                    shape.dtype,
                    ",".join(map(str, shape.shape)),
                    " with axes of the batch in front" if self._gets_batches else "",
                    describe_leaf(x),
                )
            )
        return x.astype(shape.dtype)

    def __eq__(self, other):
        return type(other) is _OnHost and self._key == other._key

    def __hash__(self):
        return hash(self._key)


class _Array:
    """Stands for an array in a key."""

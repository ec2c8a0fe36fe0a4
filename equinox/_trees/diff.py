"""`tree_diff`: where two trees differ, in words."""

from __future__ import annotations

from typing import Any, List, Optional

import jax.numpy as jnp
import numpy as np
from jax import core, tree_util

from .. import _compat
from .._compat.types import PyTree
from .changes import Change, arrow, changes_in_tree, value_change
from .equal import Comparison, wide_dtype
from .format import array_text
from .paths import class_name, describe_leaf, leaf_paths
from .predicates import is_array, is_inexact_dtype, is_jax_array


def tree_diff(a: PyTree, b: PyTree, *, typematch: bool = False, rtol: float = 0.0, atol: float = 0.0) -> List[Change]:
    """List where two trees differ. The list is empty exactly if `tree_equal` with the same options is true.

    Args:
        a: Any pytree, such as a model.
        b: The pytree to compare with it.
        typematch: As in `tree_equal`.
        rtol: As in `tree_equal`.
        atol: As in `tree_equal`.

    Returns:
        A list of differences, in the order of flattening. `str` of one gives it in words. Its `path` is what follows
        the name of the tree in Python. Its `before` and `after` say what is in `a` and in `b`, or are `None` where
        nothing is. If two arrays have the same shape and dtype, the words say how many values differ, and which differ
        most.

    Raises:
        TypeError: The answer depends on the values of traced arrays, as inside `jax.jit`.
        TypeError: A tolerance is no number.
        ValueError: A tolerance is negative or isn't finite.

    Example:
        >>> a = {"bias": jnp.ones(3), "depth": 2, "weight": jnp.ones((3, 2))}
        >>> b = {"bias": jnp.ones(4), "weight": jnp.ones((3, 2)).at[1, 0].set(1.5)}
        >>> print(*eqx.tree_diff(a, b), sep="\\n")
        ['depth']: this key is gone
        ['bias']: f32[3] -> f32[4]
        ['weight']: f32[3,2], 1 of 6 values differ, most at [1, 0]: 1.0 -> 1.5, by 0.5
    """
    comparison = Comparison("tree_diff", typematch, rtol, atol)

    def of_leaves(path: str, x: Any, y: Any) -> Optional[Change]:
        equal = comparison.leaves(x, y)
        if isinstance(equal, core.Tracer):
            raise TypeError(
                "`tree_diff` expects arrays with known values, got a traced one{}: {}. Call it outside of `jax.jit` "
                "and other transformations. `tree_equal` takes traced arrays.".format(
                    " at `{}`".format(path) if path else "", describe_leaf(x)
                )
            )
        return None if equal else _leaf_change(path, x, y, comparison)

    leaves, structure = tree_util.tree_flatten(a)
    other_leaves, other_structure = tree_util.tree_flatten(b)
    if structure != other_structure:
        found = changes_in_tree(a, b, "", of_leaves, lambda path, x, y: value_change(path, x, y, "static"))
        return found or [arrow("", str(structure), str(other_structure), "another structure")]
    unequal = [i for i, x in enumerate(leaves) if comparison.leaves(x, other_leaves[i]) is not True]
    paths = leaf_paths(a) if unequal else []
    changes = [of_leaves(paths[i], leaves[i], other_leaves[i]) for i in unequal]
    return [change for change in changes if change is not None]


def _leaf_change(path: str, a: Any, b: Any, comparison: Comparison) -> Change:
    """The change between two leaves that differ."""
    if not is_array(a) or not is_array(b):
        return value_change(path, a, b)
    before, after = array_text(a), array_text(b)
    if before != after:
        return arrow(path, before, after)
    if class_name(a) != class_name(b):
        return arrow(path, before, after, "{} -> {}".format(class_name(a), class_name(b)))
    return Change(path, before, after, ", ".join([before, *_values_in_words(a, b, comparison)]))


def _values_in_words(a: Any, b: Any, comparison: Comparison) -> List[str]:
    """How the values of two arrays of the same shape and dtype differ."""
    if not isinstance(a.dtype, np.dtype):
        return ["other PRNG keys"]
    x, y = (_compat.to_numpy(array) if is_jax_array(array) else array for array in (a, b))
    if x is None or y is None:  # this process doesn't have all values
        return ["other values"]
    differ = ~np.asarray(comparison.elements(x, y, np))
    distance = np.where(differ, _distance(x, y), 0)
    place = np.unravel_index(np.argmax(distance), x.shape)
    words = "{!s} -> {!s}".format(x[place], y[place])  # `format` would write a float32 with the digits of a float64
    if x.ndim:
        at = "[{}]".format(", ".join(map(str, place)))
        words = "{} of {} values differ, most at {}: {}".format(np.count_nonzero(differ), x.size, at, words)
    return [words, "by {:.3g}".format(float(distance[place]))] if distance[place] < np.inf else [words]


def _distance(x: Any, y: Any) -> Any:
    """The distances of the elements of two arrays of numbers. Infinite where an element is infinite or NaN."""
    if is_inexact_dtype(x.dtype):
        wide = wide_dtype(x.dtype, np)
        with np.errstate(all="ignore"):
            distance = abs(x.astype(wide) - y.astype(wide))
        return np.where(np.isfinite(distance), distance, np.inf)
    if x.dtype == np.bool_:
        return x != y
    wide = np.uint64 if jnp.issubdtype(x.dtype, jnp.unsignedinteger) else np.int64
    # The difference of two int64 may be too large for an int64. It always fits into an uint64, which wraps around.
    x, y = x.astype(wide), y.astype(wide)
    return np.maximum(x, y).astype(np.uint64) - np.minimum(x, y).astype(np.uint64)

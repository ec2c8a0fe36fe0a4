"""`tree_equal`: whether trees are equal, in structure and leaf by leaf."""

from __future__ import annotations

import functools as ft
from typing import Any, List

import jax.numpy as jnp
import numpy as np
from jax import core, tree_util

from .._compat.types import PyTree
from .paths import describe_leaf
from .predicates import concrete_array_types, is_inexact_jax_or_numpy, is_jax_array, is_numpy
from .static import types_of


def tree_equal(*pytrees: PyTree, typematch: bool = False, rtol: float = 0.0, atol: float = 0.0) -> bool:
    """Whether all `pytrees` are equal, in their structure and in each leaf.

    Arrays are equal if they have the same shape, dtype and values. NaN is equal to nothing, as for `==`. A JAX array is
    never equal to a NumPy array. Other leaves are equal if they have the same type and `==` is true. So `True`, `1` and
    `1.0` are all different, also inside a set or a dataclass. With one tree, or none, the answer is `True`.

    Args:
        *pytrees: Any pytrees.
        typematch: Whether JAX arrays must also have the same weak type. If trees are equal in this way, `jax.jit` uses
            one compiled program for them.
        rtol: The relative tolerance for floating-point and complex values: of arrays, and of Python and NumPy numbers.
            Two finite values `a` and `b` are equal if `abs(a - b) <= atol + rtol * max(abs(a), abs(b))`.
        atol: The absolute tolerance.

    Returns:
        A `bool`. If the answer depends on the values of traced arrays, a traced scalar.

    Raises:
        TypeError: A tolerance is no number.
        ValueError: A tolerance is negative or isn't finite.

    Example:
        >>> eqx.tree_equal([jnp.ones(2), "text"], [jnp.ones(2), "text"])
        True
        >>> eqx.tree_equal(jnp.ones(2), np.ones(2, np.float32)), eqx.tree_equal(1, 1.0)
        (False, False)
        >>> eqx.tree_equal({"a": 1.0}, {"a": 1.01}), eqx.tree_equal({"a": 1.0}, {"a": 1.01}, rtol=0.1)
        (False, True)
    """
    if not pytrees:
        return True
    compare = Comparison("tree_equal", typematch, rtol, atol).leaves
    leaves, treedef = tree_util.tree_flatten(pytrees[0])
    traced: List[Any] = []
    for pytree in pytrees[1:]:
        other_leaves, other_treedef = tree_util.tree_flatten(pytree)
        if other_treedef != treedef:
            return False
        for a, b in zip(leaves, other_leaves):
            equal = compare(a, b)
            if equal is True:
                continue
            if not isinstance(equal, core.Tracer):
                return False
            traced.append(equal)
    return ft.reduce(jnp.logical_and, traced) if traced else True


def _as_tolerance(caller, name, value):
    """`value`, the argument `name` of `caller`, as a float."""
    try:
        tolerance = float(value)
    except (TypeError, ValueError):
        raise TypeError(
            "`{}` expects `{}` to be a number, got {}.".format(caller, name, describe_leaf(value))
        ) from None
    if not 0 <= tolerance < float("inf"):  # this refuses NaN too
        raise ValueError("`{}` expects `{}` to be finite and at least 0, got {}.".format(caller, name, tolerance))
    return tolerance


class Comparison:
    """How two leaves are compared. The options are those of `tree_equal`. An error names the function `caller`."""

    __slots__ = ("atol", "exact", "rtol", "typematch")

    def __init__(self, caller, typematch, rtol, atol):
        self.typematch = typematch
        self.rtol = _as_tolerance(caller, "rtol", rtol)
        self.atol = _as_tolerance(caller, "atol", atol)
        self.exact = self.rtol == self.atol == 0

    def leaves(self, a, b):
        """Whether two leaves are equal: a bool, or a traced scalar."""
        if is_jax_array(a):
            if self.typematch and getattr(a, "weak_type", False) != getattr(b, "weak_type", False):
                return False
            if type(a) is type(b) and type(a) in concrete_array_types:
                try:
                    return self._numpy(np.asarray(a), np.asarray(b))
                except RuntimeError:  # the array spans several processes
                    pass
            if not is_jax_array(b) or a.shape != b.shape or a.dtype != b.dtype:
                return False
            equal = self.elements(a, b, jnp).all()
            return equal if isinstance(equal, core.Tracer) else bool(equal)
        if type(a) is not type(b):
            return False
        if is_numpy(a):
            return self._numpy(a, b)
        if isinstance(a, (float, complex)):
            return bool(a == b if self.exact else self.elements(np.asarray(a), np.asarray(b), np))
        return types_of(a) == types_of(b) and bool(a == b)

    def _numpy(self, a, b):
        """Whether two NumPy arrays have the same shape and dtype, and equal values."""
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if a.dtype == object:
            return all(map(self.leaves, a.flat, b.flat))
        equal = self.elements(a, b, np)
        return bool(np.count_nonzero(equal) == a.size)  # `equal.all()` takes five times as long for small arrays

    def elements(self, a, b, np_or_jnp):
        """An array of bools: which elements of two arrays of the same shape and dtype are equal."""
        if self.exact or not is_inexact_jax_or_numpy(a):
            return a == b
        wide = wide_dtype(a.dtype, np_or_jnp)
        x, y = a.astype(wide), b.astype(wide)
        with np.errstate(all="ignore"):
            distance, size = abs(x - y), np_or_jnp.maximum(abs(x), abs(y))
            near = (distance <= self.atol + self.rtol * size) & np_or_jnp.isfinite(x) & np_or_jnp.isfinite(y)
            return (a == b) | near


def wide_dtype(dtype, np_or_jnp):
    """A dtype that has the sum and the difference of values of `dtype`. JAX may not have 64 bits."""
    if np_or_jnp is np:
        return np.complex128 if dtype.kind == "c" else np.float64
    return dtype if dtype.itemsize >= 4 else jnp.float32

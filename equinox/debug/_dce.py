"""`store_dce` and `inspect_dce`: is an array computed, or is it dead code that JAX removes?"""

from __future__ import annotations

import collections
import functools as ft
from typing import Any, Deque, Dict, Hashable, List, Set

from .. import _compat
from .._compat.types import T
from .._dispatch.leaf_groups import separate
from .._dispatch.trace_listeners import Shape
from .._trees.format import tree_repr
from .._trees.paths import describe_leaf
from .._trees.predicates import is_array

_MAX_CALLS = 256  # with one name


def store_dce(x: T, name: Hashable = None) -> T:
    """Return a value unchanged, and find out which of its arrays a compiled function computes.

    JAX removes operations whose results aren't used ("dead code elimination", DCE) before it compiles a function. Use
    `store_dce` in a compiled function, call the function, and then call `inspect_dce`.

    Args:
        x: Any pytree. What isn't an array in it is ignored.
        name: Anything that can be hashed. `inspect_dce` with this name shows the calls of `store_dce` with this name.

    Returns:
        `x`.

    Raises:
        TypeError: `name` can't be hashed.
        NotImplementedError: The running JAX is older than 0.3.18. It leaves unused operations to the compiler.

    Example:
        >>> @jax.jit
        ... def f(x):
        ...     used, unused = eqx.debug.store_dce((x**2, x + 1), name="pair")
        ...     return used
        >>> y = f(jnp.ones(3))
        >>> eqx.debug.inspect_dce("pair")
        Found 1 call to `equinox.debug.store_dce`.
        Entry 0:
        (f32[3], <DCE'd>)
    """
    _compat.require("store_dce")
    _check_name("store_dce", name)
    arrays, merge = separate(x, is_array)
    entry = _Entry(merge, list(map(Shape, arrays)))
    _entries.setdefault(name, collections.deque(maxlen=_MAX_CALLS)).append(entry)
    result: T = merge([y for i, array in enumerate(arrays) for y in _primitive()([array], (entry, i))])
    return result


def inspect_dce(name: Hashable = None) -> None:
    """Print which arrays were computed, for each call of `store_dce` that JAX traced.

    Call it after the compiled functions that use `store_dce`. An array that isn't computed is printed as `<DCE'd>`.
    Only the last 256 calls with one name are kept.

    Args:
        name: The name that `store_dce` was given.

    Raises:
        TypeError: `name` can't be hashed.

    Example:
        >>> eqx.debug.inspect_dce("a name that wasn't used")
        Found 0 calls to `equinox.debug.store_dce`.
    """
    _check_name("inspect_dce", name)
    entries = _entries.get(name, ())
    print("Found {} call{} to `equinox.debug.store_dce`.".format(len(entries), "" if len(entries) == 1 else "s"))
    for i, entry in enumerate(entries):
        print("Entry {}:\n{}".format(i, entry))


def _check_name(function: str, name: Any) -> None:
    try:
        hash(name)
    except TypeError:
        message = "`{}` expects a `name` that can be hashed, such as a string, got {}."
        raise TypeError(message.format(function, describe_leaf(name))) from None


class _Entry:
    """One call of `store_dce`.

    Args:
        merge: Makes the value from its arrays.
        shapes: The arrays, as shapes.

    Attributes:
        computed: The indices of the arrays that are computed.
    """

    def __init__(self, merge: Any, shapes: List[Shape]) -> None:
        self._merge = merge
        self._shapes = shapes
        self.computed: Set[int] = set()

    def __str__(self) -> str:
        return tree_repr(self._merge([x if i in self.computed else _Removed() for i, x in enumerate(self._shapes)]))


_entries: Dict[Hashable, Deque[_Entry]] = {}  # name -> the last calls of `store_dce` with this name


class _Removed:
    def __repr__(self) -> str:
        return "<DCE'd>"


@ft.lru_cache(maxsize=None)
def _primitive() -> Any:
    return _compat.identity_primitive("store_dce", _follow)


def _follow(label: Any, step: str) -> Any:
    entry, i = label
    if step in ("impl", "mlir"):  # run, or handed to the compiler
        entry.computed.add(i)
    return None if step in ("jvp_t", "transpose") else label  # tangents aren't what the user asked about

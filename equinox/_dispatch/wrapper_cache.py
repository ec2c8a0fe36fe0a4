"""Give JAX the same wrapper of a function at each call.

JAX keeps what it traced and compiled for a loop or a branch under the function object that it got. If each call made a
new wrapper, JAX would trace and compile at each call.
"""

import dataclasses
import functools as ft
import weakref
from typing import Any, Callable

from jax import tree_util

from .._trees.predicates import concrete_array_types, is_array
from .caches import on_clear
from .identity_table import IdentityTable
from .leaf_groups import separate

_MAX_WRAPPERS = 256  # wrappers of one function; the least recently used is dropped

_wrappers = IdentityTable()  # a function, or the model of a method -> its `_Wrappers`


def wrapper_of(fun, make, *key):
    """The wrapper of a function. It is `make(get_fun, *key)`, called once for each function and key.

    A model counts as the same function if it is the same object, its arrays are the same objects, and everything else
    in it is equal. The same holds for the model of a method.

    Args:
        fun: The function. Its wrappers are freed together with it. The wrappers of a method are freed together with
            the model.
        make: A function that makes the wrapper. `get_fun()` returns `fun`. The wrapper calls `get_fun` when it runs.
            It must not keep what `get_fun` returns.
        *key: What else the wrapper depends on.

    Returns:
        The wrapper. It is new at each call if the key can't be hashed, or if no weak reference to the function can be
        made.
    """
    try:
        owner, source = _source_of(fun)
        hash((source, key))
        wrappers = _wrappers.get_or_make((owner,), _Wrappers)
    except TypeError:
        return make(lambda: fun, *key)
    return wrappers.find(source, make, *key)


class _Wrappers:
    """The wrappers of one function."""

    def __init__(self):
        self.find = ft.lru_cache(maxsize=_MAX_WRAPPERS)(lambda source, make, *key: make(source.get, *key))
        on_clear(self, _Wrappers.clear)  # not the cache itself, of which Python 3.8 makes no weak reference

    def clear(self):
        self.find.cache_clear()


@dataclasses.dataclass(frozen=True)
class _Source:
    """How a wrapper gets its function. Two sources are equal if their functions are the same.

    A source must not keep the owner of the wrappers alive. The table of wrappers holds the source, so the owner would
    never be freed.
    """

    key: Any
    get: Callable = dataclasses.field(compare=False)


def _source_of(fun):
    """The owner of the wrappers of a function, and the `_Source`.

    Raises:
        TypeError: The next call may need another wrapper. A traced array belongs to one call, and a NumPy array may
            change.
    """
    if tree_util.all_leaves([fun]):
        return fun, _Source(None, weakref.ref(fun))
    arrays, rest = separate(fun, is_array)
    if not concrete_array_types.issuperset(map(type, arrays)):
        raise TypeError
    # The source holds the arrays, so no other arrays have their identities.
    return getattr(fun, "__self__", fun), _Source((rest, *map(id, arrays)), lambda: rest(arrays))

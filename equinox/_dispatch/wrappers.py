"""Wrappers of functions that JAX recognises: the same wrapper for the same function in each call.

JAX remembers what it traced and compiled for a loop or a branch by the function object that it got. A wrapper made at
each call would be traced and compiled at each call.
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

_MOST_WRAPPERS = 256  # of one function; the least recently used goes

_wrappers = IdentityTable()  # a function, or the model of a method -> what finds its wrappers


def wrapper_of(fun, make, *key):
    """What `make(get_fun, *key)` returned for this function and an equal key, or returns now.

    A model, or a method of one, is the same function as long as it is the same model, holds the same arrays, and
    everything else in it is equal.

    Args:
        fun: The function. The wrappers go when it does, or when the model does whose method it is.
        make: A function that makes the wrapper. `get_fun()` is `fun`. Only the wrapper may call it, and must not keep
            what it returns.
        *key: What else the wrapper depends on. If it can't be hashed, or no weak reference to the function can be made,
            the wrapper is a new one.

    Returns:
        The wrapper.
    """
    try:
        owner, source = _source_of(fun)
        hash((source, key))
        find = _wrappers.get_or_make((owner,), _finder)
    except TypeError:
        return make(lambda: fun, *key)
    return find(source, make, *key)


def _finder():
    find = ft.lru_cache(maxsize=_MOST_WRAPPERS)(lambda source, make, *key: make(source.get, *key))
    on_clear(find, lambda find: find.cache_clear())
    return find


@dataclasses.dataclass(frozen=True)
class _Source:
    """Where a wrapper has its function from. Two are equal if the functions are the same.

    It must not keep the owner of the wrappers alive, which the wrappers would then keep alive themselves.
    """

    key: Any
    get: Callable = dataclasses.field(compare=False)


def _source_of(fun):
    """The owner of the wrappers of a function, and where they have the function from.

    Raises:
        TypeError: It may be another function in the next call. A traced array belongs to one call, and an array of
            NumPy may change.
    """
    if tree_util.all_leaves([fun]):
        return fun, _Source(None, weakref.ref(fun))
    arrays, rest = separate(fun, is_array)
    if not concrete_array_types.issuperset(map(type, arrays)):
        raise TypeError
    # The source holds the arrays, so no other arrays have their identities.
    return getattr(fun, "__self__", fun), _Source((rest, *map(id, arrays)), lambda: rest(arrays))

"""Wrappers of functions that JAX recognises: the same wrapper for the same function in each call.

JAX remembers what it traced and compiled for a loop or a branch by the function object that it got. A wrapper made at
each call would be traced and compiled at each call.
"""

import functools as ft
import weakref

from .identity_table import IdentityTable

_MOST_WRAPPERS = 256  # of one function; the least recently used goes

_wrappers = IdentityTable()  # function -> what finds its wrappers


def wrapper_of(fun, make, *key):
    """What `make(get_fun, *key)` returned for this function and an equal key, or returns now.

    Args:
        fun: The function. The wrappers go when it does.
        make: A function that makes the wrapper. `get_fun()` is `fun`. Only the wrapper may call it, and must not keep
            what it returns.
        *key: What else the wrapper depends on. If it can't be hashed, the wrapper belongs to the caller.

    Returns:
        The wrapper.
    """
    try:
        hash(key)
        find = _wrappers.get_or_make((fun,), lambda: _finder(weakref.ref(fun)))
    except TypeError:  # there is no hash, or no weak reference to the function
        return make(lambda: fun, *key)
    return find(make, *key)


def _finder(get_fun):
    return ft.lru_cache(maxsize=_MOST_WRAPPERS)(lambda make, *key: make(get_fun, *key))

"""All caches of compiled functions, so that they can be cleared at once."""

import weakref

_clear = weakref.WeakKeyDictionary()  # owner of a cache -> function that clears the cache, given the owner


def on_clear(owner, clear):
    """Let `clear_all` call `clear(owner)` while the owner is alive.

    Args:
        owner: The object that has a cache. It is compared by identity.
        clear: A function of the owner. It must not hold the owner.
    """
    _clear[owner] = clear


def clear_all():
    """Clear all caches."""
    for ref in _clear.keyrefs():  # a copy: another thread may add one
        owner = ref()
        if owner is not None:
            _clear[owner](owner)

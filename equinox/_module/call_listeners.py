"""Tell listeners when a module is called. `eqx.summary` listens.

A call goes through `BoundMethod`. Without listeners, a call only looks at an empty dictionary.
"""

import functools as ft

listeners: dict = {}  # id of a listener -> the listener


def add(listener):
    """Let `listener(module, call)` make each call of a module from now on, in every thread.

    `call` has no arguments. The listener calls it once, and returns what it returns.
    """
    listeners[id(listener)] = listener


def remove(listener):
    """Don't ask `listener` any more."""
    listeners.pop(id(listener), None)


def tell(module, call):
    """Make a call of `module` through all listeners. `call` has no arguments."""
    for listener in list(listeners.values()):
        call = ft.partial(listener, module, call)
    return call()

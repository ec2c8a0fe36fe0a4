"""A table whose keys are objects themselves, not what they are equal to, and which keeps none of them alive."""

import functools as ft
import threading
import weakref

_making = threading.RLock()  # a garbage collection may run any code meanwhile


class IdentityTable:
    """Values by the identity of one or several objects. An entry goes when one of its objects does."""

    __slots__ = ("_entries",)

    def __init__(self):
        self._entries = {}

    def __len__(self):
        return len(self._entries)

    def get(self, objects):
        """The value for a tuple of objects, or `None`."""
        entry = self._entries.get(tuple(map(id, objects)))
        if entry is None:
            return None
        value, refs = entry
        for ref, x in zip(refs, objects):
            if ref() is not x:
                return None
        return value

    def set(self, objects, value):
        """Keep `value` for a tuple of objects. Raises TypeError if there can be no weak reference to one of them."""
        key = tuple(map(id, objects))
        forget = ft.partial(_forget, self._entries, key)
        self._entries[key] = value, [weakref.ref(x, forget) for x in objects]

    def get_or_make(self, objects, make):
        """The value for a tuple of objects; if there is none it is `make()`, also if several threads ask at once."""
        value = self.get(objects)
        if value is None:
            with _making:
                value = self.get(objects)
                if value is None:
                    value = make()
                    self.set(objects, value)
        return value

    def clear(self):
        self._entries.clear()


def _forget(entries, key, _):
    entries.pop(key, None)

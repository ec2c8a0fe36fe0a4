"""A table whose keys are objects, compared by identity. The table doesn't keep the objects alive."""

import functools as ft
import threading
import weakref

_making = threading.RLock()  # reentrant: a garbage collection inside `make` may call any code


class IdentityTable:
    """Maps tuples of objects to values. An entry is removed when one of its objects is freed."""

    __slots__ = ("_entries",)

    def __init__(self):
        self._entries = {}

    def __len__(self):
        return len(self._entries)

    def get(self, objects):
        """The value for a tuple of objects, or `None` if there is none."""
        entry = self._entries.get(tuple(map(id, objects)))
        if entry is None:
            return None
        value, refs = entry
        for ref, x in zip(refs, objects):
            if ref() is not x:  # another object with the same `id`
                return None
        return value

    def set(self, objects, value):
        """Set the value for a tuple of objects.

        Raises:
            TypeError: One of the objects can't be referred to weakly.
        """
        key = tuple(map(id, objects))
        forget = ft.partial(_forget, self._entries, key)
        self._entries[key] = value, [weakref.ref(x, forget) for x in objects]

    def get_or_make(self, objects, make):
        """The value for a tuple of objects. If there is none, it becomes `make()`, which only one thread calls."""
        value = self.get(objects)
        if value is None:
            with _making:
                value = self.get(objects)
                if value is None:
                    value = make()
                    self.set(objects, value)
        return value

    def clear(self):
        """Remove all entries."""
        self._entries.clear()


def _forget(entries, key, _):
    entries.pop(key, None)

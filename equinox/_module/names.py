"""The names that an instance has from the function that it wraps. `module_update_wrapper` sets them.

They are in the dictionary of the instance beside the fields. There they hide the names of the class.
"""

import contextlib

NAMES = ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__")


class Names:
    """The names of one instance, as part of the structure of the pytree.

    Annotations aren't compared, because they may have no hash.

    Attributes:
        values: The names that the instance has, as a dictionary.
    """

    __slots__ = ("_key", "values")

    def __init__(self, values):
        self.values = values
        self._key = tuple(values.get(name) for name in NAMES if name != "__annotations__")

    def __eq__(self, other):
        return type(other) is Names and self._key == other._key

    def __hash__(self):
        return hash(self._key)

    def __repr__(self):
        return repr(self.values.get("__qualname__"))


def names_of(module):
    """The `Names` of `module`."""
    return Names({name: module.__dict__[name] for name in NAMES if name in module.__dict__})


def read_names(function):
    """The names that `function` has, as a dictionary."""
    values = {}
    for name in NAMES:
        # Since Python 3.14, `__annotations__` raises a `NameError` if an annotation holds an unknown name.
        with contextlib.suppress(AttributeError, NameError):
            values[name] = getattr(function, name)
    return values

"""Tell listeners for which inputs JAX traces a function. `equinox.debug` listens.

JAX traces a function when it compiles it for new inputs. Without listeners, a trace only looks at an empty dictionary,
and a call of a compiled function does nothing at all.
"""

from .. import _compat
from .._trees.format import array_text
from .arguments import inputs_of, positional_names

listeners: dict = {}  # id of a function of a `Trace` -> the function


class Shape:
    """Stands for an array, where its values aren't known or aren't wanted."""

    __slots__ = ("dtype", "shape", "sharding", "weak_type")

    def __init__(self, x):
        self.shape = x.shape
        self.dtype = x.dtype
        self.weak_type = bool(getattr(getattr(x, "aval", x), "weak_type", False))
        self.sharding = _compat.sharding_of_type(x)

    def __eq__(self, other):
        return type(other) is Shape and self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def __repr__(self):
        return ", ".join(filter(None, (array_text(self), self.sharding)))

    def _key(self):
        return self.shape, self.dtype, self.weak_type, self.sharding


class Trace:
    """One trace of a function.

    Attributes:
        name: The name of the function.
        function: The plain function.
        key: What is around the function, and the options. Traces are compared with those of the same key.
        inputs: The function, then the inputs (see `arguments.Input`). A `Shape` stands for each traced leaf.
    """

    __slots__ = ("function", "inputs", "key", "name")

    def __init__(self, name, function, key, inputs):
        self.name = name
        self.function = function
        self.key = key
        self.inputs = inputs


def add(listener):
    """Call `listener` with each `Trace` from now on."""
    listeners[id(listener)] = listener


def remove(listener):
    """Don't call `listener` any more."""
    listeners.pop(id(listener), None)


def tell(name, function, key, fun, restore, leaves, number_bound):
    """Tell all listeners that JAX traces a function.

    Args:
        name: As for `Trace`.
        function: As for `Trace`.
        key: As for `Trace`.
        fun: The function with the inputs that are bound to it.
        restore: Makes the positional and the keyword inputs from the traced leaves.
        leaves: The traced leaves.
        number_bound: How many of the positional inputs are bound to the function. They come first.
    """
    args, kwargs = restore(map(Shape, leaves))
    bound, args = args[:number_bound], args[number_bound:]
    trace = Trace(name, function, key, inputs_of(positional_names(fun), args, kwargs, (function, *bound)))
    for listener in list(listeners.values()):
        listener(trace)

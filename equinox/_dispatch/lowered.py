"""Ahead of time: a filtered function lowered, and compiled, for the inputs of one call."""

from .leaf_groups import unpack_output


class _Stage:
    """A stage of compiling that JAX offers, with all that JAX's own has, for calls like one that was made before.

    `flatten` gives the arrangement of inputs, their leaves and their structure.
    """

    def __init__(self, stage, entry, flatten):
        self._stage = stage
        self._entry = entry
        self._flatten = flatten

    def __getattr__(self, name):
        if name.startswith("__"):  # as `copy` asks for, before there is a stage
            raise AttributeError(name)
        return getattr(self._stage, name)


class Lowered(_Stage):
    """A lowered function, whose `compile` gives one that takes the inputs of the filtered function."""

    def compile(self, *args, **kwargs):
        return _Compiled(self._stage.compile(*args, **kwargs), self._entry, self._flatten)


class _Compiled(_Stage):
    """A compiled function that takes the inputs of the filtered function."""

    def __call__(__self, *args, **kwargs):
        entry = __self._entry
        arrangement, leaves, treedef = __self._flatten(args, kwargs)
        if arrangement != entry.arrangement or not entry.signature.has_same_statics(leaves, treedef):
            raise TypeError(
                "this function was compiled ahead of time for other inputs: their structure and their static leaves "
                "must be those it was lowered with. Lower it again, or call the function itself."
            )
        return unpack_output(__self._stage(*entry.signature.arguments(leaves)))

"""Ahead of time: a filtered function lowered, and compiled, for the inputs of one call."""

from jax.tree_util import tree_flatten

from .leaf_groups import unbox


class _Stage:
    """A stage of compiling that JAX offers, and the call that it was made for; has what JAX's own has."""

    def __init__(self, stage, call):
        self._stage = stage
        self._call = call

    def __getattr__(self, name):
        if name.startswith("__"):  # as `copy` asks for, before there is a stage
            raise AttributeError(name)
        return getattr(self._stage, name)


class Lowered(_Stage):
    """A lowered function, whose `compile` gives one that takes the inputs of the filtered function."""

    def compile(self, *args, **kwargs):
        return _Compiled(self._stage.compile(*args, **kwargs), self._call)


class _Compiled(_Stage):
    """A compiled function that takes the inputs of the filtered function."""

    def __call__(__self, *args, **kwargs):
        leaves, treedef = tree_flatten((args, kwargs))
        call = __self._call
        if treedef != call.pattern.treedef or not call.has_equal_statics(leaves):
            raise TypeError(
                "this function was compiled ahead of time for other inputs: their structure and their static leaves "
                "must be those it was lowered with. Lower it again, or call the function itself."
            )
        return unbox(__self._stage(*call.arguments(leaves)))

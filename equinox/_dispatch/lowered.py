"""The results of `lower` and of its `compile`: a filtered function that is compiled ahead of time for given inputs."""

from __future__ import annotations

from typing import Any, Generic

from .._compat.types import P, R
from .checks import call_and_wait
from .donation import Donating
from .leaf_groups import unpack_output


class _Stage(Generic[P, R]):
    """A stage of compilation. It has all attributes of JAX's own stage.

    Args:
        stage: JAX's own stage.
        entry: The cache entry of the inputs that the function was lowered for.
        flatten: A function from `(args, kwargs)` to their arrangement, leaves and structure.
    """

    def __init__(self, stage: Any, entry: Any, flatten: Any) -> None:
        self._stage = stage
        self._entry = entry
        self._flatten = flatten

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # `copy` asks for such names before `_stage` is set
            raise AttributeError(name)
        return getattr(self._stage, name)


class Lowered(_Stage[P, R]):
    """A lowered function. `compile` makes a function with the inputs of the filtered function."""

    def compile(self, *args: Any, **kwargs: Any) -> _Compiled[P, R]:
        """Compile the function. The arguments are those of `compile` of JAX's own stage."""
        return _Compiled(self._stage.compile(*args, **kwargs), self._entry, self._flatten)


class _Compiled(_Stage[P, R]):
    """A compiled function with the inputs of the filtered function."""

    def __call__(__self, *args: P.args, **kwargs: P.kwargs) -> R:
        entry = __self._entry
        arrangement, leaves, treedef = __self._flatten(args, kwargs)
        if arrangement != entry.arrangement or not entry.signature.has_same_statics(leaves, treedef):
            raise TypeError(
                "this function was compiled ahead of time for other inputs: their structure and static leaves must be "
                "those that `lower` was given. Lower the function again, or call the function itself."
            )
        arguments = entry.signature.arguments(leaves)
        call = Donating(__self._stage) if len(arguments) > 1 else __self._stage
        return unpack_output(call_and_wait(call, entry.checked, arguments))

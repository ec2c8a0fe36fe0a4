"""Donated inputs: JAX deletes them and uses their memory for the output."""

import threading
import warnings

from jax import core

from .._trees.predicates import is_jax_array

_UNUSED = "Some donated buffers were not usable"  # how JAX's warning begins


class SameArray(ValueError):
    """A donated array is another input of the same call too.

    Args:
        positions: The positions of two inputs of a compiled function. The second one is donated.
    """

    def __init__(self, positions):
        super().__init__("an array is donated, but it is another input of the same call too. Copy one of them.")
        self.positions = positions


class Donating:
    """A compiled function of two tuples: the inputs that aren't donated, and the donated inputs.

    It refuses a call in which a donated array is also another input. JAX must not start such a call: jaxlib 0.10.2
    crashes if the array lies on several devices.

    Args:
        compiled: The compiled function, as JAX made it.
    """

    __slots__ = ("_compiled",)

    def __init__(self, compiled):
        self._compiled = compiled

    def __call__(self, traced, donated):
        if len(set(map(id, traced + donated))) < len(traced) + len(donated):
            _refuse_twice(traced, donated, id)
        entered = _thread.entered
        number = len(entered)
        try:
            return self._compiled(traced, donated)
        except RuntimeError:
            _refuse_twice(traced, donated, _memory)
            raise
        finally:
            if len(entered) > number:
                _leave(entered, number)

    def lower(self, traced, donated):
        """Lower the function for these inputs, as `jax.jit(...).lower` does."""
        entered = _thread.entered
        number = len(entered)
        try:
            return self._compiled.lower(traced, donated)
        finally:
            _leave(entered, number)


def _refuse_twice(traced, donated, key_of):
    """Raise `SameArray` if a donated array has the same key as another array."""
    seen = {}
    for i, x in enumerate(traced + donated):
        if is_jax_array(x) and not isinstance(x, core.Tracer):
            first = seen.setdefault(key_of(x), i)
            if first < i and i >= len(traced):
                raise SameArray((first, i)) from None


def _memory(array):
    """Where the data of an array begins, as a key. Two `Array`s may share their memory."""
    try:
        return array.addressable_shards[0].data.unsafe_buffer_pointer() or id(array)
    except Exception:  # the array is deleted, or isn't in the memory of this process
        return id(array)


def quiet(fun):
    """`fun`, but JAX doesn't warn about donated inputs that it can't use, if `Donating` calls the compiled function.

    JAX warns when it compiles, after it has traced the function. To change the filters of warnings at each call would
    be slow. So the function itself changes them while JAX traces it, and `Donating` changes them back.
    """

    def ignoring_unused(*args):
        context = warnings.catch_warnings()
        context.__enter__()
        _thread.entered.append(context)
        warnings.filterwarnings("ignore", _UNUSED)
        return fun(*args)

    ignoring_unused.__name__ = ignoring_unused.__qualname__ = fun.__name__
    return ignoring_unused


class _Thread(threading.local):
    def __init__(self):
        self.entered = []  # contexts that `warnings.catch_warnings` made, and that are still entered


_thread = _Thread()


def _leave(entered, number):
    """Leave all contexts but the first `number`."""
    while len(entered) > number:
        entered.pop().__exit__(None, None, None)

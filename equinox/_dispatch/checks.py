"""Wait for calls whose programs hold a check, and raise the error of the check there.

JAX returns before a program has run. Without this file, the error of a check would come later, where the result of the
program is used. A call without a check must not wait. Before the first run of a program JAX lowers it, and each check
in the program is counted then (`lowerings`). So the dispatcher compares this number before and after a call. JAX lowers
the whole program, even if it has traced a part of it earlier.
"""

import collections
import threading

import jax
import jax.numpy as jnp
import numpy as np
from jax import core, tree_util

from .._trees.predicates import is_jax_array

_MAX_ERRORS = 64
_MAX_LOWERINGS = 64  # of one thread


class _OfThread(threading.local):
    """What belongs to one thread.

    Attributes:
        numbers: The numbers of the checks that JAX has lowered in this thread, and that no call has taken.
    """

    def __init__(self):
        self.numbers = collections.deque(maxlen=_MAX_LOWERINGS)


class _Lowerings:
    """How many checks JAX has lowered.

    Attributes:
        number: How many in all threads. The dispatcher reads it at each call.
    """

    __slots__ = ("_adding", "_of_thread", "number")

    def __init__(self):
        self.number = 0
        self._of_thread = _OfThread()
        self._adding = threading.Lock()  # the number must never decrease

    def add(self):
        """Count a check that JAX lowers in this thread."""
        with self._adding:
            self.number += 1
            self._of_thread.numbers.append(self.number)

    def take_since(self, number):
        """Whether JAX has lowered a check in this thread since there were `number` of them.

        These checks are forgotten. They belong to the call that has just ended, and not to a call around it. An example
        of a call around it is one whose callback makes the inner call.
        """
        numbers, found = self._of_thread.numbers, False
        while numbers and numbers[-1] > number:
            numbers.pop()
            found = True
        return found


lowerings = _Lowerings()
_errors = collections.deque(maxlen=_MAX_ERRORS)  # what checks raised on the host; another thread may read it


def raised_on_host(error):
    """Remember an error that a check raises on the host. JAX reports it as an error of its own."""
    _errors.append(type(error)(*error.args))  # a copy: the traceback of the error itself holds arrays


def learn(checked, arguments, number):
    """Add the signature of a call to `checked` if JAX has just lowered its program, and the program holds a check.

    Args:
        checked: The signatures of the programs of one compiled function that hold a check.
        arguments: The arguments of the compiled function.
        number: `lowerings.number` before the call.
    """
    if lowerings.take_since(number):
        checked.add(_signature(arguments))


def wait(checked, arguments, number, out):
    """Wait for the output of a call if its program holds a check.

    Args:
        checked: As for `learn`.
        arguments: As for `learn`.
        number: As for `learn`.
        out: The output of the compiled function.

    Raises:
        EquinoxRuntimeError: A check failed.
    """
    learn(checked, arguments, number)
    if _signature(arguments) in checked:
        try:
            block(out)
        except Exception as error:  # the type depends on JAX
            _raise_own(error)
            raise


def block(out):
    """Wait until the arrays in `out` are computed. An outer transformation waits for its own."""
    for x in tree_util.tree_leaves(out):
        if is_jax_array(x) and not isinstance(x, core.Tracer):  # JAX returns tangents of integers as NumPy arrays
            x.block_until_ready()


def call_failed(checked, arguments, number, error):
    """Raise the error of a check if JAX's `error` of a call reports it. Otherwise return. The arguments: see `wait`."""
    learn(checked, arguments, number)
    _raise_own(error)


def call_and_wait(compiled, checked, arguments):
    """Call a compiled function. If its program holds a check, wait, and raise the error of the check.

    `Dispatcher.call` does the same with fewer calls of functions.
    """
    number = lowerings.number
    try:
        out = compiled(*arguments)
    except (RuntimeError, ValueError) as error:  # JAX raises either
        call_failed(checked, arguments, number, error)
        raise
    if checked or lowerings.number != number:
        wait(checked, arguments, number, out)
    return out


def _raise_own(error):
    """Raise the error of a check if the text of JAX's `error` holds it.

    The text may also hold shorter messages, of checks that failed in other threads. So the longest one is right.
    """
    text = str(error)
    found = [own for own in tuple(_errors) if _as_reported(own) in text]
    if found:
        own = max(found, key=lambda own: len(str(own)))
        raise type(own)(*own.args) from None


def _as_reported(own):
    """How JAX reports the error of a check: as Python does, with the name of its class in front."""
    name, message = type(own).__name__, str(own)
    return "{}: {}".format(name, message) if message else name


def _signature(arguments):
    """The shapes and dtypes of the arguments: JAX chooses the program by them."""
    return tuple((np.shape(x), _dtype_in_jax(x)) for x in tree_util.tree_leaves(arguments))


def _dtype_in_jax(x):
    dtype = x.dtype if hasattr(x, "dtype") else jnp.result_type(x)
    return jax.dtypes.canonicalize_dtype(dtype) if isinstance(dtype, np.dtype) else dtype

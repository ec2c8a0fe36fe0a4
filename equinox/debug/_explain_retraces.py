"""`explain_retraces`: why was a function compiled again?"""

from __future__ import annotations

import functools as ft
import threading
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from .._dispatch import trace_listeners
from .._dispatch.callables import Callee
from .._transforms.wrap import check_callable
from .._trees.changes import Change
from ._changes import closest, in_words

_TRACES_KEPT = 256  # of one function that a new trace is compared with; the oldest goes


def explain_retraces(
    fn: Optional[Callable[..., Any]] = None, *, announce: Optional[Callable[[str], Any]] = print
) -> Retraces:
    """Find out why `filter_jit`, `jitf` or `filter_pmap` compiles a function again.

    It starts to record at once, and stops at the end of its `with` block or when `stop` is called. A new `with` block
    starts it again. When a function is traced a second time or later, it is compared with the earlier trace that it
    differs least from. What differs is said by path, before and after:

        model.step: 3 -> 4 (int, static)
        x: f32[32,8] -> f32[31,8]
        batch['mask']: a new key
        model.layers: a `list` of 2 -> a `list` of 3
        fun: <lambda> -> <lambda> (function, another object, static)

    The last line is about a function that is made at each call, such as a lambda or a `functools.partial`. Each of its
    objects is compiled. Make it once.

    What was compiled before isn't known. Call `clear_cache` of the function first to compare with that too. JAX may
    compile a trace for other devices without tracing the function again. That isn't reported. While nothing records,
    calls and traces cost nothing more.

    Args:
        fn: A function, or what a transformation returned. By default, all functions are recorded.
        announce: A function that is called with the words for each retrace when it happens. `None` for no function.

    Returns:
        The list of retraces, which grows. Each has a `name`, a `number`, the number of the trace that it is
        `compared_with`, and `changes`. Each of the `changes` has a `path`, `before` and `after`. `str` of a retrace, a
        change or the list gives it in words. The list is a context manager.

    Raises:
        TypeError: `fn` or `announce` can't be called.

    Example:
        >>> step = eqx.filter_jit(lambda x, times: times * x)
        >>> with eqx.debug.explain_retraces(step) as retraces:
        ...     for x, times in [(jnp.ones(2), 3), (jnp.ones(2), 4), (jnp.ones(1), 4)]:
        ...         y = step(x, times)
        `<lambda>` was compiled again. Trace 2 differs from trace 1:
          times: 3 -> 4 (int, static)
        `<lambda>` was compiled again. Trace 3 differs from trace 2:
          x: f32[2] -> f32[1]
        >>> [change.path for retrace in retraces for change in retrace.changes]
        ['times', 'x']
    """
    if fn is not None:
        check_callable("explain_retraces", fn, "fn")
    if announce is not None:
        check_callable("explain_retraces", announce, "announce")
    return Retraces(None if fn is None else Callee(fn).function, announce)


class Retrace(NamedTuple):
    """A trace of a function that was traced before."""

    name: str
    number: int  # of this trace, counted from 1
    compared_with: int  # the number of the earlier trace that differs least
    changes: List[Change]

    def __str__(self) -> str:
        words = in_words(self.number, self.compared_with, self.changes)
        return "`{}` was compiled again. {}".format(self.name, words)


class Retraces(List[Retrace]):
    """What `explain_retraces` returns."""

    def __init__(self, function: Any, announce: Optional[Callable[[str], Any]]) -> None:
        super().__init__()
        self._function = function
        self._announce = announce
        # The key of traces -> their numbers and inputs. An `id` is in the key. The inputs hold the function, so its
        # `id` isn't used again.
        self._traces: Dict[Any, List[Tuple[int, Any]]] = {}
        self._blocks = 0  # how many `with` blocks are open
        self._recording = threading.RLock()  # a comparison may run any code
        self._listener = self._record  # one object, by which it is removed
        trace_listeners.add(self._listener)

    def stop(self) -> None:
        """Stop recording. What was recorded stays in the list."""
        trace_listeners.remove(self._listener)
        self._traces.clear()

    def __enter__(self) -> Retraces:
        trace_listeners.add(self._listener)
        self._blocks += 1
        return self

    def __exit__(self, *error: Any) -> None:
        self._blocks -= 1
        if self._blocks == 0:
            self.stop()

    def __str__(self) -> str:
        return "\n".join(map(str, self)) or "No function was compiled again."

    def _record(self, trace: Any) -> None:
        if self._function is not None and trace.function is not self._function:
            return
        with self._recording:
            earlier = self._traces.setdefault((_origin(trace.function), trace.key), [])
            number = earlier[-1][0] + 1 if earlier else 1
            found = closest(trace.inputs, earlier) if earlier else None
            earlier.append((number, trace.inputs))
            del earlier[:-_TRACES_KEPT]
        if found is not None:
            retrace = Retrace(trace.name, number, *found)
            self.append(retrace)
            if self._announce is not None:
                self._announce(str(retrace))


def _origin(function: Any) -> Any:
    """What two functions share if the same line made them, as if a lambda is made at each call."""
    while isinstance(function, ft.partial):
        function = function.func
    code = getattr(function, "__code__", None)
    return id(function) if code is None else (id(code), function.__qualname__)

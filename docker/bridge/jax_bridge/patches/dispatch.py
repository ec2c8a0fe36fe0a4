"""Calls of jitted, pmapped and pjitted functions, below JAX 0.4.7.

C++ keeps a table of compiled calls, and asks jax's Python for what it doesn't find there. Both sides of that question
have changed with almost every release. So every call takes the route of one that isn't found: it is right, and slower.
"""

import functools
import types
from typing import Any, Callable, Optional

from jaxlib import xla_client as xc


class PythonDispatch:
    """A jitted function. `cache_miss(*args, **kwargs)` is jax's own Python: the outputs, and what C++ would keep."""

    def __init__(self, fun: Optional[Callable[..., Any]], cache_miss: Callable[..., Any], *_: Any, **__: Any) -> None:
        functools.update_wrapper(self, fun or cache_miss)
        self._fun, self._cache_miss = fun, cache_miss

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._fun is not None and xc._xla.jax_jit.jit_is_disabled():
            return self._fun(*args, **kwargs)
        return self._cache_miss(*args, **kwargs)[0]

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Bind as methods do."""
        return self if instance is None else types.MethodType(self, instance)

    def _clear_cache(self) -> None:
        """There is none. jax calls this in `clear_cache`, and then forgets what it compiled itself."""


def _pjit(*args: Any, **_: Any) -> PythonDispatch:
    """`pjit([name,] [fun,] cache_miss, static_argnums, ...)`: what it takes depends on the release.

    0.3.25: fun, cache_miss;  0.4.0 to 0.4.3: name, cache_miss;  0.4.4 to 0.4.6: name, fun or None, cache_miss.
    """
    first_two = args[1:3] if isinstance(args[0], str) else args[:2]
    functions = [f for f in first_two if f is None or callable(f)]
    fun, cache_miss = functions if len(functions) == 2 else (None, functions[0])
    assert cache_miss is not None
    return PythonDispatch(fun, cache_miss)


def apply(jax: str) -> None:
    jit = xc._xla.jax_jit
    jit.jit = PythonDispatch  # retired by pjit in 0.4.7
    jit.CompiledFunctionCache = dict  # what jax.jit passes as `cache`, and at most clears
    xc._xla.pmap_lib.pmap = PythonDispatch
    xc._xla.pjit = _pjit

"""Calls of jitted, pmapped and pjitted functions, below JAX 0.4.7.

C++ keeps a cache of compiled calls, and calls jax's Python code for a call that isn't in it. This interface changed in
almost every release. So with this patch, every call takes the path of a cache miss. It is correct, but slower.
"""

import functools
import types
from typing import Any, Callable, Optional

from jaxlib import xla_client as xc


class PythonDispatch:
    """A jitted function.

    `cache_miss(*args, **kwargs)` is Python code of jax. It returns the outputs, and data for the cache of C++.
    """

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
        """Do nothing: there is no cache here. jax calls this in `clear_cache`, and then clears its own caches."""


def _pjit(*args: Any, **_: Any) -> PythonDispatch:
    """`pjit([name,] [fun,] cache_miss, static_argnums, ...)`. The arguments depend on the release.

    0.3.25: fun, cache_miss;  0.4.0 to 0.4.3: name, cache_miss;  0.4.4 to 0.4.6: name, fun or None, cache_miss.
    """
    first_two = args[1:3] if isinstance(args[0], str) else args[:2]
    functions = [f for f in first_two if f is None or callable(f)]
    fun, cache_miss = functions if len(functions) == 2 else (None, functions[0])
    assert cache_miss is not None
    return PythonDispatch(fun, cache_miss)


def apply(jax: str) -> None:
    jit = xc._xla.jax_jit
    jit.jit = PythonDispatch  # pjit replaced it in 0.4.7
    jit.CompiledFunctionCache = dict  # jax.jit passes one as `cache`, and only ever clears it
    xc._xla.pmap_lib.pmap = PythonDispatch
    xc._xla.pjit = _pjit

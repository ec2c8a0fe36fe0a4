"""`assert_max_traces` and `get_num_traces`: how often is a function traced?"""

from __future__ import annotations

import functools as ft
import operator
import threading
from typing import Any, Callable, Dict, List, Optional, Tuple, overload

from jax import tree_util

from .._compat.types import P, R
from .._dispatch.arguments import name_of
from .._dispatch.callables import Callee
from .._dispatch.trace_listeners import Shape
from .._module.partial import Partial
from .._transforms.wrap import Options, Transformed, transform, transformation
from .._trees.paths import describe_leaf
from .._trees.predicates import is_array
from ._changes import closest, in_words


@overload
def assert_max_traces(fn: Callable[P, R], *, max_traces: Optional[int]) -> Transformed[P, R]: ...
@overload
def assert_max_traces(
    fn: None = ..., *, max_traces: Optional[int]
) -> Callable[[Callable[P, R]], Transformed[P, R]]: ...
@transformation
def assert_max_traces(fn: Optional[Callable[..., Any]] = None, *, max_traces: Optional[int]) -> Any:
    """Raise an error if a function is called more often than expected.

    Put it inside `filter_jit` or `jax.jit`. There, a function is called only when it is traced and compiled.

    Args:
        fn: The function or another callable. Without `fn`, the result is a decorator.
        max_traces: How many calls are allowed. With `None`, calls are only counted: see `get_num_traces`.

    Returns:
        A function that counts its calls. The result is a pytree whose child is `fn`. Its copies share the count. A call
        too many raises a `RuntimeError` that says what differs from an earlier call, by path, before and after.

    Raises:
        TypeError: `fn` can't be called, or `max_traces` is something other than an integer or `None`.
        ValueError: `max_traces` is negative.

    Example:
        >>> @eqx.filter_jit
        ... @eqx.debug.assert_max_traces(max_traces=1)
        ... def double(x):
        ...     return 2 * x
        >>> y = double(jnp.ones(2))
        >>> y = double(jnp.zeros(2))
        >>> try:
        ...     y = double(jnp.ones(3))
        ... except RuntimeError as error:
        ...     print(error)
        This is trace 2 of `double`, but `assert_max_traces` allows 1. Trace 2 differs from trace 1:
          x: f32[2] -> f32[3]
    """
    return transform(_Limited, fn, _Limit(max_traces))


def get_num_traces(fn: Callable[..., Any]) -> int:
    """Return how often a function was traced.

    Args:
        fn: A function made by `assert_max_traces`, or what a transformation such as `filter_jit` made of it.

    Returns:
        The number of its calls so far, which is the number of traces inside `filter_jit` or `jax.jit`.

    Raises:
        ValueError: There is no `assert_max_traces` in `fn`.

    Example:
        >>> double = eqx.filter_jit(eqx.debug.assert_max_traces(lambda x: 2 * x, max_traces=None))
        >>> for size in (2, 3, 2):
        ...     y = double(jnp.ones(size))
        >>> eqx.debug.get_num_traces(double)
        2
    """
    inner: Any = fn
    seen: Dict[int, Any] = {}
    while not isinstance(inner, _Limited) and id(inner) not in seen:
        seen[id(inner)] = inner
        partial = isinstance(inner, (ft.partial, Partial))
        inner = inner.func if partial else getattr(inner, "__wrapped__", getattr(inner, "__func__", None))
    if not isinstance(inner, _Limited):
        raise ValueError(
            "`get_num_traces` expects a function made by `assert_max_traces`, got {}.".format(describe_leaf(fn))
        )
    return inner._options.traces


class _Limit(Options):
    """How many traces are allowed, and how many there were. Two are equal only if they are one object."""

    def __init__(self, max_traces: Optional[int]) -> None:
        if max_traces is not None:
            try:
                operator.index(max_traces)
            except TypeError:
                message = "`assert_max_traces` expects `max_traces` to be an integer or `None`, got {}."
                raise TypeError(message.format(describe_leaf(max_traces))) from None
            if max_traces < 0:
                message = "`assert_max_traces` expects `max_traces` to be at least 0, got {}."
                raise ValueError(message.format(max_traces))
        super().__init__("assert_max_traces", {"max_traces": max_traces})
        self.traces = 0
        self._earlier: List[Tuple[int, Any]] = []  # the number and the inputs of each trace
        self._counting = threading.RLock()  # a comparison may run any code

    def __eq__(self, other: Any) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def count(self, fn: Any, args: Any, kwargs: Any) -> None:
        """Count a call, and raise an error if it is one too many."""
        limit = self.given["max_traces"]
        inputs = None
        if limit is not None:
            fn, args, kwargs = tree_util.tree_map(lambda x: Shape(x) if is_array(x) else x, (fn, args, kwargs))
            inputs = Callee(fn).inputs(args, kwargs)
        with self._counting:
            self.traces += 1
            if limit is None:
                return
            if self.traces <= limit:
                self._earlier.append((self.traces, inputs))
                return
            message = "This is trace {} of `{}`, but `assert_max_traces` allows {}.".format(
                self.traces, name_of(fn), limit
            )
            if self._earlier:
                message += " " + in_words(self.traces, *closest(inputs, self._earlier))
        raise RuntimeError(message)


class _Limited(Transformed[P, R]):
    """What `assert_max_traces` returns."""

    def __init__(self, fn: Callable[P, R], options: _Limit) -> None:
        super().__init__(fn, _Limit(options.given["max_traces"]))  # a decorator has a count for each function

    def __call__(__self, *args: P.args, **kwargs: P.kwargs) -> R:  # `self` may be the name of a keyword argument
        __self._options.count(__self.__wrapped__, args, kwargs)
        return __self.__wrapped__(*args, **kwargs)

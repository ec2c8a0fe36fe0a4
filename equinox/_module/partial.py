"""`Partial`: `functools.partial` as a module."""

from __future__ import annotations

import functools as ft
import inspect
from typing import Any, Callable, Dict, Generic, Tuple, TypeVar

from .._trees.paths import describe_leaf
from .._trees.predicates import is_static_function
from .fields import field
from .forwards_keywords import forwards_keywords
from .module import Module

R = TypeVar("R")


class Partial(Module, Generic[R]):
    """A function with some of its arguments given: `functools.partial` as a module.

    The given arguments are children of the pytree. So is the function if it holds data, as a model does. A plain
    function is static. A call adds its arguments after the given ones. A keyword argument of the call replaces a given
    one of the same name.

    Args:
        func: A function, a model or another callable.
        *args: The first arguments of `func`.
        **keywords: Keyword arguments of `func`. They may have any name.

    Raises:
        TypeError: `func` can't be called.

    Example:
        >>> scale = eqx.Partial(jnp.multiply, jnp.array(2.0))
        >>> float(scale(3.0))
        6.0
        >>> float(jax.grad(lambda scale: scale(3.0))(scale).args[0])
        3.0
    """

    func: Callable[..., R] = field(static=is_static_function)
    args: Tuple[Any, ...]
    keywords: Dict[str, Any]

    @forwards_keywords
    def __init__(__self, __func: Callable[..., R], *args: Any, **keywords: Any) -> None:
        if not callable(__func):
            raise TypeError("`Partial` expects a function or another callable, got {}.".format(describe_leaf(__func)))
        __self.func = __func
        __self.args = args
        __self.keywords = keywords

    def __call__(__self, *args: Any, **keywords: Any) -> R:
        """Call the function.

        Args:
            *args: The arguments after the given ones.
            **keywords: Keyword arguments. They replace given ones of the same name.

        Returns:
            What the function returns.
        """
        return __self.func(*__self.args, *args, **{**__self.keywords, **keywords})

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(ft.partial(self.func, *self.args, **self.keywords))

"""`forwards_keywords`: a decorator of functions that take any keyword arguments, such as those of a user's function."""

import functools as ft
import inspect
from typing import Any, Callable, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def forwards_keywords(function: F) -> F:
    """Let a keyword argument have the name of any parameter that is passed by position.

    `function` has `**kwargs`, and the names of the parameters before `*args` begin with two underscores. So they aren't
    the names of keyword arguments. Users see the names without the underscores, in the signature and in errors, and may
    pass these parameters by keyword too.

    Raises:
        TypeError: A call lacks one of these parameters.
    """
    signature = inspect.signature(function)
    parameters = [p.replace(name=_public(p.name)) for p in signature.parameters.values()]
    names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    title = function.__qualname__.replace(".__init__", "")

    @ft.wraps(function)
    def call(*args, **kwargs):
        for name in names[len(args) :]:
            if name not in kwargs:
                raise TypeError("`{}` expects an argument `{}`, but none came.".format(title, name))
            args += (kwargs.pop(name),)
        return function(*args, **kwargs)

    wrapped: Any = call
    wrapped.__signature__ = signature.replace(parameters=parameters)
    wrapped.__annotations__ = {_public(name): hint for name, hint in function.__annotations__.items()}
    return wrapped


def _public(name: str) -> str:
    """The name of a parameter without underscores in front, also of a method, where Python adds the class to it."""
    return name.split("__", 1)[-1]

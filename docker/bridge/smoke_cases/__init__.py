"""What a library like Equinox needs of JAX: one small checked case each, for every JAX from 0.2.18 to the newest.

Each case states the numbers that it expects, so that a wrong answer is a failure too.
"""

import inspect
from typing import Any, Callable, Dict, Type

import jax
import numpy as np

VERSION = tuple(int(n) for n in jax.__version__.split(".")[:3])
CASES: Dict[str, Callable[[], None]] = {}


class Skip(Exception):
    """This release of JAX doesn't have what the case is about."""


def case(function: Callable[[], None]) -> Callable[[], None]:
    """Add a case, which goes by the name of the function."""
    CASES[function.__name__] = function
    return function


def eq(actual: Any, expected: Any, tolerance: float = 1e-5) -> None:
    """Both hold the same numbers, nearly."""
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=tolerance, atol=tolerance)


def raises(error: Type[BaseException], function: Callable[..., Any], *args: Any) -> BaseException:
    """The error that the call raises, which is of this kind."""
    try:
        function(*args)
    except error as caught:
        return caught
    raise AssertionError("Expected {}, and nothing was raised.".format(error.__name__))


def accepts(function: Callable[..., Any], keyword: str) -> bool:
    """Whether the function of this release has an argument of that name."""
    return keyword in inspect.signature(function).parameters

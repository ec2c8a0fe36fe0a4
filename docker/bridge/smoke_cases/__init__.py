"""Small cases that check what a library like Equinox needs from JAX. They run on every JAX from 0.2.18 to the newest.

Each case states the numbers that it expects, so a wrong result fails too.
"""

import inspect
from typing import Any, Callable, Dict, Type

import jax
import numpy as np

VERSION = tuple(int(n) for n in jax.__version__.split(".")[:3])
CASES: Dict[str, Callable[[], None]] = {}


class Skip(Exception):
    """This release of JAX doesn't have the feature that the case tests."""


def case(function: Callable[[], None]) -> Callable[[], None]:
    """Add a case. Its name is the name of the function."""
    CASES[function.__name__] = function
    return function


def eq(actual: Any, expected: Any, tolerance: float = 1e-5) -> None:
    """Check that both hold the same numbers, within the tolerance."""
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=tolerance, atol=tolerance)


def raises(error: Type[BaseException], function: Callable[..., Any], *args: Any) -> BaseException:
    """Check that the call raises an error of this type, and return the error."""
    try:
        function(*args)
    except error as caught:
        return caught
    raise AssertionError("Expected {}, but nothing was raised.".format(error.__name__))


def accepts(function: Callable[..., Any], keyword: str) -> bool:
    """Whether the function has an argument of that name in this release."""
    return keyword in inspect.signature(function).parameters

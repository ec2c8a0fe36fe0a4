"""Errors below JAX 0.3.16 on Python 3.11, which those releases didn't know yet.

jax hides its own lines from the traceback of an error, by a C++ function that exists up to Python 3.10. Since Python
3.11 a traceback is kept in the error alone: to change it there is enough, as later releases of JAX do.
"""

import sys
from typing import Any

from jaxlib import xla_client as xc


def apply(jax: str) -> None:
    if not hasattr(xc._xla, "replace_thread_exc_traceback"):
        xc._xla.replace_thread_exc_traceback = _replace_traceback


def _replace_traceback(traceback: Any) -> None:
    error = sys.exc_info()[1]
    if error is not None:
        error.__traceback__ = traceback

"""Tracebacks of JAX below 0.3.16 on Python 3.11, which is newer than those releases.

jax hides its own lines from the traceback of an error. It calls a C++ function that exists up to Python 3.10. In Python
3.11 only the error holds the traceback, so changing it there is enough. Later releases of JAX do the same.
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

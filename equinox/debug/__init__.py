"""What helps to find a fault: why a function is compiled again, where a NaN comes from, what JAX does to a value."""

from ._explain_retraces import explain_retraces

__all__ = [
    "explain_retraces",
]

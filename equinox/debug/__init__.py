"""What helps to find a fault: why a function is compiled again, where a NaN comes from, what JAX does to a value."""

from ._announce_transform import announce_transform
from ._backward_nan import backward_nan
from ._breakpoint_if import breakpoint_if
from ._dce import inspect_dce, store_dce
from ._explain_retraces import explain_retraces
from ._max_traces import assert_max_traces, get_num_traces

__all__ = [
    "announce_transform",
    "assert_max_traces",
    "backward_nan",
    "breakpoint_if",
    "explain_retraces",
    "get_num_traces",
    "inspect_dce",
    "store_dce",
]

"""The MHLO dialect of MLIR, as JAX 0.3.14 to 0.4.8 uses it: the names of operations, and their arguments."""

import functools
import inspect
import sys
from typing import Any, Callable

from jaxlib.mlir import ir
from jaxlib.mlir.dialects import builtin, func, mhlo, stablehlo

# The operations that were renamed after 0.3.25: the old name, and the new one.
RENAMED = {
    "ConstOp": "ConstantOp",
    "ConvOp": "ConvolutionOp",
    "CosOp": "CosineOp",
    "RngUniformOp": "RngOp",
    "SinOp": "SineOp",
    "SubOp": "SubtractOp",
}


def apply(jax: str) -> None:
    for op in list(vars(mhlo).values()):
        if isinstance(op, type) and issubclass(op, ir.OpView):
            _ignore_result_types(op)
    _take_single_operand(mhlo.AllReduceOp)
    for then, now in RENAMED.items():
        setattr(mhlo, then, getattr(mhlo, now))
    mhlo.register_mhlo_dialect = _also_register_stablehlo(mhlo.register_mhlo_dialect)
    # 0.2.28 and 0.3.0 look for functions in the dialect `builtin`, and for calls in `std`, when they are imported.
    builtin.FuncOp = func.FuncOp
    sys.modules["jaxlib.mlir.dialects.std"] = func


def _ignore_result_types(op: Any) -> None:
    """Let an operation ignore the types of its results, which used to be its first argument. Now it infers them."""
    init = op.__init__
    first = list(inspect.signature(init).parameters)[1]
    if first in ("result", "results_", "output"):  # it still takes them
        return

    @functools.wraps(init)
    def init_without(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *(args[1:] if args and _are_types(args[0]) else args), **kwargs)

    op.__init__ = init_without


def _are_types(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return len(x) > 0 and all(isinstance(item, ir.Type) for item in x)
    return isinstance(x, ir.Type)


def _take_single_operand(op: Any) -> None:
    """Let an operation take one operand and one result. It now takes lists of both."""
    init = op.__init__

    @functools.wraps(init)
    def init_with_lists(self: Any, result: Any, operands: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(operands, ir.Value):
            result, operands = [result], [operands]
        init(self, result, operands, *args, **kwargs)

    op.__init__ = init_with_lists


def _also_register_stablehlo(register_mhlo: Callable[..., Any]) -> Callable[..., Any]:
    """Register StableHLO too. jax up to 0.3.23 registers MHLO only, but jaxlib returns some modules in StableHLO."""

    def register(context: Any, *args: Any, **kwargs: Any) -> None:
        stablehlo.register_dialect(context)
        register_mhlo(context, *args, **kwargs)

    return register

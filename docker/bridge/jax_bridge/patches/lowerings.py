"""LAPACK and FFT lowerings to MLIR, as JAX 0.3.14 to 0.4.12 calls them.

For dynamic shapes, jaxlib 0.4.13 takes the shapes of the operands as arguments. It has no FFT of its own any more.
Up to 0.4.2 the functions were named `..._mhlo`. Up to 0.3.16 `jaxlib.ducc_fft` was `jaxlib.pocketfft`.
"""

import functools
import inspect
import math
import sys
from typing import Any, Callable, Iterable, List, Tuple

import numpy as np
from jaxlib import ducc_fft, lapack
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import mhlo, stablehlo


def apply(jax: str) -> None:
    for name in [name for name in vars(lapack) if name.endswith("_hlo") and not name.startswith("_")]:
        lower = getattr(lapack, name)
        if name != "trsm_hlo":  # which takes no shapes
            lower = _with_shapes(lower)
        setattr(lapack, name, lower)
        setattr(lapack, name[: -len("hlo")] + "mhlo", lower)
    ducc_fft.ducc_fft_hlo = ducc_fft.ducc_fft_mhlo = ducc_fft.pocketfft_mhlo = _fft
    sys.modules["jaxlib.pocketfft"] = ducc_fft


def _with_shapes(lower: Callable[..., Any]) -> Callable[..., Any]:
    """A LAPACK lowering that computes the shapes that `lower` takes as arguments."""
    asks_for = inspect.signature(lower).parameters

    @functools.wraps(lower)
    def lower_with_shapes(dtype: Any, a: Any, *args: Any, **kwargs: Any) -> Any:
        if "batch_size" in asks_for and not args:  # syevd takes them as positional arguments
            dims = _shape(a)
            batch, n = dims[:-2], dims[-1]
            args = tuple(_int32s(x) for x in (math.prod(batch), dims, (*batch, n), batch))
        if "a_shape_vals" in asks_for:
            kwargs.setdefault("a_shape_vals", _shape(a))
        if "input_shape_vals" in asks_for:  # geev takes them as values of the program
            kwargs.setdefault("input_shape_vals", tuple(map(_int32s, _shape(a))))
        if "tau_shape_vals" in asks_for:  # orgqr
            kwargs.setdefault("tau_shape_vals", _shape(args[0]))
        return lower(dtype, a, *args, **kwargs)

    return lower_with_shapes


def _shape(x: Any) -> Tuple[int, ...]:
    return tuple(ir.RankedTensorType(x.type).shape)


def _int32s(values: Any) -> Any:
    return stablehlo.ConstantOp(ir.DenseElementsAttr.get(np.asarray(values, np.int32))).result


def _fft(x: Any, dtype: Any, *, fft_type: Any, fft_lengths: Iterable[int]) -> Any:
    lengths: List[int] = list(fft_lengths)
    attribute = ir.DenseElementsAttr.get(np.asarray(lengths, np.int64))
    return mhlo.FftOp(x, mhlo.FftTypeAttr.get(fft_type.name), attribute).result

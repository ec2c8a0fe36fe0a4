"""LAPACK and FFT for JAX up to 0.3.0, which lowers through XlaBuilder: `jaxlib.lapack`, `jaxlib.pocketfft`.

A function uses XLA's own decomposition if there is one. Otherwise it makes a custom call to LAPACK, as jaxlib does.
"""

import math
from typing import Any, List, Sequence, Tuple

import numpy as np
from jaxlib import ducc_fft, lapack
from jaxlib import xla_client as xc
from jaxlib.cpu import _lapack

ops = xc.ops

LETTERS = {"f": "s", "d": "d", "F": "c", "D": "z"}  # the first letter of LAPACK's routines, by NumPy's `dtype.char`

Output = Tuple[Sequence[int], Any]  # shape, dtype


def apply(jax: str) -> None:
    for function in (potrf, syevd, geqrf, orgqr, jax_trsm, getrf, gesdd, geev):
        setattr(lapack, function.__name__, function)
    ducc_fft.pocketfft = pocketfft


def potrf(c: Any, a: Any, lower: bool = False) -> Tuple[Any, Any]:
    return ops.Cholesky(a, lower), _success(c, a)


def syevd(c: Any, a: Any, lower: bool = False) -> Tuple[Any, Any, Any]:
    is_double = c.get_shape(a).numpy_dtype() in (np.float64, np.complex128)
    vectors, values = ops.Eigh(a, lower, 100, 1e-12 if is_double else 1e-6, True)
    return vectors, values, _success(c, a)


def geqrf(c: Any, a: Any) -> Tuple[Any, Any, Any]:
    r, tau = ops.QrDecomposition(a)
    return r, tau, _success(c, a)


def orgqr(c: Any, a: Any, tau: Any) -> Tuple[Any, Any]:
    return ops.ProductOfElementaryHouseholderReflectors(a, tau), _success(c, a)


def jax_trsm(
    c: Any,
    alpha: Any,
    a: Any,
    b: Any,
    left_side: bool = False,
    lower: bool = False,
    trans_a: bool = False,
    conj_a: bool = False,
    diag: bool = False,
) -> Any:
    kinds = ops.TriangularSolveOptions_Transpose
    kind = kinds.NO_TRANSPOSE if not trans_a else kinds.ADJOINT if conj_a else kinds.TRANSPOSE
    return ops.TriangularSolve(a, b, left_side, lower, diag, kind)


def getrf(c: Any, a: Any) -> List[Any]:
    dtype, batch, m, n = _matrices(c, a)
    outputs = [((*batch, m, n), dtype), ((*batch, min(m, n)), np.int32), (batch, np.int32)]
    return _call_lapack(c, a, "getrf", [math.prod(batch), m, n], outputs)


def gesdd(c: Any, a: Any, full_matrices: bool = True, compute_uv: bool = True) -> List[Any]:
    dtype, batch, m, n = _matrices(c, a)
    real, k = np.zeros((), dtype).real.dtype, min(m, n)
    _lapack.initialize()  # without this, the next line calls a null pointer
    work_size = getattr(_lapack, LETTERS[dtype.char] + "gesdd_work_size")(m, n, compute_uv, full_matrices)
    outputs: List[Output] = [
        ((*batch, m, n), dtype),
        ((*batch, k), real),
        ((*batch, m, m if full_matrices else k), dtype),
        ((*batch, n if full_matrices else k, n), dtype),
        (batch, np.int32),
    ]
    outputs.append(((_lapack.gesdd_iwork_size(m, n),), np.int32))
    if dtype != real:
        outputs.append(((_lapack.cgesdd_rwork_size(m, n, int(compute_uv)),), real))
    outputs.append(((work_size,), dtype))
    scalars = [int(full_matrices), int(compute_uv), math.prod(batch), m, n, work_size]
    return _call_lapack(c, a, "gesdd", scalars, outputs)[1:5]  # without the overwritten input and the work arrays


def geev(c: Any, a: Any, jobvl: bool = True, jobvr: bool = True) -> Any:
    raise NotImplementedError(
        "The bridge has no eigenvalues of general matrices (`geev`) below JAX 0.3.14. "
        "Use `jnp.linalg.eigh` for symmetric ones, or NumPy."
    )


def pocketfft(c: Any, a: Any, *, fft_type: Any, fft_lengths: Any) -> Any:
    return ops.Fft(a, fft_type, fft_lengths)


def _matrices(c: Any, a: Any) -> Tuple[Any, Tuple[int, ...], int, int]:
    shape = c.get_shape(a)
    *batch, m, n = shape.dimensions()
    return shape.numpy_dtype(), tuple(batch), m, n


def _success(c: Any, a: Any) -> Any:
    """LAPACK's `info`, which is zero for success: one zero per matrix."""
    return ops.Broadcast(_int32(c, 0), c.get_shape(a).dimensions()[:-2])


def _int32(c: Any, n: int) -> Any:
    return ops.Constant(c, np.array(n, np.int32))


def _call_lapack(c: Any, a: Any, routine: str, scalars: Sequence[int], outputs: Sequence[Output]) -> List[Any]:
    """Call `routine` with the scalars and `a`. Returns: the outputs, whose shapes and dtypes it is told."""
    _lapack.initialize()
    dtype, batch, m, n = _matrices(c, a)

    def layout(dims: Sequence[int], dtype: Any) -> Any:
        """Each matrix column by column, as LAPACK has it; the batch outside, row by row."""
        leading = min(len(batch), len(dims))
        minor_to_major = (*range(leading, len(dims)), *reversed(range(leading)))
        return xc.Shape.array_shape(np.dtype(dtype), tuple(dims), minor_to_major)

    results = ops.CustomCallWithLayout(
        c,
        "lapack_{}{}".format(LETTERS[dtype.char], routine).encode(),
        [_int32(c, n) for n in scalars] + [a],
        xc.Shape.tuple_shape([layout(*output) for output in outputs]),
        [layout((), np.int32)] * len(scalars) + [layout((*batch, m, n), dtype)],
    )
    return [ops.GetTupleElement(results, i) for i in range(len(outputs))]

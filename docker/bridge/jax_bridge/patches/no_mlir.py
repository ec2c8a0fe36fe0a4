"""Up to JAX 0.3.0 the lowering to MLIR is off by default on a CPU, and for another MLIR: say that there is none."""

from jaxlib import xla_client as xc


def apply(jax: str) -> None:
    xc.mlir_api_version = 0

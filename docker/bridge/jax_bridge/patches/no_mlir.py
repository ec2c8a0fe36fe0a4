"""Tell JAX up to 0.3.0 that jaxlib has no MLIR. Its lowering is for another MLIR, and off by default on a CPU."""

from jaxlib import xla_client as xc


def apply(jax: str) -> None:
    xc.mlir_api_version = 0

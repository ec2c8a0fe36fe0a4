"""A compiler option that was a bool up to JAX 0.4.8. Since then it is a list with a bool for each output."""

from jaxlib import xla_client as xc


def apply(jax: str) -> None:
    options = xc._xla.ExecutableBuildOptions
    native = options.allow_spmd_sharding_propagation_to_output
    options.allow_spmd_sharding_propagation_to_output = property(
        native.fget, lambda self, value: native.fset(self, [value] if isinstance(value, bool) else value)
    )

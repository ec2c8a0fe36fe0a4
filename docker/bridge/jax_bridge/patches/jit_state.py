"""The C++ state of jit, per process and per thread, as JAX below 0.4.9 uses it."""

from jaxlib import xla_client as xc


def apply(jax: str) -> None:
    jit = xc._xla.jax_jit
    # Whether arrays are `jax.Array`s, a setting of 0.3.14 to 0.4.6: they always are since. Neither kept nor read.
    jit.JitState.jax_array = property(lambda self: None, lambda self, value: None)
    # C++ calls this back in each new thread, and crashes without. JAX sets its own since 0.3.14.
    jit.set_thread_local_state_initialization_callback(lambda: None)

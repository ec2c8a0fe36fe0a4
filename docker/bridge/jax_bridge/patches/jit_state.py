"""The C++ state of jit, per process and per thread, as JAX below 0.4.9 uses it."""

from jaxlib import xla_client as xc


def apply(jax: str) -> None:
    jit = xc._xla.jax_jit
    # In 0.3.14 to 0.4.6 this setting says whether arrays are `jax.Array`s. In this jaxlib they always are, so it is
    # ignored.
    jit.JitState.jax_array = property(lambda self: None, lambda self, value: None)
    # C++ calls this in each new thread, and crashes if there is none. JAX 0.3.14 and later set their own.
    jit.set_thread_local_state_initialization_callback(lambda: None)

"""`clear_caches`: forget all compiled functions."""

from .._dispatch.caches import clear_all


def clear_caches() -> None:
    """Forget all functions that were compiled or traced by the transformations of this library.

    Each of them is compiled again at its next call. JAX has caches of its own, which `jax.clear_caches()` clears. Call
    both to free the memory of compiled functions.

    Example:
        >>> @eqx.filter_jit
        ... def double(x):
        ...     print("tracing")
        ...     return 2 * x
        >>> y = double(jnp.ones(2))
        tracing
        >>> eqx.clear_caches()
        >>> y = double(jnp.ones(2))
        tracing
    """
    clear_all()

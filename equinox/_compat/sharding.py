"""Arrays on several devices."""

import jax


def constrain_sharding(x, sharding, jax=jax):
    """`jax.lax.with_sharding_constraint(x, sharding)`, since JAX 0.4.1. A floor of 0.4.1 retires this function.

    Raises: NotImplementedError: the running JAX is older than that.
    """
    if not hasattr(jax.lax, "with_sharding_constraint"):
        raise NotImplementedError(
            "`out_shardings` needs JAX 0.4.1 or newer, and this is JAX {}.".format(jax.__version__)
        )
    return jax.lax.with_sharding_constraint(x, sharding)

"""How a traced function calls a function on the host."""

import inspect

import jax

from .features import require

_VECTORIZED = {"sequential": False, "legacy_vectorized": True}


def pure_callback(callback, shapes, args, sharding, vmap_method, jax=jax):
    """Call `jax.pure_callback(callback, shapes, *args)` with the options that are not `None`.

    `jax.pure_callback` came in JAX 0.3.17, `sharding` in 0.4.16 and `vmap_method` in 0.4.35. Older releases have
    `vectorized` for two of its values. A floor of 0.4.35 retires this function.

    Raises:
        NotImplementedError: The running JAX lacks the function or an option.
    """
    require("filter_pure_callback", jax)
    options = {}
    if sharding is not None:
        require("filter_pure_callback(sharding=...)", jax)
        options["sharding"] = sharding
    if vmap_method is not None:
        if "vmap_method" in inspect.signature(jax.pure_callback).parameters:
            options["vmap_method"] = vmap_method
        elif vmap_method in _VECTORIZED:
            options["vectorized"] = _VECTORIZED[vmap_method]
        else:
            require("filter_pure_callback(vmap_method=...)", jax)
    return jax.pure_callback(callback, shapes, *args, **options)

"""What `jax.jit` and its kin are asked for before a call: options, and lowering ahead of time."""

import jax


def lower(jitted, *args, jax=jax):
    """`jitted.lower(*args)`: ahead-of-time lowering, since JAX 0.2.25. A floor of 0.2.25 retires this function.

    Raises:
        NotImplementedError: The running JAX is older than that.
    """
    if not hasattr(jitted, "lower"):
        raise NotImplementedError(
            "`lower` needs JAX 0.2.25 or newer, and this is JAX {}: call the function instead, which compiles it, "
            "or update JAX.".format(jax.__version__)
        )
    return jitted.lower(*args)


def check_options(name, transformation, kwargs, jax=jax):
    """Have JAX look at the keyword arguments of `transformation` now, rather than at the first call.

    Raises:
        TypeError: This JAX doesn't take one of them. The message calls the transformation by our `name` for it.
    """
    try:
        transformation(lambda: None, **kwargs)
    except TypeError as error:
        message = "`{}` hands its keyword arguments to `jax.{}`, and that of JAX {} refuses them: {}."
        raise TypeError(message.format(name, transformation.__name__, jax.__version__, error)) from None

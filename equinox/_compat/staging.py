"""What JAX's transformations are asked for before a call."""

import jax


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

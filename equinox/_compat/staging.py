"""Check the options of JAX's transformations before the first call."""

import jax


def check_options(name, transformation, kwargs, jax=jax):
    """Let JAX check the keyword arguments of `transformation` now, instead of at the first call.

    Raises:
        TypeError: This JAX doesn't know one of them. The message has `name`, our name for the transformation.
    """
    try:
        transformation(lambda: None, **kwargs)
    except TypeError as error:
        message = "`{}` passes its keyword arguments to `jax.{}`. JAX {} refuses them: {}."
        raise TypeError(message.format(name, transformation.__name__, jax.__version__, error)) from None

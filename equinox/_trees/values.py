"""`values_of`: the values of a JAX array, for a file."""

from jax import core

from .. import _compat
from .paths import describe_leaf


def values_of(array):
    """The values of a JAX array as a NumPy array. Those of typed PRNG keys are their data.

    Raises:
        TypeError: The array is traced.
        ValueError: The array was deleted, or this process doesn't see all of it.
    """
    if isinstance(array, core.Tracer):
        raise TypeError(
            "expected an array with values, got {}, which is traced. Write the file outside of `jax.jit` and other "
            "transformations.".format(describe_leaf(array))
        )
    if getattr(array, "is_deleted", bool)():
        raise ValueError(
            "{} was deleted, for example because it was donated. Write what the function returned that took it.".format(
                describe_leaf(array)
            )
        )
    values = _compat.to_numpy(array)
    if values is None:
        raise ValueError(
            "this process can't see all of {}, because the array spans several processes. Gather it first, for "
            "example with `jax.experimental.multihost_utils.process_allgather`.".format(describe_leaf(array))
        )
    return values

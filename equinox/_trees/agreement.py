"""Whether two trees agree in all but the values of their arrays, as what the steps of a loop or its branches return."""

import jax
import jax.numpy as jnp
from jax import tree_util

from .paths import describe_leaf, first_difference, leaf_paths
from .predicates import is_array, is_numpy
from .static import is_same


def agrees(a, b):
    """Whether two leaves are arrays of one shape and dtype, or the same static value."""
    if is_array(a) and is_array(b):
        return a.shape == b.shape and dtype_of(a) == dtype_of(b)
    return is_same(a, b)


def dtype_of(x):
    """The dtype that an array or a Python number has for JAX."""
    if is_numpy(x):
        return jax.dtypes.canonicalize_dtype(x.dtype)
    return x.dtype if is_array(x) else jnp.result_type(x)


def first_disagreement(expected, got, root, agrees=agrees):
    """The first place where `got` departs from `expected`, or `None`.

    Args:
        expected: The tree that is expected.
        got: The tree that came.
        root: What the paths begin with.
        agrees: A predicate on two leaves.

    Returns:
        `(path, expected, got, leaves)`. The second and the third say in words what is there. `leaves` is the pair of
        leaves if it is these that differ, or `None` if it is the structures.
    """
    difference = first_difference(expected, got, root)
    if difference is not None:
        return (*difference, None)
    leaves = zip(leaf_paths(expected, root), tree_util.tree_leaves(expected), tree_util.tree_leaves(got))
    for path, a, b in leaves:
        if not agrees(a, b):
            return path, describe(a), describe(b), (a, b)
    return None


def describe(x):
    """A leaf in a few words. Of an array what agrees with another: its dtype and its shape."""
    if not is_array(x):
        return describe_leaf(x)
    return "an array {}[{}]".format(dtype_of(x), ",".join(map(str, x.shape)))

"""Whether two trees differ only in the values of their arrays. The results of the steps of a loop must agree so."""

import jax
import jax.numpy as jnp
from jax import tree_util

from .paths import describe_leaf, first_difference, leaf_paths
from .predicates import is_array, is_array_or_shape, is_jax_array, is_numpy
from .static import is_same


def agrees(a, b):
    """Whether two leaves are arrays of the same shape and dtype, or the same static value."""
    if is_array(a) and is_array(b):
        return a.shape == b.shape and dtype_of(a) == dtype_of(b)
    return is_same(a, b)


def agrees_with_shape(expected, got):
    """As `agrees`. `expected` may be a `jax.ShapeDtypeStruct` that stands for an array."""
    if isinstance(expected, jax.ShapeDtypeStruct):
        return is_array(got) and got.shape == expected.shape and dtype_of(got) == expected.dtype
    return agrees(expected, got)


def shapes_of(arrays):
    """For each array, a `jax.ShapeDtypeStruct` with the dtype that it has for JAX."""
    return [jax.ShapeDtypeStruct(x.shape, dtype_of(x)) for x in arrays]


def dtype_of(x):
    """The dtype that an array or a Python number has for JAX."""
    if is_jax_array(x):  # asked first, because it is fast for tracers
        return x.dtype
    if not hasattr(x, "dtype"):
        return jnp.result_type(x)
    return jax.dtypes.canonicalize_dtype(x.dtype) if is_numpy(x) else x.dtype


def first_disagreement(expected, got, root, agrees=agrees):
    """Find the first place where `got` doesn't agree with `expected`.

    Args:
        expected: The tree that is expected.
        got: The tree that came.
        root: What the paths begin with.
        agrees: A predicate on two leaves.

    Returns:
        `(path, expected, got, leaves)`, or `None` if the trees agree. The second and the third item describe in words
        what is there. If the structures differ, `leaves` is `None`. If two leaves differ, it is this pair of leaves.
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
    """Describe a leaf in a few words. An array, or what stands for it, is described by its dtype and shape."""
    if not is_array_or_shape(x):
        return describe_leaf(x)
    return "an array {}[{}]".format(dtype_of(x), ",".join(map(str, x.shape)))

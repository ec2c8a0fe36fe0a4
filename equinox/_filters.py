"""Which leaves? Predicates on one leaf, and the three operations that split a pytree by them."""

import functools as ft
import operator

import jax.numpy as jnp
import numpy as np
from jax import core, tree_util

from ._paths import describe_leaf, first_difference, leaf_paths

is_none = ft.partial(operator.is_, None)  # in C: pytree flattening asks it of every node
concrete_array_types = set()  # of JAX arrays met so far: neither tracers nor typed keys


def is_array(element):
    """Whether `element` is a JAX array: of any dtype, concrete or traced, old-style or typed PRNG keys too.

    A NumPy array is no JAX array.
    """
    if type(element) in concrete_array_types:
        return True
    # On the oldest JAX `jnp.ndarray` matches NumPy arrays too.
    if not isinstance(element, jnp.ndarray) or isinstance(element, (np.ndarray, np.generic)):
        return False
    if not isinstance(element, core.Tracer) and isinstance(element.dtype, np.dtype):
        concrete_array_types.add(type(element))
    return True


def is_inexact_array(element):
    """Whether `element` is a JAX array (see `is_array`) of floating-point or complex dtype."""
    return is_array(element) and _is_inexact_dtype(element.dtype)


def is_array_like(element):
    """Whether `element` can be made into a JAX array: whether `jax.numpy.array(element)` succeeds.

    True for JAX and NumPy arrays of numbers, Python and NumPy numbers that fit JAX's dtypes, and lists of those.
    False for strings, functions, `None`, and anything else.
    """
    if is_array(element) or isinstance(element, (bool, float, complex)):
        return True
    if isinstance(element, int) and -(2**31) <= element < 2**31:
        return True  # fits the default integer with and without x64; above it, JAX decides
    if element is None or isinstance(element, (str, bytes)):
        return False  # JAX 0.4.1 to 0.4.33 read `None` as NaN
    if isinstance(element, (np.ndarray, np.generic)):
        return _is_number_dtype(element.dtype)
    try:
        jnp.array(element)
    except Exception:  # whatever the object's own conversion raises
        return False
    return True


def is_inexact_array_like(element):
    """Whether `element` is array-like (see `is_array_like`) and floating-point or complex: `1.0` is, `1` isn't."""
    if isinstance(element, (float, complex)):
        return True
    if isinstance(element, (bool, int)) or not is_array_like(element):
        return False
    if not is_array(element) and not isinstance(element, (np.ndarray, np.generic)):
        element = jnp.array(element)
    return _is_inexact_dtype(element.dtype)


@ft.lru_cache(maxsize=None)
def _is_inexact_dtype(dtype):
    return bool(jnp.issubdtype(dtype, jnp.inexact))


@ft.lru_cache(maxsize=None)
def _is_number_dtype(dtype):
    if dtype.type in (np.timedelta64, np.longdouble, np.clongdouble):  # numbers to NumPy, not to JAX
        return False
    return dtype == np.bool_ or bool(jnp.issubdtype(dtype, jnp.number))


def filter(tree, filter_spec, inverse=False, replace=None, is_leaf=None):
    """Keep the leaves of `tree` that `filter_spec` selects; put `replace` in the place of the others.

    Args:
        tree: any pytree.
        filter_spec: a function `leaf -> bool`; or a bool; or a pytree of these whose structure is a prefix of that
            of `tree`. Each applies to every leaf of `tree` below it. A callable that is a pytree itself, such as a
            module, counts as a pytree; but for bound methods, which are functions here.
        inverse: keep the leaves that are not selected instead.
        replace: what stands for a leaf that is not kept.
        is_leaf: as in `jax.tree_util.tree_flatten`: what else in `tree` counts as a leaf.

    Returns: a tree like `tree`.

    Raises: ValueError: `filter_spec` isn't a prefix of `tree`. TypeError: a leaf of it is neither bool nor function.
    """
    leaves, treedef = tree_util.tree_flatten(tree, is_leaf=is_leaf)
    mask = _mask(leaves, treedef, tree, filter_spec, is_leaf)
    if inverse:
        mask = map(operator.not_, mask)
    return treedef.unflatten([x if keep else replace for x, keep in zip(leaves, mask)])


def partition(tree, filter_spec, replace=None, is_leaf=None):
    """Split `tree` in two: the leaves that `filter_spec` selects, and the others. `combine` undoes it.

    Args and Raises: as for `filter`.

    Returns: two trees like `tree`; each leaf is in one of them, and `replace` stands for it in the other.
    """
    leaves, treedef = tree_util.tree_flatten(tree, is_leaf=is_leaf)
    mask = _mask(leaves, treedef, tree, filter_spec, is_leaf)
    selected = [x if keep else replace for x, keep in zip(leaves, mask)]
    others = [replace if keep else x for x, keep in zip(leaves, mask)]
    return treedef.unflatten(selected), treedef.unflatten(others)


def combine(*trees, is_leaf=None):
    """Merge trees of one structure: at each place the first leaf that isn't `None`.

    Args:
        trees: pytrees alike but for `None`s, such as `partition` returns.
        is_leaf: as in `jax.tree_util.tree_flatten`: what else counts as a leaf.

    Raises: ValueError: no tree given, or their structures differ, naming where.
    """
    if not trees:
        raise ValueError("`combine` expects at least one tree, got none.")
    is_leaf_or_none = is_none if is_leaf is None else lambda x: x is None or is_leaf(x)
    flat = [tree_util.tree_flatten(tree, is_leaf=is_leaf_or_none) for tree in trees]
    treedef = flat[0][1]
    for i, (_, other) in enumerate(flat):
        if other != treedef:
            difference = first_difference(trees[0], trees[i], "tree", is_leaf_or_none, is_leaf_or_none)
            raise ValueError(
                "`combine` expects trees of one structure, but number 0 and number {} differ. At `{}` expected {}, "
                "got {}.".format(i, *difference)
            )
    if len(flat) == 2:  # the two halves of a partition
        return treedef.unflatten([b if a is None else a for a, b in zip(flat[0][0], flat[1][0])])
    columns = zip(*(leaves for leaves, _ in flat))
    return treedef.unflatten([next((x for x in column if x is not None), None) for column in columns])


def _mask(leaves, treedef, tree, filter_spec, is_leaf):
    """`filter_spec` as something true or false for each of the `leaves` of `tree`."""
    if callable(filter_spec) and tree_util.all_leaves([filter_spec]):
        return list(map(filter_spec, leaves))
    spec_is_leaf = None
    specs, prefix = tree_util.tree_flatten(filter_spec)
    if prefix == treedef:
        if set(map(type, specs)) == {bool}:
            return specs
        below = range(len(leaves))
    else:
        spec_is_leaf = _is_spec
        specs, prefix = tree_util.tree_flatten(filter_spec, is_leaf=spec_is_leaf)
        try:
            below = prefix.flatten_up_to(treedef.unflatten(range(len(leaves))))
        except ValueError:
            path, expected, got = first_difference(tree, filter_spec, "tree", is_leaf, covers=_is_spec_leaf)
            raise ValueError(
                "`filter_spec` must have the structure of `tree`, or of a prefix of it. At `{}` expected {}, "
                "got {}.".format(path, expected, got)
            ) from None
    mask = []
    for i, (spec, subtree) in enumerate(zip(specs, below)):
        indices = [subtree] if type(subtree) is int else tree_util.tree_leaves(subtree)
        if isinstance(spec, (bool, np.bool_)):
            mask.extend([spec] * len(indices))
        elif callable(spec):
            mask.extend(spec(leaves[j]) for j in indices)
        elif indices or spec is not None:
            raise TypeError(
                "`{}` must be a bool or a function from a leaf to a bool, got {}.".format(
                    leaf_paths(filter_spec, "filter_spec", spec_is_leaf)[i], describe_leaf(spec)
                )
            )
    return mask


def _is_spec(x):
    """What in a `filter_spec` is no container, though JAX has it as a node: `None`, and a bound method."""
    return x is None or hasattr(x, "__func__")


def _is_spec_leaf(x):
    return _is_spec(x) or tree_util.all_leaves([x])

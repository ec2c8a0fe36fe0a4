"""`filter_shard` and `filter_device_put`: move the arrays of a tree to devices."""

from __future__ import annotations

import jax
from jax import core, tree_util

from .. import _compat
from .._compat.types import PyTree, T
from .._dispatch.shardings import Shardings
from .._trees.paths import leaf_paths
from .._trees.predicates import is_array


def filter_shard(x: T, device_or_shardings: PyTree) -> T:
    """Spread the arrays of a tree over devices. Any other leaf stays as it is.

    Outside of transformations, the arrays are moved, as by `jax.device_put`. Inside `jax.jit` nothing is moved, but the
    compiled program has its arrays where you say, as by `jax.lax.with_sharding_constraint`.

    Args:
        x: Any pytree, such as a model.
        device_or_shardings: A device, a sharding, `None` for an array that stays where it is, or a function from an
            array to one of these. It may also be a pytree of these that is a prefix of `x`, as `shardings` makes it.
            Each item then applies to all arrays below it.

    Returns:
        A tree like `x`.

    Raises:
        ValueError: `device_or_shardings` doesn't fit `x`, or an array can't be split as a sharding says.
        TypeError: A function in `device_or_shardings` returns a function.
        NotImplementedError: The function runs inside a transformation, and the running JAX is older than 0.4.1, which
            added `jax.lax.with_sharding_constraint`, or than 0.4.18 for typed PRNG keys.

    Example:
        >>> model = eqx.nn.Linear(2, 3, key=jax.random.PRNGKey(0))
        >>> model = eqx.filter_shard(model, jax.devices()[0])
        >>> eqx.filter_jit(lambda x: eqx.filter_shard(x, lambda array: None))({"x": jnp.ones(2), "name": "x"})["name"]
        'x'
    """
    return _for_each_array("filter_shard", x, device_or_shardings, _put_or_constrain)


def filter_device_put(x: T, device_or_shardings: PyTree = None) -> T:
    """Wrap `jax.device_put`: put the arrays of a tree on devices. Any other leaf stays as it is.

    NumPy arrays become JAX arrays. To choose shardings inside `jax.jit`, use `filter_shard`.

    Args:
        x: Any pytree, such as a model.
        device_or_shardings: A device, a sharding, `None` for JAX's own choice, or a function from an array to one of
            these. It may also be a pytree of these that is a prefix of `x`, as `shardings` makes it. Each item then
            applies to all arrays below it.

    Returns:
        A tree like `x`.

    Raises:
        ValueError: `device_or_shardings` doesn't fit `x`, or an array can't be split as a sharding says.
        TypeError: A function in `device_or_shardings` returns a function.

    Example:
        >>> tree = eqx.filter_device_put({"x": np.ones(2), "name": "x"}, jax.devices()[0])
        >>> eqx.is_inexact_array(tree["x"]), tree["name"]
        (True, 'x')
    """
    return _for_each_array("filter_device_put", x, device_or_shardings, jax.device_put)


def _put_or_constrain(array, sharding):
    if sharding is None:
        return array
    return _compat.constrain(array, sharding) if isinstance(array, core.Tracer) else jax.device_put(array, sharding)


def _for_each_array(transformation, tree, device_or_shardings, put):
    """`tree` with `put(array, sharding)` in the place of each array."""
    shardings = Shardings(transformation, "device_or_shardings", device_or_shardings, "the tree")
    leaves, treedef = tree_util.tree_flatten(tree)

    def new(i, item, x):
        def path():
            return leaf_paths(tree, "x")[i]

        sharding = shardings.of_array(item, x, path)
        try:
            return put(x, sharding)
        except (AssertionError, IndexError, ValueError):  # the first two are raised by JAX 0.4.1
            shardings.check_fit(sharding, x, path)
            raise

    items = shardings.items(tree, treedef)
    pairs = zip(items, leaves)
    return treedef.unflatten([new(i, item, x) if is_array(x) else x for i, (item, x) in enumerate(pairs)])

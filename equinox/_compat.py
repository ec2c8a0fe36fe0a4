"""The one door to JAX's versions: the only file that knows which JAX is running.

Most of JAX needs no shim: `jax.tree_util`, `jax.numpy.ndarray` and `jax.core.Tracer` mean the same from 0.2.18 to
today. What is left is here, one function to a question. Each takes the `jax` module, so that a test can pass a
stand-in and cover every arm on any JAX, and each says what moved, in which release, and the floor that retires it.
"""

import weakref

import jax
import numpy as np
from jax import tree_util

_key_functions = weakref.WeakKeyDictionary()  # class -> node's field names; only filled where JAX keeps none itself


def register_node(cls, flatten_with_names, flatten, unflatten, jax=jax):
    """Register `cls` as a pytree node whose children are named.

    `register_pytree_with_keys` came in JAX 0.4.6 and its `flatten_func`, without which every flatten pays for the
    names, in 0.4.8. A floor of 0.4.8 retires the other arm.
    """
    tree_util = jax.tree_util
    if hasattr(tree_util, "tree_flatten_with_path") and _jax_version(jax) >= (0, 4, 8):
        attribute = tree_util.GetAttrKey

        def flatten_with_keys(node):
            named, aux = flatten_with_names(node)
            return [(attribute(name), child) for name, child in named], aux

        tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    else:
        _key_functions[cls] = lambda node: ["." + name for name, _ in flatten_with_names(node)[0]]
        tree_util.register_pytree_node(cls, flatten, unflatten)


def named_children(node, is_leaf=None, jax=jax):
    """The children of one pytree node as `[(".name" or "[index]", child), ...]`, or `None` for a leaf.

    `tree_flatten_with_path` came in JAX 0.4.6 (`register_node` uses it from 0.4.8). A floor of 0.4.8 retires the
    other arm.
    """
    tree_util = jax.tree_util
    if is_leaf is not None and is_leaf(node):
        return None

    def below(x):
        return x is not node

    if hasattr(tree_util, "tree_flatten_with_path") and _jax_version(jax) >= (0, 4, 8):
        with_path, _ = tree_util.tree_flatten_with_path(node, is_leaf=below)
        named = [(tree_util.keystr(path), child) for path, child in with_path]
    else:
        children, _ = tree_util.tree_flatten(node, is_leaf=below)
        named = list(zip(_child_names(node, len(children)), children))
    if len(named) == 1 and named[0][1] is node:
        return None
    return named


def _child_names(node, count):
    """What `keystr` would call the children of `node`, for the JAX releases that have no `keystr`."""
    if type(node) in _key_functions:
        return _key_functions[type(node)](node)
    if isinstance(node, dict):
        keys = list(node) if type(node).__name__ == "OrderedDict" else sorted(node)
        return ["[{!r}]".format(key) for key in keys]
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return ["." + name for name in node._fields]
    if isinstance(node, (list, tuple)):
        return ["[{}]".format(i) for i in range(count)]
    return ["[<flat index {}>]".format(i) for i in range(count)]


def is_typed_key(x, jax=jax):
    """Whether `x` is an array of typed PRNG keys, as made by `jax.random.key`.

    Typed keys came in JAX 0.4.11 and their dtype, `jax.dtypes.prng_key`, in 0.4.16. A floor of 0.4.16 retires this
    function in favour of `jax.numpy.issubdtype`.
    """
    key_dtype = getattr(jax.dtypes, "prng_key", None)
    return key_dtype is not None and jax.numpy.issubdtype(x.dtype, key_dtype)


def pickles_arrays_as_numpy(jax=jax):
    """Whether `pickle` and `deepcopy` turn a JAX array into a NumPy array, as they did before JAX 0.3.0.

    A floor of 0.3.0 retires this function and what asks it in `_module.py`.
    """
    return _jax_version(jax) < (0, 3, 0)


def lower(jitted, *args, jax=jax):
    """`jitted.lower(*args)`: ahead-of-time lowering, since JAX 0.2.25. A floor of 0.2.25 retires this function.

    Raises: NotImplementedError: the running JAX is older than that.
    """
    if not hasattr(jitted, "lower"):
        raise NotImplementedError(
            "`lower` needs JAX 0.2.25 or newer, and this is JAX {}: call the function instead, which compiles it, "
            "or update JAX.".format(jax.__version__)
        )
    return jitted.lower(*args)


def constrain_sharding(x, sharding, jax=jax):
    """`jax.lax.with_sharding_constraint(x, sharding)`, since JAX 0.4.1. A floor of 0.4.1 retires this function.

    Raises: NotImplementedError: the running JAX is older than that.
    """
    if not hasattr(jax.lax, "with_sharding_constraint"):
        raise NotImplementedError(
            "`out_shardings` needs JAX 0.4.1 or newer, and this is JAX {}.".format(jax.__version__)
        )
    return jax.lax.with_sharding_constraint(x, sharding)


def to_numpy(x, jax=jax):
    """The values of the concrete JAX array `x` as a NumPy array, or `None` where this process can't see them all.

    `is_fully_addressable` came with `jax.Array` in 0.3.18; before it an array never spanned processes. A floor of
    0.4.1 retires the default. The values of typed keys (0.4.16, see `is_typed_key`) are their `key_data`.
    """
    if not getattr(x, "is_fully_addressable", True):
        return None
    if is_typed_key(x, jax):
        x = jax.random.key_data(x)
    return np.asarray(x)


def _jax_version(jax):
    """`(major, minor, patch)`; `jax.__version_info__` exists from 0.3.7 only."""
    return tuple(int("".join(filter(str.isdigit, part)) or 0) for part in jax.__version__.split(".")[:3])


treedef_type = type(tree_util.tree_structure(0))  # `jax.tree_util.PyTreeDef` is missing from 0.2.18

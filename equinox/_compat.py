"""The one door to JAX's versions: the only file that knows which JAX is running.

Most of JAX needs no shim: `jax.tree_util`, `jax.numpy.ndarray` and `jax.core.Tracer` mean the same from 0.2.18 to
today. What is left is here, one function to a question. Each takes the `jax` module, so that a test can pass a
stand-in and cover every arm on any JAX, and each says what moved, in which release, and the floor that retires it.
"""

import collections
import re

import jax
import numpy as np

_name_functions = {}  # class -> function from a node to its children's names; only filled where JAX keeps none


def register_node(cls, flatten_with_names, flatten, unflatten, jax=jax):
    """Register `cls` as a pytree node whose children are named.

    `register_pytree_with_keys` came in JAX 0.4.6 and its `flatten_func`, without which every flatten pays for the
    names, in 0.4.8. A floor of 0.4.8 retires the other arm.
    """
    tree_util = jax.tree_util
    if _names_children(jax):
        attribute = tree_util.GetAttrKey

        def flatten_with_keys(node):
            named, aux = flatten_with_names(node)
            return [(attribute(name), child) for name, child in named], aux

        tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    else:
        _name_functions[cls] = lambda node: ["." + name for name, _ in flatten_with_names(node)[0]]
        tree_util.register_pytree_node(cls, flatten, unflatten)


def named_children(node, is_leaf=None, jax=jax):
    """The children of one pytree node as `[(".name" or "[index]", child), ...]`, or `None` for a leaf.

    `tree_flatten_with_path` came in JAX 0.4.6, and is used where `register_node` names children for it: from 0.4.8. A
    floor of 0.4.8 retires the other arm.
    """
    tree_util = jax.tree_util
    if tree_util.all_leaves([node]) or (is_leaf is not None and is_leaf(node)):
        return None

    def below(x):
        return x is not node

    if _names_children(jax):
        with_path, _ = tree_util.tree_flatten_with_path(node, is_leaf=below)
        return [(tree_util.keystr(path), child) for path, child in with_path]
    children, _ = tree_util.tree_flatten(node, is_leaf=below)
    return list(zip(_child_names(node, len(children)), children))


def _names_children(jax):
    return _jax_version(jax) >= (0, 4, 8)


def _child_names(node, count):
    """What `keystr` would call the children of `node`, for the JAX releases that have no `keystr`."""
    if type(node) in _name_functions:
        return _name_functions[type(node)](node)
    if type(node) is dict:
        return ["[{!r}]".format(key) for key in sorted(node)]
    if type(node) in (collections.OrderedDict, collections.defaultdict):  # neither is sorted in those releases
        return ["[{!r}]".format(key) for key in node]
    if type(node) in (list, tuple):
        return ["[{}]".format(i) for i in range(count)]
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return ["." + name for name in node._fields]
    return ["[<flat index {}>]".format(i) for i in range(count)]


def is_typed_key(x, jax=jax):
    """Whether `x` is an array of typed PRNG keys, as made by `jax.random.key`.

    Typed keys came in JAX 0.4.11 and the name of their dtype, `jax.dtypes.prng_key`, in 0.4.16; in between, no other
    arrays had a dtype that isn't NumPy's. A floor of 0.4.16 retires this function for `jax.numpy.issubdtype`.
    """
    if isinstance(x.dtype, np.dtype):
        return False
    return not hasattr(jax.dtypes, "prng_key") or bool(jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key))


def is_numpy_array(x, jax=jax):
    """Whether `x` is a NumPy array, or what JAX makes of one that is a constant of a trace.

    JAX 0.7.2 to 0.9.1 has a class of its own for these, first `LiteralArray`, then `TypedNdArray`; in 0.9.2 it became a
    subclass of NumPy's. JAX doesn't export it, so it is known by its name. Support for none of those releases retires
    this function.
    """
    if isinstance(x, np.ndarray):
        return True
    cls = type(x)
    return cls.__name__ in ("LiteralArray", "TypedNdArray") and cls.__module__.split(".")[0] == jax.__name__


def pickles_arrays_as_numpy(jax=jax):
    """Whether `pickle` and `deepcopy` turn a JAX array into a NumPy array, as they did before JAX 0.3.0.

    A floor of 0.3.0 retires this function and what asks it in `_module/_pickle.py`.
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


def check_options(name, transformation, kwargs, jax=jax):
    """Have JAX look at the keyword arguments of `transformation` now, rather than at the first call.

    Raises: TypeError: this JAX doesn't take one of them; `name` is ours for the transformation.
    """
    try:
        transformation(lambda: None, **kwargs)
    except TypeError as error:
        message = "`{}` hands its keyword arguments to `jax.{}`, and that of JAX {} refuses them: {}."
        raise TypeError(message.format(name, transformation.__name__, jax.__version__, error)) from None


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
    0.4.1 retires the default. The values of typed keys (see `is_typed_key`) are their `key_data`.
    """
    if is_typed_key(x, jax):
        x = jax.random.key_data(x)
    try:
        return np.asarray(x)
    except RuntimeError:
        if getattr(x, "is_fully_addressable", True):
            raise
        return None


def _jax_version(jax):
    """`(major, minor, patch)`; `jax.__version_info__` exists from 0.3.7 only."""
    return tuple(map(int, re.findall(r"\d+", jax.__version__)[:3]))

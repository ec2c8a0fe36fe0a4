"""Register a class as a pytree node, and name the children of a node."""

import collections

import jax

from .release import jax_release

_name_functions = {}  # class -> function from a node to the names of its children. Used only if JAX keeps no names.


def register_node(cls, flatten_with_names, flatten, unflatten, jax=jax):
    """Register `cls` as a pytree node whose children are named.

    `register_pytree_with_keys` came in JAX 0.4.6. Its argument `flatten_func` came in 0.4.8: without it every flatten
    builds the names. A floor of 0.4.8 retires the other branch.
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

    `tree_flatten_with_path` came in JAX 0.4.6. It is used from 0.4.8, because `register_node` gives it names from that
    release. A floor of 0.4.8 retires the other branch.
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
    return jax_release(jax) >= (0, 4, 8)


def _child_names(node, count):
    """The names of the children of `node`, as `keystr` writes them. For the JAX releases that have no `keystr`."""
    if type(node) in _name_functions:
        return _name_functions[type(node)](node)
    if type(node) is dict:
        return ["[{!r}]".format(key) for key in sorted(node)]
    if type(node) in (collections.OrderedDict, collections.defaultdict):  # those releases don't sort them
        return ["[{!r}]".format(key) for key in node]
    if type(node) in (list, tuple):
        return ["[{}]".format(i) for i in range(count)]
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return ["." + name for name in node._fields]
    return ["[<flat index {}>]".format(i) for i in range(count)]

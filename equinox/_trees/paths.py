"""The paths of leaves, as a user writes them: `model.layers[0].activation`. They are made only for error messages."""

import re

from jax import core, tree_util

from .._compat import named_children
from .layout import layout_of
from .static import is_same


def leaf_paths(tree, root="", is_leaf=None):
    """The path of each leaf of `tree`, in the order of flattening. Each path begins with `root`."""
    paths = []
    pending = [(root, tree)]  # a stack: a tree may be deeper than Python's limit of recursion
    while pending:
        path, node = pending.pop()
        children = named_children(node, is_leaf)
        if children is None:
            paths.append(path)
        else:
            pending.extend((path + name, child) for name, child in reversed(children))
    return paths


def first_difference(expected, got, root="", is_leaf=None, got_is_leaf=None, covers=None):
    """Find the first place where the structure of `got` differs from that of `expected`.

    Args:
        expected: The tree to compare with.
        got: The tree to compare.
        root: What the path begins with.
        is_leaf: As in `jax.tree_util.tree_flatten`, for `expected`.
        got_is_leaf: The same for `got`.
        covers: A predicate on nodes of `got`. A node for which it is true matches any subtree.

    Returns:
        `(path, what is in expected, what is in got)`, the last two in words. `None` if the structures are the same.
    """
    pending = [(root, expected, got)]
    while pending:
        path, left, right = pending.pop()
        if covers is not None and covers(right):
            continue
        left_children, right_children = named_children(left, is_leaf), named_children(right, got_is_leaf)
        if left_children is None and right_children is None:
            continue
        if left_children is None or right_children is None or type(left) is not type(right):
            return path, _describe_node(left, left_children), _describe_node(right, right_children)
        left_names = [name for name, _ in left_children]
        right_names = [name for name, _ in right_children]
        if left_names != right_names:
            return path, _describe_names(left, left_names), _describe_names(right, right_names)
        if _top(left) != _top(right):
            return (path, *_describe_static_data(left, dict(left_children), right, dict(right_children)))
        triples = zip(left_names, left_children, right_children)
        pending.extend(reversed([(path + name, a, b) for name, (_, a), (_, b) in triples]))
    return None


def _top(node):
    """The structure of a node alone, as if its children were leaves."""
    return tree_util.tree_flatten(node, is_leaf=lambda x: x is not node)[1]


def _describe_static_data(left, left_children, right, right_children):
    """Describe two nodes of one class whose static data differ. Modules are described by the fields that differ."""
    name = type(left).__name__
    layout = layout_of(left)

    def static_value(module, children, name):
        value = vars(module).get(name)
        child = children.get("." + name)  # a static value has no child, or the child `None`
        if type(child) is tuple and type(value) is tuple:
            return tuple([None if c is v else v for c, v in zip(child, value)])
        return value if child is None else None

    here, there = [], []
    for field in () if layout is None else (*layout.dynamic, *layout.static):
        a, b = static_value(left, left_children, field), static_value(right, right_children, field)
        if not is_same(a, b):
            here.append("`{}={}`".format(field, short_repr(a, 40)))
            there.append("`{}={}`".format(field, short_repr(b, 40)))
    if not here:
        return "a `{}`".format(name), "a `{}` whose static data differ".format(name)
    return "a `{}` with {}".format(name, ", ".join(here)), "a `{}` with {}".format(name, ", ".join(there))


def _describe_node(node, children):
    if node is None:
        return "`None`"
    return "a leaf ({})".format(describe_leaf(node)) if children is None else "a `{}`".format(type(node).__name__)


def _describe_names(node, names):
    return "a `{}` with {}".format(type(node).__name__, ", ".join("`{}`".format(n) for n in names) or "no children")


def describe_leaf(x):
    """Describe a leaf in a few words: its type, and for an array its dtype and shape."""
    if hasattr(x, "dtype") and hasattr(x, "shape") and not isinstance(x, type):
        # The names of the classes of tracers change from release to release.
        name = "Tracer" if isinstance(x, core.Tracer) else type(x).__name__
        return "`{}` {}[{}]".format(name, x.dtype, ",".join(map(str, x.shape)))
    return "`{}` {}".format(type(x).__name__, short_repr(x, 40))


def short_repr(x, width):
    """`repr(x)` on one line, cut to `width`. It never raises an error."""
    try:
        text = re.sub(r"\s*\n\s*", " ", repr(x))
    except Exception:  # the `repr` of the object is broken
        text = object.__repr__(x)
    return text if len(text) <= width else text[: width - 3] + "..."

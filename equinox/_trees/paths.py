"""The paths of leaves, as a user writes them: `model.layers[0].activation`. No compiled call makes them."""

from __future__ import annotations

import fnmatch
import operator
import re
from typing import Any, List, Optional, Tuple

from jax import core, tree_util

from .._compat import named_children
from .._compat.types import IsLeaf, PyTree
from .layout import layout_of
from .predicates import is_jax_array
from .static import is_same


def named_leaves(tree: PyTree, root: str = "", is_leaf: Optional[IsLeaf] = None) -> List[Tuple[str, Any]]:
    """List the leaves of a tree with their paths, as `named_parameters` of PyTorch lists parameters with their names.

    A path is what follows the name of the tree in Python, as in `model.layers[0].weight`. `select` finds nodes by the
    pattern of their paths.

    Args:
        tree: Any pytree.
        root: What each path begins with, such as `"model"`.
        is_leaf: As in `jax.tree_util.tree_flatten`: what else in `tree` counts as a leaf.

    Returns:
        A list with `(path, leaf)` for each leaf, in the order of flattening.

    Example:
        >>> linear = eqx.nn.Linear(3, 2, key=jax.random.PRNGKey(0))
        >>> [(path, leaf.shape) for path, leaf in eqx.named_leaves([linear, jnp.ones(4)])]
        [('[0].weight', (2, 3)), ('[0].bias', (2,)), ('[1]', (4,))]
    """
    return joined_names(tree, root, operator.add, is_leaf)


def joined_names(tree, root, join, is_leaf=None):
    """List the leaves of a tree with the names on their way from the root, which `join` puts together.

    Args:
        tree: Any pytree.
        root: What stands for the root.
        join: A function from what stands for a node, and the name of a child such as `".weight"` or `"[0]"`, to what
            stands for the child.
        is_leaf: As in `jax.tree_util.tree_flatten`.

    Returns:
        A list with `(what stands for the leaf, leaf)`, in the order of flattening.
    """
    leaves = []
    pending = [(root, tree)]  # a stack: a tree may be deeper than Python's limit of recursion
    while pending:
        path, node = pending.pop()
        children = named_children(node, is_leaf)
        if children is None:
            leaves.append((path, node))
        else:
            pending.extend((join(path, name), child) for name, child in reversed(children))
    return leaves


def leaf_paths(tree, root="", is_leaf=None):
    """The paths alone of `named_leaves`."""
    return [path for path, _ in named_leaves(tree, root, is_leaf)]


def path_matches(path, pattern):
    """Whether the whole `path` matches `pattern`, in which `*` stands for any text and `?` for any character."""
    return fnmatch.fnmatchcase(path, pattern.replace("[", "[[]"))  # a bracket is part of a path, as in `[0]`


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
    for path, left, right, left_children, right_children in walk_together(
        expected, got, root, is_leaf, got_is_leaf, covers
    ):
        if left_children is None and right_children is None:
            continue
        if left_children is None or right_children is None or type(left) is not type(right):
            return path, _describe_node(left, left_children), _describe_node(right, right_children)
        if list(left_children) != list(right_children):
            return path, _describe_names(left, left_children), _describe_names(right, right_children)
        return (path, *_describe_static_data(left, left_children, right, right_children))
    return None


def walk_together(left, right, root="", is_leaf=None, right_is_leaf=None, covers=None):
    """Walk through two trees at the same time, in the order of flattening.

    Args:
        left: A tree.
        right: Another tree.
        root: What the paths begin with.
        is_leaf: As in `jax.tree_util.tree_flatten`, for `left`.
        right_is_leaf: The same for `right`.
        covers: A predicate on nodes of `right`. A node for which it is true matches any subtree.

    Yields:
        `(path, left, right, children of left, children of right)` for each pair of leaves, and for each pair of nodes
        whose structures differ. The children are a dictionary from names to nodes, or `None` for a leaf. The children
        that both nodes have are walked through too.
    """
    pending = [(root, left, right)]
    while pending:
        path, left, right = pending.pop()
        if covers is not None and covers(right):
            continue
        left_children, right_children = _children(left, is_leaf), _children(right, right_is_leaf)
        if left_children is None or right_children is None or type(left) is not type(right):
            yield path, left, right, left_children, right_children
            continue
        if list(left_children) != list(right_children) or _top(left) != _top(right):
            yield path, left, right, left_children, right_children
        pairs = [(path + name, x, right_children[name]) for name, x in left_children.items() if name in right_children]
        pending.extend(reversed(pairs))


def _children(node, is_leaf):
    children = named_children(node, is_leaf)
    return None if children is None else dict(children)


def _top(node):
    """The structure of a node alone, as if its children were leaves."""
    return tree_util.tree_flatten(node, is_leaf=lambda x: x is not node)[1]


def differing_static_fields(left, left_children, right, right_children):
    """The fields of two modules of one class whose static values differ: `[(name, value of left, value of right)]`.

    If a field is static in only one of them, the other value is the child.
    """
    layout = layout_of(left)

    def static_value(module, children, name):
        value = vars(module).get(name)
        child = children.get("." + name)  # a static value has no child, or the child `None`
        if type(child) is tuple and type(value) is tuple:
            statics = tuple([None if c is v else v for c, v in zip(child, value)])
            return None if set(map(type, statics)) <= {type(None)} else statics
        return value if child is None else None

    names = () if layout is None else (*layout.dynamic, *layout.static)
    values = [(x, static_value(left, left_children, x), static_value(right, right_children, x)) for x in names]
    return [
        (x, left_children.get("." + x) if a is None else a, right_children.get("." + x) if b is None else b)
        for x, a, b in values
        if not is_same(a, b)
    ]


def differing_marks(left, right):
    """What only one of two modules of a class marks, in words for each, such as " with `.weight` frozen" and ""."""
    layout = layout_of(left)
    if layout is None:
        return "", ""
    marks = [set(vars(x).get("__marks__", layout.marks)) for x in (left, right)]
    return _marks_in_words(marks[0] - marks[1]), _marks_in_words(marks[1] - marks[0])


def _marks_in_words(marks):
    words = ["`{}` {}".format(path, "trained" if is_trained else "frozen") for path, is_trained in sorted(marks)]
    return " with {}".format(short_text(", ".join(words), 80)) if words else ""


def _describe_static_data(left, left_children, right, right_children):
    """Describe two nodes of one class whose static data differ. Modules are described by the fields that differ."""
    name = type(left).__name__
    fields = differing_static_fields(left, left_children, right, right_children)
    marks = differing_marks(left, right)
    if not fields and any(marks):
        return "a `{}`{}".format(name, marks[0]), "a `{}`{} (see `eqx.freeze`)".format(name, marks[1])
    if not fields:
        return "a `{}`".format(name), "a `{}` whose static data differ".format(name)
    here = ["`{}={}`".format(field, short_repr(a, 40)) for field, a, _ in fields]
    there = ["`{}={}`".format(field, short_repr(b, 40)) for field, _, b in fields]
    return "a `{}` with {}".format(name, ", ".join(here)), "a `{}` with {}".format(name, ", ".join(there))


def _describe_node(node, children):
    if node is None:
        return "`None`"
    return "a leaf ({})".format(describe_leaf(node)) if children is None else "a `{}`".format(type(node).__name__)


def _describe_names(node, names):
    return "a `{}` with {}".format(type(node).__name__, ", ".join("`{}`".format(n) for n in names) or "no children")


def describe_leaf(x):
    """Describe a leaf in a few words: its type, and for an array its dtype and shape."""
    if hasattr(x, "dtype") and isinstance(getattr(x, "shape", None), tuple):
        return "`{}` {}[{}]".format(class_name(x), x.dtype, ",".join(map(str, x.shape)))
    return "`{}` {}".format(type(x).__name__, short_repr(x, 40))


def class_name(x):
    """The name of the class of `x`. Those of tracers and of JAX arrays have other names in other releases of JAX."""
    return "Tracer" if isinstance(x, core.Tracer) else "Array" if is_jax_array(x) else type(x).__name__


def short_repr(x, width):
    """`repr(x)` on one line, cut to `width`. It never raises an error."""
    try:
        text = re.sub(r"\s*\n\s*", " ", repr(x))
    except Exception:  # the `repr` of the object is broken
        text = object.__repr__(x)
    return short_text(text, width)


def short_text(text, width):
    """`text`, cut to `width`, after a word if one ends in the second half."""
    if len(text) <= width:
        return text
    space = text.rfind(" ", 0, width - 2)
    return text[: space if space > width // 2 else width - 3] + "..."

"""`tree_flatten_one_level`: the children of one node."""

from __future__ import annotations

import itertools
from typing import Any, List, Tuple

from jax import tree_util

from .._compat.types import PyTree


def tree_flatten_one_level(tree: PyTree) -> Tuple[List[PyTree], Any]:
    """Flatten only the root of a tree. The children of the root aren't flattened, even if they aren't leaves.

    Args:
        tree: Any pytree.

    Returns:
        The children, and the structure of the root: its `unflatten` makes the root again from children. A leaf has one
        child, which is the leaf itself.

    Example:
        >>> children, structure = eqx.tree_flatten_one_level({"a": [1, 2], "b": (3,)})
        >>> children
        [[1, 2], (3,)]
        >>> structure.unflatten(["new", None])
        {'a': 'new', 'b': None}
    """
    answers = itertools.chain([False], itertools.repeat(True))  # JAX asks about the root first
    return tree_util.tree_flatten(tree, is_leaf=lambda _: next(answers))

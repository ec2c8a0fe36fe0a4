"""How another library keeps the arrays of a tree: by other names, and in other layouts.

A `Translation` is a `rename` of `from_dict`, `to_dict` and `load` that changes arrays too. `nn.torch_names` makes one.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import core

from .predicates import is_numpy

Change = Callable[[Sequence[Any]], Sequence[Any]]


class Link(NamedTuple):
    """Arrays of the other library, and the leaves of a tree that they make. One array may make several leaves."""

    names: Tuple[str, ...]  # of the arrays
    leaves: Tuple[int, ...]  # the numbers of the leaves, in the order of flattening
    to_leaves: Optional[Change] = None  # from the arrays to the leaves. `None`: the same array
    to_arrays: Optional[Change] = None  # from the leaves to the arrays


class Translation:
    """The names and layouts that another library has for the arrays of a tree."""

    def links(self, function: str, tree: Any) -> List[Link]:
        """The links of all arrays of `tree` that the other library has. Each name is in one link only."""
        raise NotImplementedError

    def as_array(self, value: Any, expected: Any) -> Any:
        """A value of the other library as an array. `expected` is what `expected_arrays` has for it, or `None`."""
        return value

    def next_move(self, tree: Any) -> str:
        """What to do if the arrays of the other library don't fit `tree`."""
        raise NotImplementedError


def expected_arrays(links: Sequence[Link], leaves: Sequence[Any]) -> Dict[str, Any]:
    """What the other library must have: a leaf, or the shape and dtype of an array, by name."""
    expected: Dict[str, Any] = {}
    for link in links:
        mine = [leaves[i] for i in link.leaves]
        if link.to_arrays is not None:
            mine = jax.eval_shape(link.to_arrays, [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in mine])
        expected.update(zip(link.names, mine))
    return expected


def arrays_of_leaves(links: Sequence[Link], leaves: Sequence[Any], selected: Sequence[bool]) -> Dict[str, Any]:
    """The arrays of the other library, by name. `selected` says which leaves are wanted."""
    arrays: Dict[str, Any] = {}
    for link in links:
        if all(selected[i] for i in link.leaves):
            mine = [leaves[i] for i in link.leaves]
            arrays.update(zip(link.names, mine if link.to_arrays is None else link.to_arrays(mine)))
    return arrays


def leaves_of_arrays(function: str, links: Sequence[Link], arrays: Dict[str, Any]) -> Tuple[Dict[int, Any], Set[str]]:
    """The new leaves by number, and the names of the arrays that they were made of.

    A link is used if all of its arrays are there. Several arrays may be there for one leaf, as for tied weights. Then
    they are equal.
    """
    found: Dict[int, Any] = {}
    made_by: Dict[int, Link] = {}
    used: Set[str] = set()
    for link in links:
        if not all(name in arrays for name in link.names):
            continue
        theirs = [arrays[name] for name in link.names]
        for i, leaf in zip(link.leaves, theirs if link.to_leaves is None else link.to_leaves(theirs)):
            if i in found and not _is_equal(found[i], leaf):
                raise ValueError(
                    "`{}` can't take two arrays for one leaf, but `{}` and `{}` differ. The leaf is at both places of "
                    "the model.".format(function, made_by[i].names[0], link.names[0])
                )
            found[i], made_by[i] = leaf, link
        used.update(link.names)
    return found, used


def _is_equal(a: Any, b: Any) -> bool:
    if a is b or isinstance(a, core.Tracer) or isinstance(b, core.Tracer):
        return True  # the values of a tracer aren't known
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()  # also if both have NaN at a place


def concatenate(arrays: Sequence[Any]) -> Any:
    """Join arrays along their first axis, with NumPy if all of them are NumPy arrays."""
    return (np if all(map(is_numpy, arrays)) else jnp).concatenate(arrays)


def stack(arrays: Sequence[Any]) -> Any:
    """Stack arrays along a new first axis, with NumPy if all of them are NumPy arrays."""
    return (np if all(map(is_numpy, arrays)) else jnp).stack(arrays)

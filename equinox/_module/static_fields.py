"""Which values of a module are static: part of the structure of the tree, and no children of its node.

`field(static=True)` says it for a whole class. `field(static=predicate)` decides it for each module by itself. The
predicates are asked once, when the module is complete. The answers are kept in a slot of the module and in the
auxiliary data of its node. So they last through `tree_map`, `partition` and unflattening, whatever replaces a leaf.

A value that a predicate made static leaves `None` in its place among the children. So the other children keep their
paths.
"""

import contextlib
from typing import NamedTuple

from jax import tree_util

from .. import _compat
from .._trees.layout import layout_of
from .._trees.paths import describe_leaf
from .._trees.predicates import is_jax_array
from .._trees.static import PLAIN_TYPES, types_of


class Decision(NamedTuple):
    """What the predicates of a class decided for one module: an entry for each field that has one, in their order.

    Attributes:
        places: `True` for a static value, `False` for data. For a tuple with static items, a bool for each item.
        values: The static values. For a tuple with static items, these items, and `None` in the place of the others.
        types: The types of `values`.
    """

    places: tuple
    values: tuple
    types: tuple


class HasDecision:
    """The base class of `Module` that has a slot for the decision, beside the fields.

    The slot is set in the complete modules of a class that has predicates. In a copy that isn't complete yet it holds a
    dictionary, the places that are decided already.
    """

    __slots__ = ("__decision__",)


_slot = vars(HasDecision)["__decision__"]
get_decision, set_decision = _slot.__get__, _slot.__set__


def decide(module):
    """Ask the predicates of the complete `module` where its values belong, unless it is decided already. Keep it."""
    predicates = layout_of(module).predicates
    if not predicates:
        return
    decided, places, values = places_of(module), [], []
    for name, predicate in predicates.items():
        value = module.__dict__[name]
        place = decided[name] if name in decided else _place(predicate, value)
        place = _fits(value, place) and place
        places.append(place)
        values.append(static_part(value, place))
    set_decision(module, Decision(tuple(places), tuple(values), types_of(tuple(values))))


def places_of(module):
    """`Decision.places` of `module` as a dictionary, by the name of the field. Empty if nothing is decided."""
    with contextlib.suppress(AttributeError):
        decision = get_decision(module)
        return decision if type(decision) is dict else dict(zip(layout_of(module).predicates, decision.places))
    return {}


def data_part(value, place):
    """What is a child of the node. `merge` undoes it."""
    if place is True:
        return None
    if _fits(value, place):
        return tuple([None if static else x for x, static in zip(value, place)])
    return value


def static_part(value, place):
    """What is static."""
    if place is True:
        return value
    return tuple([x if static else None for x, static in zip(value, place)]) if place else None


def merge(child, static, place):
    """The value of a field from its two parts. What is static is there, whatever stands for it among the children."""
    if place is True:
        return static
    if _fits(child, place):
        return tuple([s if is_static else x for x, s, is_static in zip(child, static, place)])
    return child


def _fits(value, place):
    """Whether `place` says that something in `value` is static, and can say it of such a value.

    Another object may stand for a tuple, where `is_leaf` let `tree_map` replace it for example. Such an object is data.
    """
    return place is True or (type(place) is tuple and type(value) is tuple and len(value) == len(place))


def _place(predicate, value):
    if type(value) is tuple:
        place = tuple([_is_static(predicate, x) for x in value])
        return any(place) and place
    return _is_static(predicate, value)


def _is_static(predicate, value):
    return bool(predicate(value)) and static_fault(value) is None


def static_fault(value):
    """Why `value` can't be static, in words; `None` if it can.

    JAX compares and hashes the structure of a tree at each compiled call. Arrays can do neither.
    """
    if type(value) in PLAIN_TYPES:
        return None
    # The values of a dictionary by themselves: its keys, which JAX would sort, may not be comparable.
    for leaf in tree_util.tree_leaves(list(value.values()) if isinstance(value, dict) else value):
        if is_jax_array(leaf) or _compat.is_numpy_array(leaf):
            return (
                "holds an array ({}). Static fields are part of the tree's structure, which has to be comparable: "
                "make it an ordinary field, and keep it out of the gradient with a filter.".format(describe_leaf(leaf))
            )
    try:
        hash(value)
    except TypeError:
        return "must be hashable, got {!r}: use a tuple for a list, or make it an ordinary field.".format(value)
    return None

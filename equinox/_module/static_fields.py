"""Decide which values of a module are static: part of the structure of the tree, and no children of its node.

`field(static=True)` makes a field static in every instance of a class. `field(static=predicate)` decides for each
instance. The predicates are called once, when the module is complete. Their answers are the "decision". It is kept in
a slot of the module and in the auxiliary data of its node. So `tree_map`, `partition` and unflattening keep it, even if
they replace leaves.

If a predicate made the value of a field static, the node still has a child for this field. This child is `None`. So the
other children keep their paths.
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
    """What the predicates of a class decided for one module. Each attribute has an entry for each predicate, in order.

    Attributes:
        places: `True` if the value of the field is static, `False` if it is data. For a tuple with static items, a
            tuple with a bool for each item.
        values: The static values. For a tuple with static items, a tuple of these items, with `None` for the others.
        types: The types of `values`, from `types_of`.
    """

    places: tuple
    values: tuple
    types: tuple


class HasDecision:
    """The base class of `Module`. It has a slot for the decision.

    If the class has predicates, the slot of a complete module holds a `Decision`. In an incomplete copy it holds a
    dictionary instead: the places of the fields that are decided already, by name.
    """

    __slots__ = ("__decision__",)


_slot = vars(HasDecision)["__decision__"]
get_decision, set_decision = _slot.__get__, _slot.__set__


def decide(module):
    """Call the predicates of the complete `module` and keep their decision. Fields decided before are skipped."""
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
    """The part of `value` that is a child of the node. `merge` puts the parts together again."""
    if place is True:
        return None
    if _fits(value, place):
        return tuple([None if static else x for x, static in zip(value, place)])
    return value


def static_part(value, place):
    """The part of `value` that is static."""
    if place is True:
        return value
    return tuple([x if static else None for x, static in zip(value, place)]) if place else None


def merge(child, static, place):
    """The value of a field from its two parts. The static part is used even if its place in `child` isn't `None`."""
    if place is True:
        return static
    if _fits(child, place):
        return tuple([s if is_static else x for x, s, is_static in zip(child, static, place)])
    return child


def _fits(value, place):
    """Whether `place` marks a part of `value` as static, and `value` has the form that `place` was made for.

    `tree_map` with `is_leaf` may replace a tuple by another object. Such an object is data.
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
    """Say in words why `value` can't be static. `None` if it can.

    JAX compares and hashes the structure of a tree at each compiled call. Arrays can't be hashed, and `==` of arrays is
    no bool.
    """
    if type(value) in PLAIN_TYPES:
        return None
    # JAX sorts the keys of a dictionary, which may not be comparable. So only the values are flattened.
    for leaf in tree_util.tree_leaves(list(value.values()) if isinstance(value, dict) else value):
        if is_jax_array(leaf) or _compat.is_numpy_array(leaf):
            return (
                "holds an array ({}). Static fields are part of the tree's structure, which must be comparable. Make "
                "it an ordinary field, and use a filter to keep it out of the gradient.".format(describe_leaf(leaf))
            )
    try:
        hash(value)
    except TypeError:
        return "must be hashable, got {!r}. Use a tuple instead of a list, or make it an ordinary field.".format(value)
    return None

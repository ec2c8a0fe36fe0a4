"""The time to edit, compare and split a model. The floor is the flattening and unflattening that this needs."""

import functools as ft
from collections.abc import Iterator

import dispatch_speed
import numpy as np
from interleaved import FLOOR
from jax.tree_util import tree_flatten, tree_leaves

import equinox as eqx
from speed.case import EQUINOX, Call, Case

LEAVES = 1000
SUMMARY_LEAVES = 10_000


def cases() -> Iterator[Case]:
    for make in (tree_at, tree_equal, partition, combine):
        yield Case(make.__name__, ft.partial(make, LEAVES), LEAVES)
    if hasattr(eqx, "summary"):
        yield Case("summary", ft.partial(summary, SUMMARY_LEAVES), SUMMARY_LEAVES)


def tree_at(leaves: int) -> dict[str, Call]:
    """Replace one leaf."""
    model = dispatch_speed.net(leaves)
    new = model.layers[0].bias + 1

    def floor():
        flat, treedef = tree_flatten(model)
        flat[1] = new
        return treedef.unflatten(flat)

    return {FLOOR: floor, EQUINOX: lambda: eqx.tree_at(lambda m: m.layers[0].bias, model, new)}


def tree_equal(leaves: int) -> dict[str, Call]:
    """Compare two models that share no array."""
    one, other = dispatch_speed.net(leaves), dispatch_speed.net(leaves)
    flat_one, flat_other = dispatch_speed.flat_model(leaves), dispatch_speed.flat_model(leaves)

    def floor():
        return all(np.array_equal(np.asarray(x), np.asarray(y)) for x, y in zip(flat_one, flat_other, strict=True))

    return {FLOOR: floor, EQUINOX: lambda: eqx.tree_equal(one, other)}


def partition(leaves: int) -> dict[str, Call]:
    model = dispatch_speed.net(leaves)
    nothing = [None] * len(tree_leaves(model))

    def floor():
        flat, treedef = tree_flatten(model)
        return treedef.unflatten(flat), treedef.unflatten(nothing)

    return {FLOOR: floor, EQUINOX: lambda: eqx.partition(model, eqx.is_array)}


def combine(leaves: int) -> dict[str, Call]:
    model = dispatch_speed.net(leaves)
    arrays, rest = eqx.partition(model, eqx.is_array)
    flat, treedef = tree_flatten(model)
    return {FLOOR: lambda: treedef.unflatten(flat), EQUINOX: lambda: eqx.combine(arrays, rest)}


def summary(leaves: int) -> dict[str, Call]:
    """Write the table of a model."""
    model = dispatch_speed.net(leaves)
    return {FLOOR: lambda: tree_flatten(model), EQUINOX: lambda: str(eqx.summary(model))}

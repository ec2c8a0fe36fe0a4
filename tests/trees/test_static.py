"""Two static values are the same if they are equal and have the same types, also inside."""

import collections
import dataclasses
import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree_util

import equinox as eqx

Pair = collections.namedtuple("Pair", "a b")


@dataclasses.dataclass(frozen=True)
class Config:
    n: Any
    note: Any = dataclasses.field(default=None, compare=False)


class ComparesAsItSays:
    def __init__(self, n):
        self.n = n

    def __eq__(self, other):
        return self.n == other.n

    def __hash__(self):
        return hash(self.n)


# Functions that put a number into an object. For `True`, `1` and `1.0` the objects are equal.
HOLDERS = {
    "itself": lambda n: n,
    "tuple": lambda n: ("a", n),
    "named tuple": lambda n: Pair("a", n),
    "frozenset": lambda n: frozenset(["a", n]),
    "frozen dataclass": Config,
    "nested": lambda n: Pair((Config(frozenset([n])),), 2),
}
NUMBERS = [True, 1, 1.0, 1 + 0j, np.float32(1), np.float64(1)]
ZEROS = [0, 0.0, -0.0, 0j, -0j, np.float32(0), np.float32(-0.0), np.complex64(0)]


class Model(eqx.Module):
    weight: Any
    config: Any = eqx.field(static=True)


@pytest.mark.parametrize("name", HOLDERS)
def test_equal_numbers_of_different_types_are_different(name):
    """`True`, `1` and `1.0` make different structures. So every transformation of JAX tells them apart."""
    hold = HOLDERS[name]
    for n, m in [*itertools.combinations(NUMBERS, 2), *itertools.combinations(ZEROS, 2)]:
        assert hold(n) == hold(m)
        assert tree_util.tree_structure(Model(1, hold(n))) != tree_util.tree_structure(Model(1, hold(m)))
    for n in NUMBERS + ZEROS:
        assert tree_util.tree_structure(Model(1, hold(n))) == tree_util.tree_structure(Model(1, hold(n)))


def test_dates_of_different_units_are_different():
    """Dates that are equal and have different units are different static values."""
    day, second = np.datetime64("2020-01-01", "D"), np.datetime64("2020-01-01", "s")
    assert day == second
    assert tree_util.tree_structure(Model(1, day)) != tree_util.tree_structure(Model(1, second))


def test_what_a_class_does_not_compare_is_not_compared():
    """A field with `compare=False` doesn't count. An object with its own `__eq__` counts as a whole."""
    for a, b in [(Config(1, note=1), Config(1, note=1.0)), (ComparesAsItSays(1), ComparesAsItSays(1.0))]:
        assert tree_util.tree_structure(Model(1, a)) == tree_util.tree_structure(Model(1, b))


@pytest.mark.parametrize("name", HOLDERS)
def test_a_static_field_that_differs_in_a_type_is_compiled_for(name):
    """A function is compiled again if the type of a static value changes."""
    seen = []
    f = eqx.filter_jit(lambda m: seen.append(m.config) or m.weight)
    for n in (1, 1.0, True, 1, 1.0):
        f(Model(jnp.ones(2), HOLDERS[name](n)))
    assert len(seen) == 3

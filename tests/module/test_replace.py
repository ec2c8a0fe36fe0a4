"""`replace`: a copy of a module with some fields changed. The fields may be static.

The new values are checked as in construction.
"""

import functools as ft
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree_util

import equinox as eqx


class Checked(eqx.Module):
    value: Any = eqx.field(converter=float)
    size: int = eqx.field(static=True)
    function: Any = eqx.field(static=callable, default=None)
    hidden: Any = eqx.field(init=False, default=1)

    def __init__(self, size):
        self.size = size
        self.value = size

    def __check_init__(self):
        if self.size < 0:
            raise ValueError("a negative size")

    @ft.cached_property
    def slow(self):
        return 10 * self.size


def test_fields_are_changed_in_a_copy():
    """Fields of all kinds can be changed. The other fields are the same objects. `__init__` isn't called."""
    m = Checked(3)
    changed = eqx.replace(m, size=4, function=len, hidden=[2])
    assert (changed.value, changed.size, changed.function, changed.hidden) == (3.0, 4, len, [2])
    assert (m.size, m.function, m.hidden) == (3, None, 1)
    assert eqx.replace(changed).hidden is changed.hidden and eqx.replace(changed) == changed
    with pytest.raises(AttributeError, match="immutable"):
        changed.size = 5


def test_new_values_are_checked_as_in_construction():
    """Converters and `__check_init__` run, and static fields are checked. The module itself doesn't change."""
    m = Checked(3)
    assert eqx.replace(m, value="2").value == 2.0
    with pytest.raises(ValueError, match="a negative size"):
        eqx.replace(m, size=-1)
    with pytest.raises(TypeError, match=r"the static field `Checked.size` must be hashable, got \[1\]"):
        eqx.replace(m, size=[1])
    with pytest.raises(TypeError, match="the static field `Checked.size` holds an array"):
        eqx.replace(m, size=np.ones(2))
    assert m == Checked(3)


def test_predicates_are_called_on_new_values():
    """The predicate is called on the new value, and on no other."""
    m = tree_util.tree_map(lambda x: len, Checked(3))  # every leaf is a function now
    assert tree_util.tree_leaves(m) == [len, len]
    assert tree_util.tree_leaves(eqx.replace(m, function=sum)) == [len, len]
    assert tree_util.tree_leaves(eqx.replace(m, function=0)) == [len, 0, len]


def test_a_cached_property_is_not_copied():
    m = Checked(3)
    assert m.slow == 30 and eqx.replace(m, size=4).slow == 40


def test_fields_of_any_name():
    class Odd(eqx.Module):
        module: Any
        self: Any
        name: Any

    assert tree_util.tree_leaves(eqx.replace(Odd(1, 2, 3), module=4, self=5, name=6)) == [4, 5, 6]


def test_wrong_arguments():
    """An unknown field is refused, with the names of the fields. An object that is no module is refused."""
    with pytest.raises(TypeError, match="`replace` got `siz`, `b`, but `Checked` has no such field. .* `size`"):
        eqx.replace(Checked(3), siz=4, b=1)
    with pytest.raises(TypeError, match="`replace` got `slow`"):
        eqx.replace(Checked(3), slow=4)
    for x in (3, Checked, [Checked(3)], None):
        with pytest.raises(TypeError, match="`replace` expects a module, got"):
            eqx.replace(x, size=4)
    with pytest.raises(TypeError, match="`replace` expects an argument `module`, but none came"):
        eqx.replace(size=4)


def test_while_traced():
    """Inside a transformation the values may be traced."""

    class Scale(eqx.Module):
        factor: Any
        power: int = eqx.field(static=True)

        def __call__(self, x):
            return self.factor * x**self.power

    def loss(factor):
        return eqx.replace(Scale(1.0, 2), factor=factor, power=3)(2.0)

    assert jax.grad(loss)(1.0) == 8 and jax.jit(loss)(2.0) == 16
    assert jax.vmap(loss)(jnp.arange(2.0)).tolist() == [0, 8]

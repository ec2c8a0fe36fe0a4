"""`module_update_wrapper`: the name and docstring of the function that a module wraps."""

import copy
import functools as ft
import inspect
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import tree_util
from modules import affine

import equinox as eqx
from equinox._module.names import names_of


class Wrapper(eqx.Module):
    """The docstring of the class."""

    function: Any
    factor: Any = 2.0

    def __call__(self, *args):
        return self.factor * self.function(*args)

    @property
    def __wrapped__(self):
        return self.function


class ByField(eqx.Module):
    __wrapped__: Any = eqx.field(static=True)
    inner: Any = eqx.field(static=callable, default=None)


def area(width: float, height: float = 1.0) -> float:
    """The area of a rectangle."""
    return width * height


def perimeter(width, height):
    """Another function."""


NAMES = ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__")


def names(x):
    return [getattr(x, name) for name in NAMES]


def updated():
    return eqx.module_update_wrapper(Wrapper(area))


KEEPERS = {
    "itself": lambda x: x,
    "tree_map": lambda x: tree_util.tree_map(lambda leaf: leaf, x),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "replace": lambda x: eqx.replace(x, factor=3.0),
    "tree_at": lambda x: eqx.tree_at(lambda x: x.factor, x, 3.0),
    "partition": lambda x: eqx.combine(*eqx.partition(x, eqx.is_array)),
    "filter_jit": eqx.filter_jit(lambda x: x),
}


@pytest.mark.parametrize("keep", KEEPERS.values(), ids=KEEPERS)
def test_the_names_are_those_of_the_function(keep):
    wrapper = keep(updated())
    assert type(wrapper) is Wrapper
    assert names(wrapper) == names(area)
    assert inspect.signature(wrapper) == inspect.signature(area)
    assert wrapper(2.0) == wrapper.factor * 2.0


def test_the_wrapper_itself_and_its_class_keep_their_names():
    wrapper = Wrapper(area)
    eqx.module_update_wrapper(wrapper)
    assert wrapper.__doc__ == Wrapper.__doc__ == "The docstring of the class."
    assert wrapper.__module__ == Wrapper.__module__ == __name__
    assert not hasattr(wrapper, "__name__")
    assert not hasattr(tree_util.tree_map(lambda x: x, wrapper), "__name__")


def test_the_names_are_part_of_the_structure():
    structures = [
        tree_util.tree_structure(eqx.module_update_wrapper(ByField(area), function))
        for function in (area, area, perimeter)
    ]
    assert structures[0] == structures[1] != structures[2]
    assert len(set(map(names_of, [updated(), updated(), eqx.module_update_wrapper(Wrapper(perimeter))]))) == 2
    assert structures[0] != tree_util.tree_structure(ByField(area))


def test_another_function_may_give_the_names():
    wrapper = eqx.module_update_wrapper(Wrapper(area), perimeter)
    assert wrapper.__doc__ == "Another function."
    assert wrapper.__wrapped__ is area


def test_the_last_names_win():
    assert eqx.module_update_wrapper(updated(), perimeter).__name__ == "perimeter"


def test_a_callable_without_a_name_gives_none():
    wrapper = eqx.module_update_wrapper(Wrapper(ft.partial(area, 1.0)))
    assert not hasattr(wrapper, "__name__")
    assert wrapper.__doc__ == ft.partial.__doc__


def test_a_model_may_be_wrapped():
    wrapper = eqx.module_update_wrapper(Wrapper(affine()))
    assert wrapper.__doc__ == affine().__doc__
    assert eqx.filter_jit(wrapper)(jnp.ones(2)).tolist() == [8.0, 10.0]


def test_transformations_have_the_names_and_compile_once():
    traces = []

    def count(x):
        """Count."""
        traces.append(1)
        return x

    for _ in range(2):
        compiled = eqx.filter_jit(eqx.module_update_wrapper(Wrapper(count)))
        assert (compiled.__name__, compiled.__doc__) == ("count", "Count.")
        assert compiled(jnp.array(3.0)) == 6.0
    assert len(traces) == 1
    assert jax.vmap(updated())(jnp.arange(2.0)).tolist() == [0.0, 2.0]


def test_a_property_may_come_later():
    class Late(eqx.Module):
        function: Any

    late = Late(area)
    with pytest.raises(TypeError, match="`Late` has no `__wrapped__`. Define a property"):
        eqx.module_update_wrapper(late)
    Late.__wrapped__ = property(lambda self: self.function)
    assert tree_util.tree_map(lambda x: x, eqx.module_update_wrapper(late)).__name__ == "area"


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match="`module_update_wrapper` expects a module, got"):
        eqx.module_update_wrapper(area)

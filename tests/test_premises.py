"""What the suite relies on: warnings are errors, and random numbers come from the printed seed."""

import functools as ft
import warnings

import jax
import jax.numpy as jnp
import pytest

import equinox as eqx


@pytest.mark.parametrize("category", [DeprecationWarning, PendingDeprecationWarning, FutureWarning, UserWarning])
@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_warning_is_an_error(category, level):
    """The warning may be attributed to the line that warns, to its caller, or to the caller of that."""
    with pytest.raises(category):
        warnings.warn("it goes away", category, stacklevel=level)


def deprecated(function):
    """`function` with a deprecation warning as JAX makes it, attributed to the caller."""

    @ft.wraps(function)
    def warning(*args, **kwargs):
        warnings.warn("jax.{} is deprecated".format(function.__name__), DeprecationWarning, stacklevel=2)
        return function(*args, **kwargs)

    return warning


CALLS = {
    "jit": lambda: eqx.filter_jit(lambda x: x)(jnp.ones(2)),
    "value_and_grad": lambda: eqx.filter_grad(lambda x: x)(1.0 + jnp.zeros(())),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_deprecated_function_of_jax_in_the_library_is_an_error(name, monkeypatch):
    """If JAX deprecates a function that the library calls, the tests of that call fail."""
    CALLS[name]()
    monkeypatch.setattr(jax, name, deprecated(getattr(jax, name)))
    with pytest.raises(DeprecationWarning, match="jax.{} is deprecated".format(name)):
        CALLS[name]()


def test_random_numbers_come_from_the_seed(getkey, draw, request):
    """The same seed gives the same key, and another seed gives another key."""
    same = type(getkey)(getkey.seed), type(getkey)(getkey.seed + 1)
    key = getkey()
    assert eqx.tree_equal(key, same[0]()) and not eqx.tree_equal(key, same[1]())
    assert not eqx.tree_equal(getkey(), key) and not eqx.tree_equal(draw(3), draw(3))
    assert str(getkey.seed) in repr(getkey)


def test_test_names_are_the_same_in_each_process(request):
    """pytest-xdist compares the names that its processes collect. Addresses of objects in them would differ."""
    assert [item.name for item in request.session.items if " at 0x" in item.name] == []

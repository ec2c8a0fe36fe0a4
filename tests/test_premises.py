"""What the suite relies on: warnings fail tests, and its numbers aren't those of one release of JAX."""

import functools as ft
import warnings

import jax
import jax.numpy as jnp
import pytest

import equinox as eqx


@pytest.mark.parametrize("category", [DeprecationWarning, PendingDeprecationWarning, FutureWarning, UserWarning])
@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_warning_is_an_error(category, level):
    """Whichever line it is put down to: the one that warns, its caller's, or that of the caller's caller."""
    with pytest.raises(category):
        warnings.warn("it goes away", category, stacklevel=level)


def deprecated(function):
    """`function` as JAX deprecates one: it warns, and puts that down to whoever called it."""

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
def test_the_library_calling_what_jax_deprecates_is_an_error(name, monkeypatch):
    """A release of JAX that deprecates what the library calls fails the tests that call it."""
    CALLS[name]()
    monkeypatch.setattr(jax, name, deprecated(getattr(jax, name)))
    with pytest.raises(DeprecationWarning, match="jax.{} is deprecated".format(name)):
        CALLS[name]()


def test_the_random_numbers_are_of_this_run(getkey, draw, request):
    """Keys and numbers come from the seed that is printed, so that none can be written down in a test."""
    same = type(getkey)(getkey.seed), type(getkey)(getkey.seed + 1)
    key = getkey()
    assert eqx.tree_equal(key, same[0]()) and not eqx.tree_equal(key, same[1]())
    assert not eqx.tree_equal(getkey(), key) and not eqx.tree_equal(draw(3), draw(3))
    assert str(getkey.seed) in repr(getkey)


def test_names_of_tests_are_the_same_in_each_process(request):
    """pytest-xdist compares the tests that its processes collected. The address of an object differs between them."""
    assert [item.name for item in request.session.items if " at 0x" in item.name] == []

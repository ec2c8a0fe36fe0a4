"""`breakpoint_if` stops a program if a condition is true."""

import io

import jax
import jax.numpy as jnp
import pytest

import equinox as eqx
from equinox import _compat

X = jnp.arange(3.0)


@pytest.fixture(autouse=True)
def needs_breakpoints():
    try:
        _compat.require("breakpoint_if")
    except NotImplementedError as error:
        pytest.skip(str(error))


def stopping(transform):
    """A function that says for an array whether the transformed function of it stops: if an item is above 1.5."""
    keys, screen = io.StringIO("c\n" * 10), io.StringIO()

    def f(x):
        eqx.debug.breakpoint_if(x > 1.5, stdin=keys, stdout=screen, backend="cli")
        return x.sum()

    transformed = transform(f)

    def stops(x):
        jax.tree_util.tree_map(lambda y: y.block_until_ready(), transformed(x))
        if hasattr(jax, "effects_barrier"):
            jax.effects_barrier()
        shown = screen.getvalue()
        screen.truncate(0)
        return "Entering" in shown

    return stops


TRANSFORMATIONS = {
    "nothing": lambda f: f,
    "filter_jit": eqx.filter_jit,
    "vmap": jax.vmap,
    "jit of vmap of vmap": lambda f: jax.jit(lambda x: jax.vmap(jax.vmap(f))(x[None])),
    "jit of vmap of grad": lambda f: jax.jit(jax.vmap(jax.grad(f))),
    "scan": lambda f: jax.jit(lambda x: jax.lax.scan(lambda carry, x: (carry, f(x)), 0, x)[1]),
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_it_stops_where_any_item_is_true(name):
    stops = stopping(TRANSFORMATIONS[name])
    assert [stops(X - 1), stops(X), stops(X - 1)] == [False, True, False]


def test_other_conditions():
    eqx.debug.breakpoint_if(False)
    for other in ("yes", 1, [True], X):
        with pytest.raises(TypeError, match="`breakpoint_if` expects `pred` to be a bool or a boolean array, got `"):
            eqx.debug.breakpoint_if(other)

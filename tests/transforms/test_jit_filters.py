"""Which leaves `jitf` and `filter_jit` trace: by a function, by a tree, and by what they are told of whole inputs."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import core, tree_util
from tracing import Model, Seen, model

import equinox as eqx

pytestmark = pytest.mark.filters


def is_traced_under(x, **spec):
    seen = Seen()
    eqx.jitf(seen, **spec)(x)
    return seen.kinds == ["traced"]


def test_filter_fn_decides_leaf_by_leaf():
    seen = Seen()
    m = Model(jnp.ones(2), "name")
    eqx.jitf(seen, filter_fn=eqx.is_array)(m, [1, np.ones(2), jnp.arange(2), 2.0], flag=True)
    # NumPy arrays are no JAX arrays, and so are held static, by value.
    assert seen.kinds == ["traced", "str", "int", "ndarray", "traced", "float", "bool"]


@pytest.mark.parametrize(
    "value, array, inexact, like, default",
    [
        (jnp.ones(2), True, True, True, True),
        (jnp.arange(2), True, False, True, True),
        (np.ones(2), False, False, True, True),
        (np.float32(1), False, False, True, True),
        (1.0, False, False, True, False),
        (1, False, False, True, False),
        (True, False, False, True, False),
        ("s", False, False, False, False),
        (len, False, False, False, False),
    ],
    ids=str,
)
def test_what_each_filter_traces(value, array, inexact, like, default):
    assert is_traced_under(value, filter_fn=eqx.is_array) == array
    assert is_traced_under(value, filter_fn=eqx.is_inexact_array) == inexact
    assert is_traced_under(value, filter_fn=eqx.is_array_like) == like
    seen = Seen()
    eqx.filter_jit(seen)(value)
    assert (seen.kinds == ["traced"]) == default


def test_filter_tree_decides_leaf_by_leaf():
    m = Model(jnp.ones(2), 5)
    seen = Seen()
    eqx.jitf(seen, filter_tree=Model(True, False))(m)
    assert seen.kinds == ["traced", "int"]
    eqx.jitf(seen, filter_tree=(Model(False, True), {"a": True}))(m, {"a": 1})
    assert seen.kinds[1:] == ["traced", "traced"] and seen.kinds[0] != "traced"
    eqx.jitf(seen, filter_tree=((Model(True, True),)))(m)  # a tuple of one tree
    assert seen.kinds == ["traced", "traced"]


def test_filter_tree_made_with_tree_at():
    tree = tree_util.tree_map(lambda _: False, model())
    tree = eqx.tree_at(lambda m: m.weight, tree, replace=True)
    assert eqx.jitf(lambda m, x: m(x), filter_tree=(tree, True))(model(), 2.0).tolist() == [2.0, 4.0]


def test_filter_tree_counts_no_static_inputs_and_takes_keywords_in_the_order_of_parameters():
    seen = Seen(lambda a, b, c: None)

    def fun(a, b, c):
        seen(a, b, c)

    eqx.jitf(fun, filter_tree=(True, False), static_argnums=1)(1, "static", 2)
    assert seen.kinds == ["traced", "str", "int"]
    eqx.jitf(fun, filter_tree=(True, False), static_argnames="b")(1, c=2, b="static")
    assert seen.kinds == ["traced", "str", "int"]
    eqx.jitf(fun, filter_tree=(False, True, False))(1, c=3, b=2)
    assert seen.kinds == ["int", "traced", "int"]


def test_static_inputs_hold_whole_pytrees_static():
    seen = Seen()

    def fun(a, b, c=None):
        seen(a, b, c)

    arrays = [jnp.ones(2), (jnp.ones(1), 3)]
    for kwargs in [{"static_argnums": 1}, {"static_argnums": (-1,)}, {"static_argnames": "b"}]:
        eqx.jitf(fun, filter_fn=eqx.is_array, **kwargs)(jnp.ones(2), arrays)
        assert seen.kinds[0] == "traced" and "traced" not in seen.kinds[1:]
    eqx.jitf(fun, filter_fn=eqx.is_array, static_argnums=1)(jnp.ones(2), b=arrays)  # by keyword too, as in jax.jit
    assert seen.kinds[0] == "traced" and "traced" not in seen.kinds[1:]
    eqx.jitf(fun, filter_fn=eqx.is_array, static_argnums=(0, 2))(jnp.ones(2), arrays, jnp.ones(3))
    assert [kind == "traced" for kind in seen.kinds] == [False, True, True, False, False]


def test_arrays_of_a_callable_pytree_are_traced_too():
    class Spy(eqx.Module):
        weight: Any

        def __call__(self):
            assert isinstance(self.weight, core.Tracer)
            return self.weight

    assert eqx.filter_jit(Spy(jnp.array(2.0)))() == 2.0


@pytest.mark.parametrize("spec", [{}, {"filter_fn": eqx.is_array, "filter_tree": True}], ids=["neither", "both"])
def test_exactly_one_filter(spec):
    with pytest.raises(ValueError, match="`jitf` expects exactly one of `filter_fn` and `filter_tree`, got"):
        eqx.jitf(lambda x: x, **spec)
    with pytest.raises(ValueError, match="exactly one"):
        eqx.jitf(**spec)


def test_errors_of_filters_say_where():
    with pytest.raises(TypeError, match="expects `filter_fn` to be a function.*For a tree of bools use `filter_tree`"):
        eqx.jitf(lambda x: x, filter_fn=True)
    with pytest.raises(
        TypeError, match=r"every leaf of `filter_tree` to be True or False; `filter_tree.name` is `int` 1"
    ):
        eqx.jitf(lambda x: x, filter_tree=Model(True, 1))
    with pytest.raises(ValueError, match=r"At `filter_tree.weight` expected a leaf .*, got a `list`"):
        eqx.jitf(lambda x: x, filter_tree=Model([True, True], False))(model())
    with pytest.raises(ValueError, match=r"a tuple of 2 trees"):
        eqx.jitf(lambda x, y: x, filter_tree=True)(1.0, 2.0)
    with pytest.raises(ValueError, match="static data"):
        eqx.jitf(lambda x: x, filter_tree=Model(True, False, size=7))(model())

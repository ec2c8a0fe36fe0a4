"""Which leaves `jitf` and `filter_jit` trace: chosen by a function, by a tree, or by options for whole inputs."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import core, tree_util
from tracing import Model, TraceRecorder, model

import equinox as eqx

pytestmark = pytest.mark.filters


def is_traced_under(x, **spec):
    seen = TraceRecorder()
    eqx.jitf(seen, **spec)(x)
    return seen.kinds == ["traced"]


def test_filter_fn_decides_leaf_by_leaf():
    seen = TraceRecorder()
    m = Model(jnp.ones(2), "name")
    eqx.jitf(seen, filter_fn=eqx.is_array)(m, [1, np.ones(2), np.array(["a"]), jnp.arange(2), 2.0], flag=True)
    assert seen.kinds == ["traced", "str", "int", "traced", "ndarray", "traced", "float", "bool"]


@pytest.mark.parametrize(
    "value, array, inexact, like, default",
    [
        (jnp.ones(2), True, True, True, True),
        (jnp.arange(2), True, False, True, True),
        (np.ones(2), True, False, True, True),
        (np.float32(1), True, False, True, True),
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
    seen = TraceRecorder()
    eqx.filter_jit(seen)(value)
    assert (seen.kinds == ["traced"]) == default


def test_filter_tree_decides_leaf_by_leaf():
    m = Model(jnp.ones(2), 5)
    seen = TraceRecorder()
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


def test_filter_tree_leaves_out_static_inputs_and_has_the_order_of_the_parameters():
    seen = TraceRecorder(lambda a, b, c: None)

    def fun(a, b, c):
        seen(a, b, c)

    eqx.jitf(fun, filter_tree=(True, False), static_argnums=1)(1, "static", 2)
    assert seen.kinds == ["traced", "str", "int"]
    eqx.jitf(fun, filter_tree=(True, False), static_argnames="b")(1, c=2, b="static")
    assert seen.kinds == ["traced", "str", "int"]
    eqx.jitf(fun, filter_tree=(False, True, False))(1, c=3, b=2)
    assert seen.kinds == ["int", "traced", "int"]


def test_static_inputs_hold_whole_pytrees_static():
    seen = TraceRecorder()

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


class Kind(eqx.Module):
    cls: Any

    def includes(self, x):
        return isinstance(x, self.cls)


# For two inputs, a module with the leaves `weight` and `name`, and a list of two.
SPECIFICATIONS = {
    "tuple of trees": ((Model(True, False), [True, False]), [True, False, True, False]),
    "list of trees": ([Model(True, False), [True, False]], [True, False, True, False]),
    "list of prefixes": ([Model(True, False), True], [True, False, True, True]),
    "list of bools": ([True, False], [True, True, False, False]),
    "tuple of functions": ((eqx.is_array, lambda x: x > 3), [True, False, False, True]),
    "functions in a tree": ((True, [eqx.is_array, eqx.is_array_like]), [True, True, False, True]),
    "bound method": ([Kind(int).includes, True], [False, True, True, True]),
    "NumPy's bools": ((np.bool_(True), np.bool_(False)), [True, True, False, False]),
    "one bool": (True, [True, True, True, True]),
    "one function": (eqx.is_array, [True, False, False, False]),
}


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_filter_tree_of_several_inputs(name):
    """It is a tuple or list with one specification for each input, or one prefix of all inputs."""
    filter_tree, traced = SPECIFICATIONS[name]
    inputs = Model(jnp.ones(2), 5), [3, 4]
    for args, kwargs in [(inputs, {}), (inputs[:1], {"b": inputs[1]})]:
        seen = TraceRecorder()

        def fun(a, b, seen=seen):
            seen(a, b)

        eqx.jitf(fun, filter_tree=filter_tree)(*args, **kwargs)
        assert [kind == "traced" for kind in seen.kinds] == traced


@pytest.mark.parametrize("inputs", [[1, 2], [[1, 2]], [[1], 2], [(1,)], {"a": [1, 2], "b": 3}], ids=str)
@pytest.mark.parametrize("answer", [True, False])
def test_filter_tree_of_one_input(inputs, answer):
    """It has the structure of the input, or is a tuple or list of one tree, or a prefix. The first that fits counts."""
    like = tree_util.tree_map(lambda _: answer, inputs)
    for filter_tree in (like, (like,), [like], answer, [answer], lambda x: answer):
        seen = TraceRecorder()
        eqx.jitf(seen, filter_tree=filter_tree)(inputs)
        assert {kind == "traced" for kind in seen.kinds} == {answer}


def test_the_structure_of_a_single_input_comes_first():
    """If the only input is a list, a list of bools has its structure. It isn't one specification for each input."""
    seen = TraceRecorder()
    for x, filter_tree in [([1, 2], [True, False]), ([(1, 2)], [(True, False)]), ([(1, 1), 2], [True, False])]:
        eqx.jitf(seen, filter_tree=filter_tree)(x)
        assert seen.kinds == (["traced", "traced", "int"] if x[0] == (1, 1) else ["traced", "int"])


FLAGS = tree_util.tree_map(lambda _: False, Model(1, Model(2, 3)))


@pytest.mark.parametrize("transform", [eqx.jitf, eqx.gradf, eqx.value_and_grad_f])
def test_tree_of_bools_is_no_filter_fn(transform):
    """A tree of bools with the class of a callable module is callable. The error says to pass it as `filter_tree`."""
    for tree in (FLAGS, True, np.bool_(False), [True], {"a": False}):
        with pytest.raises(TypeError, match="got a tree of bools as `filter_fn`, .* Pass it as `filter_tree`"):
            transform(lambda x: x, filter_fn=tree)
    for other in (1, [1], {"a": 1, "b": True}):
        with pytest.raises(TypeError, match="expects `filter_fn` to be a function from a leaf to a bool, got"):
            transform(lambda x: x, filter_fn=other)


class AtLeast(eqx.Module):
    bound: Any
    strictly: bool = False

    def __call__(self, x):
        return x > self.bound if self.strictly else x >= self.bound


def test_module_as_filter_fn():
    """A module that is a function from a leaf to a bool can be a filter. Its bound method can be one too."""
    for filter_fn in (AtLeast(3), AtLeast(3).__call__, AtLeast(True, True).__call__):
        seen = TraceRecorder()
        eqx.jitf(seen, filter_fn=filter_fn)([1, 3])
        assert seen.kinds == ["int", "traced"]


def test_errors_of_filters_name_the_leaf():
    with pytest.raises(
        TypeError, match=r"every leaf of `filter_tree` to be True or False, or a .*; `filter_tree.name` is `int` 1"
    ):
        eqx.jitf(lambda x: x, filter_tree=Model(True, 1))
    with pytest.raises(ValueError, match=r"At `filter_tree.weight` expected a leaf .*, got a `list`"):
        eqx.jitf(lambda x: x, filter_tree=Model([True, True], False))(model())
    for several in (tuple, list):
        with pytest.raises(
            ValueError, match=r"its 2 inputs, as a tuple of 2 trees.* At `filter_tree\[1\]` expected a leaf"
        ):
            eqx.jitf(lambda x, y: x, filter_tree=several([True, [True]]))(1.0, 2.0)
        with pytest.raises(ValueError, match=r"At `filter_tree` expected a `tuple` with `\[0\]`, `\[1\]`, got a"):
            eqx.jitf(lambda x, y: x, filter_tree=several([True, True, True]))(1.0, 2.0)
    with pytest.raises(TypeError, match=r"`filter_tree\[1\]` must be a bool or a function .* got `NoneType` None"):
        eqx.jitf(lambda x, y: x, filter_tree=(True, None))(1.0, 2.0)
    with pytest.raises(ValueError, match="expected a `Model` with `size=3`, got a `Model` with `size=7`"):
        eqx.jitf(lambda x: x, filter_tree=Model(True, False, size=7))(model())

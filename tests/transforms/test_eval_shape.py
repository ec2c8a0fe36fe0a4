"""`filter_eval_shape`: the output with shapes for arrays, and no computation."""

import hypothesis
import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from jax import tree_util
from modules import Affine, Nested, affine
from random_trees import flat, map_tree, same, trees

import equinox as eqx


def is_shape(x):
    return isinstance(x, jax.ShapeDtypeStruct)


def to_shapes(tree):
    return tree_util.tree_map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype) if eqx.is_array(x) else x, tree)


@hypothesis.settings(max_examples=15)
@hypothesis.given(trees())
def test_arrays_become_shapes_and_nothing_else_changes(tree):
    """This holds for inputs that are arrays and for inputs that are shapes."""
    for given in (tree, to_shapes(tree)):
        got = eqx.filter_eval_shape(lambda tree: tree, given)
        for x, y in zip(flat(got), flat(tree)):
            if eqx.is_array(y):
                assert is_shape(x) and (x.shape, x.dtype) == (y.shape, y.dtype)
            else:
                assert x is y
        assert same(map_tree(lambda x: 0, got), map_tree(lambda x: 0, tree))


def test_the_shapes_are_those_of_the_values():
    m, x = Affine(jnp.ones((3, 2)), np.float32(1)), jnp.ones(2, jnp.bfloat16)

    def fun(model, x, *, times, name):
        return {"y": times * model(x), "sum": (x + 1).sum(), name: name, "numpy": np.ones(2, np.int32)}

    value = fun(m, x, times=2, name="name")
    for inputs in ((m, x), to_shapes((m, x))):
        got = eqx.filter_eval_shape(fun, *inputs, times=2, name="name")
        assert got.pop("name") == "name"
        assert {k: (v.shape, v.dtype) for k, v in got.items()} == {
            k: (v.shape, v.dtype) for k, v in value.items() if k != "name"
        }


def test_a_model_is_made_and_called_without_memory():
    size = 10**9
    model = eqx.filter_eval_shape(eqx.nn.MLP, size, 2, size, 1, key=jrandom.PRNGKey(0))
    assert type(model) is eqx.nn.MLP and model.in_size == size and callable(model.activation)
    assert [is_shape(x) for x in tree_util.tree_leaves(model)] == [True] * 4
    x = jax.ShapeDtypeStruct((size,), jnp.float32)
    for fun in (model, model.__call__, tree_util.Partial(lambda m, x: m(x), model), eqx.filter_jit(model)):
        assert eqx.filter_eval_shape(fun, x).shape == (2,)


def test_inside_and_outside_of_other_transformations():
    m, x = affine(), jnp.ones((4, 2))
    batched = eqx.filter_vmap(eqx.filter_grad(lambda m, x: m(x).sum()), in_axes=(None, 0))
    got = eqx.filter_eval_shape(batched, Nested(m, "text"), x)
    assert got.first.weight.shape == (4, 2) and got.rest is None

    @jax.jit
    def traced(x):
        assert eqx.filter_eval_shape(m, x).shape == (4, 2)
        return x

    traced(x)


def test_an_error_of_the_function_is_raised_unchanged():
    with pytest.raises(TypeError, match="`filter_eval_shape` expects a function or another callable, got `int` 3"):
        eqx.filter_eval_shape(3)
    with pytest.raises(TypeError):
        eqx.filter_eval_shape(lambda x: x @ x, jnp.ones((2, 3)))

"""`filter_closure_convert`: the arrays that a function closes over become children of a pytree."""

import copy
import pickle

import hypothesis as hyp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree_util
from jaxprs import jaxpr_kinds
from modules import Affine, affine
from random_trees import trees

import equinox as eqx

W, X = jnp.arange(3.0), jnp.array([1.0, 2.0, 4.0])


@hyp.settings(max_examples=20)
@hyp.given(tree=trees(max_leaves=6))
def test_it_returns_what_the_function_returns(tree):
    """For any inputs and outputs: the arrays are doubled, everything else is as it was."""

    def double(tree, *, x):
        return [tree_util.tree_map(lambda y: y * 2 if eqx.is_array(y) and y.dtype != bool else y, tree), x * W]

    expected, got = double(tree, x=X), eqx.filter_closure_convert(double, tree, x=X)(tree, x=X)
    (leaves, treedef), (got_leaves, got_treedef) = map(tree_util.tree_flatten, (expected, got))
    assert treedef == got_treedef
    for a, b in zip(leaves, got_leaves):
        assert a is b or a == b if not eqx.is_array(a) else np.array_equal(np.asarray(a), np.asarray(b))


def test_its_children_are_what_the_function_closed_over():
    def closes(fun, *args):
        return tree_util.tree_leaves(eqx.filter_closure_convert(fun, *args))

    assert closes(lambda x: x, X) == []
    assert closes(jnp.sin, X) == []
    (child,) = closes(lambda x: x * W + 1.0, X)
    np.testing.assert_array_equal(child, W)
    assert len(closes(affine(), X[:2])) == 2 and len(closes(affine().scaled, X[:2])) == 2


def test_a_traced_array_that_was_closed_over_is_a_child():
    """So the gradient flows through it, and it isn't lost in another trace."""

    def loss(w, x):
        fun = eqx.filter_closure_convert(lambda x: (w * x).sum(), x)
        assert [leaf.shape for leaf in tree_util.tree_leaves(fun)] == [(3,)]
        return eqx.filter_jit(lambda fun, x: fun(x))(fun, x)

    for wrap in (lambda f: f, jax.jit):
        assert jax.grad(wrap(loss))(W, X).tolist() == X.tolist()
        assert jax.vmap(wrap(jax.grad(loss)), (0, None))(jnp.stack([W, W]), X).tolist() == [X.tolist()] * 2


def test_it_goes_through_a_custom_rule():
    """A rule gives the gradient of what a function closed over. Without conversion JAX would refuse."""

    @eqx.filter_custom_vjp
    def apply(fun, x):
        return fun(x)

    @apply.def_fwd
    def apply_fwd(perturbed, fun, x):
        return jax.vjp(lambda fun: fun(x), fun)

    @apply.def_bwd
    def apply_bwd(pull_back, grad_out, perturbed, fun, x):
        (grad,) = pull_back(grad_out)
        return tree_util.tree_map(lambda g: 10 * g, grad)

    for wrap in (lambda f: f, jax.jit):
        loss = wrap(lambda w: apply(eqx.filter_closure_convert(lambda x: (w * x).sum(), X), X))
        assert jax.grad(loss)(W).tolist() == (10 * X).tolist()


def test_the_equations_are_those_of_the_function():
    fun = lambda x: jnp.sin(W * x).sum()  # noqa: E731
    converted = eqx.filter_closure_convert(fun, X)
    assert jaxpr_kinds(converted, X) == jaxpr_kinds(fun, X) and jaxpr_kinds(jax.grad(converted), X) == jaxpr_kinds(
        jax.grad(fun), X
    )


def test_shapes_are_enough_and_nothing_is_computed():
    shape = jax.ShapeDtypeStruct((3,), X.dtype)
    fun = eqx.filter_closure_convert(lambda x, y: (x * W, y), shape, y=[shape, "text"])
    out, (y, text) = fun(X, y=[np.asarray(X), "text"])
    assert (out.tolist(), y.tolist(), text) == ((X * W).tolist(), X.tolist(), "text")


def test_new_arrays_take_the_place_of_those_that_were_closed_over():
    fun = eqx.filter_closure_convert(Affine(W, 1.0), X)
    doubled = tree_util.tree_map(lambda x: 2 * x, fun)
    assert doubled(X).tolist() == (2 * W * X + 1.0).tolist()


@pytest.mark.parametrize(
    "args, kwargs, message",
    [
        ((jnp.ones(4), 3), {}, r"At `x` expected an array float32\[3\], got an array float32\[4\]\."),
        ((jnp.arange(3), 3), {}, r"At `x` expected an array float32\[3\], got an array int32\[3\]\."),
        ((1.0, 3), {}, r"At `x` expected an array float32\[3\], got `float` 1\.0\."),
        (([X], 3), {}, r"At `x` expected a leaf .*, got a `list`\."),
        ((X, 4), {}, r"At `n` expected `int` 3, got `int` 4\."),
        ((X, 3.0), {}, r"At `n` expected `int` 3, got `float` 3\.0\."),
        ((X,), {}, r"These were 2 by position and none by keyword, but it got 1 and none\."),
        ((X,), {"n": 3}, r"These were 2 by position and none by keyword, but it got 1 and `n`\."),
    ],
    ids=["shape", "dtype", "number", "structure", "static", "type", "missing", "keyword"],
)
def test_other_inputs_are_refused_by_path(args, kwargs, message):
    fun = eqx.filter_closure_convert(lambda x, n: x * W * n, X, 3)
    for call in (fun, eqx.filter_jit(fun)):
        with pytest.raises(TypeError, match="`filter_closure_convert` expects inputs like those .*" + message):
            call(*args, **kwargs)


def test_what_is_not_callable_is_refused():
    with pytest.raises(TypeError, match="`filter_closure_convert` expects a function or another callable for `fn`"):
        eqx.filter_closure_convert(3, X)


def test_it_is_copied_and_not_pickled():
    weight = jnp.array([1.0, 2.0])
    converted = eqx.filter_closure_convert(lambda x: weight * x, jnp.array(1.0))
    for copied in (copy.copy(converted), copy.deepcopy({"model": converted})["model"]):
        assert copied(jnp.array(3.0)).tolist() == [3.0, 6.0]
    with pytest.raises(TypeError, match="Pickle the function that it was made from, and convert that again"):
        pickle.dumps(converted)

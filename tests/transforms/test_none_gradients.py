"""A leaf that isn't differentiated has the gradient `None`. With zeros, an optimiser could still change the leaf."""

import functools as ft
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import lax, tree_util
from jax.tree_util import tree_leaves, tree_map
from random_trees import JAX_ARRAYS, flat, leaves, map_tree, same, trees

import equinox as eqx
from equinox.nn import MLP, Dropout, Linear, Sequential

pytestmark = pytest.mark.none_gradients


class Model(eqx.Module):
    """A model with leaves that are trained, leaves that are frozen, and leaves that can't be trained."""

    head: Any
    frozen: Any
    count: Any
    name: Any
    activation: Any
    nothing: Any = None
    size: Any = eqx.field(static=True, default=2)

    def __call__(self, x):
        return self.activation((self.head["w"] + self.frozen["w"]) * x).sum() * self.count + self.head["b"]


@pytest.fixture
def model(draw):
    return Model({"w": draw(2), "b": draw()}, {"w": draw(2)}, jnp.array(3), "text", jnp.tanh)


def is_none(x):
    return x is None


def structure(tree):
    """The tree with a bool at each place: whether it holds `None`."""
    return tree_map(is_none, tree, is_leaf=is_none)


def assert_close(got, expected):
    assert tree_util.tree_structure(got) == tree_util.tree_structure(expected)
    tree_map(ft.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), got, expected)


ONLY_HEAD = Model({"w": True, "b": True}, {"w": False}, False, False, False)


def head_and_rest(model):
    return eqx.partition(model, ONLY_HEAD)


# Any tree


def is_differentiable(x):
    """Whether a leaf is a JAX or NumPy array, or a NumPy scalar, of floating-point or complex numbers."""
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.inexact)


@given(trees())
def test_none_exactly_where_a_leaf_is_no_inexact_array(tree):
    """The gradient has the structure and the static data of the tree."""
    got = eqx.filter_grad(lambda tree: jnp.zeros(()))(tree)
    assert map_tree(lambda g: g.shape, got) == map_tree(lambda x: x.shape if is_differentiable(x) else None, tree)
    assert tree_util.tree_structure(got) == tree_util.tree_structure(eqx.filter(tree, is_differentiable))
    held = [eqx.filter(t, is_differentiable, inverse=True) for t in (tree, eqx.apply_updates(tree, got))]
    assert same(*held)


@given(trees(st.sampled_from([x for x in JAX_ARRAYS if is_differentiable(x)])), st.data())
def test_none_exactly_where_filter_tree_is_false(tree, data):
    """All leaves can be differentiated. Those that `filter_tree` leaves out have `None`."""
    mask = map_tree(lambda x: data.draw(st.booleans()), tree)
    (got,) = eqx.gradf(lambda trees: jnp.zeros(()), filter_tree=[mask])([tree])
    picked = iter(flat(mask))
    assert structure(got) == structure(map_tree(lambda x: x if next(picked) else None, tree))


@given(trees(leaves, max_leaves=4), trees(leaves, max_leaves=4))
def test_each_input_has_its_own_gradient(a, b):
    got = eqx.filter_grad(lambda *args: jnp.zeros(()), argnums=(1, 0))(a, b)
    assert [structure(x) for x in got] == [structure(eqx.filter(x, is_differentiable)) for x in (b, a)]


# None or zero


def test_zero_means_that_it_was_differentiated():
    """A selected leaf that isn't used has the gradient zero. A used leaf that isn't selected has `None`."""
    m = {"used": jnp.array(2.0), "unused": jnp.ones(2), "held": jnp.array(5.0), "stopped": jnp.array(7.0)}
    mask = {"used": True, "unused": True, "held": False, "stopped": True}
    got = eqx.gradf(lambda m: m["used"] * m["held"] * lax.stop_gradient(m["stopped"]), filter_tree=mask)(m)
    assert got["used"] == 35.0 and got["held"] is None
    assert got["unused"].tolist() == [0.0, 0.0] and got["stopped"] == 0.0


def test_weight_decay_changes_a_leaf_with_gradient_zero(model):
    """With the gradient `None` it doesn't. So the tests of optimisers below can fail."""
    optimiser = optax.adamw(0.1, weight_decay=0.1)
    for zero, moves in ((jnp.zeros(2), True), (None, False)):
        params = {"w": model.frozen["w"] if moves else None}
        updates, _ = optimiser.update({"w": zero}, optimiser.init(params), params)
        assert (eqx.apply_updates(model.frozen, updates)["w"] is not model.frozen["w"]) == moves


def test_frozen_leaves_do_not_change_the_other_gradients(model):
    """The other leaves have the gradient that plain `jax.grad` gives for their part of the model."""
    x = jnp.array(0.5)
    head, rest = head_and_rest(model)
    expected = jax.grad(lambda head: eqx.combine(head, rest)(x))(head)
    assert_close(eqx.gradf(lambda m: m(x), filter_tree=ONLY_HEAD)(model), expected)
    full = eqx.filter_grad(lambda m: m(x))(model)
    assert_close(eqx.filter(full, Model(True, False, False, False, False)), expected)
    assert full.frozen["w"].shape == (2,)


# Through transformations

FILTERED = [
    ft.partial(eqx.gradf, filter_fn=eqx.is_inexact_array),
    eqx.filter_grad,
    lambda f: lambda m: eqx.value_and_grad_f(f, filter_fn=eqx.is_inexact_array)(m)[1],
    lambda f: lambda m: eqx.filter_value_and_grad(f)(m)[1],
    lambda f: eqx.filter_grad(eqx.filter_jit(f)),
]


@pytest.mark.parametrize("wrap", [lambda f: f, eqx.filter_jit], ids=["eager", "jit"])
def test_all_spellings_agree(wrap, model):
    """Each way to write a gradient gives `None` in the same places, and the same numbers."""
    x = jnp.array(0.5)
    expected = eqx.filter_grad(lambda m: m(x))(model)
    assert structure(expected) == Model({"w": False, "b": False}, {"w": False}, True, True, True, True)
    for grad in FILTERED:
        assert_close(wrap(grad(lambda m: m(x)))(model), expected)


def test_under_vmap_and_in_scan(model):
    """`vmap` and `scan` can return gradients with `None`, and `scan` can carry them. `None` stays `None`."""
    xs = jnp.array([0.5, 1.0, -1.0])

    def gradient(x):
        return eqx.gradf(lambda m: m(x), filter_tree=ONLY_HEAD)(model)

    each = jax.vmap(gradient)(xs)
    assert structure(each) == structure(gradient(xs[0])) and each.head["w"].shape == (3, 2)
    total, stacked = lax.scan(lambda c, x: (tree_map(jnp.add, c, gradient(x)), gradient(x)), gradient(xs[0]), xs)
    assert_close(stacked, each)
    assert_close(total, tree_map(lambda g: g.sum(0) + g[0], each))


def test_second_derivatives(model):
    """A second derivative has `None` where the first has."""

    def slope(m):
        return sum(g.sum() for g in tree_leaves(eqx.gradf(lambda m: m(1.0), filter_tree=ONLY_HEAD)(m)))

    assert structure(eqx.filter_grad(slope)(model)) == structure(eqx.filter_grad(lambda m: m(1.0))(model))
    again = eqx.gradf(slope, filter_tree=ONLY_HEAD)(model)
    head, rest = head_and_rest(model)
    expected = jax.grad(lambda h: sum(g.sum() for g in tree_leaves(jax.grad(lambda h: eqx.combine(h, rest)(1.0))(h))))
    assert_close(again, expected(head))


def test_with_a_value_and_an_aux(model):
    (value, aux), grads = eqx.filter_value_and_grad(lambda m: (m(1.0), (None, m.name)), has_aux=True)(model)
    assert value == model(1.0) and aux == (None, "text")
    assert grads.name is None and grads.nothing is None and grads.count is None


# Arithmetic on gradients. JAX 0.4.34 changed how `tree_map` treats `None`.


def test_tree_map_skips_the_nones_in_gradients(model):
    """This holds for one tree of gradients and for several."""
    grads = eqx.gradf(lambda m: m(0.5), filter_tree=ONLY_HEAD)(model)
    doubled = tree_map(lambda g: 2 * g, grads)
    assert structure(doubled) == structure(grads)
    assert_close(tree_map(lambda a, b: a + b, grads, grads), doubled)
    assert len(tree_leaves(grads)) == 2


def test_ways_to_apply_gradients_agree(model):
    """`None` is a leaf for `tree_map`, or the model is filtered like its gradients."""
    grads = eqx.gradf(lambda m: m(0.5), filter_tree=ONLY_HEAD)(model)
    expected = [model.head["b"] - grads.head["b"], model.head["w"] - grads.head["w"]]
    steps = [
        tree_map(lambda g, p: p if g is None else p - g, grads, model, is_leaf=is_none),
        tree_map(lambda p, g: p if g is None else p - g, model, grads, is_leaf=is_none),
        eqx.combine(tree_map(lambda g, p: p - g, grads, eqx.filter(model, ONLY_HEAD)), model),
        eqx.apply_updates(model, tree_map(lambda g: -g, grads)),
    ]
    for step in steps:
        assert_close(tree_leaves(step.head), expected)
        for name in ("frozen", "count", "name", "activation"):
            assert eqx.tree_equal(getattr(step, name), getattr(model, name))


# Training

OPTIMISERS = {
    "sgd": lambda: optax.sgd(0.1),
    "momentum": lambda: optax.sgd(0.1, momentum=0.9, nesterov=True),
    "adamw": lambda: optax.adamw(0.1, weight_decay=0.1),
    "chain": lambda: optax.chain(optax.clip_by_global_norm(0.1), optax.add_decayed_weights(0.1), optax.scale(-0.1)),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_an_optimiser_keeps_leaves_without_gradient(name, model):
    """They stay the same objects. The other leaves are trained as if they were the whole model."""
    optimiser = OPTIMISERS[name]()
    x = jnp.array(0.5)

    def steps(params, gradient):
        state = optimiser.init(eqx.filter(params, ONLY_HEAD))
        for _ in range(3):
            updates, state = optimiser.update(gradient(params), state, eqx.filter(params, ONLY_HEAD))
            params = eqx.apply_updates(params, updates)
        return params

    trained = steps(model, eqx.filter_jit(eqx.gradf(lambda m: m(x), filter_tree=ONLY_HEAD)))
    for field in ("frozen", "count", "name", "activation"):
        assert same([getattr(trained, field)], [getattr(model, field)])
    head, rest = head_and_rest(model)
    bare = steps(head, jax.jit(jax.grad(lambda head: eqx.combine(head, rest)(x))))
    assert_close(trained.head, bare.head)
    assert all(
        (np.asarray(a) != np.asarray(b)).all() for a, b in zip(tree_leaves(trained.head), tree_leaves(model.head))
    )


def test_frozen_layers_of_a_network(getkey, draw):
    """Only the last layer is trained. Activations, rates and the other layers have the gradient `None`."""
    network = Sequential(
        [MLP(2, 3, 4, 1, key=getkey()), jnp.tanh, Dropout(0.5, deterministic=True), Linear(3, 1, key=getkey())]
    )
    loss = lambda m, x: jnp.sum(m(x) ** 2)  # noqa: E731
    x = draw(2)
    full = eqx.filter_jit(eqx.filter_grad(loss))(network, x)
    assert len(tree_leaves(full)) == len(tree_leaves(eqx.filter(network, eqx.is_inexact_array))) == 6
    mask = tree_map(lambda _: False, network)
    mask = eqx.tree_at(lambda m: (m[3].weight, m[3].bias), mask, (True, True))
    grads = eqx.filter_jit(eqx.gradf(loss, filter_tree=mask))(network, x)
    assert tree_leaves(grads[:3]) == []
    assert_close((grads[3].weight, grads[3].bias), (full[3].weight, full[3].bias))
    new = eqx.apply_updates(network, grads)
    assert all(a is b for a, b in zip(tree_leaves(new[:3]), tree_leaves(network[:3])))


def test_tree_equal_tells_none_from_zeros(model):
    grads = eqx.gradf(lambda m: m(0.5), filter_tree=ONLY_HEAD)(model)
    zeros = eqx.combine(grads, tree_map(jnp.zeros_like, eqx.filter(model, eqx.is_inexact_array)))
    assert zeros.frozen["w"].tolist() == [0.0, 0.0]
    assert not eqx.tree_equal(grads, zeros) and eqx.tree_equal(grads, eqx.filter(zeros, ONLY_HEAD))

"""The first part of the seed's text: what the library is, its quick example, its two ideas, and its four programs."""

import collections
import functools as ft
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from jax import lax, tree_util
from tracing import TraceRecorder

import equinox as eqx

# Equinox in brief


class Quadratic(eqx.Module):
    """A model of arrays alone, as plain JAX takes them."""

    scale: Any
    shift: Any

    def __call__(self, x):
        return self.scale * x**2 + self.shift


@pytest.fixture
def quadratic():
    return Quadratic(jnp.array(2.0), jnp.array(-1.0))


def total(model, x):
    return jnp.sum(jax.vmap(model)(x))


X = np.array([1.0, 2.0, 3.0], np.float32)


def test_a_model_is_a_pytree(quadratic):
    """You represent a whole model, with its parameters and its forward pass, as a pytree."""
    leaves, structure = tree_util.tree_flatten(quadratic)
    assert [float(leaf) for leaf in leaves] == [2.0, -1.0]
    assert structure.unflatten([3.0, 1.0])(2.0) == 13.0


def test_parameterised_functions_pass_through_higher_order_functions(quadratic):
    """You pass models to `vmap`, mapped functions to loss functions, and loss functions to `jit` and `grad`."""

    def loss(function, x):
        return jnp.sum(function(x))

    mapped = jax.vmap(quadratic)
    np.testing.assert_allclose(mapped(X), 2 * X**2 - 1)
    assert loss(mapped, X) == 25
    gradient = jax.jit(jax.grad(total))(quadratic, X)
    assert type(gradient) is Quadratic
    assert (float(gradient.scale), float(gradient.shift)) == (14.0, 3.0)


def test_a_model_comes_out_of_a_function(quadratic):
    """You pass parameterised functions out of higher-order functions, too."""
    doubled = jax.jit(lambda model: tree_util.tree_map(lambda leaf: 2 * leaf, model))(quadratic)
    assert type(doubled) is Quadratic
    assert doubled(1.0) == 2.0


def test_a_single_leaf_is_differentiated(quadratic):
    """You can differentiate a single leaf, not just a whole argument."""
    gradient = eqx.gradf(total, filter_tree=Quadratic(True, False))(quadratic, X)
    assert float(gradient.scale) == 14.0
    assert gradient.shift is None


def test_a_single_leaf_is_traced(quadratic):
    """You can trace a single leaf, not just a whole argument."""
    seen = TraceRecorder(lambda model, x: model(x))
    compiled = eqx.jitf(seen, filter_tree=(Quadratic(True, False), False))
    assert compiled(Quadratic(jnp.array(2.0), -1), 3) == 17.0
    assert seen.kinds == ["traced", "int", "int"]


def test_vmap_takes_a_tree_of_axes():
    """There is no filtered `vmap`, because `jax.vmap` chooses leaf by leaf already."""
    stacked = Quadratic(jnp.array([1.0, 2.0, 3.0]), jnp.array(10.0))
    mapped = jax.vmap(lambda model, x: model(x), in_axes=(Quadratic(0, None), None))
    np.testing.assert_allclose(mapped(stacked, 2.0), [14.0, 18.0, 22.0])
    assert "vmapf" not in eqx.__all__


def test_requirements():
    """The package requires Python 3.7 or later and JAX 0.2.18 or later."""
    metadata = pytest.importorskip("importlib.metadata", reason="Python 3.7 has no `importlib.metadata`")
    try:
        about = metadata.metadata("equinox")
    except metadata.PackageNotFoundError:
        pytest.skip("the library is not installed, but found on the path")
    assert about["Requires-Python"] == ">=3.7"
    assert [line for line in about.get_all("Requires-Dist") if line.split(">")[0] == "jax"] == ["jax>=0.2.18"]


# Quick example, as it is printed


class LinearOrIdentity(eqx.Module):
    weight: jnp.ndarray
    flag: bool

    def __init__(self, in_features, out_features, flag, key):
        self.weight = jrandom.normal(key, (out_features, in_features))
        self.flag = flag

    def __call__(self, x):
        if self.flag:
            return x
        return self.weight @ x


@ft.partial(eqx.jitf, filter_fn=eqx.is_inexact_array)
@ft.partial(eqx.gradf, filter_fn=eqx.is_inexact_array)
def loss(model, x, y):
    pred_y = jax.vmap(model)(x)
    return jnp.mean((y - pred_y) ** 2)


def example():
    modelkey, xkey, ykey = jrandom.split(jrandom.PRNGKey(0), 3)
    model = LinearOrIdentity(2, 3, flag=False, key=modelkey)
    x, y = jrandom.normal(xkey, (100, 2)), jrandom.normal(ykey, (100, 3))
    return model, x, y


def weight_gradient(weight, x, y):
    """The gradient of the mean square in NumPy, by its formula."""
    weight, x, y = map(np.asarray, (weight, x, y))
    return 2 / y.size * (x @ weight.T - y).T @ x


def test_quick_example():
    """The quick example differentiates `weight` and not `flag`; the gradient is a model."""
    model, x, y = example()
    grads = loss(model, x, y)
    assert type(grads) is LinearOrIdentity
    assert grads.flag is None
    np.testing.assert_allclose(grads.weight, weight_gradient(model.weight, x, y), rtol=1e-4, atol=1e-6)


def test_module_registers_a_node_and_no_more():
    """All that `Module` does is to register the class as a node. The fields are its children, and may hold anything."""
    model, _, _ = example()
    leaves, structure = tree_util.tree_flatten(model)
    assert leaves[0] is model.weight
    assert leaves[1] is False
    other = structure.unflatten(["any", object])
    assert (type(other), other.weight, other.flag) == (LinearOrIdentity, "any", object)


def test_a_flag_that_is_static_decides_in_python():
    """A model may hold a flag that isn't traced. Its methods may branch on it."""
    # Whole numbers: their sums are exact in any order.
    model, x = tree_util.tree_map(lambda leaf: leaf if leaf is False else jnp.round(8 * leaf), example()[:2])
    identity = eqx.tree_at(lambda model: model.flag, model, True)
    forward = eqx.jitf(lambda model, x: jax.vmap(model)(x), filter_fn=eqx.is_inexact_array)
    np.testing.assert_array_equal(forward(identity, x), x)
    np.testing.assert_array_equal(forward(model, x), np.asarray(x) @ np.asarray(model.weight).T)


def test_differentiate_everything(quadratic):
    """To differentiate everything, just use `jax.jit` and `jax.grad`. The filtered ones give the same result."""
    plain = jax.jit(jax.grad(total))(quadratic, X)
    filtered = eqx.jitf(eqx.gradf(total, filter_fn=lambda leaf: True), filter_fn=lambda leaf: True)(quadratic, X)
    assert eqx.tree_equal(plain, filtered)


# Callable pytrees


def test_a_tree_holds_arbitrary_data(quadratic):
    """The tree holds parameters, buffers, submodules, flags, even arbitrary Python objects."""
    anything = object()
    held = [jnp.ones(2), np.ones(2), quadratic, True, anything, "text", jnp.tanh, None, {"a": [1]}]
    model = Quadratic(held, 0)
    assert model.scale is held
    assert any(leaf is anything for leaf in tree_util.tree_leaves(model))
    passed = eqx.jitf(lambda model, x: x + model.scale[0], filter_fn=eqx.is_array)(model, jnp.ones(2))
    np.testing.assert_array_equal(passed, [2, 2])


def test_methods_are_operations_on_the_data():
    """The methods of the class define operations parameterised by the data."""
    model, x, _ = example()
    for weight in (np.eye(2, dtype=np.float32), np.ones((1, 2), np.float32)):
        other = eqx.tree_at(lambda model: model.weight, model, weight)
        np.testing.assert_allclose(other(x[0]), weight @ np.asarray(x[0]), rtol=1e-5)


def test_lists_and_dictionaries_are_callable_pytrees():
    """Callable pytrees are nothing special: the methods of lists and dictionaries are operations on their data."""
    assert jax.jit(lambda tree: tree.get("a") + tree["b"].pop())({"a": 1.0, "b": [2.0, 3.0]}) == 4.0


# Filtered transformations

Point = collections.namedtuple("Point", ["weight", "flag"])


def square(tree, x):
    weight, flag = tree_util.tree_leaves(tree)
    return x if flag else (weight * x) ** 2


@pytest.mark.parametrize(
    "tree",
    [
        Quadratic(jnp.array(3.0), False),
        {"a": jnp.array(3.0), "b": False},
        [jnp.array(3.0), [False]],
        (jnp.array(3.0), {"flag": False}),
        Point(jnp.array(3.0), False),
    ],
    ids=["module", "dictionary", "list", "tuple", "named tuple"],
)
def test_any_pytree_will_do(tree):
    """The filtered transformations work on any pytree. `Module` is no special case."""
    function = eqx.jitf(eqx.gradf(square, filter_fn=eqx.is_inexact_array), filter_fn=eqx.is_inexact_array)
    gradient = function(tree, 2)
    expected = tree_util.tree_unflatten(tree_util.tree_structure(tree), [jnp.array(24.0), None])
    assert tree_util.tree_structure(gradient) == tree_util.tree_structure(expected)
    assert float(tree_util.tree_leaves(gradient)[0]) == 24.0


def test_buffers_are_traced_and_not_trained():
    """A model may hold arrays that are buffers. One filter says what is traced, and another what is trained."""

    class Normalise(eqx.Module):
        scale: Any
        mean: Any

        def __call__(self, x):
            return self.scale * (x - self.mean)

    model = Normalise(jnp.array(2.0), jnp.array(1.0))
    function = eqx.gradf(lambda model, x: model(x), filter_tree=Normalise(True, False))
    gradient = eqx.jitf(function, filter_fn=eqx.is_array)(model, jnp.array(4.0))
    assert float(gradient.scale) == 3.0
    assert gradient.mean is None


# Integrates smoothly with JAX


def _by_scan(model, x):
    return lax.scan(lambda carry, x: (carry + model(x), None), jnp.zeros(()), x)[0]


@pytest.mark.parametrize(
    "transformed",
    [
        lambda f, model, x: f(model, x),
        lambda f, model, x: jax.jit(f)(model, x),
        lambda f, model, x: jax.value_and_grad(f)(model, x)[0],
        lambda f, model, x: jax.jvp(f, (model, x), (model, x))[0],
        lambda f, model, x: jax.vjp(f, model, x)[0],
        lambda f, model, x: jax.checkpoint(f)(model, x),
        lambda f, model, x: jax.vmap(f, in_axes=(None, 0))(model, x[None])[0],
        lambda f, model, x: _by_scan(model, x),
        lambda f, model, x: lax.cond(x[0] > 0, lambda both: f(*both), lambda both: -1.0, (model, x)),
        lambda f, model, x: np.float32(25) if jax.eval_shape(f, model, x).shape == () else None,
    ],
    ids="eager jit value_and_grad jvp vjp checkpoint vmap scan cond eval_shape".split(),
)
def test_modules_are_just_pytrees(transformed, quadratic):
    """There's nothing special about modules, so no special version of any transformation is needed."""
    assert float(transformed(total, quadratic, jnp.asarray(X))) == 25.0


def test_filtered_transformations_compose_with_plain_ones(quadratic):
    """Filtered transformations can be used inside and outside JAX's own."""
    filtered = eqx.gradf(total, filter_fn=eqx.is_inexact_array)
    batch = jnp.stack([X, 2 * X])
    gradient = jax.jit(jax.vmap(filtered, in_axes=(None, 0)))(quadratic, batch)
    np.testing.assert_allclose(gradient.scale, [14.0, 56.0])
    second = jax.grad(lambda x: eqx.gradf(lambda x: x**3, filter_fn=eqx.is_inexact_array)(x))(2.0 * jnp.ones(()))
    assert float(second) == 12.0


# The example programs, at the size of a test (tests/test_examples.py runs the programs themselves)


def train(model, step, x, y, steps=8):
    """Return the losses of some steps, and the model after them."""
    losses = []
    for _ in range(steps):
        value, model = step(model, x, y)
        losses.append(float(value))
    return losses, model


def mean_square(model, x, y):
    return jnp.mean((jax.vmap(model)(x) - y) ** 2)


@pytest.fixture(scope="module")
def data():
    x = np.linspace(-1, 1, 8, dtype=np.float32)[:, None]
    return jnp.asarray(x), jnp.asarray(np.sin(3 * x))


@pytest.fixture(scope="module")
def mlp():
    return eqx.nn.MLP(1, 1, width_size=4, depth=1, key=jrandom.PRNGKey(0))


def sgd_step(select):
    """Make a step that uses `eqx.value_and_grad_f` with `select`, and a counter of its compilations."""

    def step(model, x, y):
        value, grads = eqx.value_and_grad_f(mean_square, **select)(model, x, y)
        return value, eqx.apply_updates(model, tree_util.tree_map(lambda g: -0.1 * g, grads))

    seen = TraceRecorder(step)
    return eqx.jitf(seen, filter_fn=eqx.is_array), seen


def test_train_mlp(mlp, data):
    """`train_mlp.py`: `jitf` and `gradf` select the parameters of an MLP, and train them."""
    step, _ = sgd_step({"filter_fn": eqx.is_inexact_array})
    losses, trained = train(mlp, step, *data)
    assert losses[-1] < losses[0]
    assert trained.activation is jax.nn.relu
    before, after = (eqx.filter(model, eqx.is_array) for model in (mlp, trained))
    for old, new in zip(tree_util.tree_leaves(before), tree_util.tree_leaves(after)):
        assert not np.array_equal(old, new)


def test_frozen_layer(mlp, data):
    """`frozen_layer.py`: some parameters are trained, some are frozen, and all of them are traced."""
    trainable = tree_util.tree_map(lambda _: False, mlp)
    trainable = eqx.tree_at(lambda mlp: mlp.layers[-1].weight, trainable, replace=True)
    step, seen = sgd_step({"filter_tree": trainable})
    losses, trained = train(mlp, step, *data)
    assert losses[-1] < losses[0]
    assert eqx.tree_equal(trained.layers[0], mlp.layers[0])
    assert eqx.tree_equal(trained.layers[1].bias, mlp.layers[1].bias)
    assert not eqx.tree_equal(trained.layers[1].weight, mlp.layers[1].weight)
    step(eqx.tree_at(lambda mlp: mlp.layers[0].weight, mlp, replace_fn=lambda weight: 2 * weight), *data)
    assert seen.traces == 1


def test_build_model(data):
    """`build_model.py`: an MLP from scratch, a class-based syntax, passed to `jax.jit` and `jax.grad` to train it."""

    class Linear(eqx.Module):
        weight: Any
        bias: Any

        def __init__(self, in_size, out_size, key):
            self.weight = jrandom.normal(key, (out_size, in_size))
            self.bias = jnp.zeros(out_size)

        def __call__(self, x):
            return self.weight @ x + self.bias

    class TwoLayers(eqx.Module):
        layers: Any

        def __init__(self, key):
            keys = jrandom.split(key)
            self.layers = [Linear(1, 4, keys[0]), Linear(4, 1, keys[1])]

        def __call__(self, x):
            return self.layers[1](jnp.tanh(self.layers[0](x)))

    @jax.jit
    def step(model, x, y):
        value, grads = jax.value_and_grad(mean_square)(model, x, y)
        return value, tree_util.tree_map(lambda m, g: m - 0.05 * g, model, grads)

    losses, model = train(TwoLayers(jrandom.PRNGKey(1)), step, *data)
    assert type(model) is TwoLayers
    assert losses[-1] < losses[0]


def test_train_rnn():
    """`train_rnn.py`: `jax.lax.scan` just works with modules, and gradients flow through it."""
    cell = eqx.nn.GRUCell(2, 2, key=jrandom.PRNGKey(0))
    sequence = np.array([[1.0, -1.0], [0.5, 2.0]], np.float32)

    def last(cell, sequence):
        return jnp.sum(lax.scan(lambda hidden, x: (cell(x, hidden), None), jnp.zeros(2), sequence)[0])

    def last_by_loop(cell, sequence):
        hidden = jnp.zeros(2)
        for x in sequence:
            hidden = cell(x, hidden)
        return jnp.sum(hidden)

    @ft.partial(eqx.jitf, filter_fn=eqx.is_array)
    def both(cell, sequence):
        return [
            eqx.value_and_grad_f(function, filter_fn=eqx.is_inexact_array)(cell, sequence)
            for function in (last, last_by_loop)
        ]

    scanned, looped = map(tree_util.tree_leaves, both(cell, sequence))
    for a, b in zip(scanned, looped):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)

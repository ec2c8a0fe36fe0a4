"""Plain JAX accepts every layer and every model of the examples, as it accepts a list of arrays.

There are nineteen uses, and each is run for each model. Some uses need leaves that are arrays. They are not run for the
models in `WITH_FLAG`, which have a bool among their leaves.
"""

import functools as ft
import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import optax
import pytest
from helpers.layer_laws import NO_LAYERS
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.tree_util import tree_flatten, tree_leaves, tree_map, tree_structure

import equinox as eqx
from equinox import nn

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"
KEY = jrandom.PRNGKey(0)
X = jnp.array([0.5, -1.0])


@ft.lru_cache(maxsize=None)
def example(name):
    spec = importlib.util.spec_from_file_location(name, str(EXAMPLES / (name + ".py")))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Scale(eqx.Module):
    """An activation with a parameter."""

    factor: jnp.ndarray

    def __call__(self, x):
        return self.factor * x


def weight_0(layers):
    return layers[0].weight


def weight_1(layers):
    return layers[1].weight


MAKE = {  # name -> a function that makes the model from a key
    "Linear": lambda key: nn.Linear(2, 2, key=key),
    "Identity": lambda key: nn.Identity(),
    "Dropout": lambda key: nn.Dropout(0.5),
    "RNNCell": lambda key: nn.RNNCell(2, 2, key=key),
    "GRUCell": lambda key: nn.GRUCell(2, 2, key=key),
    "LSTMCell": lambda key: nn.LSTMCell(2, 2, key=key),
    "Sequential": lambda key: nn.Sequential([nn.Linear(2, 2, key=key), jnp.tanh, abs, nn.Identity()]),
    "Sequential with Dropout": lambda key: nn.Sequential([jnp.tanh, nn.Dropout(), nn.Linear(2, 2, key=key)]),
    "MLP": lambda key: nn.MLP(2, 2, 2, 1, key=key),
    "Conv": lambda key: nn.Conv(1, 2, 2, 1, key=key),
    "ConvTranspose": lambda key: nn.ConvTranspose(1, 2, 2, 1, key=key),
    "LayerNorm": lambda key: nn.LayerNorm(2),
    "RMSNorm": lambda key: nn.RMSNorm(2),
    "GroupNorm": lambda key: nn.GroupNorm(1, 2),
    "WeightNorm": lambda key: nn.WeightNorm(nn.Linear(2, 2, key=key)),
    "LoRA": lambda key: nn.LoRA(nn.Linear(2, 2, key=key), 1, key=key),
    "Einsum": lambda key: nn.Einsum("i,io->o", (2, 2), (2,), key=key),
    "Stacked": lambda key: nn.Stacked(lambda key: nn.Linear(2, 2, key=key), 3, key=key),
    "Shared": lambda key: nn.Shared(
        [nn.Linear(2, 2, key=key) for key in jrandom.split(key)], where=weight_1, get=weight_0
    ),
    "PReLU": lambda key: nn.PReLU(),
    "Lambda": lambda key: nn.Lambda(jnp.tanh),
    "MLP with layers": lambda key: nn.MLP(2, 2, 2, 1, Scale(jnp.array(3.0)), nn.Identity(), key=key),
    "MLP, scanned": lambda key: nn.MLP(2, 2, 2, 3, Scale(jnp.array(3.0)), scan=True, key=key),
    "build_model": lambda key: example("build_model").MLP([2, 2, 2], key),
    "train_mlp": lambda key: nn.MLP(2, 2, width_size=2, depth=2, key=key),
    "frozen_layer": lambda key: nn.MLP(2, 2, width_size=2, depth=1, key=key),
    "train_rnn": lambda key: example("train_rnn").RNN(2, key),
    "train_vae": lambda key: example("train_vae").VAE(2, 2, key),
    "data_parallel": lambda key: nn.MLP(2, 2, width_size=2, depth=2, key=key),
    "ensemble": lambda key: nn.MLP(2, 2, 2, 2, jnp.tanh, key=key),
    "finetune": lambda key: example("finetune").Classifier(2, key),
    "resume": lambda key: nn.MLP(2, 2, width_size=2, depth=2, key=key),
}
CALL = {
    "Conv": lambda model: model(X[:, None]),
    "ConvTranspose": lambda model: model(X[:, None]),
    "Dropout": lambda model: model(X, key=KEY),
    "Sequential with Dropout": lambda model: model(X, key=KEY),
    "RNNCell": lambda model: model(X, X),
    "GRUCell": lambda model: model(X, X),
    "LSTMCell": lambda model: jnp.stack(model(X, (X, X))),
    "Shared": lambda model: nn.Sequential(model())(X),
    "train_rnn": lambda model: model(jnp.stack([X, 2 * X])),
    "train_vae": lambda model: model.decoder(model.encoder(X)[:2]),
}
WITH_FLAG = {"Dropout", "Sequential with Dropout"}


class Subject:
    """A model, its loss, and the expected values for the uses."""

    def __init__(self, name):
        self.make = MAKE[name]
        self.call = CALL.get(name, lambda model: model(X))
        self.model = self.make(KEY)
        self.leaves, self.structure = tree_flatten(self.model)
        self.value = self.loss(self.model)

    def loss(self, model):
        return jnp.sum(self.call(model) ** 2)

    @property
    def gradient(self):
        """The gradient of the loss with respect to the leaves, as a plain list."""
        if not hasattr(self, "_gradient"):
            self._gradient = jax.grad(lambda leaves: self.loss(self.structure.unflatten(leaves)))(self.leaves)
        return self._gradient

    def assert_model(self, model, leaves):
        assert tree_structure(model) == self.structure
        assert_close(tree_leaves(model), leaves)

    def assert_shapes(self, model):
        assert tree_structure(model) == self.structure
        assert [x.shape for x in tree_leaves(model)] == [jnp.shape(x) for x in self.leaves]
        assert [x.dtype for x in tree_leaves(model)] == [jnp.result_type(x) for x in self.leaves]


def assert_close(got, expected):
    assert len(got) == len(expected)
    for a, b in zip(got, expected):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-5)


def halved(model):
    return tree_map(lambda x: x / 2 if jnp.issubdtype(jnp.result_type(x), jnp.inexact) else x, model)


def jit(subject):
    value, model = jax.jit(lambda model: (subject.loss(model), model))(subject.model)
    assert_close([value], [subject.value])
    subject.assert_model(model, subject.leaves)


def grad(subject):
    subject.assert_model(jax.grad(subject.loss)(subject.model), subject.gradient)


def value_and_grad(subject):
    value, gradient = jax.value_and_grad(subject.loss)(subject.model)
    assert_close([value], [subject.value])
    subject.assert_model(gradient, subject.gradient)


def vmap_of_construction(subject):
    keys = jrandom.split(KEY)
    models = jax.vmap(subject.make)(keys)
    assert tree_structure(models) == subject.structure
    assert_close([np.asarray(x)[1] for x in tree_leaves(models)], tree_leaves(subject.make(keys[1])))


def vmap_over_models(subject):
    models = tree_map(lambda x: np.stack([x, x]), subject.model)
    if tree_leaves(models):
        assert_close(jax.vmap(subject.loss)(models), [subject.value] * 2)
    both = jax.vmap(lambda model, x: (model, x))(models, jnp.ones(2))[0]
    assert tree_structure(both) == subject.structure


def scan(subject):
    model, values = lax.scan(lambda model, _: (halved(model), subject.loss(model)), subject.model, None, length=2)
    assert_close(values, [subject.value, subject.loss(halved(subject.model))])
    subject.assert_model(model, tree_leaves(halved(halved(subject.model))))


def fori_loop(subject):
    subject.assert_shapes(jax.eval_shape(lambda: lax.fori_loop(0, 2, lambda i, model: halved(model), subject.model)))


def while_loop(subject):
    def run():
        return lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, halved(c[1])), (0, subject.model))

    subject.assert_shapes(jax.eval_shape(run)[1])


def cond(subject):
    subject.assert_shapes(jax.eval_shape(lambda p: lax.cond(p, halved, lambda m: m, subject.model), True))


def eval_shape(subject):
    subject.assert_shapes(jax.eval_shape(subject.make, KEY))
    assert jax.eval_shape(subject.loss, subject.model).shape == ()


def make_jaxpr(subject):
    jaxpr = jax.make_jaxpr(subject.loss)(subject.model)
    assert len(jaxpr.jaxpr.invars) == len(subject.leaves)


def device_put(subject):
    model = jax.device_put(subject.model, jax.devices()[0])
    subject.assert_model(model, subject.leaves)
    assert all(map(eqx.is_array, tree_leaves(model)))


def adam(subject):
    optimiser = optax.adam(0.1)
    gradient = subject.structure.unflatten(subject.gradient)
    updates, state = optimiser.update(gradient, optimiser.init(subject.model), subject.model)
    model = optax.apply_updates(subject.model, updates)
    # The first step of Adam is the learning rate times the sign of the gradient.
    steps = [0.1 * np.asarray(g) / (np.abs(g) + 1e-8) for g in subject.gradient]
    subject.assert_model(model, [x - step for x, step in zip(subject.leaves, steps)])


def checkpoint(subject):
    assert_close([jax.checkpoint(subject.loss)(subject.model)], [subject.value])


def jvp(subject):
    value, tangent = jax.jvp(subject.loss, (subject.model,), (subject.model,))
    assert_close([value, tangent], [subject.value, along_itself(subject)])


def vjp(subject):
    value, pull_back = jax.vjp(subject.loss, subject.model)
    (gradient,) = pull_back(jnp.ones_like(value))
    assert_close([value], [subject.value])
    subject.assert_model(gradient, subject.gradient)


def linearize(subject):
    value, push_forward = jax.linearize(subject.loss, subject.model)
    assert_close([value, push_forward(subject.model)], [subject.value, along_itself(subject)])


def astype(subject):
    model = tree_map(lambda x: x.astype(jnp.bfloat16), subject.model)
    assert tree_structure(model) == subject.structure
    assert all(x.dtype == jnp.bfloat16 for x in tree_leaves(model))


def ravel(subject):
    flat, unravel = ravel_pytree(subject.model)
    assert flat.shape == (sum(x.size for x in subject.leaves),)
    subject.assert_model(unravel(flat), subject.leaves)


def along_itself(subject):
    """The derivative of the loss in the direction of the leaves themselves."""
    return sum(np.sum(np.asarray(x) * np.asarray(g)) for x, g in zip(subject.leaves, subject.gradient))


NEED_ARRAYS = [grad, value_and_grad, adam, jvp, vjp, linearize, astype, ravel]
TAKE_FLAGS = [
    jit,
    vmap_of_construction,
    vmap_over_models,
    scan,
    fori_loop,
    while_loop,
    cond,
    eval_shape,
    make_jaxpr,
    device_put,
    checkpoint,
]
USES = [(use, name) for use in TAKE_FLAGS for name in MAKE] + [
    (use, name) for use in NEED_ARRAYS for name in MAKE if name not in WITH_FLAG
]
subject_of = ft.lru_cache(maxsize=None)(Subject)


@pytest.mark.parametrize("use,name", USES, ids=lambda x: getattr(x, "__name__", x))
def test_plain_jax_accepts_the_model(use, name):
    use(subject_of(name))


OTHER_INPUTS = {  # a state, a sequence, an image, an index
    "BatchNorm",
    "Embedding",
    "GRU",
    "InstanceNorm",
    "LSTM",
    "MultiheadAttention",
    "RNN",
    "RotaryPositionalEmbedding",
    "SpectralNorm",
}
POOLS = {name for name in nn.__all__ if "Pool" in name}  # sequences, images, volumes
STATEFUL_EXAMPLES = {"train_cnn", "train_transformer"}
CONVOLUTIONS = {name for name in nn.__all__ if name.startswith("Conv") and name[-1] == "d"}


def test_every_layer_and_example_is_tested():
    """`MAKE` has all examples without a state, and all layers that take a vector without a state."""
    assert set(nn.__all__) - NO_LAYERS - OTHER_INPUTS - POOLS - CONVOLUTIONS <= set(MAKE)
    assert {path.stem for path in EXAMPLES.glob("*.py")} - STATEFUL_EXAMPLES <= set(MAKE)
    assert len(NEED_ARRAYS) + len(TAKE_FLAGS) == 19


@pytest.mark.parametrize("name", MAKE)
def test_leaves_are_arrays_except_for_a_flag(name):
    """Only the models in `WITH_FLAG` have a leaf that is no array."""
    others = [x for x in subject_of(name).leaves if not eqx.is_array(x)]
    assert others == ([False] if name in WITH_FLAG else [])

"""`Sequential` calls its layers in order and splits its key. `MLP` is `Linear`s with activations between them."""

import copy
import functools as ft
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest

import equinox as eqx
from equinox.nn import MLP, Dropout, Identity, Linear, PReLU, Sequential


def assert_close(got, expected, rtol=1e-4):
    np.testing.assert_allclose(np.asarray(got), np.asarray(expected), rtol=rtol, atol=1e-5)


class Recorder(eqx.Module):
    """A layer that takes a key and records it."""

    keys: list = eqx.field(default_factory=list)

    def __call__(self, x, *, key):
        self.keys.append(key)
        return x


def test_sequential_composes(run, getkey, draw):
    """The layers are called in their order.

    They may be modules, plain functions, JAX's functions or built-in functions.
    """
    first, second = Linear(2, 4, key=getkey()), Linear(4, 3, key=getkey())
    model = Sequential([first, jax.nn.relu, jnp.tanh, second, abs, lambda x: x + 1])
    x = draw(2)
    assert_close(run(model.__call__, x), jnp.abs(second(jnp.tanh(jax.nn.relu(first(x))))) + 1)
    assert_close(model(x, key=getkey()), model(x))


def test_sequential_of_nothing(getkey):
    """Without layers it is the identity."""
    x = object()
    assert Sequential([])(x) is x
    assert Sequential(())(x, key=getkey()) is x


def test_sequential_as_a_sequence(getkey):
    """It has a length, and can be iterated over, indexed and sliced. The layers are a tuple."""
    layers = [Linear(2, 4, key=getkey()), jax.nn.relu, Identity()]
    for model in (Sequential(layers), Sequential(tuple(layers)), Sequential(x for x in layers)):
        assert type(model.layers) is tuple
        assert len(model) == 3
        assert all(a is b for a, b in zip(model, layers))
        assert model[0] is layers[0]
        assert model[-1] is layers[-1]
        assert type(model[1:]) is Sequential
        assert list(model[1:]) == layers[1:]
        assert list(model[5:]) == []
        assert list(Sequential([])[:]) == []
        with pytest.raises(IndexError, match="`Sequential` has 3 layers, so it has no layer"):
            model[3]


def test_keys_are_split(getkey):
    """Each layer that takes a key gets its own. The same key gives the same keys."""
    model = Sequential([Recorder(), Identity(), Recorder(), Sequential([Recorder(), Recorder()])])
    key = getkey()
    model(1.0, key=key)
    recorders = [model[0], model[2], *model[3]]
    keys = [np.asarray(r.keys[0]) for r in recorders] + [np.asarray(key)]
    assert all(not np.array_equal(a, b) for i, a in enumerate(keys) for b in keys[:i])
    model(1.0, key=key)
    assert all(np.array_equal(*r.keys) for r in recorders)


def test_typed_keys():
    """Keys made by `jax.random.key` are split too, if JAX has them."""
    key = getattr(jrandom, "key", jrandom.PRNGKey)(0)
    model = Sequential([Dropout(0.5), Dropout(0.5)])
    assert jax.eval_shape(lambda key: model(jnp.ones(100), key=key), key).shape == (100,)


def takes_keyword(x, *, key=None):
    return key is not None


def takes_kwargs(x, **kwargs):
    return "key" in kwargs


def takes_either_way(x, key=None):
    return key is not None


def takes_none(x, seed=None):
    return seed is not None


def takes_varargs(*args):
    return len(args) != 1


def takes_only_key(key):
    return key is not True


@pytest.mark.parametrize(
    "layer,expected",
    [
        (takes_keyword, True),
        (takes_kwargs, True),
        (takes_either_way, True),
        (ft.partial(takes_keyword), True),
        (jax.jit(takes_keyword), True),
        (eqx.filter_jit(takes_keyword), True),
        (Sequential([takes_keyword]), True),
        (Sequential([takes_keyword]).__call__, True),
        (takes_none, False),
        (takes_varargs, False),
        (takes_only_key, False),
        (ft.partial(takes_keyword, key=None), True),  # the call overrides this default
    ],
)
def test_who_gets_a_key(layer, expected, getkey):
    """A layer gets `key=` if its signature has this name, also if it is wrapped.

    If the call has no key, no layer gets one.
    """
    assert bool(Sequential([layer])(True, key=getkey())) is expected
    assert bool(Sequential([layer])(True)) is False


def test_functions_without_signature(getkey):
    """`int` has no signature that Python can read. It gets no key."""
    assert Sequential([int, dict.fromkeys("ab").get, bool])("1", key=getkey()) is False


def test_activations_of_jax_get_none(getkey):
    """JAX's activations have many kinds of wrappers. None of them gets a key."""
    names = ["celu", "elu", "gelu", "log_softmax", "relu", "sigmoid", "softmax", "softplus", "swish"]
    activations = [getattr(jax.nn, name) for name in names] + [jnp.tanh, jnp.sin, jnp.abs, jnp.negative]
    x = jax.ShapeDtypeStruct((3,), jnp.float32)
    assert jax.eval_shape(lambda x, key: Sequential(activations)(x, key=key), x, getkey()).shape == (3,)


def test_dropout_in_sequential(getkey):
    """A `Dropout` inside works with a key, and needs one. `tree_at` switches it off."""
    model = Sequential([Identity(), Dropout(0.5), jnp.sin])
    x = jnp.ones(100)
    y = eqx.filter_jit(lambda model, x, key: model(x, key=key))(model, x, getkey())
    dropped = np.asarray(y) == 0
    assert 0 < dropped.sum() < 100
    assert_close(np.asarray(y)[~dropped], np.sin(2.0))
    with pytest.raises(ValueError, match="`Dropout` needs a PRNG key"):
        model(x)
    inference = eqx.tree_at(lambda m: m[1].deterministic, model, True)
    assert_close(inference(x), np.sin(np.ones(100)))


class _OwnError(ValueError):
    pass


def test_errors_have_the_path_of_the_layer(getkey):
    """Through containers of containers, once. Type, traceback and errors of other classes stay as they are."""

    def linears(key):
        return Sequential([Linear(3, 3, key=key), Linear(4, 3, key=key)])

    scanned = MLP(3, 2, 4, 3, scan=True, key=getkey())
    of_mlp = {"layers[1]": lambda m: m.layers[1].weight, "layers[2]": lambda m: m.layers[2].weight}
    cases = {
        "layers[0].layers[1]": Sequential([linears(getkey())]),
        "layers.layers[1]": eqx.nn.Stacked(linears, 2, key=getkey()),
        "layers[1].activation.layers[0]": eqx.nn.Sequential(
            [jnp.abs, eqx.nn.MLP(3, 2, 4, 1, linears(getkey()), key=getkey())]
        ),
    }
    cases.update({path: eqx.tree_at(at, scanned, replace_fn=lambda w: w[..., :3]) for path, at in of_mlp.items()})
    for path, model in cases.items():
        with pytest.raises(ValueError, match="expects `input`") as got:
            model(jnp.ones(3))
        assert str(got.value).endswith("\nThe error is in `{}`.".format(path))
        assert got.traceback[-1].name == "as_array_of"

    def fail(x):
        raise _OwnError("own", 3)

    with pytest.raises(_OwnError) as got:
        eqx.nn.Sequential([fail])(1)
    assert got.value.args == ("own", 3)


def test_sequential_is_a_pytree(getkey):
    """Its leaves are the arrays of the layers. It is differentiated like any tree."""
    model = Sequential([Linear(2, 4, key=getkey()), jnp.tanh, Linear(4, 3, key=getkey())])
    assert len(jax.tree_util.tree_leaves(eqx.filter(model, eqx.is_array))) == 4
    grads = eqx.gradf(lambda model, x: jnp.sum(model(x)), filter_fn=eqx.is_inexact_array)(model, jnp.ones(2))
    assert_close(grads[2].bias, np.ones(3))
    assert grads[1] is jnp.tanh
    bare = eqx.filter(grads, False)  # it can be sliced although it can't be called
    assert list(bare[1:]) == [jnp.tanh, bare[2]]
    assert jax.tree_util.tree_structure(grads[1:]) == jax.tree_util.tree_structure(model[1:])


def test_wrong_layers(getkey):
    """What isn't iterable is refused. An item that can't be called is refused, with its position."""
    linear = Linear(2, 4, key=getkey())
    with pytest.raises(TypeError, match=r"`Sequential` expects `layers\[1\]` to be a function, .* got 'relu'"):
        Sequential([linear, "relu"])
    with pytest.raises(TypeError, match=r"`layers\[2\]` .* got an array of shape \(3,\)"):
        Sequential([linear, linear, jnp.ones(3)])
    with pytest.raises(TypeError, match=r"`layers` to be a list or tuple .* `Sequential\(\[layer, ...\]\)`"):
        Sequential(linear)
    with pytest.raises(TypeError, match="`Sequential` expects `key` to be a PRNG key.* got 3"):
        Sequential([linear])(jnp.ones(2), key=3)

    def broken():
        yield linear
        raise TypeError("from the generator itself")

    with pytest.raises(TypeError, match="from the generator itself"):
        Sequential(broken())


def doubles(mlp):
    return [(np.asarray(m.weight, np.float64), np.asarray(m.bias, np.float64)) for m in mlp.layers]


def numpy_mlp(parameters, x):
    """Do the forward pass in NumPy, in double precision, with relu between the layers and tanh after the last."""
    for i, (weight, bias) in enumerate(parameters):
        x = weight @ x + bias
        x = np.tanh(x) if i == len(parameters) - 1 else np.maximum(x, 0)
    return x


@pytest.mark.parametrize("depth", [0, 2])
def test_mlp_same_as_the_formula(depth, run, getkey, draw):
    """The values are those of the formula in NumPy."""
    mlp = MLP(2, 3, 4, depth, final_activation=jnp.tanh, key=getkey())
    x = draw(2)
    assert_close(run(mlp.__call__, x), numpy_mlp(doubles(mlp), np.asarray(x, np.float64)))


@pytest.mark.parametrize("depth", [0, 2])
def test_mlp_gradients(depth, getkey, draw):
    """The gradients are the finite differences of the formula in NumPy."""
    mlp = MLP(2, 3, 4, depth, final_activation=jnp.tanh, key=getkey())
    x, parameters = draw(2), doubles(mlp)
    grads = eqx.filter_jit(eqx.filter_grad(lambda mlp, x: jnp.sum(mlp(x))))(mlp, x)
    for layer, (weight, bias) in zip(grads.layers, parameters):
        for gradient, values in [(layer.weight, weight), (layer.bias, bias)]:
            expected = np.zeros_like(values)
            for i in np.ndindex(*values.shape):
                original, sums = values[i], []
                for step in (1e-6, -1e-6):
                    values[i] = original + step
                    sums.append(numpy_mlp(parameters, np.asarray(x, np.float64)).sum())
                values[i] = original
                expected[i] = (sums[0] - sums[1]) / 2e-6
            assert_close(gradient, expected, rtol=1e-3)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_mlp_structure(depth, getkey):
    """There are `depth` hidden layers of width `width_size` and one more `Linear`, in a tuple. The sizes are static."""
    mlp = MLP(2, 3, 4, depth, key=getkey())
    assert type(mlp.layers) is tuple
    assert all(type(layer) is Linear for layer in mlp.layers)
    sizes = [2] + [4] * depth + [3]
    assert [layer.weight.shape for layer in mlp.layers] == list(zip(sizes[1:], sizes[:-1]))
    assert (mlp.in_size, mlp.out_size, mlp.width_size, mlp.depth) == (2, 3, 4, depth)
    leaves = jax.tree_util.tree_leaves(mlp)
    assert len(leaves) == 2 * (depth + 1) and all(map(eqx.is_array, leaves))  # the activations are no leaves
    assert mlp.activation is jax.nn.relu
    assert mlp(jnp.ones(2)).shape == (3,)


def test_mlp_layers_differ(getkey):
    """No two layers start with the same numbers. The key alone decides about all of them."""
    key = getkey()
    mlp = MLP(4, 4, 4, 2, key=key)
    starts = [np.asarray(layer.weight).ravel() for layer in mlp.layers]
    assert all(not np.array_equal(a, b) for i, a in enumerate(starts) for b in starts[:i])
    assert eqx.tree_equal(mlp, MLP(4, 4, 4, 2, key=key))
    assert not eqx.tree_equal(mlp, MLP(4, 4, 4, 2, key=getkey()))


def test_mlp_is_a_sequential_of_its_parts(run, getkey, draw):
    """The activation comes after each layer except the last. After the last comes the final activation."""
    mlp = MLP(2, 3, 4, 2, jnp.tanh, jax.nn.softplus, key=getkey())
    a, b, c = mlp.layers
    x = draw(2)
    assert_close(run(mlp.__call__, x), Sequential([a, jnp.tanh, b, jnp.tanh, c, jax.nn.softplus])(x))
    assert_close(mlp(x, key=getkey()), mlp(x))


def test_mlp_ends_with_the_identity(getkey):
    """By default nothing comes after the last layer, so the output may be negative."""
    mlp = MLP(2, 3, 4, 0, key=getkey())
    assert_close(mlp(jnp.ones(2)), mlp.layers[0](jnp.ones(2)))
    negative = eqx.tree_at(lambda m: m.layers[0].bias, mlp, jnp.full(3, -10.0))
    assert (np.asarray(negative(jnp.ones(2))) < 0).all()


class Scale(eqx.Module):
    """An activation with a parameter and a flag."""

    factor: jnp.ndarray
    flipped: bool = False

    def __call__(self, x):
        return jnp.where(self.flipped, -1, 1) * jnp.tanh(self.factor * x)


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("activation", [Scale(jnp.array(1.5)), jnp.tanh], ids=["layer", "function"])
def test_mlp_scanned(activation, depth, getkey):
    """With `scan` values and gradients are those without, also if the activation has parameters."""
    key, x = getkey(), jnp.ones(2)
    plain, scanned = (MLP(2, 3, 4, depth, activation, scan=scan, key=key) for scan in (False, True))
    assert [len(mlp.layers) for mlp in (plain, scanned)] == [depth + 1, min(depth + 1, 3)]

    @eqx.filter_jit
    @ft.partial(eqx.filter_value_and_grad, has_aux=True)
    def outcome(mlp):
        return jnp.sum(mlp(x) ** 2), mlp(x)

    (_, y), grads = outcome(plain)
    (_, scanned_y), scanned_grads = outcome(scanned)
    assert_close(scanned_y, y)
    if depth == 3:
        middle = jax.tree_util.tree_map(lambda *leaves: jnp.stack(leaves), *grads.layers[1:-1])
        grads = eqx.replace(grads, layers=(grads.layers[0], middle, grads.layers[-1]))
    pairs = list(zip(jax.tree_util.tree_leaves(scanned_grads), jax.tree_util.tree_leaves(grads)))
    assert len(pairs) == 2 * len(scanned.layers) + (activation is not jnp.tanh)
    for got, expected in pairs:
        assert_close(got, expected)


def test_mlp_scanned_compiles_one_hidden_layer(getkey):
    """The jaxpr doesn't grow with the depth."""
    sizes = [len(str(jax.make_jaxpr(MLP(2, 3, 4, n, scan=True, key=getkey()).__call__)(jnp.ones(2)))) for n in (4, 8)]
    assert sizes[0] == sizes[1]


def test_mlp_activation_with_parameters(getkey):
    """An activation may be a module. Each hidden layer has its own parameters, and they begin with the same numbers."""
    mlp = MLP(2, 3, 4, 2, PReLU(0.5, num_parameters=4), key=getkey())
    assert mlp.activation.negative_slope.tolist() == [[0.5] * 4] * 2
    slopes = jnp.array([[0.0] * 4, [3.0] * 4])
    mlp = eqx.tree_at(lambda m: m.activation.negative_slope, mlp, slopes)
    x, (a, b, c) = jnp.ones(2), mlp.layers
    layers = [a, jax.nn.relu, b, eqx.replace(PReLU(), negative_slope=jnp.array([3.0])), c]
    assert_close(mlp(x), Sequential(layers)(x))
    message = r"`MLP` with `depth=2` expects `activation.negative_slope` to have .* got shape \(1,\)"
    with pytest.raises(ValueError, match=message):
        eqx.replace(mlp, activation=PReLU())(x)


@pytest.mark.parametrize("scan", [False, True])
def test_mlp_activation_with_a_flag(scan, getkey):
    """A flag in an activation is that of all hidden layers, also if `jax.jit` makes an array of it."""
    mlp = MLP(2, 3, 4, 2, Scale(jnp.array(1.5), flipped=True), scan=scan, key=getkey())
    assert mlp.activation.flipped is True
    assert_close(jax.jit(lambda mlp, x: mlp(x))(mlp, jnp.ones(2)), mlp(jnp.ones(2)))


def is_structure(activation, getkey):
    mlp = MLP(2, 2, 2, 1, activation, key=getkey())
    sequential = Sequential([mlp.layers[0], activation])
    structure = [len(jax.tree_util.tree_leaves(model)) == 2 * n for model, n in [(mlp, 2), (sequential, 1)]]
    assert sequential[1] is activation and structure[0] == structure[1]
    assert mlp.activation is activation or not structure[0]
    return structure[0]


FUNCTIONS = {
    "lambda": lambda x: x,
    "JAX's": jax.nn.relu,
    "jitted": jax.jit(jnp.tanh),
    "partial": ft.partial(jnp.power, 2),
    "built-in": abs,
    "class": float,
    "filtered": eqx.filter_jit(jnp.tanh),
    "filtered twice": eqx.filter_jit(eqx.filter_grad(jnp.tanh)),
}
DATA = {
    "layer": lambda: Linear(2, 2, key=jrandom.PRNGKey(0)),
    "method of a layer": lambda: Linear(2, 2, key=jrandom.PRNGKey(0)).__call__,
    "filtered layer": lambda: eqx.filter_jit(Linear(2, 2, key=jrandom.PRNGKey(0))),
    "layer with a flag": Dropout,
    "layers with functions": lambda: Sequential([jnp.tanh, Dropout()]),
    "partial of an array": lambda: jax.tree_util.Partial(jnp.add, jnp.ones(2)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_structure(name, getkey):
    """A function without data is no leaf, also if it is wrapped."""
    assert is_structure(FUNCTIONS[name], getkey)


@pytest.mark.parametrize("name", DATA)
def test_function_with_data_is_data(name, getkey):
    """If a function holds arrays or flags, they are leaves of the model."""
    assert not is_structure(DATA[name](), getkey)


class Unhashable:
    """A function that defines `__eq__`, so it can't be hashed."""

    def __eq__(self, other):
        return type(other) is Unhashable

    __hash__ = None

    def __call__(self, x):
        return x


def test_function_that_cannot_be_hashed_is_a_leaf(getkey):
    """JAX hashes the structure of trees. So a function that can't be hashed is a leaf."""
    assert not is_structure(Unhashable(), getkey)


def test_layer_without_leaves_is_data(getkey):
    """`Identity` is a node without leaves. So `tree_at` can replace it by another layer."""
    model = Sequential([Identity(), jnp.tanh])
    assert eqx.tree_at(lambda m: m[0], model, Linear(2, 2, key=getkey()))[0].weight.shape == (2, 2)


@pytest.mark.parametrize(
    "index", [slice(1, None), slice(None, None, -2), slice(0, 0), slice(None), slice(0, 1)], ids=str
)
def test_slice_keeps_what_is_structure(index, getkey):
    """A layer of a slice is structure or data as it was in the model. This also holds for a tree of gradients."""
    model = Sequential([jnp.tanh, Linear(2, 2, key=getkey()), abs, Unhashable()])
    leaves = [0, 2, 0, 1]  # of each layer
    functions = jax.tree_util.tree_map(lambda _: len, model)
    for tree in (model, functions, eqx.filter(model, False)):
        assert type(tree[index]) is Sequential and tree[index].layers == tree.layers[index]
    assert len(jax.tree_util.tree_leaves(model[index])) == sum(leaves[index])
    assert jax.tree_util.tree_leaves(functions[index]) == [len] * sum(leaves[index])
    assert jax.tree_util.tree_structure(functions[index]) == jax.tree_util.tree_structure(model[index])


def test_slice_of_an_unfinished_sequential():
    """An `__init__` may slice `self` after it has set the layers."""

    class Two(Sequential):
        head: Any
        rest: Any

        def __init__(self, layers):
            super().__init__(layers)
            self.head = self[:1]
            self.rest = self[1:]

    model = Two([jnp.tanh, abs])
    assert list(model.head) == [jnp.tanh] and list(model.rest) == [abs]


def test_mlp_survives_copying(getkey):
    """Copies and pickles of an MLP are equal to it and compute the same."""
    mlp = MLP(2, 3, 4, 2, key=getkey())
    x = jnp.ones(2)
    for other in (copy.copy(mlp), copy.deepcopy(mlp), pickle.loads(pickle.dumps(mlp))):
        assert eqx.tree_equal(mlp, other)
        assert jax.tree_util.tree_structure(mlp) == jax.tree_util.tree_structure(other)
        assert other.activation is jax.nn.relu
        assert other.final_activation is mlp.final_activation
        assert np.array_equal(mlp(x), other(x))


def test_sequential_survives_copying(getkey):
    """Copies and pickles of a `Sequential` are equal to it, if its functions can be pickled."""
    model = Sequential([Linear(2, 4, key=getkey()), jax.nn.relu, Dropout(), Identity()])
    for other in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert eqx.tree_equal(model, other)


def test_mlp_learns(getkey, draw):
    """The training loop of the README lowers the loss."""

    @ft.partial(eqx.jitf, filter_fn=eqx.is_array)
    @ft.partial(eqx.value_and_grad_f, filter_fn=eqx.is_inexact_array)
    def loss(model, x, y):
        return jnp.mean((y - jax.vmap(model)(x)) ** 2)

    mlp = MLP(2, 3, 4, 1, activation=jnp.tanh, key=getkey())
    x, y = draw(16, 2), draw(16, 3)
    losses = []
    for _ in range(30):
        value, grads = loss(mlp, x, y)
        losses.append(float(value))
        mlp = eqx.apply_updates(mlp, jax.tree_util.tree_map(lambda g: -0.1 * g, grads))
    assert losses[-1] < losses[0]


def test_mlp_shows_itself(getkey):
    """Its `repr` names the activations."""
    text = repr(MLP(2, 3, 4, 1, key=getkey()))
    assert "activation=relu" in text
    assert "final_activation=identity" in text


def test_mlp_wrong_arguments(getkey):
    """Sizes are integers of at least 1, and the depth is at least 0. Activations can be called. `key` is required."""
    good = {"in_size": 2, "out_size": 3, "width_size": 4, "depth": 1}
    for name in ("in_size", "out_size", "width_size"):
        with pytest.raises(ValueError, match="`MLP` expects `{}` to be at least 1, got 0".format(name)):
            MLP(**dict(good, **{name: 0}), key=getkey())
    with pytest.raises(ValueError, match="`MLP` expects `depth` to be at least 0, got -1"):
        MLP(**dict(good, depth=-1), key=getkey())
    for name in good:
        with pytest.raises(TypeError, match="`MLP` expects `{}` to be an integer of at least .*, got 1.5".format(name)):
            MLP(**dict(good, **{name: 1.5}), key=getkey())
    for name in ("activation", "final_activation"):
        with pytest.raises(TypeError, match="`MLP` expects `{}` to be a function, .* got 'relu'".format(name)):
            MLP(**good, **{name: "relu"}, key=getkey())
    with pytest.raises(TypeError, match="key"):
        MLP(**good)
    with pytest.raises(TypeError, match="`MLP` expects `key` to be a PRNG key.* got None"):
        MLP(**good, key=None)


def test_mlp_wrong_shape(run, getkey):
    """The first layer refuses a batch, and its error mentions `vmap`."""
    with pytest.raises(ValueError, match=r"one example of shape \(2,\), got \(7, 2\). Batch with `jax.vmap"):
        run(MLP(2, 3, 4, 1, key=getkey()).__call__, jnp.ones((7, 2)))

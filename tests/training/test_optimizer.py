"""`Optimizer`: the same steps as Optax on the trained leaves, and nothing for the others."""

import copy
import inspect
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from jax import tree_util

import equinox as eqx

optax = pytest.importorskip("optax", reason="optax isn't installed")


class Net(eqx.Module):
    first: Any
    second: Any
    steps: Any
    activation: Any

    def forward(self, x):  # a method `__call__` would keep old releases of Optax from masks
        return self.second(self.activation(self.first(x)))


def net():
    first, second = (eqx.nn.Linear(2, 2, key=key) for key in jrandom.split(jrandom.PRNGKey(0)))
    return Net(first, second, jnp.array(3), jnp.tanh)


X = jnp.array([0.5, -1.0])


def loss(model):
    out = model.forward(X) if isinstance(model, Net) else model(X)
    return jnp.sum((out - 1) ** 2)


FROZEN = eqx.freeze(net(), lambda model: (model.first.weight, model.second.bias))


def arrays(tree):
    """The trained arrays by path, as a plain dictionary: what Optax is given without this library."""
    return dict(eqx.named_leaves(eqx.filter(tree, eqx.trainable)))


def put(model, params):
    """`model` with the arrays of `params`, by path."""
    leaves, treedef = tree_util.tree_flatten(model)
    paths = [path for path, _ in eqx.named_leaves(model)]
    return treedef.unflatten([params.get(path, x) for path, x in zip(paths, leaves)])


def close(a, b):
    return tree_util.tree_structure(a) == tree_util.tree_structure(b) and all(
        np.allclose(x, y, rtol=1e-5, atol=1e-6) for x, y in zip(tree_util.tree_leaves(a), tree_util.tree_leaves(b))
    )


def labels(params):
    names = ["bias" if path.endswith("bias") else "other" for path, _ in eqx.named_leaves(params)]
    return tree_util.tree_structure(params).unflatten(names)


def labels_of_dictionary(params):
    return {path: "bias" if path.endswith("bias") else "other" for path in params}


def _groups(label):
    return optax.multi_transform({"bias": optax.sgd(0.1), "other": optax.adamw(0.01)}, label)


def _is_matrix(params):
    return tree_util.tree_map(lambda x: x.ndim > 1, params)


def _decaying(learning_rate):
    return optax.chain(optax.add_decayed_weights(0.1), optax.sgd(learning_rate))


# Each makes a transformation. It gets the function of the labels.
TRANSFORMS = {
    "multi_transform": _groups,
    "masked": lambda label: optax.chain(optax.masked(optax.add_decayed_weights(0.1), _is_matrix), optax.sgd(0.1)),
    "chain": lambda label: optax.chain(optax.clip_by_global_norm(0.1), optax.adam(0.1)),
    "MultiSteps": lambda label: optax.MultiSteps(optax.adam(0.1), 2),
    "schedule": lambda label: optax.adam(optax.exponential_decay(0.1, 2, 0.5)),
    "momentum": lambda label: optax.sgd(0.1, momentum=0.9, nesterov=True),
    "ema": lambda label: optax.chain(optax.sgd(0.1), optax.ema(0.9)),
    "inject_hyperparams": lambda label: optax.inject_hyperparams(_decaying)(learning_rate=0.1),
    "apply_if_finite": lambda label: optax.apply_if_finite(optax.adam(0.1), 2),
    "apply_every": lambda label: optax.chain(optax.sgd(0.1), optax.apply_every(2)),
    "flatten": lambda label: optax.flatten(optax.adam(0.1)),
    "adaptive_grad_clip": lambda label: optax.chain(optax.adaptive_grad_clip(0.1), optax.sgd(0.1)),
    "centralize": lambda label: optax.chain(optax.centralize(), optax.sgd(0.1)),
    "keep_params_nonnegative": lambda label: optax.chain(optax.sgd(0.1), optax.keep_params_nonnegative()),
    "zero_nans": lambda label: optax.chain(optax.zero_nans(), optax.sgd(0.1)),
}


def _by_default(make):
    parameters = inspect.signature(make).parameters
    return make(**{name: x for name, x in (("learning_rate", 0.01), ("key", 0)) if name in parameters})


# How to call the functions of Optax that only some releases have.
_OF_OPTAX = dict.fromkeys(
    (
        "adabelief adadelta adafactor adagrad adam adamax adamaxw adamw adan amsgrad fromage lamb lars lbfgs lion "
        "nadam nadamw noisy_sgd novograd optimistic_adam_v2 optimistic_gradient_descent polyak_sgd radam rmsprop "
        "rprop sgd sign_sgd sm3 yogi contrib.acprop contrib.ademamix contrib.adopt contrib.cocob "
        "contrib.dadapt_adamw contrib.dog contrib.dowg contrib.madgrad contrib.momo contrib.momo_adam contrib.muon "
        "contrib.prodigy contrib.schedule_free_adamw contrib.schedule_free_sgd contrib.simplified_ademamix"
    ).split(),
    _by_default,
)
_OF_OPTAX.update(
    {
        "contrib.mechanize": lambda make: make(optax.sgd(0.1)),
        "contrib.reduce_on_plateau": lambda make: optax.chain(optax.sgd(0.1), make(patience=1, cooldown=0)),
        "contrib.sam": lambda make: make(optax.sgd(0.1), optax.sgd(0.01)),
        "contrib.schedule_free": lambda make: make(optax.sgd(0.1), learning_rate=0.1),
        "contrib.split_real_and_imaginary": lambda make: make(optax.adam(0.1)),
        "scale_by_backtracking_linesearch": lambda make: optax.chain(optax.sgd(1.0), make(max_backtracking_steps=5)),
    }
)


def of_optax(name):
    """A function of Optax, such as `contrib.sam`. `None` if the installed release doesn't have it."""
    home = getattr(optax, "contrib", None) if name.startswith("contrib.") else optax
    return getattr(home, name.split(".")[-1], None)


for _name in filter(of_optax, _OF_OPTAX):
    TRANSFORMS[_name] = lambda label, name=_name: _OF_OPTAX[name](of_optax(name))

EXTRA = {  # what `update` takes in addition
    "contrib.momo": ("value",),
    "contrib.momo_adam": ("value",),
    "contrib.reduce_on_plateau": ("value",),
    "lbfgs": ("value", "grad", "value_fn"),
    "polyak_sgd": ("value",),
    "scale_by_backtracking_linesearch": ("value", "grad", "value_fn"),
}

_flat_value_and_grad = jax.jit(jax.value_and_grad(lambda params: loss(put(FROZEN, params))))
_value_and_grad = eqx.filter_jit(eqx.value_and_grad_f(loss, filter_fn=eqx.trainable))


def train_by_optax(transform, extra=(), steps=3):
    """Train by Optax alone, with a dictionary of arrays as parameters. Only the gradients are compiled."""
    params = arrays(FROZEN)
    state = transform.init(params)
    for _ in range(steps):
        value, grads = _flat_value_and_grad(params)
        values = {"value": value, "grad": grads, "value_fn": lambda params: loss(put(FROZEN, params))}
        updates, state = transform.update(grads, state, params, **{name: values[name] for name in extra})
        params = optax.apply_updates(params, updates)
    return params


def train(transform, extra=(), steps=3):
    """The same by `Optimizer`."""
    model, optimizer = FROZEN, eqx.Optimizer(transform, FROZEN)
    for _ in range(steps):
        value, grads = _value_and_grad(model)
        values = {"value": value, "grad": grads, "value_fn": loss}
        model, optimizer = optimizer.step(model, grads, **{name: values[name] for name in extra})
    return model


# chex 0.1.89, the last for JAX 0.6, flattens its dataclasses with what JAX 0.6 deprecates. `contrib.sam` has one.
@pytest.mark.filterwarnings("ignore:unzip2 was deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", TRANSFORMS)
def test_trains_as_optax_does(name):
    """The oracle is Optax on a dictionary of the trained arrays. The other leaves don't change."""
    extra = EXTRA.get(name, ())
    expected = train_by_optax(TRANSFORMS[name](labels_of_dictionary), extra)
    model = train(TRANSFORMS[name](labels), extra)
    assert close(arrays(model), expected)
    assert not eqx.tree_equal(arrays(model), arrays(FROZEN))
    before, after = (eqx.filter(tree, eqx.trainable, inverse=True) for tree in (FROZEN, model))
    assert eqx.tree_equal(before, after)
    assert tree_util.tree_structure(model) == tree_util.tree_structure(FROZEN)


@pytest.mark.parametrize("name", ["adam", "multi_transform", "MultiSteps"])
def test_a_compiled_step_does_the_same(name):
    transform = TRANSFORMS[name](labels)
    step = eqx.filter_jit(lambda model, optimizer: optimizer.step(model, _value_and_grad(model)[1]))
    model, optimizer = FROZEN, eqx.Optimizer(transform, FROZEN)
    for _ in range(3):
        model, optimizer = step(model, optimizer)
    assert close(arrays(model), arrays(train(transform)))


def test_a_hyperparameter_is_changed_in_the_state():
    """Two steps with the learning rates 0.1 and 0.5 are the steps of two optimisers."""
    model, optimizer = FROZEN, eqx.Optimizer(optax.inject_hyperparams(optax.sgd)(learning_rate=0.1), FROZEN)
    for learning_rate in (0.1, 0.5):
        rate = jnp.array(learning_rate)
        optimizer = eqx.tree_at(lambda optimizer: optimizer.state.hyperparams["learning_rate"], optimizer, rate)
        before, (_, grads) = model, _value_and_grad(model)
        model, optimizer = optimizer.step(model, grads)
        expected, _ = eqx.Optimizer(optax.sgd(learning_rate), before).step(before, grads)
        assert close(arrays(model), arrays(expected))


@pytest.mark.parametrize("name", ["masked", "multi_transform"])
def test_masks_and_labels_of_a_model_that_can_be_called(name):
    """New releases of Optax know that such a tree is no function. With old ones the model must be in a list."""
    model = eqx.nn.MLP(2, 2, 2, 1, key=jrandom.PRNGKey(0))
    grads = eqx.filter_grad(loss)(model)
    in_list, _ = eqx.Optimizer(TRANSFORMS[name](labels), [model]).step([model], [grads])
    if tuple(map(int, optax.__version__.split(".")[:3])) >= (0, 2, 4):
        alone, _ = eqx.Optimizer(TRANSFORMS[name](labels), model).step(model, grads)
        assert eqx.tree_equal(alone, in_list[0])
    assert not eqx.tree_equal(in_list[0], model)


def test_frozen_leaves_have_no_state():
    """Adam keeps two arrays for each trained leaf, and a counter."""
    optimizer = eqx.Optimizer(optax.adam(0.1), FROZEN)
    shapes = sorted(x.shape for x in tree_util.tree_leaves(optimizer))
    assert shapes == sorted([()] + 2 * [x.shape for x in arrays(FROZEN).values()])
    assert not any(tree_util.tree_leaves(eqx.trainable(optimizer)))


BIAS, WEIGHT = ".first.bias", ".second.weight"
ALL = [".first.weight", BIAS, WEIGHT, ".second.bias"]
WRT = {
    "trainable": (eqx.trainable, [BIAS, WEIGHT]),
    "bools": (eqx.trainable(FROZEN), [BIAS, WEIGHT]),
    "functions": (tree_util.tree_map(lambda x: eqx.trainable, FROZEN), [BIAS, WEIGHT]),
    "predicate": (eqx.is_inexact_array, ALL),
    "prefix": (Net(False, eqx.is_inexact_array, False, False), ALL[2:]),
}


@pytest.mark.parametrize("name", WRT)
def test_wrt_is_any_filter(name):
    """Gradients of the leaves outside of `wrt` are ignored."""
    wrt, expected = WRT[name]
    model, _ = eqx.Optimizer(optax.sgd(0.1), FROZEN, wrt=wrt).step(FROZEN, eqx.filter_grad(loss)(FROZEN))
    pairs = zip(eqx.named_leaves(FROZEN), eqx.named_leaves(model))
    assert [path for (path, before), (_, after) in pairs if not eqx.tree_equal(before, after)] == expected


def test_the_program_is_that_of_optax():
    """`Optimizer` costs nothing in a compiled function: it traces the same operations."""
    transform = optax.chain(optax.clip_by_global_norm(0.1), optax.adamw(0.1))
    optimizer = eqx.Optimizer(transform, FROZEN)

    def bare(model, state, grads):
        params = eqx.filter(model, eqx.trainable)
        updates, state = transform.update(grads, state, params)
        return eqx.apply_updates(model, updates), state

    inputs = FROZEN, _value_and_grad(FROZEN)[1]
    program = eqx.filter_make_jaxpr(lambda model, grads, optimizer: optimizer.step(model, grads))(*inputs, optimizer)
    expected = eqx.filter_make_jaxpr(lambda model, grads, state: bare(model, state, grads))(*inputs, optimizer.state)
    assert str(program[0]) == str(expected[0])


def test_the_methods_are_pure():
    optimizer = eqx.Optimizer(optax.adam(0.1), FROZEN)
    before = [np.asarray(x) for x in tree_util.tree_leaves(optimizer)]
    grads = eqx.filter_grad(loss)(FROZEN)
    first, second = (optimizer.step(FROZEN, grads) for _ in range(2))
    assert eqx.tree_equal(first, second)
    assert all(map(np.array_equal, before, tree_util.tree_leaves(optimizer)))


def test_a_compiled_step_is_traced_once():
    traces = []

    @eqx.filter_jit
    def step(model, optimizer):
        traces.append(1)
        return optimizer.step(model, eqx.filter_grad(loss)(model))

    model, optimizer = net(), eqx.Optimizer(optax.adam(0.1), net())
    for _ in range(3):
        model, optimizer = step(model, optimizer)
    for keep in (copy.copy, copy.deepcopy, lambda tree: tree_util.tree_map(lambda x: x, tree)):
        step(*map(keep, (model, optimizer)))
    assert len(traces) == 1


def test_an_ensemble_trains_by_vmap():
    """Three models and their optimisers in one `vmap` train as each does alone."""
    transform = optax.adamw(0.1)

    def make(key):
        model = eqx.nn.Linear(2, 2, key=key)
        return model, eqx.Optimizer(transform, model)

    keys = jrandom.split(jrandom.PRNGKey(1), 3)
    step = eqx.filter_jit(lambda model, optimizer: optimizer.step(model, eqx.filter_grad(loss)(model)))
    models, optimizers = eqx.filter_vmap(make)(keys)
    for _ in range(2):
        models, optimizers = eqx.filter_vmap(step)(models, optimizers)
    for i, key in enumerate(keys):
        model, optimizer = make(key)
        for _ in range(2):
            model, optimizer = step(model, optimizer)
        assert close(model.weight, models.weight[i]) and close(model.bias, models.bias[i])


def test_a_scan_trains():
    model, optimizer = net(), eqx.Optimizer(optax.adam(0.1), net())

    def body(carry, _):
        model, optimizer = carry
        return optimizer.step(model, eqx.filter_grad(loss)(model)), loss(model)

    (trained, _), losses = eqx.filter_scan(body, (model, optimizer), None, length=20)
    assert losses.shape == (20,) and loss(trained) < 0.1 * losses[0]


class Transform(NamedTuple):
    """What Optax calls a transformation, written by hand."""

    init: Any
    update: Any


def test_all_arrays_can_be_donated():
    """A state may begin with the parameters themselves, or with one array in two places. They are copied."""
    one = jnp.ones(())
    transform = Transform(lambda params: (params, one, one), lambda grads, state, params: (grads, state))
    model = net()
    optimizer = eqx.Optimizer(transform, model)
    ids = list(map(id, tree_util.tree_leaves((model, optimizer))))
    assert len(set(ids)) == len(ids)
    step = eqx.filter_jit(lambda model, optimizer: optimizer.step(model, eqx.filter_grad(loss)(model)), donate="all")
    for _ in range(2):
        model, optimizer = step(model, optimizer)
    assert np.isfinite(loss(model))


def test_extra_arguments_fit_the_model():
    """A function gets the whole model. A tree of gradients is filtered. All else is passed as it is."""
    seen = {}

    def update(grads, state, params, *, value, value_fn, grad):
        seen.update(value=value, params=params, grad=grad, names=list(inspect.signature(value_fn).parameters))
        return tree_util.tree_map(lambda g: value_fn(params, scale=2.0) * g, grads), state

    def value_fn(model, scale):
        return scale * loss(model)

    model, grads = FROZEN, eqx.filter_grad(loss)(FROZEN)
    optimizer = eqx.Optimizer(Transform(lambda params: (), update), model)
    new, _ = optimizer.step(model, grads, value=1.5, value_fn=value_fn, grad=grads)
    assert seen["value"] == 1.5 and seen["names"] == ["model", "scale"]
    assert tree_util.tree_structure(seen["grad"]) == tree_util.tree_structure(seen["params"])
    expected = {path: arrays(model)[path] + 2 * loss(model) * g for path, g in arrays(grads).items() if g is not None}
    assert close(arrays(new), expected)


def test_the_model_may_be_an_array_alone():
    """A function among the extra arguments isn't taken for a gradient, although it is a leaf, too."""
    transform = Transform(lambda params: (), lambda grads, state, params, f: (f(params) * grads, state))
    model, _ = eqx.Optimizer(transform, X).step(X, jnp.ones(2), f=jnp.sum)
    assert close(model, X + X.sum())


@pytest.mark.parametrize("jit", [False, True])
def test_complex_gradients_are_conjugated(jit):
    """The steps go straight to the minimum. The distance is `0.8 ** n`, as the docstring says."""

    def distance(model):
        return jnp.sum(jnp.abs(model["z"] - 1j) ** 2)

    def step(model, optimizer):
        return optimizer.step(model, eqx.filter_grad(distance)(model))

    model = {"z": jnp.zeros((), jnp.complex64)}
    optimizer = eqx.Optimizer(optax.sgd(0.1), model)
    step = eqx.filter_jit(step) if jit else step
    for n in range(1, 21):
        model, optimizer = step(model, optimizer)
        assert np.allclose(model["z"], 1j * (1 - 0.8**n), atol=1e-5)


def test_the_choice_of_leaves_is_part_of_the_structure():
    """Two optimisers that train other leaves of one model differ, also without a state. A step is compiled for each."""
    model, transform = {"a": jnp.ones(2), "b": jnp.ones(2)}, optax.sgd(1.0)
    step = eqx.filter_jit(lambda model, optimizer: optimizer.step(model, model)[0])
    optimizers = [eqx.Optimizer(transform, model, wrt={"a": a, "b": not a}) for a in (True, False)]
    assert not eqx.tree_equal(*optimizers)
    assert [x["a"].tolist() + x["b"].tolist() for x in (step(model, optimizer) for optimizer in optimizers)] == [
        [0, 0, 1, 1],
        [1, 1, 0, 0],
    ]


def test_gradients_among_the_extra_arguments_are_conjugated_too():
    def update(grads, state, params, grad):
        assert grads["z"] == grad["z"] == 1 - 2j
        return grads, state

    model, grads = {"z": jnp.zeros((), jnp.complex64)}, {"z": jnp.array(1 + 2j)}
    new, _ = eqx.Optimizer(Transform(lambda params: (), update), model).step(model, grads, grad=grads)
    assert new["z"] == 1 - 2j


PAIRS = {
    "momentum": lambda: optax.sgd(0.1, momentum=0.9),
    "weight decay": lambda: optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.1)),
    "clip": lambda: optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(0.1)),
}
if of_optax("contrib.split_real_and_imaginary"):
    PAIRS["adamw"] = lambda: optax.contrib.split_real_and_imaginary(optax.adamw(0.1))


@pytest.mark.parametrize("name", PAIRS)
def test_a_complex_parameter_is_trained_as_its_two_parts(name):
    """The oracle has a real parameter for the real part, and one for the imaginary part."""

    def distance(z):
        return jnp.sum(jnp.abs(z**2 - jnp.array([1j, 0.5 - 1j])) ** 2)

    start = np.array([0.5 + 0.2j, -1.0 + 0.3j])
    model = {"z": jnp.asarray(start, jnp.complex64)}
    pair = {"x": jnp.asarray(start.real, jnp.float32), "y": jnp.asarray(start.imag, jnp.float32)}
    optimizer = eqx.Optimizer(PAIRS[name](), model)
    state = optax.adamw(0.1).init(pair) if name == "adamw" else PAIRS[name]().init(pair)
    transform = optax.adamw(0.1) if name == "adamw" else PAIRS[name]()
    for _ in range(3):
        model, optimizer = optimizer.step(model, jax.grad(lambda model: distance(model["z"]))(model))
        grads = jax.grad(lambda pair: distance(pair["x"] + 1j * pair["y"]))(pair)
        updates, state = transform.update(grads, state, pair)
        pair = optax.apply_updates(pair, updates)
        assert np.allclose(model["z"], pair["x"] + 1j * pair["y"], rtol=1e-4)


def test_a_checkpoint_goes_on_as_if_nothing_happened(tmp_path):
    pytest.importorskip("safetensors", reason="safetensors isn't installed")
    transform, path = optax.MultiSteps(optax.adamw(0.1), 2), str(tmp_path / "checkpoint.safetensors")

    def step(pair):
        model, optimizer = pair
        return optimizer.step(model, _value_and_grad(model)[1])

    pair = step((FROZEN, eqx.Optimizer(transform, FROZEN)))
    eqx.save(path, pair)
    loaded = eqx.load(path, (FROZEN, eqx.Optimizer(transform, FROZEN)))
    assert tree_util.tree_structure(loaded) == tree_util.tree_structure(pair)
    for _ in range(2):
        pair, loaded = step(pair), step(loaded)
    assert eqx.tree_equal(pair, loaded)


def test_dtypes_of_the_model_are_kept():
    model = eqx.cast(net(), jnp.bfloat16)
    new, _ = eqx.Optimizer(optax.sgd(0.1), model).step(
        model, tree_util.tree_map(jnp.ones_like, eqx.filter(model, eqx.trainable))
    )
    assert [x.dtype for x in arrays(new).values()] == 4 * [jnp.bfloat16]


def test_errors_of_construction():
    with pytest.raises(TypeError, match="such as `optax.adam.*no function `init`"):
        eqx.Optimizer(optax.sgd, net())
    with pytest.raises(ValueError, match="`wrt` to select at least one leaf"):
        eqx.Optimizer(optax.sgd(0.1), eqx.freeze(net()))
    with pytest.raises(TypeError, match=r"can't train the leaf `model.steps`: expected a floating-point"):
        eqx.Optimizer(optax.sgd(0.1), net(), wrt=eqx.is_array)
    with pytest.raises(ValueError, match="`wrt` to have the structure of `model`"):
        eqx.Optimizer(optax.sgd(0.1), net(), wrt=[True])
    with pytest.raises(TypeError, match="`wrt` must be a bool or a function"):
        eqx.Optimizer(optax.sgd(0.1), net(), wrt="weights")


def test_errors_of_a_step():
    model = net()
    optimizer, grads = eqx.Optimizer(optax.sgd(0.1), model), eqx.filter_grad(loss)(model)
    with pytest.raises(
        ValueError,
        match=r"that it had when the optimiser was made. At `model.first` expected a `Linear`, got a "
        r"`Linear` with `.bias` frozen, `.weight` frozen .see `eqx.freeze`",
    ):
        optimizer.step(eqx.freeze(model, lambda model: model.first), grads)
    with pytest.raises(ValueError, match=r"At `model.second` expected a `Linear`, got"):
        optimizer.step(eqx.tree_at(lambda model: model.second, model, eqx.nn.Identity()), grads)
    one, other = ({"a": x, "b": y} for x, y in [(jnp.ones(1), None), (None, jnp.ones(1))])  # the same number of leaves
    with pytest.raises(ValueError, match=r"At `model\['a'\]` expected a leaf, got `None`"):
        eqx.Optimizer(optax.sgd(0.1), one).step(other, other)
    with pytest.raises(ValueError, match=r"`grads` to have the structure of `model`. At `grads.second` expected"):
        optimizer.step(model, eqx.tree_at(lambda model: model.second, grads, [1.0]))
    with pytest.raises(ValueError, match=r"trained leaf `model.second.bias`, got `None`"):
        optimizer.step(model, eqx.tree_at(lambda model: model.second.bias, grads, None))
    with pytest.raises(
        ValueError, match=r"of shape \(2,\) for the trained leaf `model.second.bias`, got `Array` float32\[\]"
    ):
        optimizer.step(model, eqx.tree_at(lambda model: model.second.bias, grads, jnp.ones(())))

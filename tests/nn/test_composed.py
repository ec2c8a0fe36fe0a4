"""What `Sequential` and `MLP` share: which functions are structure, and the path of a layer in an error."""

import functools as ft

import jax
import jax.numpy as jnp
import jax.random as jrandom
import pytest
from modules import Unhashable

import equinox as eqx
from equinox.nn import MLP, Dropout, Linear, Sequential


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


def test_function_that_cannot_be_hashed_is_a_leaf(getkey):
    """JAX hashes the structure of trees. So a function that can't be hashed is a leaf."""
    assert not is_structure(Unhashable(), getkey)

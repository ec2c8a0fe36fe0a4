"""`backward_nan` prints cotangents, and stops at a NaN."""

import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from modules import Affine

import equinox as eqx

needs_callbacks = pytest.mark.skipif(
    not hasattr(jax, "pure_callback"), reason="no `jax.pure_callback`, which JAX 0.3.17 added"
)
pytestmark = needs_callbacks

X = jnp.array([0.0, 4.0])


def root(x, **options):
    """A square root with the gradient NaN at zero. There, the value is 0."""
    x = eqx.debug.backward_nan(x, **options)
    return jnp.where(x > 0, jnp.sqrt(x), 0.0).sum()


TRANSFORMED = {
    "eager": lambda f: f,
    "jit": jax.jit,
    "filter_jit": eqx.filter_jit,
    "scan": lambda f: lambda x: jax.lax.scan(lambda carry, x: (carry, f(x)), 0, x[None])[1][0],
}


def settled(tree):
    return jax.tree_util.tree_map(np.asarray, tree)


@pytest.mark.parametrize("name", TRANSFORMED)
def test_it_prints_what_it_sees_and_changes_nothing(name, capsys):
    gradient = TRANSFORMED[name](jax.grad(lambda x: root(x, name="x", terminate=False)))
    plain = jax.grad(lambda x: jnp.where(x > 0, jnp.sqrt(x), 0.0).sum())
    np.testing.assert_array_equal(settled(gradient(X)), plain(X))
    assert capsys.readouterr().out == "x: [0. 4.]\ncotangent of x: [ nan 0.25]\n"


@pytest.mark.parametrize("name", TRANSFORMED)
def test_a_nan_stops_the_program(name):
    gradient = TRANSFORMED[name](jax.grad(root))
    np.testing.assert_array_equal(settled(gradient(X + 1)), 0.5 / np.sqrt(X + 1))
    own = eqx.EquinoxRuntimeError if name in ("eager", "filter_jit") else Exception
    with pytest.raises(own, match="`backward_nan` found a NaN in the cotangent of `x`"):
        settled(gradient(X))


def test_what_an_error_does_is_chosen_as_for_error_if(monkeypatch):
    """Each time that a function is traced."""
    for transform in (jax.jit, eqx.filter_jit, lambda f: f):
        monkeypatch.setenv("EQX_ON_ERROR", "nan")
        assert np.isnan(settled(transform(jax.grad(lambda x: root(x)))(X))).all()
        monkeypatch.setenv("EQX_ON_ERROR", "raise")
        with pytest.raises(Exception, match="`backward_nan` found a NaN"):
            settled(transform(jax.grad(lambda x: root(x)))(X))


def test_a_loop_keeps_little(capsys):
    """JAX keeps 170 objects for each function that it differentiates. Older JAX keeps 40 for each callback."""

    def number_of_objects(calls):
        for _ in range(calls):
            jax.grad(root)(X + 1)
        gc.collect()
        return len(gc.get_objects())

    before = number_of_objects(3)
    assert number_of_objects(10) - before < 10 * 100


def test_each_example_is_printed(capsys):
    gradient = jax.jit(jax.vmap(jax.grad(lambda x: root(x, name="x", terminate=False))))
    settled(gradient(X))
    assert capsys.readouterr().out.split("\n")[:-1] == [
        "x: 0.0",
        "cotangent of x: nan",
        "x: 4.0",
        "cotangent of x: 0.25",
    ]


def test_leaves_are_named_by_their_paths(capsys):
    """Integers and what isn't an array are not printed."""

    def f(weight):
        model = eqx.debug.backward_nan(Affine([weight, "text", jnp.arange(2)], weight), name="model")
        assert type(model) is Affine and model.weight[1] == "text"
        return (model.weight[0] * model.weight[2]).sum() + model.bias.sum()

    np.testing.assert_array_equal(settled(jax.grad(f)(X)), [1.0, 2.0])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "model.weight[0]",
        "cotangent of model.weight[0]",
        "model.bias",
        "cotangent of model.bias",
    ]


def test_the_first_path_with_a_nan_is_named():
    def f(x):
        x = eqx.debug.backward_nan({"a": x, "b": x, "c": x}, "x")
        return (x["a"] + jnp.where(x["b"] > 0, jnp.sqrt(x["b"]), 0.0) + x["c"]).sum()

    with pytest.raises(eqx.EquinoxRuntimeError, match=r"cotangent of `x\['b'\]`"):
        eqx.filter_jit(jax.grad(f))(X)


def test_the_forward_pass_is_not_printed(capsys):
    assert root(X) == 2.0 and capsys.readouterr().out == ""
    assert eqx.debug.backward_nan(("text", 3)) == ("text", 3)

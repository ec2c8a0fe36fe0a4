"""`store_dce` and `inspect_dce` say which arrays a compiled function computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from modules import Affine

import equinox as eqx
from equinox import _compat

X = jnp.arange(3.0)


@pytest.fixture(autouse=True)
def needs_dce():
    try:
        _compat.require("store_dce")
    except NotImplementedError as error:
        pytest.skip(str(error))


@pytest.fixture
def inspect(capsys):
    """`inspect(name)`: what `inspect_dce` prints, without its first line."""

    def printed(name):
        eqx.debug.inspect_dce(name)
        first, *rest = capsys.readouterr().out.splitlines()
        assert first == "Found {} call{} to `equinox.debug.store_dce`.".format(len(rest) // 2, "s" * (len(rest) != 2))
        return rest

    return printed


def pair(name):
    return lambda x: eqx.debug.store_dce((x**2, ["text", x + 1]), name)


JITS = {"jit": jax.jit, "filter_jit": eqx.filter_jit, "jit of jit": lambda f: jax.jit(jax.jit(f))}


@pytest.mark.parametrize("jit", JITS)
def test_what_is_not_used_is_removed(inspect, jit):
    used, unused = object(), object()
    np.testing.assert_array_equal(JITS[jit](lambda x: pair(unused)(x)[0])(X), X**2)
    np.testing.assert_array_equal(JITS[jit](lambda x: pair(used)(x)[1][1] + pair(used)(x)[0])(X), X**2 + X + 1)
    assert inspect(unused) == ["Entry 0:", "(f32[3], ['text', <DCE'd>])"]
    assert inspect(used) == ["Entry 0:", "(<DCE'd>, ['text', f32[3]])", "Entry 1:", "(f32[3], ['text', <DCE'd>])"]


def test_a_model_keeps_its_class(inspect):
    name = object()

    @jax.jit
    def f(weight):
        model = eqx.debug.store_dce(Affine(weight, weight + 1), name)
        assert type(model) is Affine
        return model.bias

    f(X)
    assert inspect(name) == ["Entry 0:", "Affine(weight=<DCE'd>, bias=f32[3])"]


def test_gradients_and_batches(inspect):
    """The value is seen, its tangent isn't. A batch has the shape of an example."""
    name = object()
    value = lambda x: (pair(name)(x)[1][1] ** 2).sum()  # noqa: E731
    np.testing.assert_allclose(jax.jit(jax.grad(value))(X), 2 * (X + 1))
    np.testing.assert_allclose(jax.jit(jax.vmap(value))(X), (X + 1) ** 2)
    assert inspect(name)[1::2] == ["(<DCE'd>, ['text', f32[3]])", "(<DCE'd>, ['text', f32[]])"]


def test_without_compilation_all_is_computed(inspect):
    name = object()
    assert pair(name)(X)[1][0] == "text"
    assert inspect(name) == ["Entry 0:", "(f32[3], ['text', f32[3]])"]


def test_names_are_told_apart(inspect):
    assert inspect(object()) == []


def test_the_last_calls_are_kept(inspect):
    name = object()
    for i in range(300):
        eqx.debug.store_dce((np.ones(1), i), name)
    printed = inspect(name)
    assert len(printed) == 2 * 256 and printed[-1].endswith(", 299)")


def test_a_name_must_be_hashable():
    for call in (lambda: eqx.debug.store_dce(X, [1]), lambda: eqx.debug.inspect_dce([1])):
        with pytest.raises(TypeError, match=r"_dce` expects a `name` that can be hashed, .* got `list`"):
            call()

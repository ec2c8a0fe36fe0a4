"""`announce_transform` says what JAX does to a value, and changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxprs import jaxpr_kinds
from modules import Affine

import equinox as eqx

X = jnp.arange(1.0, 4.0)


def announced(transform, *args, **options):
    """The words for a square in a transformation, and what the transformation returned."""
    said = []
    fun = transform(lambda x: (eqx.debug.announce_transform(x, announce=said.append, **options) ** 2).sum())
    return said, fun(*args)


# A transformation -> the words that are always among those that are said, and the words that never are.
TRANSFORMATIONS = {
    "nothing": (lambda f: f, ["impl"], ["abstract", "mlir"]),
    "jit": (jax.jit, ["abstract", "mlir"], ["impl"]),
    "filter_jit": (eqx.filter_jit, ["abstract", "mlir"], ["impl"]),
    "vmap": (jax.vmap, ["vmap:impl"], ["impl"]),
    "grad": (jax.grad, ["jvp_p:impl", "jvp_t:transpose:impl"], ["impl"]),
    "jit of grad": (lambda f: jax.jit(jax.grad(f)), ["jvp_p:mlir", "jvp_t:transpose:mlir"], ["jvp_p:impl"]),
    "vmap of grad": (
        lambda f: jax.vmap(jax.grad(f)),
        ["jvp_p:vmap:impl", "jvp_t:transpose:vmap:impl"],
        ["jvp_p:impl"],
    ),
    "shapes": (lambda f: lambda x: jax.eval_shape(f, x), ["abstract"], ["mlir", "impl"]),
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_it_says_what_jax_does(name):
    transform, expected, never = TRANSFORMATIONS[name]
    said, got = announced(transform, X)
    assert set(expected) <= set(said) and not set(never) & set(said)
    with_name, _ = announced(transform, X, name="x")
    assert with_name == ["(x) " + words for words in said]
    wanted = transform(lambda x: (x**2).sum())(X)
    if name != "shapes":
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_transformations_on_the_way():
    """They are said when they happen, and only if they are asked for."""
    in_the_end, _ = announced(lambda f: jax.grad(lambda x: jax.vmap(f)(x).sum()), X)
    all_steps, _ = announced(lambda f: jax.grad(lambda x: jax.vmap(f)(x).sum()), X, intermediates=True)
    assert [words for words in all_steps if words in in_the_end] == in_the_end
    assert set(all_steps) - set(in_the_end) == {"vmap", "vmap:jvp", "vmap:jvp_t:transpose"}


def test_a_tree_is_announced_once(capsys):
    """All arrays go through one operation. The other leaves stay as they are."""
    tree = (Affine(X, "bias"), None, {"n": 3, "y": np.ones(2)})
    got = eqx.debug.announce_transform(tree, ("name", 1))
    assert capsys.readouterr().out == "(('name', 1)) impl\n"
    assert jax.tree_util.tree_structure(got) == jax.tree_util.tree_structure(tree)
    assert got[0].bias == "bias" and got[2]["n"] == 3 and np.array_equal(got[0].weight, X)
    assert eqx.debug.announce_transform("text") == "text" and capsys.readouterr().out == ""


def test_it_is_one_operation():
    fun = lambda x, y: eqx.debug.announce_transform((x, "s", y), announce=lambda words: None)[2]  # noqa: E731
    assert jaxpr_kinds(fun, X, X) == ["announce_transform"]


def test_only_what_is_differentiated_has_a_tangent():
    said = []

    def f(x, y):
        x, y = eqx.debug.announce_transform((x, y), announce=said.append)
        return (x * y).sum()

    np.testing.assert_allclose(jax.grad(f)(X, jnp.arange(3)), [0.0, 1.0, 2.0])
    np.testing.assert_allclose(jax.grad(f, argnums=(0, 1))(X, 2 * X)[1], X)
    assert "jvp_t:transpose:impl" in said


def test_a_name_may_be_anything():
    """JAX hashes what belongs to an operation."""
    for name in ([1], {"a": {}}, np.ones(1), "{0} %s\n"):
        said, _ = announced(lambda f: jax.jit(jax.grad(jax.checkpoint(f))), X, name=name)
        assert said[0].startswith("({}) ".format(name))


def test_announce_must_be_callable():
    with pytest.raises(TypeError, match="`announce_transform` expects a function .* for `announce`, got `int` 3"):
        eqx.debug.announce_transform(X, announce=3)

"""`Linear` is PyTorch's affine map of one example, and `Identity` is the identity."""

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from torch_cases import check, each_case

import equinox as eqx


def assert_close(got, expected):
    np.testing.assert_allclose(np.asarray(got), np.asarray(expected), rtol=1e-4, atol=1e-5)


@each_case("cells", "Linear")
def test_same_as_pytorch(case, getkey):
    """With PyTorch's parameters, the values and gradients are PyTorch's: for parameters and a batch of examples."""
    linear = eqx.nn.Linear(3, 4, key=getkey(), **case["options"])
    check(case, lambda parameters, inputs: {"y": jax.vmap(eqx.replace(linear, **parameters))(inputs["x"])})


@pytest.mark.parametrize("in_features,out_features", [(1, 1), (3, 4)])
def test_affine(in_features, out_features, run, getkey, draw):
    """Each element of the result is the sum that NumPy computes, also at the smallest size."""
    linear = eqx.nn.Linear(in_features, out_features, key=getkey())
    x = draw(in_features)
    weight, bias, numbers = np.asarray(linear.weight), np.asarray(linear.bias), np.asarray(x)
    expected = [sum(w * n for w, n in zip(row, numbers)) + b for row, b in zip(weight, bias)]
    y = run(linear.__call__, x)
    assert y.shape == (out_features,)
    assert_close(y, expected)


def test_layout(getkey):
    """The leaves are the weight (out, in) and the bias (out,). The sizes are static plain ints."""
    linear = eqx.nn.Linear(np.int64(3), out_features=4, key=getkey())
    assert [x.shape for x in jax.tree_util.tree_leaves(linear)] == [(4, 3), (4,)]
    assert linear.weight.dtype == linear.bias.dtype == jnp.float32
    assert (type(linear.in_features), linear.in_features, linear.out_features) == (int, 3, 4)


def test_without_bias(getkey):
    """With `bias=False` the bias is `None`, and zero gives zero."""
    linear = eqx.nn.Linear(3, 4, bias=False, key=getkey())
    assert linear.bias is None
    assert [x.shape for x in jax.tree_util.tree_leaves(linear)] == [(4, 3)]
    assert (np.asarray(linear(jnp.zeros(3))) == 0).all()
    assert eqx.nn.Linear(3, 4, False, key=getkey()).bias is None  # `bias` may be passed by position


def test_initial_distribution(getkey):
    """Weight and bias are uniform between -1/sqrt(in) and 1/sqrt(in), for any `out`."""
    many = [eqx.nn.Linear(3, 4, key=getkey()) for _ in range(200)]
    bound = 1 / np.sqrt(3)
    for name in ("weight", "bias"):
        values = np.sort(np.concatenate([np.asarray(getattr(linear, name)).ravel() for linear in many]))
        assert 0.97 * bound < np.abs(values).max() <= np.float32(bound)
        # The Kolmogorov-Smirnov test fails for right values once in 10^7 times.
        ranks = (np.arange(values.size) + 0.5) / values.size
        assert np.abs((values / bound + 1) / 2 - ranks).max() < 3 / np.sqrt(values.size)


def test_initial_values_depend_on_the_key_alone(getkey):
    """The same key gives the same parameters. Another key gives others. Weight and bias don't have the same numbers."""
    key = getkey()
    linear, other = eqx.nn.Linear(1, 4, key=key), eqx.nn.Linear(1, 4, key=getkey())
    assert eqx.tree_equal(linear, eqx.nn.Linear(1, 4, key=key))
    # Both have the same size: before JAX 0.5.0 one key gave different numbers for different sizes.
    drawn = [np.asarray(x).ravel() for x in (linear.weight, linear.bias, other.weight, other.bias)]
    assert all(not np.array_equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])


@pytest.mark.parametrize("make_key", [jrandom.PRNGKey, getattr(jrandom, "key", jrandom.PRNGKey)])
def test_made_while_tracing(make_key):
    """A layer can be made under `eval_shape`, with old-style keys, and with typed keys if JAX has them."""
    shapes = jax.eval_shape(lambda: eqx.nn.Linear(3, 4, key=make_key(0)))
    assert (shapes.weight.shape, shapes.bias.shape, shapes.in_features) == ((4, 3), (4,), 3)


def test_ensemble(getkey, draw):
    """`vmap` makes many layers from many keys, and calls them on as many examples."""
    keys, x = jrandom.split(getkey(), 2), draw(2, 3)
    linears = jax.vmap(lambda key: eqx.nn.Linear(3, 4, key=key))(keys)
    y = jax.vmap(lambda linear, x: linear(x))(linears, x)
    for i in range(2):
        assert_close(y[i], eqx.nn.Linear(3, 4, key=keys[i])(x[i]))


def test_vmap_is_a_batch(getkey, draw):
    """`jax.vmap(linear)` applies the layer to each row."""
    linear, x = eqx.nn.Linear(3, 4, key=getkey()), draw(2, 3)
    y = jax.vmap(linear)(x)
    assert y.shape == (2, 4)
    for i in range(2):
        assert_close(y[i], linear(x[i]))


def test_other_kinds_of_input(getkey):
    """NumPy arrays, lists and integers are inputs too. A `key` at the call changes nothing."""
    linear = eqx.nn.Linear(3, 4, key=getkey())
    expected = linear(jnp.array([1.0, 2.0, 3.0]))
    for x in (np.array([1.0, 2.0, 3.0], np.float32), [1.0, 2.0, 3.0], [1, 2, 3], np.array([1, 2, 3])):
        y = linear(x)
        assert eqx.is_inexact_array(y)
        assert_close(y, expected)
    assert_close(linear(jnp.array([1.0, 2.0, 3.0]), key=getkey()), expected)


def test_dtype_follows_the_parameters(getkey):
    """A layer that is cast to bfloat16 returns bfloat16."""
    linear = jax.tree_util.tree_map(lambda x: x.astype(jnp.bfloat16), eqx.nn.Linear(3, 4, key=getkey()))
    assert linear(jnp.ones(3, jnp.bfloat16)).dtype == jnp.bfloat16


def test_surgery(getkey):
    """`tree_at` may put in a weight of another shape. Then the new shape decides which input fits."""
    linear = eqx.nn.Linear(3, 4, key=getkey())
    wider = eqx.tree_at(lambda m: m.weight, linear, jnp.ones((4, 7)))
    assert_close(wider(jnp.ones(7)), 7 + np.asarray(linear.bias))
    with pytest.raises(ValueError, match=r"expects `input` to be one example of shape \(7,\), got \(3,\)"):
        wider(jnp.ones(3))


@pytest.mark.parametrize(
    "shape,message",
    [
        ((100, 3), r"one example of shape \(3,\), got \(100, 3\). Batch with `jax.vmap\(layer\)\(input\)`"),
        ((4,), r"`Linear` with `in_features=3` .* got \(4,\). Reshape it, or .* another `in_features`"),
        ((3, 1), r"one example of shape \(3,\), got \(3, 1\). Reshape"),
        ((), r"one example of shape \(3,\), got \(\)"),
    ],
    ids=["batch", "longer", "column", "scalar"],
)
def test_wrong_shape(shape, message, run, getkey):
    """`input` of another shape is refused, also while JAX traces. For a batch the error mentions `vmap`."""
    linear = eqx.nn.Linear(3, 4, key=getkey())
    with pytest.raises(ValueError, match=message):
        run(linear.__call__, jnp.ones(shape))


@pytest.mark.parametrize("x", [None, "abc", {"x": 1.0}])
def test_no_array(x, getkey):
    """The error names an argument that is no array."""
    with pytest.raises(
        TypeError, match=r"`Linear` with `in_features=3` expects `input` to be an array of shape \(3,\), got"
    ):
        eqx.nn.Linear(3, 4, key=getkey())(x)


@pytest.mark.parametrize("name,other", [("in_features", "out_features"), ("out_features", "in_features")])
def test_wrong_sizes(name, other, getkey):
    """Sizes are integers of at least 1."""
    for size in (0, -1):
        with pytest.raises(ValueError, match="`Linear` expects `{}` to be at least 1, got {}".format(name, size)):
            eqx.nn.Linear(**{name: size, other: 3}, key=getkey())
    for size in (3.0, "3", None, True, jnp.ones(2)):
        with pytest.raises(TypeError, match="`Linear` expects `{}` to be an integer of at least 1".format(name)):
            eqx.nn.Linear(**{name: size, other: 3}, key=getkey())


def test_wrong_bias(getkey):
    """An array for `bias` is refused: `bias` only says whether there is one."""
    with pytest.raises(TypeError, match=r"`bias` to be `True` or `False`, got an array of shape \(4,\)"):
        eqx.nn.Linear(3, 4, jnp.zeros(4), key=getkey())


def test_wrong_key():
    """A missing key, `None` and a seed are refused."""
    with pytest.raises(TypeError, match="key"):
        eqx.nn.Linear(3, 4)
    with pytest.raises(TypeError, match=r"`Linear` expects `key` to be a PRNG key, such as .*PRNGKey\(0\).*, got None"):
        eqx.nn.Linear(3, 4, key=None)
    with pytest.raises(TypeError, match=r"such as `jax.random.PRNGKey\(42\)`, got 42"):
        eqx.nn.Linear(3, 4, key=42)


def test_identity(run, getkey, draw):
    """`Identity` returns its input, and ignores the arguments of its constructor."""
    x = draw(2, 3)
    for identity in (eqx.nn.Identity(), eqx.nn.Identity(3, 4, bias=False, key=None)):
        assert np.array_equal(run(identity.__call__, x), x)
        assert jax.tree_util.tree_leaves(identity) == []
        tree = {"any": [object(), "pytree"]}
        assert identity(tree) is tree
        assert identity(tree, key=getkey()) is tree
    assert eqx.nn.Identity(1) == eqx.nn.Identity(2)

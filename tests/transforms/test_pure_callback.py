"""`filter_pure_callback`: what a function on the host is given, and what comes back from it."""

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from jaxprs import jaxpr_kinds
from modules import Affine
from random_trees import Pair

import equinox as eqx
from equinox import _compat

HAS_CALLBACKS = hasattr(jax, "pure_callback")
needs_callbacks = pytest.mark.skipif(not HAS_CALLBACKS, reason="no `jax.pure_callback`, which JAX 0.3.17 added")

X = jnp.arange(6.0).reshape(3, 2)
VECTOR, SCALAR = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((2,), ()))


def call(callback, *args, vmapped=None, **kwargs):
    """Call it, and wait, because a compiled program may raise its error later."""
    fun = lambda *args: eqx.filter_pure_callback(callback, *args, **kwargs)  # noqa: E731
    return jax.tree_util.tree_map(np.asarray, fun(*args) if vmapped is None else vmapped(fun)(*args))


def method_is_known(method):
    try:
        _compat.require("filter_pure_callback(vmap_method=...)")
    except NotImplementedError:
        return method in ("sequential", "legacy_vectorized")
    return True


@needs_callbacks
@pytest.mark.parametrize("wrap", [lambda f: f, eqx.filter_jit], ids=["eager", "filter_jit"])
def test_inputs_and_outputs_are_any_trees(wrap):
    """The host gets NumPy arrays and everything else as it is. JAX arrays come back."""
    seen = []

    def callback(model, x, *, name):
        seen.append((type(model), type(model.weight), type(x), model.bias, name))
        return Pair(model(x), {"sum": x.sum(), "name": None, "flag": False})

    result = Pair(VECTOR, {"sum": X[0, 0], "name": None, "flag": "kept"})
    model = Affine(jnp.array([2.0, 3.0]), 1.0)
    got = wrap(lambda model, x: eqx.filter_pure_callback(callback, model, x, name="name", result_shape_dtypes=result))(
        model, X[1]
    )
    assert type(got) is Pair and got.second["flag"] == "kept" and got.second["name"] is None
    np.testing.assert_allclose(got.first, [5.0, 10.0])
    np.testing.assert_allclose(got.second["sum"], 5.0)
    assert all(isinstance(x, jnp.ndarray) for x in (got.first, got.second["sum"]))
    assert set(seen) == {(Affine, np.ndarray, np.ndarray, 1.0, "name")}


@needs_callbacks
def test_a_model_or_its_method_may_be_called():
    """Its arrays may be traced: they go to the host as the inputs do."""

    @jax.jit
    def traced(weight, x):
        model = Affine(weight, 1.0)
        fun = [model, model.scaled, jax.tree_util.Partial(Affine.scaled, model, factor=1.0)]
        return [eqx.filter_pure_callback(f, x, result_shape_dtypes=VECTOR) for f in fun]

    for got, factor in zip(traced(X[1], X[2]), (1, 2, 1)):
        np.testing.assert_allclose(got, factor * (np.asarray(X[1] * X[2]) + 1.0))


@needs_callbacks
def test_numbers_fit_the_dtypes_of_jax():
    """NumPy computes in 64 bits, and gives Python numbers back."""
    for value in (2.5, np.float64(2.5), np.array(2.5, np.float32), jnp.array(2.5)):
        got = call(lambda x, value=value: value, X, result_shape_dtypes=SCALAR)
        assert got == 2.5 and got.dtype == np.float32
    got = call(lambda: 3, result_shape_dtypes=jax.ShapeDtypeStruct((), jnp.asarray(3).dtype))
    assert got == 3
    got = call(lambda key: key.sum() > 0, jrandom.PRNGKey(1), result_shape_dtypes=jax.ShapeDtypeStruct((), np.bool_))
    assert got.item() is True


@needs_callbacks
def test_static_inputs_that_differ_are_told_apart():
    add = lambda x, number: x + number  # noqa: E731
    for number in (1, 2.5, True, 1):
        np.testing.assert_allclose(call(add, X[1], number, result_shape_dtypes=VECTOR), np.asarray(X[1]) + number)


@needs_callbacks
def test_a_second_call_compiles_as_often_as_that_of_jax(caplog):
    """Never, if this JAX compares callbacks: the same function with the same static inputs is the same callback."""

    def compiles(fun):
        caplog.clear()
        with jax.log_compiles():
            fun()
        return any("ompiling" in record.getMessage() for record in caplog.records)

    double, x = (lambda x, name="": 2 * x), X[1]
    filtered = lambda: eqx.filter_pure_callback(double, x, "text", result_shape_dtypes=VECTOR)  # noqa: E731
    plain = lambda: jax.pure_callback(double, VECTOR, x)  # noqa: E731
    of_filtered, of_plain = [[compiles(fun) for _ in range(2)] for fun in (filtered, plain)]
    assert of_filtered == of_plain and of_plain[0]


@needs_callbacks
def test_the_jaxpr_is_that_of_plain_jax():
    filtered = lambda x: eqx.filter_pure_callback(lambda x, name: 2 * x, x, "text", result_shape_dtypes=VECTOR)  # noqa: E731
    plain = lambda x: jax.pure_callback(lambda x: 2 * x, VECTOR, x)  # noqa: E731
    assert jaxpr_kinds(filtered, X[0]) == jaxpr_kinds(plain, X[0]) != []


# vmap


@needs_callbacks
@pytest.mark.parametrize(
    "method, ranks",
    [
        ("sequential", [(1, 0)] * 3),
        ("expand_dims", [(2, 1)]),
        ("broadcast_all", [(2, 1)]),
        ("legacy_vectorized", [(2, 0)]),
    ],
)
def test_vmap_calls_the_host_as_it_is_told(method, ranks):
    """One by one, or at once with batches. The number is not mapped."""
    seen = []

    def callback(x, number):
        seen.append((x.ndim, number.ndim))
        return x * number[..., None]

    def mapped():
        vmapped = lambda fun: eqx.filter_vmap(fun, in_axes=(0, None))  # noqa: E731
        return call(callback, X, X[1, 0], vmapped=vmapped, result_shape_dtypes=VECTOR, vmap_method=method)

    if method_is_known(method):
        np.testing.assert_allclose(mapped(), 2 * np.asarray(X))
        assert seen == ranks
    else:
        with pytest.raises(NotImplementedError, match=r"`filter_pure_callback\(vmap_method=...\)` needs JAX 0\.4\.35"):
            mapped()


@needs_callbacks
@pytest.mark.parametrize("vectorized, ranks", [(False, {1}), (True, {2})])
def test_vectorized_is_the_old_spelling(vectorized, ranks):
    seen = []
    got = call(
        lambda x: (seen.append(x.ndim), 2 * x)[1],
        X,
        vmapped=eqx.filter_vmap,
        result_shape_dtypes=VECTOR,
        vectorized=vectorized,
    )
    np.testing.assert_allclose(got, 2 * np.asarray(X))
    assert set(seen) == ranks


# Errors


@needs_callbacks
@pytest.mark.parametrize(
    "returned, message",
    [
        ({"a": X[0], "b": (X[0], 1)}, r"`result\['b'\]\[0\]` to be float32\[\], .* returned `ndarray` float32\[2\]"),
        ({"a": X[0], "b": (1, 1)}, r"`result\['b'\]\[0\]` to be float32\[\], .* returned `ndarray` int64\[\]"),
        ({"a": "text", "b": (1.0, 1)}, r"`result\['a'\]` to be float32\[2\], .* returned `ndarray` <U4\[\]"),
        ({"a": X[0], "b": [1.0, 1]}, r"At `result\['b'\]` expected a `tuple`, got a `list`"),
        ({"b": (1.0, 1)}, r"At `result` expected a `dict` with `\['a'\]`, `\['b'\]`, got a `dict` with `\['b'\]`"),
    ],
    ids=["shape", "dtype", "text", "structure", "keys"],
)
def test_a_result_that_is_no_such_is_named(returned, message):
    result = {"a": VECTOR, "b": (SCALAR, "static")}
    with pytest.raises(Exception, match="`filter_pure_callback` expects .*" + message):  # the type is JAX's own
        call(lambda: returned, result_shape_dtypes=result)


@needs_callbacks
def test_a_batch_of_another_shape_is_named():
    with pytest.raises(Exception, match=r"`result` to be float32\[2\] with axes of the batch in front"):
        call(lambda x: x[:, :1], X, vmapped=eqx.filter_vmap, result_shape_dtypes=VECTOR, vectorized=True)


@needs_callbacks
def test_the_gradient_is_refused_by_jax():
    with pytest.raises(ValueError, match="Pure callbacks do not support"):
        eqx.filter_grad(lambda x: eqx.filter_pure_callback(np.sum, x, result_shape_dtypes=SCALAR))(X)


def test_options_are_checked_before_the_call():
    with pytest.raises(TypeError, match="`filter_pure_callback` expects a function or another callable, got `int` 3"):
        eqx.filter_pure_callback(3, result_shape_dtypes=SCALAR)
    with pytest.raises(ValueError, match="`filter_pure_callback` got both `vmap_method` and `vectorized`"):
        eqx.filter_pure_callback(len, X, result_shape_dtypes=SCALAR, vmap_method="sequential", vectorized=False)
    with pytest.raises(ValueError, match="expects `vmap_method` to be one of 'sequential', .*, got 'other'"):
        eqx.filter_pure_callback(len, X, result_shape_dtypes=SCALAR, vmap_method="other")


@pytest.mark.skipif(HAS_CALLBACKS, reason="this JAX has `jax.pure_callback`")
def test_a_jax_without_callbacks_says_so():
    with pytest.raises(NotImplementedError, match=r"`filter_pure_callback` needs JAX 0\.3\.17 or newer, which added "):
        eqx.filter_pure_callback(len, X, result_shape_dtypes=SCALAR)

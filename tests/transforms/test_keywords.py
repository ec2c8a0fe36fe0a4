"""Functions that pass keyword arguments on: a keyword of the user's function may have any name."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import equinox as eqx
from equinox import _compat

X = jnp.array([3.0, 4.0])
SHAPE = jax.ShapeDtypeStruct((2,), np.float32)


def seen(x, **keywords):
    """The names of the keywords, and an array that depends on their values."""
    return x * sum(keywords.values()), sorted(keywords)


def seen_on_host(x, **keywords):
    return np.float32(seen(np.asarray(x), **keywords)[0]), sorted(keywords)


def call_on_host(keywords):
    return eqx.filter_pure_callback(seen_on_host, X, result_shape_dtypes=(SHAPE, sorted(keywords)), **keywords)


def forward(keywords):
    (_, names), (tangent, _) = eqx.filter_jvp(seen, (X,), (X,), **keywords)
    return tangent, names


CALLS = {
    "Partial": (eqx.Partial, lambda keywords: eqx.Partial(seen, X, **keywords)()),
    "filter_closure_convert": (
        eqx.filter_closure_convert,
        lambda keywords: eqx.filter_closure_convert(seen, X, **keywords)(X, **keywords),
    ),
    "filter_eval_shape": (eqx.filter_eval_shape, lambda keywords: eqx.filter_eval_shape(seen, X, **keywords)),
    "filter_jvp": (eqx.filter_jvp, forward),
    "filter_pure_callback": (eqx.filter_pure_callback, call_on_host),
}


def parameters_of(name):
    """The parameters that may be passed by position, as users see them."""
    public, _ = CALLS[name]
    return [p.name for p in inspect.signature(public).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_keyword_may_have_the_name_of_a_parameter(name):
    if name in _compat.SINCE:
        try:
            _compat.require(name)
        except NotImplementedError as error:
            pytest.skip(str(error))
    keywords = dict.fromkeys([*parameters_of(name), "args", "kwargs", "self", "consts", "of_fn"], 2.0)
    array, names = CALLS[name][1](keywords)
    expected, all_names = seen(X, **keywords)
    assert names == all_names
    assert array.shape == expected.shape
    if eqx.is_array(array):
        np.testing.assert_allclose(array, expected)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_missing_argument_has_its_name(name):
    first = parameters_of(name)[0]
    assert not first.startswith("_")
    options = {"result_shape_dtypes": SHAPE} if name == "filter_pure_callback" else {}
    if name == "Partial":  # a class, for which the rule of all modules holds
        message = "^`Partial.__init__` got wrong arguments: missing a required argument: 'func'"
    else:
        message = "^`{}` expects an argument `{}`, but none came".format(name, first)
    with pytest.raises(TypeError, match=message):
        CALLS[name][0](**options)


def test_a_parameter_may_be_passed_by_keyword():
    out, tangent = eqx.filter_jvp(jnp.sin, tangents=(X,), primals=(X,))
    np.testing.assert_allclose(tangent, X * jnp.cos(X), rtol=1e-6)
    shape, _ = eqx.filter_eval_shape(fun=seen, x=X, scale=2.0)
    array, _ = eqx.Partial(func=seen, x=X)(scale=2.0)
    assert shape.shape == array.shape == out.shape


def test_no_public_signature_has_a_private_name():
    functions = [getattr(eqx, name) for name in eqx.__all__ if inspect.isfunction(getattr(eqx, name))]
    assert len(functions) > 30
    for function in functions:
        assert not any(name.startswith("_") for name in inspect.signature(function).parameters), function.__name__

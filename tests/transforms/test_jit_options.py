"""The keyword arguments of `jax.jit`, and compilation ahead of time."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tracing import Model, TraceRecorder, is_deleted, model

import equinox as eqx

# Keyword arguments


# A backend that can't donate warns, as the CPU did before JAX 0.4.31. (2026-11)
@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable:UserWarning")
def test_donated_inputs_are_deleted():
    f = eqx.filter_jit(lambda m, x: (m.weight + x, x), donate_argnums=0)
    x = jnp.ones(2)
    m = model()
    out, _ = f(m, x)
    assert out.tolist() == [2.0, 3.0] and not is_deleted(x)
    g = jax.jit(lambda w, x: w + x, donate_argnums=0)
    w = jnp.array([1.0, 2.0])
    g(w, x)
    assert is_deleted(m.weight) == is_deleted(w)  # as by `jax.jit` on this backend
    named = eqx.filter_jit(lambda a, b: b + 1, donate_argnames="b")
    b = jnp.ones(2)
    named(x, b)
    assert is_deleted(b) == is_deleted(w) and not is_deleted(x)


def test_unknown_keyword_arguments_are_refused_when_decorating():
    with pytest.raises(TypeError, match=r"`jitf` passes its keyword arguments to `jax.jit`.*nonsense"):
        eqx.jitf(lambda x: x, filter_fn=eqx.is_array, nonsense=1)
    with pytest.raises(ValueError, match="names input 2, but the number of inputs that `fun` takes by position is 1"):

        @eqx.filter_jit(static_argnums=2)
        def fun(x):
            return x

    with pytest.raises(ValueError, match="`static_argnames` names the input `y`, but `other` has only `x`"):

        @eqx.filter_jit(static_argnames="y")
        def other(x):
            return x

    with pytest.raises(TypeError, match="`static_argnums` expects an int"):
        eqx.filter_jit(lambda x: x, static_argnums="x")


def test_jit_arguments_of_jax_pass_through():
    assert eqx.filter_jit(lambda x: x + 1, inline=True)(1.0) == 2.0
    assert "inline" in inspect.signature(jax.jit).parameters


def test_shardings_apply_to_the_leaves():
    if "in_shardings" not in inspect.signature(jax.jit).parameters:
        pytest.skip("jax.jit takes in_shardings since 0.4.4, this is " + jax.__version__)
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    m, x = model(), jnp.ones(2)
    for in_shardings in (sharding, (sharding, None), (Model(sharding, None), sharding)):
        f = eqx.filter_jit(lambda m, x: (m(x), m), in_shardings=in_shardings, out_shardings=(sharding, None))
        out, again = f(m, x)
        assert out.tolist() == [1.0, 2.0] and again == m
        assert out.sharding.device_set == {jax.devices()[0]}
    # `in_shardings` has no item for the arrays of the function.
    assert eqx.filter_jit(m, in_shardings=(sharding,), donate_argnums=())(x).tolist() == [1.0, 2.0]


# Ahead of time


def _has_lower():
    return hasattr(jax.jit(lambda x: x), "lower")


def test_lower_is_refused_on_a_jax_without_it():
    f = eqx.filter_jit(lambda x: x)
    if _has_lower():
        assert f.lower(jnp.ones(2)) is not None
    else:
        with pytest.raises(NotImplementedError, match="`lower` needs JAX 0.2.25 or newer"):
            f.lower(jnp.ones(2))


def test_lower_and_compile_take_the_inputs_of_the_function():
    if not _has_lower():
        pytest.skip("jax.jit(f).lower exists since 0.2.25, this is " + jax.__version__)
    seen = TraceRecorder(lambda m, x, n: (m(x) * n, "static"))
    f = eqx.filter_jit(seen)
    m, x = model(), jnp.array([1.0, 1.0])
    lowered = f.lower(m, jax.ShapeDtypeStruct((2,), jnp.float32), 3)
    compiled = lowered.compile()
    out, static = compiled(m, x, 3)
    assert out.tolist() == [3.0, 6.0] and static == "static" and seen.traces == 1
    out, _ = compiled(Model(m.weight * 2, "name"), x, 3)
    assert out.tolist() == [6.0, 12.0]
    abstract = jax.ShapeDtypeStruct((2,), jnp.int32)  # the filter holds such an array static, but this has no value
    assert eqx.jitf(lambda x: x + 1, filter_fn=eqx.is_inexact_array).lower(abstract) is not None
    for args in [(m, x, 4), (m, x), (Model(m.weight, "other"), x, 3)]:
        with pytest.raises(TypeError, match="compiled ahead of time for other inputs"):
            compiled(*args)


def test_a_compiled_function_compares_statics_by_value_and_type():
    if not _has_lower():
        pytest.skip("jax.jit(f).lower exists since 0.2.25, this is " + jax.__version__)
    x, static = jnp.ones(2), np.array([1, 2])
    compiled = eqx.jitf(lambda x, s: x * s, filter_fn=eqx.is_inexact_array).lower(x, static).compile()
    assert compiled(x, static.copy()).tolist() == [1.0, 2.0]
    static[0] = 7
    with pytest.raises(TypeError, match="compiled ahead of time for other inputs"):
        compiled(x, static)
    compiled = eqx.filter_jit(lambda x, n: x * n).lower(x, 1).compile()
    with pytest.raises(TypeError, match="compiled ahead of time for other inputs"):
        compiled(x, True)
    abstract = jax.ShapeDtypeStruct((2,), jnp.float32)
    compiled = eqx.jitf(lambda x: x + 1, filter_fn=eqx.is_array_like).lower(abstract).compile()
    assert compiled(x).tolist() == [2.0, 2.0]


def test_lower_works_on_a_bound_method():
    if not _has_lower():
        pytest.skip("jax.jit(f).lower exists since 0.2.25, this is " + jax.__version__)

    class Lowers(eqx.Module):
        x: Any

        @eqx.filter_jit
        def method(self, y):
            return self.x + y

    assert Lowers(jnp.array(1.0)).method.lower(jnp.array(2.0)).compile() is not None

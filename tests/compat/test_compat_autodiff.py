"""The functions of `_compat` about derivatives, in each branch, as `test_compat.py` tests the others."""

from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stand_in import Only

from equinox import _compat


class Custom:
    """A stand-in for `jax.custom_jvp` and `jax.custom_vjp`. It keeps the rules that it is given."""

    def __init__(self, fun):
        self.fun = fun

    def defjvp(self, *rules, **options):
        self.rules, self.options = rules, options

    defvjp = defjvp

    def __call__(self, *arrays):
        return self.fun(*arrays)


class Zero:
    """A stand-in for a symbolic zero."""


def custom_jax(version="0.4.16", **names):
    """A stand-in for a JAX whose `custom_derivatives` has these names."""
    empty = {"core": Only(Primitive=Identity), "dtypes": jax.dtypes, "custom_derivatives": SimpleNamespace(**names)}
    ad, batching = Only(Zero=Zero, primitive_jvps={}, primitive_transposes={}), Only(primitive_batchers={})
    interpreters = Only(ad=ad, batching=batching, mlir=Only(register_lowering=lambda primitive, rule: None))
    return Only(__version__=version, custom_jvp=Custom, custom_vjp=Custom, interpreters=interpreters, **empty)


class Bound(NamedTuple):
    """What `Identity` returns for one input."""

    label: Any
    x: Any
    shape = ()


class Identity:
    """A stand-in for a primitive. It returns its inputs with its label."""

    def __init__(self, name):
        self.name = name

    def def_impl(self, rule):
        self.impl = rule

    def def_abstract_eval(self, rule):
        self.abstract = rule

    def bind(self, *arrays, label):
        return [Bound(label, x) for x in arrays]


def refuse(number):
    raise ValueError(number)


ONE = jnp.array(1.0)


def test_custom_jvp_with_symbolic_zeros():
    """`None` stands for a zero that is known, in what the rule gets and in what it returns."""
    stand_in = custom_jax(SymbolicZero=Zero, zero_from_primal=lambda x, symbolic_zeros: ("zero", x, symbolic_zeros))
    seen = []

    def rule(primals, tangents):
        seen.append((primals, tangents))
        return {"a": ONE, "b": ONE}, [None, ONE]

    custom = _compat.custom_jvp(lambda *xs: xs, rule, [True, True, False], refuse, jax=stand_in)
    (jvp,) = custom.rules
    assert custom.options == {"symbolic_zeros": True}
    assert jvp((ONE, 2.0, ONE), (1.0, Zero(), Zero())) == ({"a": ONE, "b": ONE}, {"a": ("zero", ONE, True), "b": ONE})
    assert seen == [([ONE, 2.0, ONE], [1.0, None, None])] and all(hasattr(x, "shape") for x in seen[0][0])
    with pytest.raises(ValueError, match="2"):
        jvp((ONE, ONE, ONE), (ONE, ONE, ONE))


def test_custom_jvp_without_symbolic_zeros():
    """Zeros are arrays, and what must not be differentiated goes through a guard."""
    stand_in = custom_jax("0.4.14", SymbolicZero=Zero)
    custom = _compat.custom_jvp(lambda *xs: xs, lambda xs, ts: (xs, ts), [True, False, False], refuse, jax=stand_in)
    integer = jnp.array(1)
    first, second, third = custom(ONE, ONE, integer)
    assert first is ONE and second.x is ONE and third is integer
    (jvp,) = stand_in.interpreters.ad.primitive_jvps.values()
    zero = Zero()
    assert jvp([ONE], [zero], label=second.label) == ([second], [zero])
    with pytest.raises(ValueError, match="1"):
        jvp([ONE], [ONE], label=second.label)


def test_custom_vjp_with_and_without_symbolic_zeros():
    class Primal:
        def __init__(self, value, perturbed):
            self.value, self.perturbed = value, perturbed

    def fwd(perturbed, primals):
        return perturbed, primals

    def bwd(residuals, cotangents):
        return cotangents

    integer = jnp.array(1)
    new = _compat.custom_vjp(None, fwd, bwd, [True, True, False], refuse, jax=custom_jax(SymbolicZero=Zero))
    jax_fwd, jax_bwd = new.rules
    assert new.options == {"symbolic_zeros": True}
    primals = [Primal(2.0, True), Primal(integer, True), Primal(ONE, False)]
    assert jax_fwd(*primals) == ([True, False, False], [2.0, integer, ONE])
    assert jax_bwd(None, [ONE, Zero(), integer]) == (ONE, None, None)
    primals[2].perturbed = True
    with pytest.raises(ValueError, match="2"):
        jax_fwd(*primals)

    old = _compat.custom_vjp(lambda *xs: xs, fwd, bwd, [True, False], refuse, jax=custom_jax("0.4.14"))
    first, second = old(ONE, ONE)
    assert first is ONE is second.x


@pytest.mark.parametrize("version, gets_data", [("0.4.17", 0), ("0.4.18", 1), ("0.4.23", 1), ("0.4.24", 0)])
def test_custom_vjp_of_a_typed_key(version, gets_data):
    """JAX gets the data of the key where it can't differentiate a program with a key. The rules get the key."""
    key, data, calls = Only(shape=(), dtype="key"), Only(shape=(2,), dtype=np.dtype("uint32")), []

    class Recorded(Custom):
        def __call__(self, *arrays):
            calls.append((self, arrays))
            return super().__call__(*arrays)

    stand_in = custom_jax(version, SymbolicZero=Zero)
    stand_in.custom_vjp, stand_in.dtypes = Recorded, Only()
    keys = {(data, "impl"): key}
    stand_in.random = Only(
        key_impl=lambda x: "impl", key_data=lambda x: data, wrap_key_data=lambda x, impl: keys[x, impl]
    )
    fwd = lambda perturbed, primals: (perturbed, primals)  # noqa: E731
    custom = _compat.custom_vjp(lambda *xs: xs, fwd, None, [True, False], refuse, jax=stand_in)
    assert custom(ONE, key) == (ONE, key)
    ((inner, inputs),) = calls
    assert inputs == (ONE, data if gets_data else key)
    primals = [Only(value=x, perturbed=x is ONE) for x in inputs]
    assert inner.rules[0](*primals) == ([True, False], [ONE, key])


@pytest.mark.parametrize("version, by_mlir, by_xla", [("0.2.27", 0, 1), ("0.2.28", 1, 1), ("0.3.0", 1, 0)])
def test_identity_primitive(version, by_mlir, by_xla):
    """What it tells at each step, and how each release lowers it."""
    steps, lowered, xla = [], [], {}
    ad, batching = Only(Zero=Zero, primitive_jvps={}, primitive_transposes={}), Only(primitive_batchers={})
    mlir = Only(register_lowering=lambda primitive, rule: lowered.append(rule))
    stand_in = Only(
        __version__=version,
        core=Only(Primitive=Identity),
        interpreters=Only(ad=ad, batching=batching, mlir=mlir, xla=Only(translations=xla)),
        lib=Only(xla_client=Only(ops=Only(Tuple=lambda builder, xs: (builder, xs)))),
    )

    def follow(label, step):
        steps.append(step)
        return None if step == "transpose" else label + step

    bind = _compat.identity_primitive("name", follow, jax=stand_in)
    assert bind([], "x:") == [] and bind([1], None) == [1] and bind([1, 2], "x:") == [("x:", 1), ("x:", 2)]
    ((primitive, jvp),) = ad.primitive_jvps.items()
    zero = Zero()
    out = [("x:jvp_p", 1), ("x:jvp_p", 2)]
    assert primitive.name == "name"
    assert primitive.impl(1, 2, label="x:") == primitive.abstract(1, 2, label="x:") == [1, 2]
    assert jvp([1, 2], [zero, 3], label="x:") == (out, [zero, ("x:jvp_t", 3)])
    assert jvp([1, 2], [zero, zero], label="x:") == (out, [zero, zero])
    assert ad.primitive_transposes[primitive]([4, zero], None, None, label="x:") == [4, zero]
    assert batching.primitive_batchers[primitive]([5], [0], label="x:") == ([("x:vmap", 5)], [0])
    assert [rule("context", 1, 2, label="x:") for rule in lowered] == [[1, 2]] * by_mlir
    assert [rule("builder", 1, 2, label="x:") for rule in xla.values()] == [("builder", [1, 2])] * by_xla
    asked = ["impl", "abstract", "jvp", "jvp_p", "jvp_t", "jvp", "jvp_p", "transpose", "vmap"]
    assert steps == asked + ["mlir"] * (by_mlir + by_xla)

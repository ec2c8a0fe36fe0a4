"""Transformations of functions: jit, grad, vmap, and custom rules."""

import functools
import importlib

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jax.interpreters import ad, batching

try:
    from jax.extend.core import Primitive
except ImportError:  # up to 0.4.26
    from jax.core import Primitive

from . import VERSION, Skip, accepts, case, eq, raises


@case
def jit():
    traced = []

    @jax.jit
    def f(x, y):
        traced.append(1)
        return {"a": x @ y["b"], "c": x.sum()}

    x = jnp.ones((2, 2))
    for _ in range(3):
        out = f(x, {"b": x})
    assert len(traced) == 1, traced
    f(jnp.ones((3, 3)), {"b": jnp.ones((3, 3))})
    assert len(traced) == 2, traced
    eq(out["a"], [[2, 2], [2, 2]])
    eq(out["c"], 4)
    g = jax.jit(lambda x, n: x * n, static_argnums=1)
    eq(g(2.0, 3), 6)
    h = jax.jit(lambda x, n: x * n, static_argnames="n")
    eq(h(2.0, n=3), 6)
    eq(jax.jit(lambda x: x + 1, donate_argnums=0)(jnp.ones(2)), [2, 2])
    eq(jax.jit(lambda x: jax.jit(lambda y: y * 2)(x) + 1)(3.0), 7)
    eq(jax.jit(lambda: jnp.ones(2))(), [1, 1])
    eq(jax.jit(lambda x: x)(5.0), 5.0)
    assert jax.jit(lambda x: x).__name__ == "<lambda>"
    with jax.disable_jit():
        n = len(traced)
        f(x, {"b": x})
        f(x, {"b": x})
        assert len(traced) == n + 2
    raises(Exception, jax.jit(lambda x: x), "str")
    big = [jnp.float32(i) for i in range(150)]  # more than 100 args: tupled
    eq(jax.jit(lambda xs: sum(xs))(big), sum(range(150)))


@case
def jit_lower_compile():
    if not hasattr(jax.jit(lambda x: x), "lower"):
        raise Skip("no .lower in this release")
    compiled = jax.jit(lambda x: x + 1).lower(jnp.ones(2)).compile()
    eq(compiled(jnp.ones(2)) if callable(compiled) else 2, 2)


@case
def grad():
    def f(x):
        return jnp.sum(jnp.sin(x) ** 2)

    x = jnp.array([0.3, 0.7])
    eq(jax.grad(f)(x), np.sin(2 * np.asarray(x)))
    v, g = jax.value_and_grad(f)(x)
    eq(v, np.sum(np.sin(np.asarray(x)) ** 2))
    (v, aux), g = jax.value_and_grad(lambda x: (f(x), 7), has_aux=True)(x)
    assert aux == 7
    eq(jax.jit(jax.grad(f))(x), g)
    eq(jax.grad(jax.grad(lambda x: x**3))(2.0), 12)
    eq(jax.grad(lambda t: t["a"] * t["b"])({"a": 2.0, "b": 3.0})["a"], 3)
    out, vjp = jax.vjp(lambda x, y: x * y, 2.0, 3.0)
    eq(vjp(1.0), (3, 2))
    out, tan = jax.jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 0.0))
    eq((out, tan), (6, 3))
    out, lin = jax.linearize(jnp.sin, 0.5)
    eq(lin(1.0), np.cos(0.5))
    eq(jax.linear_transpose(lambda x: 3 * x, 1.0)(2.0)[0], 6)
    eq(jax.hessian(lambda x: (x**2).sum())(x), 2 * np.eye(2))
    eq(jax.jacfwd(lambda x: x**2)(x), np.diag(2 * np.asarray(x)))
    eq(jax.jacrev(lambda x: x**2)(x), np.diag(2 * np.asarray(x)))
    raises(TypeError, jax.grad(lambda x: x), 1)  # int input
    eq(jax.grad(lambda x: (x * 2.0).sum(), allow_int=True)(jnp.arange(3)).shape, (3,))


@case
def vmap():
    x = jnp.arange(6.0).reshape(2, 3)
    eq(jax.vmap(lambda v: v @ v)(x), [5, 50])
    eq(jax.vmap(lambda a, b: a + b, in_axes=(0, None))(x, jnp.ones(3)), x + 1)
    eq(jax.vmap(lambda v: v, in_axes=1, out_axes=1)(x), x)
    eq(jax.vmap(jax.grad(lambda v: (v**2).sum()))(x), 2 * x)
    eq(jax.jit(jax.vmap(lambda v: lax.psum(v, "i"), axis_name="i"))(x), np.tile([3, 5, 7], (2, 1)))
    eq(jax.vmap(lambda v: v - lax.pmean(v, "i"), axis_name="i")(x)[0], [-1.5] * 3)
    if accepts(jax.vmap, "axis_size"):  # not in 0.2.18
        eq(jax.vmap(lambda: jnp.ones(2), axis_size=3)(), np.ones((3, 2)))
    eq(jax.vmap(lambda d: d["a"], in_axes=({"a": 0, "b": None},))({"a": x, "b": 1.0}), x)
    eq(jax.vmap(lambda i: lax.axis_index("i"), axis_name="i")(jnp.zeros(3)), [0, 1, 2])
    eq(jax.vmap(jr.normal)(jr.split(jr.PRNGKey(0), 3)).shape, (3,))


@case
def make_jaxpr_eval_shape():
    jaxpr = jax.make_jaxpr(lambda x: jnp.sin(x) * 2)(1.0)
    assert [e.primitive.name for e in jaxpr.jaxpr.eqns] == ["sin", "mul"], jaxpr
    names = [e.primitive.name for e in jax.make_jaxpr(jax.jit(lambda x: x + 1))(1.0).jaxpr.eqns]
    assert names in (["xla_call"], ["pjit"], ["jit"]), names
    out = jax.eval_shape(lambda x: {"a": x @ x.T, "b": x.sum()}, jnp.ones((2, 3)))
    assert out["a"].shape == (2, 2) and out["b"].dtype == jnp.float32
    s = jax.ShapeDtypeStruct((2, 3), jnp.float32)
    assert jax.eval_shape(lambda x: x.T, s).shape == (3, 2)
    raises(Exception, jax.eval_shape, lambda x: x @ x, s)
    assert jax.make_jaxpr(lambda x: x, return_shape=True)(1.0)[1].shape == ()


@case
def custom_vjp_jvp():
    @jax.custom_vjp
    def f(x):
        return x**2

    f.defvjp(lambda x: (x**2, x), lambda x, g: (100.0 * g * x,))
    eq(jax.grad(f)(2.0), 200)
    eq(jax.jit(jax.vmap(jax.grad(f)))(jnp.array([1.0, 2.0])), [100, 200])
    eq(f(3.0), 9)

    @functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
    def g(h, x):
        return h(x)

    g.defvjp(lambda h, x: (h(x), x), lambda h, x, ct: (ct * 7,))
    eq(jax.grad(lambda x: g(jnp.sin, x))(1.0), 7)

    @jax.custom_jvp
    def k(x):
        return x * 3

    k.defjvp(lambda p, t: (k(p[0]), t[0] * 5))
    eq(jax.grad(k)(1.0), 5)
    eq(jax.jvp(k, (1.0,), (1.0,)), (3, 5))
    m = jax.custom_jvp(lambda x, y: x * y)
    m.defjvps(lambda t, ans, x, y: 2 * t, None)
    eq(jax.grad(m)(1.0, 1.0), 2)
    eq(lax.scan(lambda c, x: (f(c), None), 2.0, jnp.arange(2))[0], 16)
    eq(jax.grad(lambda y: lax.scan(lambda c, x: (f(c), None), y, None, length=1)[0])(2.0), 200)
    # pytree argument with None leaves and an integer leaf
    q = jax.custom_vjp(lambda t: t[0] * t[1])
    q.defvjp(lambda t: (t[0] * t[1], t), lambda t, g: ((g * t[1], g * t[0]),))
    eq(jax.grad(lambda x: q((x, 3.0)))(1.0), 3)


@case
def interpreters():
    # The API for libraries that write their own transformations.
    if hasattr(jax.core, "eval_jaxpr"):
        closed = jax.make_jaxpr(lambda x: jnp.sin(x) + 1)(1.0)
        eq(jax.core.eval_jaxpr(closed.jaxpr, closed.consts, 0.5), [np.sin(0.5) + 1])
    p = Primitive("my_double")
    p.def_impl(lambda x: x * 2)
    p.def_abstract_eval(lambda x: x)
    ad.primitive_jvps[p] = lambda ps, ts: (p.bind(*ps), p.bind(ad.instantiate_zeros(ts[0])))
    batching.primitive_batchers[p] = lambda a, d: (p.bind(*a), d[0])
    eq(p.bind(3.0), 6)
    eq(jax.jvp(p.bind, (3.0,), (1.0,)), (6, 2))
    eq(jax.vmap(p.bind)(jnp.ones(2)), [2, 2])

    def double(x):
        return x * 2

    try:  # releases lower in different ways: register both
        mlir = importlib.import_module("jax.interpreters.mlir")
        mlir.register_lowering(p, mlir.lower_fun(double, multiple_results=False))
    except (ImportError, AttributeError):
        assert VERSION < (0, 3)
    if VERSION < (0, 3, 1):
        xla = importlib.import_module("jax.interpreters.xla")
        old_style = {"new_style": False} if accepts(xla.lower_fun, "new_style") else {}
        xla.translations[p] = xla.lower_fun(double, multiple_results=False, **old_style)
    eq(jax.jit(p.bind)(3.0), 6)

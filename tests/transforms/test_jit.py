"""`jitf` and `filter_jit`: what they can compile and return, also inside and around other transformations."""

import collections
import enum
import functools as ft
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, tree_util
from tracing import Model, model

import equinox as eqx


def test_a_jitted_function_returns_what_the_function_returns(run):
    m = model()

    def fun(m, x, power, *, name):
        assert name == "n" and isinstance(power, int)
        return {"out": m(x) ** power, "name": name}

    def numbers(x):
        return eqx.jitf(fun, filter_fn=eqx.is_array)(m, x, 2, name="n")["out"]

    x = jnp.array([3.0, -1.0])
    np.testing.assert_allclose(run(numbers, x), (np.array([1.0, 2.0]) * np.array([3.0, -1.0])) ** 2)


# Spellings


def test_three_spellings():
    def fun(x, flag):
        return x if flag else -x

    decorated = [
        ft.partial(eqx.jitf, filter_fn=eqx.is_array)(fun),
        eqx.jitf(filter_fn=eqx.is_array)(fun),
        eqx.jitf(fun, filter_fn=eqx.is_array),
        eqx.filter_jit(fun),
        eqx.filter_jit()(fun),
        eqx.filter_jit(static_argnums=1)(fun),
    ]
    for f in decorated:
        assert (f(jnp.array(1.0), False), f(jnp.array(1.0), True)) == (-1.0, 1.0)


def test_it_takes_anything_callable():
    m, x = model(), jnp.array(3.0)
    for fun in (
        m,
        m.__call__,
        m.method,
        ft.partial(m.method, bias=0.0),
        Model.__call__,
        jnp.multiply,
        jax.jit(m.method),
    ):
        args = (m, x) if fun is Model.__call__ else (m.weight, x) if fun is jnp.multiply else (x,)
        assert eqx.filter_jit(fun)(*args).tolist() == [3.0, 6.0]
        assert eqx.jitf(fun, filter_fn=eqx.is_inexact_array)(*args).tolist() == [3.0, 6.0]
    with pytest.raises(TypeError, match="`filter_jit` expects a function or another callable, got `int` 3"):
        eqx.filter_jit(3)


def test_names_signature_and_wrapped():
    def fun(x, *, flag=True):
        """Doc."""
        return x

    f = eqx.filter_jit(fun)
    assert (f.__name__, f.__doc__, f.__wrapped__) == ("fun", "Doc.", fun)
    assert inspect.signature(f) == inspect.signature(fun)
    assert "filter_jit" in repr(f) and "fun" in repr(f)
    fun.tag = "tag"
    assert eqx.filter_jit(fun).tag == "tag" and not hasattr(eqx.filter_jit(model()), "weight")
    assert f(1.0, flag=False) == 1.0


def test_methods_bind_in_any_class():
    class Plain:
        @eqx.filter_jit
        def method(self, x):
            return x, self

    plain = Plain()
    out, owner = plain.method(jnp.array(1.0))
    assert out == 1.0 and owner is plain
    assert Plain.method.__name__ == "method"


def test_a_keyword_argument_may_have_any_name():
    assert eqx.filter_jit(lambda **kwargs: kwargs)(self=1, fun=2, args=3) == {"self": 1, "fun": 2, "args": 3}


# Outputs


def test_outputs_may_hold_anything():
    marker = object()

    @eqx.filter_jit
    def fun(x):
        return {"a": x + 1, "s": "text", "f": len, "o": marker, "n": None, "py": 2.5, "np": np.arange(2), "m": model()}

    out = fun(jnp.array(1.0))
    assert eqx.is_array(out["a"]) and out["a"] == 2
    assert (out["s"], out["f"], out["o"], out["n"]) == ("text", len, marker, None)
    assert type(out["py"]) is float and eqx.is_array(out["np"])
    assert out["m"] == model() and out["m"].name == "name"
    assert eqx.filter_jit(lambda: None)() is None
    assert eqx.filter_jit(lambda: 3)() == 3 and type(eqx.filter_jit(lambda: 3)()) is int
    assert eqx.filter_jit(lambda x: (x, x))(jnp.array(1.0)) == (1.0, 1.0)


def test_an_output_that_only_looks_like_an_array_is_returned_as_it_is():
    class Tensor:
        dtype = np.dtype("float32")
        shape = ()

        def __array__(self, dtype=None, copy=None):
            return np.zeros(())

    tensor = Tensor()
    assert eqx.filter_jit(lambda x: (x, tensor))(jnp.ones(1))[1] is tensor


def test_static_outputs_depend_on_the_shapes_of_the_inputs():
    f = eqx.filter_jit(lambda x: (x, x.shape, "wide" if x.shape[0] > 2 else "narrow"))
    for _ in range(2):
        assert f(jnp.ones(2))[1:] == ((2,), "narrow")
        assert f(jnp.ones(3))[1:] == ((3,), "wide")


def test_a_model_is_an_input_and_an_output():
    @eqx.filter_jit
    def step(m):
        return tree_util.tree_map(lambda x: x + 1 if eqx.is_array(x) else x, m)

    m = step(step(model()))
    assert m.weight.tolist() == [3.0, 4.0] and m.name == "name" and type(m) is Model


def test_jitf_returns_numbers_as_jit_does():
    """`filter_jit` returns numbers unchanged. Both return unchanged what `jax.jit` refuses."""

    class Number(enum.IntEnum):
        ONE = 1

    numbers = [1, 2.5, True, 1j, Number.ONE, np.float32(1), np.float64(2), np.arange(2)]
    expected = jax.jit(lambda: numbers)()
    refused = ["text", len, object(), 2**70, np.array(["a"]), np.datetime64("2020"), {1, 2}]
    got = eqx.jitf(lambda: (numbers, refused), filter_fn=eqx.is_array)()
    assert all(a is b for a, b in zip(got[1], refused))
    for a, b in zip(got[0], expected):
        assert eqx.tree_equal(a, b) and getattr(a, "weak_type", None) == getattr(b, "weak_type", None)
    kept = eqx.filter_jit(lambda: (numbers, refused))()
    assert all(a is b for a, b in zip(kept[0][:5] + kept[1], numbers[:5] + refused))
    assert all(map(eqx.is_array, kept[0][5:]))


def test_jitf_makes_an_array_of_a_bool_in_a_model():
    """`filter_jit` keeps the bool."""

    def step(m):
        return Model(m.weight + 1, m.name)

    m = Model(jnp.arange(2.0), True)
    assert eqx.is_array(eqx.jitf(step, filter_fn=eqx.is_inexact_array)(m).name)
    assert eqx.filter_jit(step)(m).name is True


# Inside and around other transformations


def test_nested_in_and_around_other_transformations():
    m, xs = model(), jnp.arange(3.0)
    f = eqx.filter_jit(lambda m, x: m(x).sum())
    expected = np.arange(3.0) * 3
    np.testing.assert_allclose(jax.vmap(lambda x: f(m, x))(xs), expected)
    np.testing.assert_allclose(jax.vmap(f, in_axes=(None, 0))(Model(m.weight, None), xs), expected)
    np.testing.assert_allclose(jax.jit(lambda w, x: f(Model(w, "n"), x))(m.weight, 2.0), 6.0)
    np.testing.assert_allclose(eqx.filter_jit(lambda m, x: f(m, x))(m, jnp.array(2.0)), 6.0)
    np.testing.assert_allclose(eqx.filter_jit(lambda m, x: jax.vmap(m)(x))(m, xs)[2], [2.0, 4.0])
    np.testing.assert_allclose(jax.grad(lambda w: f(Model(w, "n"), 2.0))(m.weight), [2.0, 2.0])
    np.testing.assert_allclose(jax.checkpoint(lambda x: f(m, x))(jnp.array(2.0)), 6.0)
    np.testing.assert_allclose(jax.grad(jax.checkpoint(lambda x: f(m, x)))(2.0), 3.0)
    carry, ys = lax.scan(lambda c, x: (c + f(m, x), f(m, x)), jnp.array(0.0), xs)
    np.testing.assert_allclose(carry, expected.sum())
    np.testing.assert_allclose(ys, expected)
    carry, _ = eqx.filter_jit(lambda m, xs: lax.scan(lambda c, x: (c + m(x).sum(), None), 0.0, xs))(m, xs)
    np.testing.assert_allclose(carry, expected.sum())


def test_nested_in_custom_rules():
    f = eqx.filter_jit(lambda x: jnp.sin(x))

    @jax.custom_vjp
    def g(x):
        return f(x)

    g.defvjp(lambda x: (f(x), x), lambda x, ct: (ct * 100.0,))
    assert jax.grad(g)(1.0) == 100.0
    assert eqx.filter_jit(jax.grad(g))(jnp.array(1.0)) == 100.0
    h = jax.custom_jvp(eqx.filter_jit(lambda x: x * 2))
    h.defjvp(lambda primals, tangents: (h(*primals), tangents[0] * 7))
    assert jax.grad(h)(1.0) == 7.0


def test_a_value_traced_outside_cannot_be_static_inside():
    f = eqx.jitf(lambda m: m["w"], filter_fn=eqx.is_inexact_array)
    with pytest.raises(TypeError, match=r"`jitf` holds the leaf `m\['n'\]` static, but its value .* isn't known"):
        jax.jit(lambda n: f({"w": jnp.ones(2), "n": n}))(jnp.arange(2))


def test_a_while_loop_around_a_filtered_jit():
    f = eqx.filter_jit(lambda x, n: x + n)
    assert lax.while_loop(lambda x: x < 10, lambda x: f(x, 3), 0) == 12


# Errors


def test_an_untraceable_leaf_is_named():
    f = eqx.jitf(lambda model, x: x, filter_fn=lambda x: True)
    with pytest.raises(
        TypeError, match=r"can't trace the leaf `model.name`: expected an array or a number, got `str` 'name'"
    ):
        f(model(), 1.0)
    with pytest.raises(TypeError, match=r"leaf `x\['a'\]\[0\]`"):
        f(1.0, x={"a": [object()]})


def test_an_unhashable_static_leaf_is_named():
    f = eqx.filter_jit(lambda m, **kwargs: m)
    with pytest.raises(
        TypeError, match=r"`filter_jit` holds the leaf `option\[0\]` static, so it must be hashable, got `set`"
    ):
        f(1, option=[{1, 2}])


def test_errors_of_the_function_are_raised_unchanged():
    def fun(x):
        raise TypeError("mine")

    with pytest.raises(TypeError, match="^mine"):
        eqx.filter_jit(fun)(1.0)
    with pytest.raises(TypeError, match="missing|positional"):
        eqx.filter_jit(lambda x, y: x)(1.0)


def test_a_failed_call_leaves_the_function_usable():
    f = eqx.jitf(lambda x: x, filter_fn=lambda x: True)
    with pytest.raises(TypeError):
        f("text")
    assert f(1.0) == 1.0
    with pytest.raises(TypeError):
        f("text")
    assert f(2.0) == 2.0


# Pytrees of all kinds


Point = collections.namedtuple("Point", "x y")


def test_containers_of_all_kinds_are_returned():
    trees = [
        Point(jnp.array(1.0), "s"),
        collections.OrderedDict([("b", jnp.array(1.0)), ("a", 2)]),
        {"k": [None, (), {}, jnp.array(3.0)]},
        (),
        None,
    ]
    for tree in trees:
        assert eqx.tree_equal(eqx.filter_jit(lambda t: t)(tree), tree)


def test_random_keys_are_traced():
    keys = [jax.random.PRNGKey(0)] + ([jax.random.key(0)] if hasattr(jax.random, "key") else [])
    for key in keys:
        out = eqx.filter_jit(lambda k: jax.random.normal(k, (3,)))(key)
        np.testing.assert_array_equal(out, jax.random.normal(key, (3,)))

"""`jitf` and `filter_jit`: what is traced, what is static, and what a compiled function offers."""

import collections
import functools as ft
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import core, lax, tree_util
from tracing import Model, Seen, is_deleted, model

import equinox as eqx


def is_traced_under(x, **spec):
    seen = Seen()
    eqx.jitf(seen, **spec)(x)
    return seen.kinds == ["traced"]


# What is traced


@pytest.mark.filters
def test_filter_fn_decides_leaf_by_leaf():
    seen = Seen()
    m = Model(jnp.ones(2), "name")
    eqx.jitf(seen, filter_fn=eqx.is_array)(m, [1, np.ones(2), jnp.arange(2), 2.0], flag=True)
    # NumPy arrays are no JAX arrays, and so are held static, by value.
    assert seen.kinds == ["traced", "str", "int", "ndarray", "traced", "float", "bool"]


@pytest.mark.filters
@pytest.mark.parametrize(
    "value, array, inexact, like, default",
    [
        (jnp.ones(2), True, True, True, True),
        (jnp.arange(2), True, False, True, True),
        (np.ones(2), False, False, True, True),
        (np.float32(1), False, False, True, True),
        (1.0, False, False, True, False),
        (1, False, False, True, False),
        (True, False, False, True, False),
        ("s", False, False, False, False),
        (len, False, False, False, False),
    ],
    ids=str,
)
def test_what_each_filter_traces(value, array, inexact, like, default):
    assert is_traced_under(value, filter_fn=eqx.is_array) == array
    assert is_traced_under(value, filter_fn=eqx.is_inexact_array) == inexact
    assert is_traced_under(value, filter_fn=eqx.is_array_like) == like
    seen = Seen()
    eqx.filter_jit(seen)(value)
    assert (seen.kinds == ["traced"]) == default


@pytest.mark.filters
def test_filter_tree_decides_leaf_by_leaf():
    m = Model(jnp.ones(2), 5)
    seen = Seen()
    eqx.jitf(seen, filter_tree=Model(True, False))(m)
    assert seen.kinds == ["traced", "int"]
    eqx.jitf(seen, filter_tree=(Model(False, True), {"a": True}))(m, {"a": 1})
    assert seen.kinds[1:] == ["traced", "traced"] and seen.kinds[0] != "traced"
    eqx.jitf(seen, filter_tree=((Model(True, True),)))(m)  # a tuple of one tree
    assert seen.kinds == ["traced", "traced"]


@pytest.mark.filters
def test_filter_tree_made_with_tree_at():
    tree = tree_util.tree_map(lambda _: False, model())
    tree = eqx.tree_at(lambda m: m.weight, tree, replace=True)
    assert eqx.jitf(lambda m, x: m(x), filter_tree=(tree, True))(model(), 2.0).tolist() == [2.0, 4.0]


@pytest.mark.filters
def test_filter_tree_counts_no_static_inputs_and_takes_keywords_in_the_order_of_parameters():
    seen = Seen(lambda a, b, c: None)

    def fun(a, b, c):
        seen(a, b, c)

    eqx.jitf(fun, filter_tree=(True, False), static_argnums=1)(1, "static", 2)
    assert seen.kinds == ["traced", "str", "int"]
    eqx.jitf(fun, filter_tree=(True, False), static_argnames="b")(1, c=2, b="static")
    assert seen.kinds == ["traced", "str", "int"]
    eqx.jitf(fun, filter_tree=(False, True, False))(1, c=3, b=2)
    assert seen.kinds == ["int", "traced", "int"]


@pytest.mark.filters
def test_static_inputs_hold_whole_pytrees_static():
    seen = Seen()

    def fun(a, b, c=None):
        seen(a, b, c)

    arrays = [jnp.ones(2), (jnp.ones(1), 3)]
    for kwargs in [{"static_argnums": 1}, {"static_argnums": (-1,)}, {"static_argnames": "b"}]:
        eqx.jitf(fun, filter_fn=eqx.is_array, **kwargs)(jnp.ones(2), arrays)
        assert seen.kinds[0] == "traced" and "traced" not in seen.kinds[1:]
    eqx.jitf(fun, filter_fn=eqx.is_array, static_argnums=1)(jnp.ones(2), b=arrays)  # by keyword too, as in jax.jit
    assert seen.kinds[0] == "traced" and "traced" not in seen.kinds[1:]
    eqx.jitf(fun, filter_fn=eqx.is_array, static_argnums=(0, 2))(jnp.ones(2), arrays, jnp.ones(3))
    assert [kind == "traced" for kind in seen.kinds] == [False, True, True, False, False]


def test_a_jitted_function_gives_what_the_function_gives(run):
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


@pytest.mark.filters
def test_arrays_of_a_callable_pytree_are_traced_too():
    class Spy(eqx.Module):
        weight: Any

        def __call__(self):
            assert isinstance(self.weight, core.Tracer)
            return self.weight

    assert eqx.filter_jit(Spy(jnp.array(2.0)))() == 2.0


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


def test_static_outputs_belong_to_the_shapes_they_came_with():
    f = eqx.filter_jit(lambda x: (x, x.shape, "wide" if x.shape[0] > 2 else "narrow"))
    for _ in range(2):
        assert f(jnp.ones(2))[1:] == ((2,), "narrow")
        assert f(jnp.ones(3))[1:] == ((3,), "wide")


def test_a_model_goes_in_and_out():
    @eqx.filter_jit
    def step(m):
        return tree_util.tree_map(lambda x: x + 1 if eqx.is_array(x) else x, m)

    m = step(step(model()))
    assert m.weight.tolist() == [3.0, 4.0] and m.name == "name" and type(m) is Model


# Nested in JAX's transformations, and they in it


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


# What jax.jit takes


# A backend that can't donate says so, as the CPU did before JAX 0.4.31. (2026-11)
@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable:UserWarning")
def test_donated_inputs_are_given_up():
    f = eqx.filter_jit(lambda m, x: (m.weight + x, x), donate_argnums=0)
    x = jnp.ones(2)
    m = model()
    out, _ = f(m, x)
    assert out.tolist() == [2.0, 3.0] and not is_deleted(x)
    g = jax.jit(lambda w, x: w + x, donate_argnums=0)
    w = jnp.array([1.0, 2.0])
    g(w, x)
    assert is_deleted(m.weight) == is_deleted(w)  # whether this backend donates is JAX's to say
    named = eqx.filter_jit(lambda a, b: b + 1, donate_argnames="b")
    b = jnp.ones(2)
    named(x, b)
    assert is_deleted(b) == is_deleted(w) and not is_deleted(x)


def test_unknown_keyword_arguments_are_refused_when_decorating():
    with pytest.raises(TypeError, match=r"`jitf` hands its keyword arguments to `jax.jit`.*nonsense"):
        eqx.jitf(lambda x: x, filter_fn=eqx.is_array, nonsense=1)
    with pytest.raises(ValueError, match="`static_argnums` asks for input 2, but `fun` takes 1 by position"):

        @eqx.filter_jit(static_argnums=2)
        def fun(x):
            return x

    with pytest.raises(ValueError, match="`static_argnames` asks for the input `y`, but `other` has only `x`"):

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
    # The arrays of a callable pytree have no place in `in_shardings`, and none is needed.
    assert eqx.filter_jit(m, in_shardings=(sharding,), donate_argnums=())(x).tolist() == [1.0, 2.0]


# Ahead of time


def _has_lower():
    return hasattr(jax.jit(lambda x: x), "lower")


def test_lower_needs_a_jax_that_has_it():
    f = eqx.filter_jit(lambda x: x)
    if _has_lower():
        assert f.lower(jnp.ones(2)) is not None
    else:
        with pytest.raises(NotImplementedError, match="`lower` needs JAX 0.2.25 or newer"):
            f.lower(jnp.ones(2))


def test_lower_and_compile_take_the_inputs_of_the_function():
    if not _has_lower():
        pytest.skip("jax.jit(f).lower exists since 0.2.25, this is " + jax.__version__)
    seen = Seen(lambda m, x, n: (m(x) * n, "static"))
    f = eqx.filter_jit(seen)
    m, x = model(), jnp.array([1.0, 1.0])
    lowered = f.lower(m, jax.ShapeDtypeStruct((2,), jnp.float32), 3)
    compiled = lowered.compile()
    out, static = compiled(m, x, 3)
    assert out.tolist() == [3.0, 6.0] and static == "static" and seen.traces == 1
    out, _ = compiled(Model(m.weight * 2, "name"), x, 3)
    assert out.tolist() == [6.0, 12.0]
    abstract = jax.ShapeDtypeStruct((2,), jnp.int32)  # which the filter would hold static, had it a value
    assert eqx.jitf(lambda x: x + 1, filter_fn=eqx.is_inexact_array).lower(abstract) is not None
    for args in [(m, x, 4), (m, x), (Model(m.weight, "other"), x, 3)]:
        with pytest.raises(TypeError, match="compiled ahead of time for other inputs"):
            compiled(*args)


def test_a_compiled_function_compares_statics_by_value_and_type():
    if not _has_lower():
        pytest.skip("jax.jit(f).lower exists since 0.2.25, this is " + jax.__version__)
    x, static = jnp.ones(2), np.array([1, 2])
    compiled = eqx.jitf(lambda x, s: x * s, filter_fn=eqx.is_array).lower(x, static).compile()
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


def test_lower_of_a_method_has_its_module():
    if not _has_lower():
        pytest.skip("jax.jit(f).lower exists since 0.2.25, this is " + jax.__version__)

    class Lowers(eqx.Module):
        x: Any

        @eqx.filter_jit
        def method(self, y):
            return self.x + y

    assert Lowers(jnp.array(1.0)).method.lower(jnp.array(2.0)).compile() is not None


# Errors


@pytest.mark.filters
@pytest.mark.parametrize("spec", [{}, {"filter_fn": eqx.is_array, "filter_tree": True}], ids=["neither", "both"])
def test_exactly_one_filter(spec):
    with pytest.raises(ValueError, match="`jitf` expects exactly one of `filter_fn` and `filter_tree`, got"):
        eqx.jitf(lambda x: x, **spec)
    with pytest.raises(ValueError, match="exactly one"):
        eqx.jitf(**spec)


@pytest.mark.filters
def test_errors_of_filters_say_where():
    with pytest.raises(TypeError, match="expects `filter_fn` to be a function.*For a tree of bools use `filter_tree`"):
        eqx.jitf(lambda x: x, filter_fn=True)
    with pytest.raises(
        TypeError, match=r"every leaf of `filter_tree` to be True or False; `filter_tree.name` is `int` 1"
    ):
        eqx.jitf(lambda x: x, filter_tree=Model(True, 1))
    with pytest.raises(ValueError, match=r"At `filter_tree.weight` expected a leaf .*, got a `list`"):
        eqx.jitf(lambda x: x, filter_tree=Model([True, True], False))(model())
    with pytest.raises(ValueError, match=r"a tuple of 2 trees"):
        eqx.jitf(lambda x, y: x, filter_tree=True)(1.0, 2.0)
    with pytest.raises(ValueError, match="static data"):
        eqx.jitf(lambda x: x, filter_tree=Model(True, False, size=7))(model())


def test_an_untraceable_leaf_is_named():
    f = eqx.jitf(lambda model, x: x, filter_fn=lambda x: True)
    with pytest.raises(
        TypeError, match=r"asked to trace the leaf `model.name`, which is no array or number but `str` 'name'"
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


def test_errors_of_the_function_come_through():
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


# PyTrees of all kinds


Point = collections.namedtuple("Point", "x y")


def test_containers_of_all_kinds_come_through():
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

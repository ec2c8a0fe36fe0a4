"""Memory is freed: the library keeps no array, model or function alive that nothing else refers to."""

import functools as ft
import gc
import weakref
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree_util
from tracing import Model, is_deleted, model

import equinox as eqx
from equinox._dispatch.identity_table import IdentityTable
from equinox._dispatch.leaf_groups import pack_output
from equinox.nn import MLP


def grad_of_sum(m, x):
    return eqx.filter_grad(lambda m: m(x).sum())(m)


def step(m, x):
    return m, m(x)


def same(*args):
    return args[-1]


def stops(both):
    return (both[1] < 0).any()


pmapped = eqx.filter_pmap(lambda m, x: (m(x), m), in_axes=(None, 0))

# Each is called with a model and an array. The function itself is kept.
CALLED = {
    "filter_jit": eqx.filter_jit(lambda m, x: m(x)),
    "jitf": eqx.jitf(lambda m, x: m(x), filter_fn=lambda x: isinstance(x, jnp.ndarray)),
    "jitf by tree": eqx.jitf(lambda m, x: m(x), filter_tree=(Model(True, False), True)),
    "filter_jit of filter_grad": eqx.filter_jit(grad_of_sum),
    "filter_grad": grad_of_sum,
    "value_and_grad_f": eqx.value_and_grad_f(lambda m, x: m(x).sum(), filter_tree=Model(True, False)),
    "donating": eqx.filter_jit(lambda m, x: m(x), donate_argnums=1),
    "partition": lambda m, x: eqx.combine(*eqx.partition([m, x], eqx.is_inexact_array)),
    "filter": lambda m, x: eqx.filter([m, x], eqx.is_array),
    "tree_at": lambda m, x: eqx.tree_at(lambda m: m.weight, m, x),
    "tree_equal": lambda m, x: eqx.tree_equal(m, Model(x, "name")),
    "apply_updates": lambda m, x: eqx.apply_updates(m, Model(x, None)),
    "repr": lambda m, x: repr([m, x]),
    "method": lambda m, x: m.method(x, bias=1.0),
    "filter_vmap": eqx.filter_vmap(lambda m, x: m(x), in_axes=(None, 0)),
    "filter_pmap": lambda m, x: np.asarray(pmapped(m, x)[0]),  # JAX 0.2.18 has no weak references to its own output
    "filter_eval_shape": lambda m, x: eqx.filter_eval_shape(m, x),
    "filter_make_jaxpr": eqx.filter_make_jaxpr(lambda m, x: m(x)),
    "filter_scan": lambda m, x: eqx.filter_scan(step, m, x),
    "filter_scan with checkpoint": lambda m, x: eqx.filter_scan(step, m, x, checkpoint=True),
    "filter_while_loop": lambda m, x: eqx.filter_while_loop(stops, same, (m, x)),
    "filter_fori_loop": lambda m, x: eqx.filter_fori_loop(0, 2, same, (m, x)),
    "filter_map": lambda m, x: eqx.filter_map(same, (m, x)),
    "filter_cond": lambda m, x: eqx.filter_cond(True, same, same, (m, x)),
    "filter_switch": lambda m, x: eqx.filter_switch(0, [same, same], (m, x)),
}


# A backend that can't donate warns, as the CPU did before JAX 0.4.31. (2026-11)
@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable:UserWarning")
@pytest.mark.parametrize("name", CALLED)
def test_no_array_of_a_call_is_kept(name):
    """The inputs and the output are freed after the call, even if the function is kept."""
    call = CALLED[name]
    for _ in range(2):  # the first compiles, the second uses the cache
        m, x = model(), jnp.array([3.0, 4.0])
        out = call(m, x)
        refs = [weakref.ref(y) for y in [m] + [y for y in tree_util.tree_leaves([m, x, out]) if eqx.is_array(y)]]
        del m, x, out
        gc.collect()
        assert [ref() for ref in refs] == [None] * len(refs)


@pytest.mark.parametrize("how", ["with its function", "by clear_cache"])
def test_a_static_array_is_freed_with_the_compiled_function(how):
    """It is part of the compiled function, as in `jax.jit`."""
    f = eqx.jitf(lambda m: None, filter_fn=lambda x: False)
    x = jnp.ones(2)
    ref = weakref.ref(x)
    f(Model(x, "name"))
    del x
    if how == "by clear_cache":
        f.clear_cache()
    else:
        del f
    gc.collect()
    assert ref() is None


def test_a_call_that_failed_keeps_nothing():
    """Errors that name a leaf keep no array either, after they are handled."""

    def fails(m, x):
        raise KeyError("on purpose")

    f, untraceable = eqx.filter_jit(fails), eqx.jitf(lambda m, x: m(x), filter_fn=lambda x: True)
    g = eqx.gradf(lambda m, x: m(x).sum(), filter_fn=lambda x: True)
    for call in (f, untraceable, g):
        m, x = model(), jnp.ones(2)
        refs = [weakref.ref(m), weakref.ref(m.weight), weakref.ref(x)]
        with pytest.raises((KeyError, TypeError)):
            call(m, x)
        del m, x
        gc.collect()
        assert [ref() for ref in refs] == [None] * 3


# Functions


def test_a_function_and_its_model_are_freed():
    class Token:
        pass

    token, m = Token(), model()
    f = eqx.filter_jit(lambda m, x, token: m(x))
    f(m, jnp.array(1.0), token)
    refs = [weakref.ref(f), weakref.ref(f.__wrapped__), weakref.ref(token), weakref.ref(m)]
    del f, token, m
    gc.collect()
    assert [r() for r in refs] == [None] * 4


def test_functions_made_in_a_loop_are_freed():
    """A function that is transformed at each step of a loop is freed together with its compiled functions."""
    refs = []
    for i in range(5):
        m = model()
        f = eqx.filter_jit(ft.partial(m.method, bias=float(i)))
        g = eqx.filter_grad(lambda m, f=f: f(m.weight).sum())
        g(m)
        refs += [weakref.ref(x) for x in (m, m.weight, f, g)]
    del m, f, g
    gc.collect()
    assert [ref() for ref in refs] == [None] * len(refs)


# Functions that a loop makes at each step. Each holds its own lambda.
MADE_OF = {
    "function": lambda fun, m: eqx.filter_jit(fun),
    "with options": lambda fun, m: eqx.filter_jit(fun, donate_argnums=()),
    "by an unnamed filter": lambda fun, m: eqx.jitf(fun, filter_fn=lambda x: True),
    "gradient": lambda fun, m: eqx.filter_jit(eqx.filter_grad(fun)),
    "gradient of jit": lambda fun, m: eqx.filter_grad(eqx.filter_jit(fun)),
    "jit of jit of gradient": lambda fun, m: eqx.filter_jit(eqx.filter_jit(eqx.filter_value_and_grad(fun))),
    "partial": lambda fun, m: eqx.filter_jit(tree_util.Partial(lambda m, x: fun(x) + m.weight.sum(), m)),
    "functools' partial": lambda fun, m: eqx.filter_jit(ft.partial(fun)),
    "map": lambda fun, m: ft.partial(eqx.filter_map, fun),
    "map of a method": lambda fun, m: ft.partial(eqx.filter_map, m.method),
    "cond": lambda fun, m: ft.partial(eqx.filter_cond, True, fun, fun),
}


class Token:
    """An object that a lambda refers to."""


def kept_of_lambdas(make):
    """For three lambdas, their tokens and their models: whether they are kept after calls of `make(lambda, model)`."""
    refs = []
    for _ in range(3):
        token, m = Token(), model()
        fun = lambda x, token=token: (x * 2).sum()  # noqa: E731
        f = make(fun, m)
        for _ in range(3):
            f(jnp.ones(2))
        refs += [weakref.ref(x) for x in (token, fun, m)]
    del token, fun, f, m
    gc.collect()
    return [ref() is not None for ref in refs]


@pytest.mark.parametrize("name", MADE_OF)
def test_compiled_functions_of_a_lambda_are_freed_with_it(name):
    kept = kept_of_lambdas(MADE_OF[name])
    if any(kept) and (any(kept_of_lambdas(lambda f, m: jax.jit(f))) or any(kept_of_lambdas(lambda f, m: jax.grad(f)))):
        pytest.skip("JAX {} itself keeps functions that it has traced".format(jax.__version__))
    assert not any(kept)


def test_the_cache_of_one_function_is_bounded(monkeypatch):
    """This holds for any number of options, filters and static values."""

    def f(x, n=0):
        return x

    monkeypatch.setattr("equinox._dispatch.dispatcher._MAX_ARRANGEMENTS", 8)
    x = jnp.ones(2)
    for i in range(20):
        eqx.filter_jit(f)(x, **{"n": i} if i else {})
        eqx.filter_jit(f, static_argnames="n", donate_argnums=(1,) * i)
        eqx.jitf(f, filter_fn=lambda x, i=i: True)(x)
    g = eqx.filter_jit(lambda *args, **kwargs: len(args))
    types = [type("Leaf", (), {}) for _ in range(30)]
    for cls in types:
        assert g(cls()) == 1
    dispatcher, _ = g._target
    assert len(dispatcher._arrangements) <= 8
    refs = [weakref.ref(cls) for cls in types[:20]]
    del types, cls
    g.clear_cache()
    gc.collect()
    assert not any(ref() for ref in refs)


def test_an_identity_table_forgets_an_entry_with_any_of_its_keys():
    class Key:
        __eq__ = __hash__ = None

    table = IdentityTable()
    keys = [Key() for _ in range(4)]
    for key in keys:
        table.set((key,), key.__class__)
        table.set((key, keys[0]), 2)
    assert len(table) == 8 and table.get((keys[1], keys[0])) == 2 and table.get((keys[0], keys[1])) is None
    assert table.get_or_make((keys[2],), Key) is Key
    del keys[2], key
    assert len(table) == 6
    del keys[0]
    assert len(table) == 2
    with pytest.raises(TypeError):
        table.set((1,), 1)


# Many models


def use(m, x):
    """Use a model as a program does."""
    arrays, others = eqx.partition(m, eqx.is_inexact_array)
    m = eqx.tree_at(lambda m: m.layers[0].bias, eqx.combine(arrays, others), replace_fn=lambda b: b + 1)
    grads = gradient(m, x)
    m = eqx.apply_updates(m, grads)
    return repr(m), eqx.tree_equal(m, grads)


gradient = eqx.filter_jit(eqx.filter_grad(lambda m, x: m(x).sum()))


def many(count):
    """Make and use `count` models of one shape, each with its own numbers."""
    template = MLP(2, 2, 2, 1, key=jax.random.PRNGKey(0))
    structure = tree_util.tree_structure(template)
    numbers = [np.asarray(x) if eqx.is_array(x) else x for x in tree_util.tree_leaves(template)]
    for i in range(count):
        leaves = [jnp.asarray(x + np.float32(i)) if isinstance(x, np.ndarray) else x for x in numbers]
        use(structure.unflatten(leaves), jnp.ones(2))


def test_arrays_of_many_models_are_freed():
    """After sixty models no more arrays are alive than before."""
    if not hasattr(jax, "live_arrays"):
        pytest.skip("jax.live_arrays exists since 0.3.24, this is " + jax.__version__)
    many(2)
    gc.collect()
    before = len(jax.live_arrays())
    many(60)
    gc.collect()
    assert len(jax.live_arrays()) <= before


def test_objects_of_many_models_are_freed():
    """The number of objects doesn't grow with the number of models."""

    def alive():
        gc.collect()
        objects = gc.get_objects()
        return sum(str(getattr(type(x), "__module__", "")).startswith("equinox") for x in objects), len(objects)

    many(2)
    before, all_before = alive()
    many(60)
    after, all_after = alive()
    assert after <= before
    assert all_after < all_before + 30


# Donation


@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable:UserWarning")
def test_donated_arrays_are_deleted():
    """They are deleted where `jax.jit` deletes them. Other inputs and static leaves stay."""

    def step(m, x):
        return tree_util.tree_map(lambda w: w + x if eqx.is_array(w) else w, m)

    w, x = jnp.ones(2), jnp.ones(2)
    jax.jit(lambda w, x: w + x, donate_argnums=0)(w, x)
    m = model()
    for _ in range(3):
        old, m = m, eqx.filter_jit(step, donate_argnums=0)(m, x)
        assert is_deleted(old.weight) == is_deleted(w) and not is_deleted(x)
    assert m.weight.tolist() == [4.0, 5.0] and m.name == "name"


def is_kept(use):
    """Whether `use(leaf)` keeps `leaf` alive, even if only until the garbage collector runs."""

    class Leaf:
        pass

    leaf = Leaf()
    alive = weakref.ref(leaf)
    gc.disable()
    try:
        use(leaf)
        del leaf
        return alive() is not None
    finally:
        gc.enable()


def test_a_packed_output_keeps_nothing_alive():
    """Its static leaves are freed together with it."""
    assert not is_kept(lambda leaf: tree_util.tree_map(lambda x: x, pack_output([leaf, jnp.ones(2)], eqx.is_array)))


def test_tree_at_makes_no_reference_cycle():
    """A cycle would keep the leaves of a tree alive until the garbage collector runs."""
    assert not is_kept(lambda leaf: eqx.tree_at(lambda t: t[1], [leaf, None], 1))
    assert not is_kept(lambda leaf: eqx.tree_at(lambda t: t[0], [[leaf], None], 1))


# Models that a function knows, because they were passed often

OFTEN = 8


class Holds(eqx.Module):
    """A model with containers, and with a cached attribute that refers to the model itself."""

    inner: Any
    tables: Any

    @property
    def step(self):
        return vars(self).setdefault("_step", self.method)  # as `functools.cached_property`, which came in Python 3.8

    def method(self, x):
        return self.inner.weight * x


def holds():
    m = model()
    return Holds(m, {"a": [jnp.ones(2), (model(),)], "b": m})


def refs_to(m):
    arrays = [x for x in tree_util.tree_leaves(m) if eqx.is_array(x)]
    return [weakref.ref(x) for x in [m, m.inner, *m.tables["a"][1], *arrays]]


@pytest.mark.parametrize(
    "first", [lambda m: m, lambda m: m.step and m, lambda m: m.method], ids=["plain", "cached", "method"]
)
@pytest.mark.parametrize("collect", [False, True], ids=["at once", "by the collector"])
def test_a_known_model_is_freed(first, collect):
    """All objects in it are freed while the function is kept. Without a reference cycle they are freed at once."""
    f, m = eqx.filter_jit(lambda m, x: tree_util.tree_leaves(m)[0] * x), holds()
    for _ in range(OFTEN):
        f(first(m), jnp.ones(2))
    refs = refs_to(m)
    is_cyclic = "_step" in vars(m)
    gc.disable()
    try:
        del m
        if collect or is_cyclic:
            gc.collect()
        assert [ref() for ref in refs] == [None] * len(refs)
    finally:
        gc.enable()


def test_a_function_that_knows_a_model_is_freed():
    f, m = eqx.filter_jit(lambda m: m.inner.weight), holds()
    for _ in range(OFTEN):
        f(m)
    refs = [weakref.ref(f), weakref.ref(f.__wrapped__)]
    del f
    gc.collect()
    assert [ref() for ref in refs] == [None] * 2 and m.inner.weight.tolist() == [1.0, 2.0]


def test_many_known_models_are_freed():
    """After a thousand models no more objects are alive than after ten."""
    f = eqx.filter_jit(lambda m, x: m.weight)
    x = np.ones(2, np.float32)

    def meet(count):
        for i in range(count):
            m = Model(x, "name")
            for _ in range(OFTEN):
                f(m, i % 3)
        gc.collect()
        return len(gc.get_objects())

    meet(10)
    before = meet(10)
    assert meet(1000) < before + 30

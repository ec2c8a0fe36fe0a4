"""`jitf` traces once for each structure, shape, dtype and static value: as often as `jax.jit`."""

import copy
import enum
import functools as ft
import inspect
import threading
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, tree_util
from modules import Affine, affine
from tracing import Model, TraceRecorder, model

import equinox as eqx
import equinox._dispatch.cache_key


def test_equal_statics_never_retrace():
    seen = TraceRecorder(lambda m, *rest: m.weight)
    f = eqx.filter_jit(seen)
    for i in range(4):
        f(Model(jnp.full(2, float(i)), "na" + "me"), 10**6 + 1, ("t", 1.5), np.ones(3) * i)
    assert seen.traces == 1


@pytest.mark.parametrize(
    "filter_fn", [eqx.is_array, eqx.is_inexact_array, lambda x: eqx.is_array(x)], ids=["by type", "by dtype", "any"]
)
def test_each_difference_traces_once(filter_fn):
    seen = TraceRecorder(lambda *args, **kwargs: None)
    f = eqx.jitf(seen, filter_fn=filter_fn)
    one = jnp.ones(2)
    calls = [
        lambda: f(one, 1),
        lambda: f(one, 2),
        lambda: f(one, "s"),
        lambda: f(jnp.ones(3), 1),
        lambda: f(one.astype(jnp.float16), 1),
        lambda: f([one], 1),
        lambda: f(one, n=1),
        lambda: f(one, m=1),
        lambda: f(one, None),
        lambda: f(Model(one, "a"), 1),
        lambda: f(Model(one, "b"), 1),
        lambda: f(Model(one, "a", size=4), 1),
    ]
    for i, call in enumerate(calls):
        call()
        assert seen.traces == i + 1
        call()
        assert seen.traces == i + 1
    for call in calls[::-1] + calls:
        call()
    assert seen.traces == len(calls)


def test_true_one_and_one_point_zero_are_different_statics():
    f = eqx.filter_jit(lambda x, n: (x, type(n).__name__))
    x = jnp.ones(2)
    for _ in range(2):
        assert [f(x, n)[1] for n in (True, 1, 1.0)] == ["bool", "int", "float"]
        assert [f(x, [n])[1] for n in (True,)] == ["list"]
    g = eqx.filter_jit(lambda m: type(m.size).__name__)
    for _ in range(2):
        assert [g(Model(x, "n", size=n)) for n in (1, True, 1.0)] == ["int", "bool", "float"]
    h = eqx.jitf(lambda x, n: type(n).__name__, filter_fn=eqx.is_array, static_argnums=1)
    assert [h(x, n) for n in (1, True, 1.0, 1)] == ["int", "bool", "float", "int"]


@pytest.mark.filters
def test_a_changed_dtype_may_change_what_is_traced():
    seen = TraceRecorder()
    f = eqx.jitf(seen, filter_fn=eqx.is_inexact_array)
    f(jnp.array([1.0]))
    assert seen.kinds == ["traced"]
    f(jnp.array([1]))  # same type and structure, no longer inexact
    assert seen.kinds != ["traced"]
    f(jnp.array([2.0]))
    f(jnp.array([1]))
    kinds = [f.__wrapped__.kinds]
    f(jnp.array([5]))
    assert kinds and seen.kinds != ["traced"]


@pytest.mark.filters
def test_a_filter_may_look_at_values():
    seen = TraceRecorder(lambda *xs: None)
    f = eqx.jitf(seen, filter_fn=lambda x: x > 0)
    f(1, -1)
    assert seen.kinds == ["traced", "int"]
    f(-1, 1)
    assert seen.kinds == ["int", "traced"]
    f(2, -1)
    f(3, -1)
    assert seen.kinds == ["int", "traced"] and seen.traces == 2
    f(-2, -1)  # only what was traced has changed
    assert seen.kinds == ["int", "int"] and seen.traces == 3


@pytest.mark.filters
def test_a_filter_is_not_asked_about_static_inputs():
    f = eqx.jitf(lambda x, mode: x * 2, filter_fn=lambda x: x.ndim > 0, static_argnums=1)
    assert f(jnp.ones(2), "train").tolist() == f(jnp.ones(2), "train").tolist() == [2.0, 2.0]


def test_two_kinds_of_call_in_turn_are_both_remembered(monkeypatch):
    seen = TraceRecorder(lambda x, train: x)
    f = eqx.filter_jit(seen)
    for _ in range(3):
        f(jnp.ones(2), True)
        f(jnp.ones(2), False)
    assert seen.traces == 2
    with monkeypatch.context() as patch:
        # Only a new kind of call needs it.
        patch.setattr("equinox._dispatch.dispatcher.Dispatcher._make_entry", None)
        f(jnp.ones(2), True)
        f(jnp.ones(2), False)
    assert f(jnp.ones(2), "third").tolist() == [1.0, 1.0]


def test_the_weak_type_of_a_static_array_counts():
    f = eqx.jitf(lambda h, s: h * s, filter_fn=eqx.is_array, static_argnums=1)
    half = jnp.ones(2, jnp.float16)
    for scale in (jnp.asarray(2.0), jnp.ones(()) * jnp.float32(2), jnp.asarray(2.0)):
        assert f(half, scale).dtype == (half * scale).dtype


def test_static_arrays_compare_by_value():
    for array in (np.array, jnp.array):
        seen = TraceRecorder(lambda x: x.tolist())
        f = eqx.jitf(seen, filter_fn=lambda x: False)
        x = array([1, 2])
        assert f(x) == f(array([1, 2])) == [1, 2] and seen.traces == 1
        assert f(array([1, 3])) == [1, 3] and seen.traces == 2
        assert f(array([1.0, 3.0])) == [1.0, 3.0] and seen.traces == 3
        assert f(array([[1, 3]])) == [[1, 3]] and seen.traces == 4


def test_a_static_numpy_array_changed_in_place_is_seen():
    f = eqx.jitf(lambda x: x.tolist(), filter_fn=eqx.is_inexact_array)
    x = np.array([1, 2])
    assert f(x) == [1, 2]
    x[0] = 7
    assert f(x) == [7, 2]


def test_a_static_numpy_array_is_copied():
    f = eqx.jitf(lambda x, s: x * s[0], filter_fn=eqx.is_inexact_array)
    s = np.array([1, 2])
    f(jnp.ones(2), s)
    s[0] = 7
    assert f(jnp.ones(3), np.array([1, 2])).tolist() == [1.0] * 3  # traced again, with the statics of the first call


def test_static_objects_are_compared_by_their_own_eq():
    class Config:
        def __init__(self, n):
            self.n = n

        def __eq__(self, other):
            return self.n == other.n

        def __hash__(self):
            return hash(self.n)

    seen = TraceRecorder(lambda c: c.n)
    f = eqx.filter_jit(seen)
    assert [f(Config(1)), f(Config(1)), f(Config(2)), f(Config(1))] == [1, 1, 2, 1]
    assert seen.traces == 2


def test_threads_share_a_compiled_function():
    f = eqx.filter_jit(lambda x, n: x * n)
    wrong = []

    def work(n):
        for i in range(30):
            if f(jnp.array(float(i)), n) != i * n:
                wrong.append((i, n))

    threads = [threading.Thread(target=work, args=(n,)) for n in (1, 2, 3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_clear_cache_forgets_all_traces():
    seen = TraceRecorder(lambda x: x)
    f = eqx.filter_jit(seen)
    f(jnp.ones(2))
    f.clear_cache()
    f(jnp.ones(2))
    assert seen.traces == 2


# As often as `jax.jit`

X, Y = jnp.arange(2.0), jnp.ones(2)

# Sequences of calls. All leaves are traced.
CALLS = {
    "other values": [lambda f: f(X), lambda f: f(Y), lambda f: f(-X)],
    "other shapes": [lambda f: f(X), lambda f: f(X[:1]), lambda f: f(X), lambda f: f(X[None])],
    "other dtypes": [lambda f: f(X), lambda f: f(X.astype(jnp.float16)), lambda f: f(X > 0), lambda f: f(X)],
    "weak types": [lambda f: f(1.0), lambda f: f(jnp.float32(1)), lambda f: f(2.0), lambda f: f(jnp.asarray(3.0))],
    "numbers": [lambda f: f(1), lambda f: f(2), lambda f: f(1.0), lambda f: f(True), lambda f: f(1j), lambda f: f(3)],
    "NumPy and JAX": [lambda f: f(X), lambda f: f(np.ones(2, np.float32)), lambda f: f(Y), lambda f: f(np.int8(1))],
    "structures": [
        lambda f: f([X]),
        lambda f: f((X,)),
        lambda f: f([X, None]),
        lambda f: f({"a": X}),
        lambda f: f([Y]),
    ],
    "keywords": [
        lambda f: f(a=X, b=Y),
        lambda f: f(b=Y, a=X),
        lambda f: f(X, b=Y),
        lambda f: f(X, Y),
        lambda f: f(Y, Y),
    ],
    "modules": [
        lambda f: f(Affine(X, Y)),
        lambda f: f(Affine(Y, X)),
        lambda f: f(Affine(X, None)),
        lambda f: f(affine()),
    ],
    "static fields": [lambda f, i=i: f(Model(X, Y, size=i)) for i in (1, 2, 1, 3, 2)],
    "keys": [lambda f: f(jax.random.PRNGKey(0)), lambda f: f(jax.random.PRNGKey(1))],
}

WRAPPED = {
    "jit": (jax.jit, ft.partial(eqx.jitf, filter_fn=eqx.is_array_like)),
    "jit of jit": (
        lambda f: jax.jit(jax.jit(f)),
        lambda f: eqx.jitf(eqx.filter_jit(f), filter_fn=eqx.is_array_like),
    ),
}


def counts(f, seen, calls):
    """After each of the calls, how often `seen` was traced inside `f`."""
    traces = []
    for call in calls:
        call(f)
        traces.append(seen.traces)
    return traces


@pytest.mark.parametrize("wrapped", WRAPPED)
@pytest.mark.parametrize("name", CALLS)
def test_it_traces_as_often_as_jax(name, wrapped):
    """If all leaves are traced, `jitf` has traced as often as `jax.jit` after each call."""
    plain, filtered = [TraceRecorder(lambda a, b=None: a), TraceRecorder(lambda a, b=None: a)]
    for_plain, for_filtered = WRAPPED[wrapped]
    assert counts(for_filtered(filtered), filtered, CALLS[name]) == counts(for_plain(plain), plain, CALLS[name])


NESTED = {
    "jit of grad": (lambda f: jax.jit(jax.grad(f)), lambda f: eqx.filter_jit(eqx.filter_grad(f))),
    "grad of jit": (lambda f: jax.grad(jax.jit(f)), lambda f: eqx.filter_grad(eqx.filter_jit(f))),
    "jit of grad of jit": (
        lambda f: jax.jit(jax.grad(jax.jit(f))),
        lambda f: eqx.filter_jit(eqx.filter_grad(eqx.filter_jit(f))),
    ),
    "grad of grad": (lambda f: jax.grad(jax.grad(f)), lambda f: eqx.filter_grad(eqx.filter_grad(f))),
    "jit of value and grad": (
        lambda f: jax.jit(jax.value_and_grad(f)),
        lambda f: eqx.filter_jit(eqx.filter_value_and_grad(f)),
    ),
    "vmap of jit": (lambda f: jax.vmap(jax.jit(f)), lambda f: jax.vmap(eqx.filter_jit(f))),
    "jit of vmap": (lambda f: jax.jit(jax.vmap(f)), lambda f: eqx.filter_jit(jax.vmap(f))),
    "jit in a scan": (
        lambda f: jax.jit(lambda x: lax.scan(lambda c, _: (jax.jit(f)(c), None), x, None, length=3)[0]),
        lambda f: eqx.filter_jit(lambda x: lax.scan(lambda c, _: (eqx.filter_jit(f)(c), None), x, None, length=3)[0]),
    ),
    "jit of checkpoint": (lambda f: jax.jit(jax.checkpoint(f)), lambda f: eqx.filter_jit(jax.checkpoint(f))),
}


@pytest.mark.parametrize("name", NESTED)
def test_nested_it_traces_as_often_as_jax(name):
    """Inside and around other transformations, with new values, and with a new shape under `vmap`."""
    plain, filtered = [TraceRecorder(lambda x: (x**3).sum()), TraceRecorder(lambda x: (x**3).sum())]
    for_plain, for_filtered = NESTED[name]
    inputs = [X, Y, X[:1]] if name.endswith("vmap") or name.startswith("vmap") else [X[0], X[1], X[1]]
    calls = [lambda f, x=x: f(x) for x in inputs]
    assert counts(for_filtered(filtered), filtered, calls) == counts(for_plain(plain), plain, calls)


# Modules and methods


def test_a_jitted_method_is_traced_once_for_similar_instances():
    """It belongs to the class. Another instance is traced only if its structure, shapes or statics are new."""
    seen = TraceRecorder(lambda self, x: self.weight * x)

    class Watched(eqx.Module):
        weight: Any
        mode: Any = eqx.field(static=True)

        @eqx.filter_jit
        def method(self, x):
            return seen(self, x)

    for i, (weight, mode, traces) in enumerate(
        [(X, "a", 1), (Y, "a", 1), (X, "b", 2), (Y, "a", 2), (X[:1], "a", 3), (Y, "b", 3), (X, "a", 3)]
    ):
        assert Watched(weight, mode).method(float(i) * X[:1]).shape == weight.shape
        assert seen.traces == traces


def test_a_training_step_is_traced_once():
    """The model that a step returns has the dtypes and weak types of the model that it takes."""
    seen = TraceRecorder(lambda m, x: ((m.weight * x - 1.0) ** 2).sum())

    @eqx.filter_jit
    def step(m, x):
        grads = eqx.filter_grad(seen)(m, x)
        return eqx.apply_updates(m, tree_util.tree_map(lambda g: -0.1 * g, grads))

    m = model()
    for i in range(4):
        m = step(m, jnp.full(2, 1.0 * i))
    assert seen.traces == 1


def test_a_rebuilt_model_is_not_traced_again():
    """The model is constructed, copied, mapped, changed by `tree_at`, and partitioned and combined."""
    seen = TraceRecorder(lambda m: m.weight)
    f = eqx.filter_jit(seen)
    m = model()
    rebuilt = [
        Model(m.weight, "".join(["na", "me"]), size=3),
        copy.copy(m),
        tree_util.tree_map(lambda x: x, m),
        eqx.tree_at(lambda m: m.weight, m, -m.weight),
        eqx.combine(*eqx.partition(m, eqx.is_array)),
    ]
    for other in [m] + rebuilt:
        f(other)
    assert seen.traces == 1


# The same function, filtered again


@pytest.mark.parametrize(
    "again", [eqx.filter_jit, eqx.jitf(filter_fn=eqx.is_array), eqx.jitf(filter_fn=eqx.is_inexact_array)]
)
def test_a_plain_function_filtered_again_is_not_traced_again(again):
    """`jax.jit(f)` in a loop does the same."""
    ours, jaxs = [], []

    def f(x):
        ours.append(x)
        return x

    def g(x):
        jaxs.append(x)
        return x

    for x in (X, Y, X[:1]):
        again(f)(x)
        jax.jit(g)(x)
    assert len(ours) == len(jaxs) == 2


def test_filters_with_the_same_effect_share_a_trace():
    """What counts is which leaves are selected, and the options. `filter_jit` and `jitf` differ in their output."""
    traced = []

    def f(x, n=1):
        traced.append(type(x).__name__ if isinstance(x, int) else "tracer")
        return x

    for _ in range(2):
        eqx.filter_jit(f)(1)
        eqx.jitf(f, filter_fn=eqx.is_array)(1)
        eqx.jitf(f, filter_fn=eqx.is_array_like)(1)
        eqx.jitf(f, filter_fn=lambda x: True)(1)
        eqx.filter_jit(f, static_argnames="n")(1)
    assert traced == ["int", "int", "tracer", "int"]


def test_clear_cache_forgets_what_was_shared():
    seen = []

    def f(x):
        seen.append(x)
        return x

    eqx.filter_jit(f)(X)
    eqx.filter_jit(f).clear_cache()
    eqx.filter_jit(f)(X)
    assert len(seen) == 2


class Counted(eqx.Module):
    """A model that counts how often it is traced."""

    weight: Any
    seen: Any = eqx.field(static=True)

    def __call__(self, x):
        return self.method(x)

    def method(self, x):
        self.seen(x)
        return (self.weight * x).sum()


def plain_loss(weight, x):
    seen_by_plain_loss(x)
    return (weight * x).sum()


seen_by_plain_loss = TraceRecorder()
EXACT = {"filter_fn": eqx.is_array}

# Functions that a loop makes at each step, each time from a new model.
MADE_IN_A_LOOP = {
    "model": lambda m: m,
    "method": lambda m: m.method,
    "partial method": lambda m: tree_util.Partial(m.method),
    "partial of a function": lambda m: tree_util.Partial(plain_loss, m.weight),
    "gradient of a method": lambda m: eqx.filter_grad(m.method),
    "gradient of a model": lambda m: eqx.filter_grad(m),
    "gradient of a partial": lambda m: eqx.filter_grad(tree_util.Partial(plain_loss, m.weight)),
    "jit of a model": lambda m: eqx.filter_jit(m),
    "jit of a gradient of a jit": lambda m: eqx.filter_jit(eqx.filter_grad(eqx.filter_jit(m))),
}
JITS = {
    "filter_jit": eqx.filter_jit,
    "jitf": ft.partial(eqx.jitf, **EXACT),
    "with options": ft.partial(eqx.filter_jit, donate_argnums=(), inline=False),
    "by an unnamed filter": lambda f: eqx.jitf(f, filter_fn=lambda x: eqx.is_array(x)),
}


@pytest.mark.parametrize("jit", JITS)
@pytest.mark.parametrize("name", MADE_IN_A_LOOP)
def test_what_is_made_in_a_loop_is_compiled_once(name, jit):
    """A model, its method, or a transformation of it is jitted at each step."""
    if jit == "with options" and "inline" not in inspect.signature(jax.jit).parameters:
        pytest.skip("jax.jit takes inline since 0.2.25 or so, this is " + jax.__version__)
    seen, make = TraceRecorder(), MADE_IN_A_LOOP[name]
    models = [Counted(jnp.full(2, float(i)), seen) for i in range(4)]
    expected = [make(m)(X[1]) for m in models]
    before = seen.traces + seen_by_plain_loss.traces
    got = [JITS[jit](make(m))(X[1]) for m in models]
    assert got == expected and seen.traces + seen_by_plain_loss.traces <= before + 1


def test_a_jitted_gradient_that_is_made_in_a_loop_is_compiled_once():
    seen_by_plain_loss.traces = 0
    for i in range(4):
        gradient = eqx.filter_jit(eqx.filter_grad(plain_loss, argnums=1))(jnp.full(2, float(i)), X[1])
        assert gradient == 2.0 * i
    assert seen_by_plain_loss.traces == 1


def test_a_wrapper_that_tree_map_returns_is_not_traced_again():
    seen = TraceRecorder(lambda x: x)

    class EqualToAll:
        """A callable that is equal to everything, and has no hash."""

        def __eq__(self, other):
            return True

        __hash__ = None

        def __call__(self, x):
            return seen(x)

    for fun in (lambda x: seen(x), ft.partial(seen), EqualToAll()):
        traces = seen.traces
        f = eqx.filter_jit(fun)
        for _ in range(3):
            f = tree_util.tree_map(lambda x: x, f)
            f(X)
        assert seen.traces == traces + 1


def test_each_function_option_and_class_is_compiled_separately():
    class Other(Counted):
        def method(self, x):
            return -super().method(x)

    seen = TraceRecorder()
    first, other = Counted(X, seen), Other(X, seen)
    for _ in range(2):
        assert eqx.filter_jit(first)(1.0) == -eqx.filter_jit(other)(1.0) == first.weight.sum()
        assert eqx.filter_jit(eqx.filter_grad(first))(X[1]) == 1.0
        assert eqx.filter_jit(eqx.filter_value_and_grad(first))(X[1]) == (1.0, 1.0)
        assert eqx.filter_jit(first.method)(1.0) == 1.0
    assert seen.traces == 5


def test_arrays_of_a_function_are_traced_by_every_filter():
    """NumPy arrays too, so that changes in place are seen. They don't count as inputs."""
    weight = np.array([1.0, 2.0], np.float32)
    m = Affine(weight, 1)
    for f in (
        eqx.filter_jit(m),
        eqx.jitf(m, filter_fn=lambda x: False),
        eqx.jitf(m, filter_tree=True),
        eqx.jitf(m, filter_fn=eqx.is_inexact_array, static_argnums=0),
    ):
        for value in (1.0, 5.0, 1.0):
            for _ in range(8):
                weight[0] = value
                assert f(2.0).tolist() == [2 * value + 1, 5.0]


# Static arrays


class Subclass(np.ndarray):
    pass


MORE_THAN_BYTES = {
    "masked": np.ma.array([1, 2], mask=[True, False]),
    "subclass": np.ones(2).view(Subclass),
    "matrix of objects": np.array([1, None], object),
    "structured with objects": np.zeros(2, [("a", object), ("b", int)]),
}
if hasattr(getattr(np, "dtypes", None), "StringDType"):
    MORE_THAN_BYTES["StringDType"] = np.array(["a", "b"], np.dtypes.StringDType())


@pytest.mark.parametrize("name", MORE_THAN_BYTES)
def test_a_static_array_with_more_than_its_bytes_is_refused(name):
    f = eqx.jitf(lambda m: m, filter_fn=lambda x: False)
    plain = np.array([1, 2])
    f(Model(plain, "name"))
    with pytest.raises(TypeError, match="`m.weight` static, so it must be a plain array without objects, got"):
        f(Model(MORE_THAN_BYTES[name], "name"))


@pytest.mark.parametrize(
    "arrays",
    [
        [np.array(["a"]), np.array(["b"])],
        [np.array(["2020"], "datetime64[Y]"), np.array(["2021"], "datetime64[Y]"), np.array([50], "timedelta64[Y]")],
        [
            np.array([(1, 2.0)], "i4,f4"),
            np.array([(1, 3.0)], "i4,f4"),
            np.array([(1, 2.0)], [("x", "i4"), ("y", "f4")]),
        ],
        [np.array([0.0]), np.array([-0.0])],
    ],
    ids=["text", "dates", "structured", "zeros"],
)
def test_static_numpy_arrays_are_told_apart(arrays):
    f = eqx.jitf(lambda x: (x.dtype, x.tobytes()), filter_fn=lambda x: False)
    for array in arrays + arrays:
        assert f(array) == (array.dtype, array.tobytes())


def test_an_array_of_text_is_static_after_a_traced_array():
    """Both are NumPy arrays, so their types are the same."""
    f = eqx.filter_jit(lambda x: x.dtype.kind)
    for _ in range(2):
        assert [f(x) for x in (np.ones(1), np.array(["a"]), np.ones(1))] == ["f", "U", "f"]


def test_a_static_jax_scalar_is_read_once_a_call(monkeypatch):
    """A bool that `jitf` returned is a new array at each step. To hold it static, the call must read it."""
    read = []
    to_numpy = equinox._dispatch.cache_key._compat.to_numpy
    monkeypatch.setattr(equinox._dispatch.cache_key._compat, "to_numpy", lambda x: read.append(x) or to_numpy(x))
    seen = TraceRecorder(lambda m: Model(m.weight + 1, bool(m.name)))
    step = eqx.jitf(seen, filter_fn=eqx.is_inexact_array)
    m = step(Model(X, True))
    for _ in range(3):
        m = step(m)
    assert eqx.is_array(m.name) and seen.traces == 2 and len(read) == 3
    with monkeypatch.context() as patch:
        patch.setattr("equinox._dispatch.dispatcher.Dispatcher._make_entry", None)
        del read[:]
        for _ in range(3):
            m = step(m)
        assert len(read) == 3 and m.weight.tolist() == [7.0, 8.0]
        for _ in range(8):
            step(m)
        assert len(read) <= 3 + 8


# What `jitf` returns


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

    m = Model(X, True)
    assert eqx.is_array(eqx.jitf(step, filter_fn=eqx.is_inexact_array)(m).name)
    assert eqx.filter_jit(step)(m).name is True


def test_the_sign_of_a_static_zero_counts():
    """`0.0 == -0.0`, but division by them differs."""
    divide = eqx.filter_jit(lambda x, y: x / y)
    for y, expected in [(0.0, np.inf), (-0.0, -np.inf), (0.0, np.inf), (-0.0, -np.inf)]:
        assert divide(jnp.ones(()), y) == expected

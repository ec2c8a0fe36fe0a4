"""`explain_retraces` says why a function was compiled again: by path, before and after."""

import collections
import functools as ft
import gc
import threading
import weakref
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree_util
from modules import Affine
from tracing import Model

import equinox as eqx
from equinox._dispatch import trace_listeners

X = jnp.arange(4.0)


class Activation(eqx.Module):
    fun: Any = eqx.field(static=callable)


class Net(eqx.Module):
    layers: Any
    step: Any = 3
    size: Any = eqx.field(static=True, default=2)

    def __call__(self, x):
        return x

    def method(self, x):
        return x


def other(x):
    return -x


def make():
    return lambda x: x


ONE, TWO = make(), make()

# How JAX wraps its functions depends on the release.
KINDS = " -> ".join(dict.fromkeys(type(f).__name__ for f in (jax.nn.relu, jax.nn.elu)))

# The inputs of two calls -> the words for what differs. The function is `f(model, x, n=None)`.
CHANGES = {
    "a static leaf": ((Net([X], 3), X), (Net([X], 4), X), ["model.step: 3 -> 4 (int, static)"]),
    "a type": ((X, 1), (X, True), ["x: 1 -> True (int -> bool, static)"]),
    "a sign of zero": ((X, 0.0), (X, -0.0), ["x: 0.0 -> -0.0 (float, static)"]),
    "a static field": (
        (Net(X, size=2), X),
        (Net(X, size=(2, 3)), X),
        ["model.size: 2 -> (2, 3) (int -> tuple, static)"],
    ),
    "a field that is static in one of them": (
        (Activation(X), X),
        (Activation(other), X),
        ["model.fun: f32[4] -> other (function, static)"],
    ),
    "a shape": ((X, jnp.ones((3, 2))), (X, jnp.ones((3, 1))), ["x: f32[3,2] -> f32[3,1]"]),
    "a dtype": ((X, X), (X, X > 0), ["x: f32[4] -> bool[4]"]),
    "a weak type": ((X, jnp.float32(1)), (X, jnp.asarray(1.0)), ["x: f32[] -> weak_f32[]"]),
    "an array or a number": ((X, 1), (X, X), ["x: 1 (int, static) -> f32[4]"]),
    "the end of a long text": (
        (X, "a" * 99),
        (X, "a" * 99 + "b"),
        ["x: ...{0}' -> ...{0}b' (str, static)".format(30 * "a")],
    ),
    "the beginning of a long text": (
        (X, "a" * 99),
        (X, "b" * 99),
        ["x: '{}... -> '{}... (str, static)".format(56 * "a", 56 * "b")],
    ),
    "a new key": ((X, {"a": X}), (X, {"a": X, "mask": X}), ["x['mask']: a new key"]),
    "a key less, and a leaf": (
        (X, {"a": X, "b": X}),
        (X, {"a": X[1:]}),
        ["x['b']: this key is gone", "x['a']: f32[4] -> f32[3]"],
    ),
    "another key": ((X, {"a": X}), (X, {"b": X}), ["x['a']: this key is gone", "x['b']: a new key"]),
    "an order of keys": (
        (X, collections.OrderedDict([("a", 1), ("b", 1)])),
        (X, collections.OrderedDict([("b", 1), ("a", 1)])),
        ["x: ['a'], ['b'] -> ['b'], ['a'] (another order of keys)"],
    ),
    "a length": ((Net([X, 1]), X), (Net([X, 1, X]), X), ["model.layers: a `list` of 2 -> a `list` of 3"]),
    "a length of a tuple": ((Net((X, 1)), X), (Net((X, 1, X)), X), ["model.layers: a `tuple` of 2 -> a `tuple` of 3"]),
    "a length and a leaf": (
        (Net([X, 1]), X),
        (Net([X, 2, 3]), X),
        ["model.layers: a `list` of 2 -> a `list` of 3", "model.layers[1]: 1 -> 2 (int, static)"],
    ),
    "a container": ((Net([X]), X), (Net((X,)), X), ["model.layers: a `list` of 1 -> a `tuple` of 1"]),
    "a class": ((Affine(X, X), X), (Model(X, X), X), ["model: a `Affine` -> a `Model`"]),
    "a leaf or a container": ((X, X), (X, [X]), ["x: f32[4] -> a `list` of 1"]),
    "None": ((X, None), (X, X), ["x: None -> f32[4]"]),
    "a function": ((X, ONE), (X, other), ["x: make.<locals>.<lambda> -> other (function, static)"]),
    "a function of the same name": (
        (X, ONE),
        (X, TWO),
        ["x: make.<locals>.<lambda> -> make.<locals>.<lambda> (function, another object, static)"],
    ),
    "a function of JAX": ((X, jax.nn.relu), (X, jax.nn.elu), ["x: relu -> elu ({}, static)".format(KINDS)]),
    "a function in a partial": (
        (X, tree_util.Partial(ONE)),
        (X, tree_util.Partial(TWO)),
        ["x: a `Partial` -> a `Partial` (other static data)"],
    ),
    "an input": ((X, X), (X, X, 1), ["n: a new input"]),
    "an input less": ((X, X, X), (X, X), ["n: this input is gone"]),
    "several": (
        (Net([X, 1], 1), X),
        (Net([X[1:], 2], 1), X[1:]),
        ["model.layers[0]: f32[4] -> f32[3]", "model.layers[1]: 1 -> 2 (int, static)", "x: f32[4] -> f32[3]"],
    ),
}


def recorded(fun=None):
    """The retraces while the test runs. Nothing is printed."""
    return eqx.debug.explain_retraces(fun, announce=None)


def texts(retraces):
    return [str(change) for retrace in retraces for change in retrace.changes]


@pytest.fixture(autouse=True)
def nothing_is_recorded_afterwards():
    yield
    assert trace_listeners.listeners == {}


@pytest.mark.parametrize("name", CHANGES)
def test_what_differs_is_said_by_path(name):
    """Both ways round, each difference has its path, what was there and what is there."""
    before, after, expected = CHANGES[name]
    step = eqx.filter_jit(lambda model, x, n=None: None)
    with recorded(step) as retraces:
        step(*before)
        assert retraces == []
        step(*after)
        assert texts(retraces) == expected
        step.clear_cache()
        step(*after)
        step(*before)
    assert [retrace.compared_with for retrace in retraces[:2]] == [1, 2]
    assert retraces[1].changes == []  # after `clear_cache`
    # Before was the first trace, which differs least.
    assert str(retraces[2]).startswith("`<lambda>` was compiled again. Trace 4 has the same inputs as trace 1:")


def test_an_input_by_keyword():
    step = eqx.filter_jit(lambda x, n: x)
    with recorded() as retraces:
        step(X, X)
        step(X, n=X)
    assert texts(retraces) == ["n: by position -> by keyword"]


def test_static_arrays_are_compared_by_content():
    step = eqx.jitf(lambda x, y: None, filter_fn=lambda x: False)
    with recorded() as retraces:
        step(np.arange(2), X)
        step(np.arange(2) + 1, X)
        step(np.arange(2) + 1, -X)
    size = np.arange(2).dtype.itemsize * 8
    assert texts(retraces) == [
        "x: i{0}[2](numpy) -> i{0}[2](numpy) (ndarray, other values, static)".format(size),
        "y: f32[4] -> f32[4] (Array, other values, static)",
    ]


def test_many_changes_are_cut_short_in_the_words():
    """The list has them all."""
    step = eqx.filter_jit(lambda x: None)
    with recorded(step) as retraces:
        step(list(range(30)))
        step(list(range(1, 31)))
    lines = str(retraces).splitlines()
    assert len(retraces[0].changes) == 30 and len(lines) == 22 and lines[-1] == "  ... and 10 more"


def test_it_compares_with_the_trace_that_differs_least():
    step = eqx.filter_jit(lambda *args: None)
    with recorded(step) as retraces:
        step(X, 1, "a")
        step(X[1:], 2, "b")
        step(X, 1, "c")
        step(X[1:], 2, "d")
    assert [(retrace.number, retrace.compared_with) for retrace in retraces] == [(2, 1), (3, 1), (4, 2)]
    assert texts(retraces[1:]) == ["args[2]: 'a' -> 'c' (str, static)", "args[2]: 'b' -> 'd' (str, static)"]


def test_a_call_that_is_not_traced_is_not_reported():
    step = eqx.filter_jit(lambda x, n: x)
    with recorded() as retraces:
        for n in (1, 2, 1, 2):
            step(X, n)
            step(-X, n)
    assert texts(retraces) == ["n: 1 -> 2 (int, static)"]


def test_words_are_announced_when_it_happens(capsys):
    step = eqx.filter_jit(lambda x, n: x)
    said = []
    with eqx.debug.explain_retraces(announce=said.append), eqx.debug.explain_retraces() as retraces:
        step(X, 1)
        assert said == []
        step(X[1:], 2)
        assert len(said) == 1
        step(X, 2)
    assert said[0] == (
        "`<lambda>` was compiled again. Trace 2 differs from trace 1:\n  x: f32[4] -> f32[3]\n  n: 1 -> 2 (int, static)"
    )
    assert capsys.readouterr().out == "\n".join(said) + "\n" == str(retraces) + "\n"


def test_one_function_or_all():
    """A function is found in what was made of it. Functions and options that share nothing are compared separately."""
    model, another = Net([X]), Net([X, X])
    functions = {
        "function": lambda m: eqx.filter_jit(other),
        "model": eqx.filter_jit,
        "method": lambda m: eqx.filter_jit(m.method),
        "gradient": lambda m: eqx.filter_jit(eqx.filter_grad(other)),
    }
    for name, jitted in functions.items():
        with recorded() as of_all, recorded(jitted(model)) as of_one, recorded(make) as of_none:
            for m, shape in (
                [(model, ()), (another, ())] if name in ("model", "method") else [(model, ()), (model, (0,))]
            ):
                x = jnp.ones(shape) if name != "gradient" else jnp.ones((), [jnp.float32, jnp.float16][len(shape)])
                jitted(m)(x)
        assert len(of_one) == 1 and of_one == of_all and of_none == []
    assert texts(of_one) == ["x: f32[] -> f16[]"]


def test_a_function_that_is_made_at_each_call():
    """Each object is compiled. It is compared with those that the same line has made, and with no others."""

    def call(x, n=1):
        eqx.filter_jit(make())(x)
        eqx.filter_jit(ft.partial(other_of, n=n))(x)
        eqx.filter_jit(decorated(other))(x)
        eqx.filter_jit(decorated(make))(x)

    def decorated(fun):
        return ft.wraps(fun)(lambda x: x)

    def other_of(x, n):
        return x

    with recorded() as retraces:
        call(X)
        assert retraces == []
        call(X[1:], 2)
    lambdas, partials, *wrapped = [retrace.changes for retrace in retraces]
    name = make().__qualname__
    assert list(map(str, lambdas)) == [
        "fun: {0} -> {0} (function, another object, static)".format(name),
        "x: f32[4] -> f32[3]",
    ]
    assert partials[0].before.endswith("n=1)") and partials[0].after.endswith("n=2)")
    assert [changes[0].path for changes in wrapped] == ["fun", "fun"]


@pytest.mark.skipif(
    not hasattr(getattr(jax, "sharding", None), "AxisType"), reason="no `jax.sharding.AxisType` of JAX 0.5.2"
)
def test_a_sharding_that_is_part_of_the_type():
    mesh = jax.make_mesh((1,), ("a",), axis_types=(jax.sharding.AxisType.Explicit,))
    put = lambda *spec: jax.device_put(X, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec)))  # noqa: E731
    step = eqx.filter_jit(lambda x: x)
    with recorded() as retraces:
        step(X), step(put("a")), step(put())
    assert texts(retraces) == [
        "x: f32[4] -> f32[4], P('a') on the mesh (a=1)",
        "x: f32[4], P('a') on the mesh (a=1) -> f32[4], P(None) on the mesh (a=1)",
    ]


def test_a_block_in_a_block_and_a_block_after_the_end():
    """It records until the outer block ends, and in each later block."""
    step, retraces = eqx.filter_jit(lambda x: x), recorded()
    with retraces:
        step(X)
        with retraces:
            step(X[1:])
        step(X[2:])
    step(X[3:])
    assert texts(retraces) == ["x: f32[4] -> f32[3]", "x: f32[3] -> f32[2]"]
    with retraces:
        step(X > 0)
        step(X[1:] > 0)
    assert texts(retraces[2:]) == ["x: bool[4] -> bool[3]"]


def test_it_records_until_it_is_stopped():
    step = eqx.filter_jit(lambda x: x)
    retraces = recorded(step)
    step(X)
    step(X[1:])
    retraces.stop()
    step(X[2:])
    assert texts(retraces) == ["x: f32[4] -> f32[3]"]
    assert str(recorded_nothing()) == "No function was compiled again."


def recorded_nothing():
    with recorded() as retraces:
        return retraces


def test_an_error_ends_the_block():
    with pytest.raises(ZeroDivisionError), recorded():
        1 / 0  # noqa: B018


def test_functions_are_kept_while_it_records():
    """Else another function could get the same `id`, and be compared with the first."""

    def references():
        fun = lambda x: x  # noqa: E731
        eqx.filter_jit(fun)(X)
        return weakref.ref(fun)

    with recorded():
        fun = references()
        gc.collect()
        assert fun() is not None
    gc.collect()
    assert fun() is None


def test_it_keeps_no_tracers():
    """The tracers of a trace are gone, and so are the arrays."""
    step = eqx.filter_jit(lambda model, x: x)
    with recorded() as retraces, jax.checking_leaks():
        step(Net([X, 1]), X)
        step(Net([X, 2]), X)
    assert texts(retraces) == ["model.layers[1]: 1 -> 2 (int, static)"]


def test_what_is_compiled_is_the_same():
    """Whether someone records or not, the jaxpr is the same."""
    step = eqx.filter_jit(lambda model, x: model.layers[0] * x)
    jaxpr = str(jax.make_jaxpr(lambda x: step(Net([x]), x))(X))
    step.clear_cache()
    with recorded():
        assert str(jax.make_jaxpr(lambda x: step(Net([x]), x))(X)) == jaxpr


def test_threads_are_recorded_together():
    step = eqx.filter_jit(lambda x, n: x)
    with recorded(step) as retraces:
        threads = [threading.Thread(target=step, args=(X, n)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(retrace.number for retrace in retraces) == list(range(2, 9))


def test_what_cannot_be_called_is_refused():
    for arguments in ({"fn": 3}, {"announce": "print"}):
        name = list(arguments)[0]
        with pytest.raises(TypeError, match="`explain_retraces` expects a function .* for `{}`, got".format(name)):
            eqx.debug.explain_retraces(**arguments)

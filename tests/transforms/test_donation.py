"""`donate`: which inputs `filter_jit` donates, what JAX may warn of, and arrays that are passed twice."""

import sys
import threading
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from devices import HOW_MANY, named, several, shards
from tracing import Model, TraceRecorder, is_deleted, model

import equinox as eqx

QUIET = ["all", "all-except-first", "none"]
WARNING = ["warn", "warn-except-first"]


def _donates():
    """Whether this backend donates. The CPU does since JAX 0.4.31, and before in some releases of jaxlib."""
    x = jnp.ones(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        jax.jit(lambda x: x + 1, donate_argnums=0)(x)
    return is_deleted(x)


donates = pytest.mark.skipif(not _donates(), reason="this backend of JAX {} donates nothing".format(jax.__version__))
# A backend that can't donate warns. (2026-11)
no_warning = pytest.mark.filterwarnings("ignore:Some donated buffers were not usable:UserWarning")


def call(fun, *args, **kwargs):
    """The output, and the messages of the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = fun(*args, **kwargs)
    return out, [str(w.message) for w in caught]


@no_warning
@pytest.mark.parametrize("donate", QUIET + WARNING)
@pytest.mark.parametrize("by_keyword", [False, True], ids=["by_position", "by_keyword"])
def test_donate_chooses_inputs_as_donate_argnums_does(donate, by_keyword):
    """All inputs, or all but the first. An input that is passed by keyword has the place of its parameter."""
    argnums = () if donate == "none" else (1, 2) if donate.endswith("except-first") else (0, 1, 2)
    xs = [jnp.full(2, i) for i in range(3)]
    jax.jit(lambda a, b, c: (a + 1, b + 1, c + 1), donate_argnums=argnums)(*xs)
    m, ys = model(), [jnp.full(2, i) for i in range(2)]
    f = eqx.filter_jit(lambda m, y, rest: (m.weight + 1, y + 1, rest["z"] + 1), donate=donate)
    out = f(rest={"z": ys[1], "name": "z"}, y=ys[0], m=m) if by_keyword else f(m, ys[0], {"z": ys[1], "name": "z"})
    assert [is_deleted(x) for x in (m.weight, *ys)] == [is_deleted(x) for x in xs]
    assert [x.tolist() for x in out] == [[2.0, 3.0], [1.0, 1.0], [2.0, 2.0]]


@no_warning
def test_the_function_is_no_input():
    """The model of a method isn't donated. If the method is decorated in its class, the model is the first input."""

    class Adds(eqx.Module):
        weight: jnp.ndarray

        def __call__(self, x):
            return self.weight + x

        @eqx.filter_jit(donate="all")
        def donated(self, x):
            return self.weight + 1, x + 1

        @eqx.filter_jit(donate="all-except-first")
        def kept(self, x):
            return self.weight + x

    m = Adds(jnp.ones(2))
    for fun in (m, m.__call__):
        assert eqx.filter_jit(fun, donate="all")(jnp.ones(2)).tolist() == [2.0, 2.0]
    assert m.kept(jnp.ones(2)).tolist() == [2.0, 2.0] and not is_deleted(m.weight)
    m = Adds(jnp.ones(2))  # another one: old JAX may keep an array that it has read
    m.donated(jnp.ones(2))
    assert is_deleted(m.weight) == _donates()


@pytest.mark.parametrize("donate", QUIET + WARNING)
def test_only_warn_lets_jax_warn(donate):
    """JAX warns when it compiles: for each new shape, and for `lower`. With "all" it never does."""
    fun = TraceRecorder(lambda x, y: y.sum())
    f = eqx.filter_jit(fun, donate=donate)
    expected = donate in WARNING
    for size in (2, 3):
        assert bool(call(f, jnp.ones(()), jnp.ones(size))[1]) == expected
        assert call(f, jnp.ones(()), jnp.ones(size))[1] == []
    assert fun.traces == 2
    if hasattr(jax.jit(lambda x: x), "lower"):
        lowered, messages = call(f.lower, jnp.ones(()), jax.ShapeDtypeStruct((4,), jnp.float32))
        assert bool(messages) == expected
        assert call(lowered.compile(), jnp.ones(()), jnp.ones(4))[0] == 4.0


@no_warning
def test_quiet_calls_are_as_fast_as_others():
    """Once compiled, a call with "all" calls no more functions of JAX than one with "warn"."""

    def number_of_calls(donate):
        f, x, numbers = eqx.filter_jit(lambda x, n: x + 1, donate=donate), jnp.ones(2), []
        for _ in range(6):
            names = []
            sys.setprofile(lambda frame, event, arg, names=names: names.append(frame.f_globals.get("__name__")))
            try:
                x = f(x, 1)
            finally:
                sys.setprofile(None)
            numbers.append(sum(str(name).startswith("jax.") for name in names))
        return min(numbers)

    assert number_of_calls("all") <= number_of_calls("warn")


@no_warning
def test_other_warnings_pass():
    def fun(x):
        warnings.warn("from the function", stacklevel=1)
        return x + 1

    assert "from the function" in call(eqx.filter_jit(fun, donate="all"), jnp.ones(2))[1]


@no_warning
def test_errors_of_the_function_pass_and_leave_the_filters_of_warnings():
    def fun(x):
        raise RuntimeError("from the function")

    filters = list(warnings.filters)
    with pytest.raises(RuntimeError, match="from the function"):
        eqx.filter_jit(fun, donate="all")(jnp.ones(2))
    assert warnings.filters == filters


@no_warning
def test_donation_nests_and_runs_in_threads():
    """Inside of another transformation nothing is donated, as by `jax.jit`. Another thread has a state of its own."""
    inner = eqx.filter_jit(lambda x, y: x * y.sum(), donate="all")
    x = jnp.array([1.0, 2.0])
    assert eqx.filter_jit(lambda x: inner(x, x), donate="warn")(x + 0).tolist() == [3.0, 6.0]
    assert jax.jit(lambda x: inner(x, x))(x).tolist() == [3.0, 6.0]
    assert jax.jit(jax.grad(lambda x: inner(x, 2 * x).sum()))(x).tolist() == [12.0, 12.0]
    assert jax.jit(jax.vmap(inner, in_axes=(0, None)))(x, x).tolist() == [3.0, 6.0]
    got = []
    thread = threading.Thread(target=lambda: got.append(inner(jnp.ones(3), jnp.ones(3))))
    thread.start()
    thread.join()
    assert got[0].tolist() == [3.0, 3.0, 3.0]


@no_warning
@pytest.mark.parametrize("options", [{"donate": "all"}, {"donate": "warn"}, {"donate_argnums": 1}], ids=repr)
def test_an_array_that_is_donated_and_passed_twice_is_refused(options):
    """The error names both places. Nothing is deleted."""
    f = eqx.filter_jit(lambda m, x: (m, x), **options)
    m = model()
    message = r"`filter_jit` is asked to donate `x\['a'\]\[0\]`, but the same array is also passed as `m.weight`"
    for _ in range(2):
        with pytest.raises(ValueError, match=message):
            f(m, {"a": [m.weight]})
        assert not is_deleted(m.weight)
    if hasattr(jax.jit(lambda x: x), "lower"):
        compiled = f.lower(m, {"a": [m.weight]}).compile()
        with pytest.raises(ValueError, match="an array is donated, but it is another input of the same call too"):
            compiled(m, {"a": [m.weight]})
    assert f(m, {"a": [jnp.array(m.weight)]})[1]["a"][0].tolist() == [1.0, 2.0]


@no_warning
@several
@shards
def test_an_array_on_several_devices_is_refused_before_the_call():
    """jaxlib 0.10.2 crashes if it is donated twice."""
    x = jax.device_put(jnp.ones(HOW_MANY), named("d"))
    with pytest.raises(ValueError, match="asked to donate `b`, but the same array is also passed as `a`"):
        eqx.filter_jit(lambda a, b: (a + 1, b + 1), donate="all")(x, x)
    assert x.tolist() == [1.0] * HOW_MANY


@no_warning
def test_the_same_array_twice_is_fine_where_it_is_not_donated():
    """NumPy arrays and numbers have no memory that JAX could donate."""
    x, n = jnp.ones(2), np.ones(2, np.float32)
    f = eqx.filter_jit(lambda a, b, c: a + b + c, donate_argnums=2)
    assert f(x, x, jnp.ones(2)).tolist() == [3.0, 3.0] and f(n, n, n).tolist() == [3.0, 3.0]
    g = eqx.jitf(lambda a, b: a + b, filter_fn=eqx.is_array_like, donate="all")
    assert g(1.0, 1.0) == 2.0


@donates
def test_two_arrays_with_the_same_memory_are_named():
    """`jax.device_put` may return another array with the same memory."""
    x = jnp.ones(2)
    same = jax.device_put(x, jax.devices()[0])
    if same is x:
        pytest.skip("JAX {} returns the same array object".format(jax.__version__))
    with pytest.raises(ValueError, match="asked to donate `b`, but the same array is also passed as `a`"):
        eqx.filter_jit(lambda a, b: (a + 1, b + 1), donate="all")(x, same)


def test_donate_is_checked_when_decorating():
    for donate in ("some", True, None, ["all"]):
        with pytest.raises(ValueError, match="expects `donate` to be one of 'all', 'all-except-first', 'warn', .* got"):
            eqx.filter_jit(lambda x: x, donate=donate)
    for other in ({"donate_argnums": 0}, {"donate_argnames": "x"}):
        with pytest.raises(ValueError, match="got `donate='all'` and `donate_argnums` or `donate_argnames` too"):
            eqx.filter_jit(lambda x: x, donate="all", **other)
    assert eqx.filter_jit(lambda x: x, donate="none", donate_argnums=()) is not None


@no_warning
def test_static_inputs_are_not_donated():
    f = eqx.filter_jit(lambda x, n: x * n, static_argnums=1, donate="all")
    assert f(jnp.ones(2), 3).tolist() == [3.0, 3.0]


def test_typed_keys_are_donated():
    if not hasattr(jax.random, "key"):
        pytest.skip("typed keys came in JAX 0.4.11, this is " + jax.__version__)
    key = jax.random.key(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        f = eqx.filter_jit(lambda key, m: (jax.random.split(key), m), donate="all")
        keys, m = f(key, Model(jnp.ones(2), "name"))
    with pytest.raises(ValueError, match="asked to donate `key`, but the same array is also passed as `m.weight`"):
        f(keys, Model(keys, "name"))
    assert keys.shape == (2,) and m.name == "name"


def test_clear_caches_forgets_what_was_compiled():
    """Functions that were jitted before are compiled again, and so are loops and branches. Results don't change."""
    jitted, looped = TraceRecorder(lambda m: m.weight + 1), TraceRecorder(lambda c, x: (c + x, c))
    f, m = eqx.filter_jit(jitted), model()
    for traces in (1, 2, 3):
        for _ in range(2):
            assert f(m).tolist() == [2.0, 3.0] and eqx.filter_jit(jitted)(m).tolist() == [2.0, 3.0]
            eqx.filter_scan(looped, jnp.zeros(()), jnp.ones(3))
        assert jitted.traces == traces
        assert looped.traces in (traces, 2 * traces, 3 * traces)  # the same for each round
        eqx.clear_caches()

"""`error_if` and `branched_error_if`: when they raise an error, which one, and that they change nothing else."""

import logging
import os
import pickle
import subprocess
import sys

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from jaxprs import all_kinds, jaxpr_kinds
from modules import Affine

import equinox as eqx
from equinox._compat.release import jax_release
from equinox._dispatch import checks

GOOD, BAD = jnp.array([1.0, 4.0]), jnp.array([1.0, -4.0])
MESSAGE = "It is negative."

needs_keys = pytest.mark.skipif(not hasattr(jrandom, "key_impl"), reason="no `jax.random.key_impl` of JAX 0.4.18")


def root(x):
    return jnp.sqrt(eqx.error_if(x, x < 0, MESSAGE))


def raises(text=MESSAGE):
    return pytest.raises(eqx.EquinoxRuntimeError, match=text)


# Where it is called from


def test_returns_x_if_all_is_well(run):
    np.testing.assert_allclose(run(root, GOOD), [1.0, 2.0])


@pytest.mark.parametrize(
    "call",
    [
        root,
        jax.vmap(root),
        jax.grad(lambda x: root(x).sum()),
        eqx.filter_jit(root),
        eqx.jitf(root, filter_fn=eqx.is_array),
        eqx.filter_jit(eqx.filter_jit(root)),
        eqx.filter_jit(jax.jit(root)),
        eqx.filter_jit(jax.vmap(root)),
        eqx.filter_jit(jax.grad(lambda x: root(x).sum())),
        eqx.filter_jit(jax.grad(lambda x: jax.checkpoint(root)(x).sum())),
        eqx.filter_jit(jax.jacfwd(root)),
        eqx.filter_jit(lambda x: eqx.filter_scan(lambda c, y: (c, root(y)), 0.0, x)[1]),
        eqx.filter_jit(jax.grad(lambda x: eqx.filter_scan(lambda c, y: (c + root(y), None), x[0], x)[0])),
        eqx.filter_jit(lambda x: jax.lax.while_loop(lambda c: c[0] > 1.5, root, x)),
        eqx.filter_jit(lambda x: eqx.filter_cond(x[0] > 0, root, lambda x: x, x)),
    ],
    ids=[
        "eager",
        "vmap",
        "grad",
        "filter_jit",
        "jitf",
        "filter_jit-filter_jit",
        "filter_jit-jit",
        "filter_jit-vmap",
        "filter_jit-grad",
        "filter_jit-grad-checkpoint",
        "filter_jit-jacfwd",
        "filter_jit-scan",
        "filter_jit-grad-scan",
        "filter_jit-while",
        "filter_jit-cond",
    ],
)
def test_raises_at_the_call(call):
    """Each time, also after a call that was right."""
    good = jnp.array([10.0, 10.0])
    jax.tree_util.tree_map(np.asarray, call(good))
    for _ in range(2):
        with raises():
            call(jnp.array([3.5, -4.0]))


def test_a_branch_that_is_not_taken_raises_nothing():
    call = eqx.filter_jit(lambda x: eqx.filter_cond(x[0] > 2, root, lambda x: x, x))
    np.testing.assert_allclose(call(BAD), BAD)


def batched_cond(pred):
    return lambda x: jax.lax.cond(x > 0, lambda x: eqx.error_if(x, pred(x), MESSAGE), lambda x: x, x)


def batched_switch(pred):
    branches = [lambda x: x, lambda x: eqx.error_if(x, pred(x), MESSAGE)]
    return lambda x: jax.lax.switch((x > 0).astype(int), branches, x)


def batched_while(pred):
    return lambda x: jax.lax.while_loop(lambda x: x > 0, lambda x: eqx.error_if(x, pred(x), MESSAGE) - 1, x)


@pytest.mark.parametrize("make", [batched_cond, batched_switch, batched_while])
def test_vmap_runs_branches_and_bodies_for_all_examples(make):
    """The condition in the predicate leaves out the examples that don't take the branch."""
    xs = jnp.array([1.0, -1.0, 3.0])
    with raises("index 1 of the batch. Examples that failed: 1 of 3"):
        eqx.filter_jit(jax.vmap(make(lambda x: x < -0.5)))(xs)
    got = eqx.filter_jit(jax.vmap(make(lambda x: (x > 0) & (x < -0.5))))(xs)
    np.testing.assert_allclose(got, jax.vmap(make(lambda x: False))(xs))
    with raises("index 2 of the batch. Examples that failed: 1 of 3"):
        eqx.filter_jit(jax.vmap(make(lambda x: (x > 0) & (x > 2))))(xs)


def test_raises_for_the_methods_of_a_model():
    class Root(eqx.Module):
        scale: jnp.ndarray

        @eqx.filter_jit
        def __call__(self, x):
            return eqx.error_if(self, x < 0, MESSAGE).scale * jnp.sqrt(x)

    model = Root(jnp.array(2.0))
    np.testing.assert_allclose(model(GOOD), [2.0, 4.0])
    with raises():
        model(BAD)


def test_raises_in_a_program_that_is_compiled_ahead_of_time():
    try:
        lowered = eqx.filter_jit(root).lower(jax.ShapeDtypeStruct((2,), jnp.float32))
    except NotImplementedError as error:
        pytest.skip(str(error))
    compiled = lowered.compile()
    np.testing.assert_allclose(compiled(GOOD), [1.0, 2.0])
    with raises():
        compiled(BAD)


def test_raises_if_an_inner_function_was_traced_before():
    """`error_if` isn't called again, so `filter_jit` must read the program."""
    traced = []

    def counted(x):
        traced.append(1)
        return root(x)

    inner = jax.jit(counted)
    step = lambda carry, x: (carry, counted(x))  # noqa: E731
    scan = lambda x: jax.lax.scan(step, 0.0, x)[1]  # noqa: E731
    for fun in (inner, scan):
        jax.jit(lambda x, fun=fun: fun(x) - 1)(GOOD)
        before = len(traced)
        outer = eqx.filter_jit(lambda x, fun=fun: fun(x) + 1)
        np.testing.assert_allclose(outer(GOOD), [2.0, 3.0])
        assert len(traced) == before or jax_release(jax) < (0, 4, 4)  # older JAX traces `inner` again
        with raises():
            outer(BAD)


def test_raises_if_it_was_traced_by_an_outer_function_before():
    inner = eqx.filter_jit(lambda x: root(x) + 1)
    jax.jit(lambda x: inner(x))(GOOD)
    for _ in range(2):
        with raises():
            inner(BAD)


def test_plain_jit_raises_the_error_of_jax_with_the_message():
    for vmapped in (root, jax.vmap(root)):
        with pytest.raises(Exception, match=MESSAGE) as caught:
            np.asarray(jax.jit(vmapped)(BAD))
        assert not isinstance(caught.value, eqx.EquinoxRuntimeError)
    assert "index 1 of the batch" in str(caught.value)


def test_nothing_is_logged(caplog):
    with caplog.at_level(logging.WARNING), raises():
        eqx.filter_jit(root)(BAD)
    assert not caplog.records


def test_other_errors_are_those_of_jax():
    """An earlier check has no part in them."""
    with raises():
        eqx.filter_jit(root)(BAD)

    def wrong(x):
        raise ValueError("another error")

    with pytest.raises(ValueError, match="another error"):
        eqx.filter_jit(wrong)(BAD)


def test_an_error_in_another_thread_is_not_taken_for_it(monkeypatch):
    """The text of JAX's error also holds the shorter message."""
    own = checks.raised_on_host

    def with_another(error):
        own(eqx.EquinoxRuntimeError(MESSAGE[:5]))
        own(error)
        own(eqx.EquinoxRuntimeError(MESSAGE[:5]))

    monkeypatch.setattr(sys.modules["equinox._runtime.error_if"], "raised_on_host", with_another)
    with raises(MESSAGE):
        eqx.filter_jit(root)(BAD)


ODD_MESSAGES = {
    "braces": "{0} {x} %s %d",
    "empty": "",
    "lines": "one\r\n\ntwo\n",
    "unicode": "\u00fc \u6f22 \U0001f389",
    "name of the class": "EquinoxRuntimeError: {}".format(MESSAGE),
    "surrogate and NUL": "a\ud800b\0c",
}


@pytest.mark.parametrize("name", ODD_MESSAGES)
def test_a_message_may_hold_any_character(name):
    """JAX would end the process at a surrogate, and a text at NUL."""
    message, jitted = ODD_MESSAGES[name], eqx.filter_jit(lambda x, message: eqx.error_if(x, x[1] < 0, message))
    for call in (jitted, eqx.error_if):
        with pytest.raises(eqx.EquinoxRuntimeError) as error:
            call(BAD, message) if call is jitted else call(BAD, BAD[1] < 0, message)
        assert str(error.value) == message.replace("\ud800", r"\ud800").replace("\0", r"\x00")
    with raises("^{}$".format(MESSAGE)):
        jitted(BAD, MESSAGE)


def test_an_error_can_be_pickled():
    with raises() as caught:
        eqx.filter_jit(root)(BAD)
    loaded = pickle.loads(pickle.dumps(caught.value))
    assert type(loaded) is eqx.EquinoxRuntimeError and loaded.args == caught.value.args


def test_an_output_may_be_an_array_of_numpy():
    """The gradient of an integer is one."""
    fun = eqx.filter_jit(jax.grad(lambda pair: root(pair[0]) * pair[1], allow_int=True))
    gradient, _ = fun((GOOD[1], jnp.array(3)))
    np.testing.assert_allclose(gradient, 0.75)
    with raises():
        fun((BAD[1], jnp.array(3)))


SPMD = """
import sys
import jax, jax.numpy as jnp, numpy as np, equinox as eqx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

mesh = Mesh(np.array(jax.devices()), ("devices",))
spec = PartitionSpec("devices")

def checked(x):
    return eqx.error_if(x, x < 0, "It is negative.").sum() + x

def of_callback(x):
    on_host = lambda x: (x, bool((x < 0).any()))
    y, failed = eqx.filter_pure_callback(on_host, x, result_shape_dtypes=(x, jax.ShapeDtypeStruct((), bool)))
    return eqx.error_if(y, failed, "The callback failed.").sum() + x

def on_each_device(x):
    failed = jax.lax.pmax((x < 0).any().astype(int), "devices") > 0
    return jax.lax.psum(eqx.error_if(x, failed, "One device failed."), "devices") + x

funs = {
    "checked": checked,
    "of_callback": of_callback,
    "backward_nan": jax.grad(lambda x: eqx.debug.backward_nan(jnp.where(x < 0, jnp.nan, x) * x, "x").prod()),
    "on_each_device": eqx.filter_shard_map(on_each_device, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False),
}
x = jnp.ones(8)
for name in sys.argv[1:]:
    fun = eqx.filter_jit(funs[name])
    print(fun(jax.device_put(x, NamedSharding(mesh, spec)))[0])
    try:
        fun(jax.device_put(x.at[5].set(-1), NamedSharding(mesh, spec)))
    except eqx.EquinoxRuntimeError as error:
        print(str(error).splitlines()[0])
"""


@pytest.mark.skipif(
    jax_release(jax) < (0, 4, 30),
    reason="JAX before 0.4.30 may lose the message of an error on several devices: 0.4.13 and 0.4.20 do",
)
def test_several_devices_all_stop():
    """No device waits for another one. In a process of its own: JAX before 0.7 remembers the error."""
    expected = {
        "checked": ["9.0", MESSAGE],
        "of_callback": ["9.0", "The callback failed."],
        "on_each_device": ["9.0", "One device failed."],
        "backward_nan": ["2.0", "`backward_nan` found a NaN in the cotangent of `x`."],
    }
    names = list(expected)[: 1 if jax_release(jax) < (0, 7) else None]
    environment = dict(os.environ, XLA_FLAGS="--xla_force_host_platform_device_count=8", JAX_PLATFORMS="cpu")
    done = subprocess.run(
        [sys.executable, "-c", SPMD, *names],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    printed = [line for line in done.stdout.splitlines() if not line.startswith(("x: ", "cotangent of x: "))]
    assert printed == sum((expected[name] for name in names), []), done.stderr


# What the program is


def test_off_is_the_program_without_it(monkeypatch):
    off = lambda x: jnp.sqrt(eqx.error_if(x, x < 0, MESSAGE, on_error="off"))  # noqa: E731
    without = lambda x: jnp.sqrt(x)  # noqa: E731
    assert jaxpr_kinds(off, GOOD) == ["lt", *jaxpr_kinds(without, GOOD)]  # the predicate itself is the user's
    monkeypatch.setenv("EQX_ON_ERROR", "off")
    assert jaxpr_kinds(lambda x: root(x), GOOD) == jaxpr_kinds(off, GOOD)


def test_it_adds_one_check_and_one_choice_for_each_array():
    fun = lambda x, y, pred: jax.tree_util.tree_leaves(eqx.error_if((x, {"y": y, "n": "text"}), pred, MESSAGE))[::2]  # noqa: E731
    kinds = jaxpr_kinds(fun, GOOD, BAD, True)
    assert kinds.count("host_check") == 1
    assert sum(kind in ("select", "select_n") for kind in kinds) == 2 and len(kinds) <= 5


def test_the_check_goes_with_x():
    """A program that doesn't use the returned value has no check."""

    def unused(x):
        eqx.error_if(x, x < 0, MESSAGE)
        return 2 * x

    np.testing.assert_allclose(eqx.filter_jit(unused)(BAD), 2 * BAD)


def test_a_false_bool_adds_nothing():
    assert all_kinds(lambda x: eqx.error_if(x, False, MESSAGE) + 1, GOOD) == ["add"]
    tree = (np.ones(2), "text")
    assert eqx.error_if(tree, np.array([False]), MESSAGE) is tree


def test_the_gradient_is_that_without_it():
    for grad in (jax.grad, lambda fun: jax.jit(jax.grad(fun)), lambda fun: jax.grad(jax.grad(fun))):
        with_check, without = (grad(lambda x, f=f: f(x)) for f in (root, jnp.sqrt))
        np.testing.assert_allclose(with_check(GOOD[1]), without(GOOD[1]), rtol=1e-6)


def test_all_leaves_are_kept():
    """Arrays of each dtype, and everything else as it is."""
    arrays = (GOOD, jnp.arange(2), jnp.array(True), np.ones(3, np.float32), jnp.ones((), jnp.complex64))
    others = (3, "text", None, jnp.tanh)
    checked = eqx.filter_jit(lambda tree, pred: eqx.error_if(tree, pred, MESSAGE))
    got, got_others = checked((arrays, others), jnp.array(False))
    assert got_others == others
    for x, y in zip(got, arrays):
        assert x.dtype == y.dtype and (x == y).all()


@needs_keys
def test_typed_keys_are_kept():
    keys = jrandom.split(jrandom.key(0), 3)
    checked = eqx.filter_jit(lambda keys, pred: eqx.error_if(keys, pred, MESSAGE))
    assert (jrandom.key_data(checked(keys, jnp.array(False))) == jrandom.key_data(keys)).all()
    with raises():
        checked(keys, jnp.array(True))


# Batches


@hypothesis.settings(max_examples=10)
@hypothesis.given(
    mask=st.lists(st.booleans(), min_size=12, max_size=12), in_axes=st.sampled_from([(0, 0), (1, 0), (0, 1), (2, 1)])
)
def test_the_error_says_at_which_index_of_the_batch(mask, in_axes):
    """The oracle is a loop over the examples: outer axis, inner axis, then that of `pred`."""
    mask = np.array(mask).reshape(2, 3, 2)
    fun = lambda pred: eqx.error_if(GOOD, pred, MESSAGE)  # noqa: E731
    for axis in reversed(in_axes):
        fun = jax.vmap(fun, in_axes=axis)
    outer, inner = in_axes
    places = [
        (i, j, k)
        for i in range(mask.shape[outer])
        for j in range(mask.take(i, outer).shape[inner])
        for k, is_bad in enumerate(mask.take(i, outer).take(j, inner))
        if is_bad
    ]
    try:
        fun(jnp.asarray(mask))
        found = None
    except eqx.EquinoxRuntimeError as error:
        found = str(error).splitlines()
    if not places:
        assert found is None
    else:
        i, j, k = places[0]
        number, total = len({place[:2] for place in places}), mask.size // mask.take(0, outer).take(0, inner).size
        assert found == [
            MESSAGE,
            "It failed at index ({}, {}) of the batch. Examples that failed: {} of {}.".format(i, j, number, total),
            "`pred` is true at index {}.".format(k),
        ]


def test_pred_may_be_batched_while_x_is_not():
    checked = eqx.filter_jit(
        eqx.filter_vmap(lambda x, pred: eqx.error_if(x, pred, MESSAGE), in_axes=(None, 0), out_axes=None)
    )
    np.testing.assert_allclose(checked(GOOD, jnp.array([False, False, False])), GOOD)
    with raises("index 2 of the batch. Examples that failed: 1 of 3"):
        checked(GOOD, jnp.array([False, False, True]))


# Several messages


def test_the_index_says_which_message():
    """It may be known, traced or batched. One that is out of range is that of the nearest message."""
    messages = ["zero", "one", "two"]
    fun = lambda x, pred, index: eqx.branched_error_if(x, pred, index, messages)  # noqa: E731
    jitted, true = eqx.filter_jit(fun), jnp.array(True)
    for index, expected in ((0, "zero"), (2, "two"), (7, "two"), (-1, "zero")):
        for call in (fun, jitted):
            for i in (index, np.int64(index), jnp.array(index)):
                with raises("^{}$".format(expected)):
                    call(GOOD, true, i)
    for index, expected in ((2**40, "two"), (-(2**40), "zero"), (10**30, "two"), (np.int64(2**32), "two")):
        for call in (fun, eqx.filter_jit(lambda x, pred, index=index: fun(x, pred, index))):
            with raises("^{}$".format(expected)):
                call(GOOD, true, index) if call is fun else call(GOOD, true)
    np.testing.assert_allclose(jitted(GOOD, jnp.array(False), jnp.array(1)), GOOD)
    with raises("^one\nIt failed at index 1 of the batch"):
        eqx.filter_jit(jax.vmap(fun))(BAD, BAD < 0, jnp.array([0, 1]))
    with raises("^two\nIt failed at index 1 of the batch"):
        eqx.filter_jit(jax.vmap(fun, in_axes=(0, 0, None)))(BAD, BAD < 0, jnp.array(2))
    with raises("^two\nIt failed at index 0 of the batch"):
        eqx.filter_jit(jax.vmap(fun, in_axes=(0, None, 0)))(BAD, true, jnp.array([2, 0]))


# What else may be done


def test_a_predicate_that_is_known():
    for true in (True, np.bool_(True), np.array([False, True])):
        with pytest.raises(eqx.EquinoxTracetimeError, match=MESSAGE):
            eqx.error_if(GOOD, true, MESSAGE)
        with pytest.raises(eqx.EquinoxTracetimeError, match=MESSAGE):
            jax.eval_shape(lambda x, true=true: eqx.error_if(x, true, MESSAGE), GOOD)
    true = jnp.array([False, True])
    with raises():
        jax.eval_shape(lambda x: eqx.error_if(x, true, MESSAGE), GOOD)


def test_nan_takes_the_place_of_floats(monkeypatch):
    fun = lambda x, pred: eqx.error_if((x, jnp.arange(2), "text"), pred, MESSAGE)  # noqa: E731
    monkeypatch.setenv("EQX_ON_ERROR", "nan")
    for call in (fun, eqx.filter_jit(fun)):
        x, numbers, text = call(GOOD, jnp.array([False, True]))
        assert np.isnan(x).all() and (numbers == jnp.arange(2)).all() and text == "text"
        np.testing.assert_allclose(call(GOOD, jnp.array([False, False]))[0], GOOD)
    x, _, _ = eqx.filter_jit(eqx.filter_vmap(fun))(GOOD, jnp.array([False, True]))
    assert np.isnan(x).tolist() == [False, True]
    assert np.isnan(eqx.error_if(GOOD, True, MESSAGE)).all()


def test_breakpoint_prints_the_message_and_goes_on(monkeypatch, capsys):
    fun = lambda x: eqx.error_if(x, x < 0, MESSAGE, on_error="breakpoint")  # noqa: E731
    if not hasattr(jax, "debug"):
        with pytest.raises(NotImplementedError, match="needs JAX 0.3.17"):
            fun(BAD)
        return
    opened = []

    def breakpoint():
        jax.debug.callback(lambda: opened.append(1))

    monkeypatch.setattr(jax.debug, "breakpoint", breakpoint)
    jitted = eqx.filter_jit(jax.vmap(fun))
    np.testing.assert_allclose(jitted(GOOD), GOOD)
    assert not opened and not capsys.readouterr().out
    np.testing.assert_allclose(jitted(BAD), BAD)
    getattr(jax, "effects_barrier", lambda: None)()
    assert opened == [1] and "index 1 of the batch" in capsys.readouterr().out


# Bad input


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: eqx.error_if(3, True, MESSAGE), ValueError, "expects `x` to hold an array, .*It holds `int` 3"),
        (lambda: eqx.error_if((), True, MESSAGE), ValueError, "It holds no leaf"),
        (lambda: eqx.error_if(GOOD, GOOD, MESSAGE), TypeError, r"expects `pred` to be .*, got `.*` float32\[2\]"),
        (lambda: eqx.error_if(GOOD, 1, MESSAGE), TypeError, "expects `pred` to be .*, got `int` 1"),
        (lambda: eqx.error_if(GOOD, False, 3), TypeError, "`error_if` expects `msg` to be a string, got `int` 3"),
        (lambda: eqx.error_if(GOOD, False, "", on_error="no"), ValueError, "expects `on_error` to be one of .*'no'"),
        (lambda: eqx.error_if(GOOD, False, "", on_error=np.array(["a", "b"])), ValueError, "got array"),
        (lambda: eqx.branched_error_if(GOOD, False, 0, "text"), TypeError, "expects `msgs` to be a sequence of str"),
        (lambda: eqx.branched_error_if(GOOD, False, 0, []), ValueError, "expects at least one message"),
        (lambda: eqx.branched_error_if(GOOD, False, 0.5, ["a"]), TypeError, "expects `index` .*, got `float` 0.5"),
        (lambda: eqx.branched_error_if(GOOD, False, jnp.arange(2), ["a"]), TypeError, "expects `index` to be an integ"),
    ],
)
def test_bad_input_is_named(call, error, message):
    """Also if the check is off."""
    with pytest.raises(error, match=message):
        call()


def test_the_variable_is_named_in_its_error(monkeypatch):
    monkeypatch.setenv("EQX_ON_ERROR", "explode")
    with pytest.raises(ValueError, match="the variable EQX_ON_ERROR to be one of 'raise', .*, got 'explode'"):
        eqx.error_if(GOOD, False, MESSAGE)


def test_models_may_be_checked():
    model = Affine(GOOD, 1.0)
    checked = eqx.filter_jit(lambda model, x: eqx.error_if(model, x < 0, MESSAGE)(x))
    np.testing.assert_allclose(checked(model, GOOD), model(GOOD))
    with raises():
        checked(model, BAD)

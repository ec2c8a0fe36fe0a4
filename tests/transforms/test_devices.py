"""Several devices: models are moved between them, mapped over them by `pmap`, and sharded."""

import functools as ft
import inspect
import os
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from devices import DEVICES, HOW_MANY, assert_close, layout, named, several, shards
from jax import lax, tree_util
from jax.tree_util import tree_leaves, tree_map
from tracing import TraceRecorder

import equinox as eqx
from equinox.nn import MLP, Dropout, GRUCell, Linear

BATCH = 2 * HOW_MANY


def devices_of(tree):
    """The devices of all arrays of a tree. Before JAX 0.4.1 an array has no `devices()`, but a `device()`."""
    arrays = [x for x in tree_leaves(tree) if eqx.is_array(x)]
    return set().union(*[x.devices() if hasattr(x, "devices") else {x.device()} for x in arrays])


def stacked(trees):
    return tree_map(lambda *xs: jnp.stack(xs), *trees)


class Splits(eqx.Module):
    model: Any

    def split(self, x):
        return named("d")


def loss(model, xs, ys):
    return jnp.mean((jax.vmap(model)(xs) - ys) ** 2)


@pytest.fixture
def mlp(getkey):
    """A model that holds arrays, a flag among its leaves, and functions."""
    return MLP(2, 1, 4, 1, final_activation=Dropout(0), key=getkey())


@pytest.fixture
def data(draw):
    return draw(BATCH, 2), draw(BATCH, 1)


# Moving models


@several
def test_a_model_is_moved(getkey, mlp):
    """`jax.device_put` moves all arrays of a module. If it has other leaves, the part with the arrays is moved."""
    linear = Linear(2, 3, key=getkey())
    for device in (DEVICES[-1], DEVICES[0]):
        moved = jax.device_put(linear, device)
        assert type(moved) is Linear and devices_of(moved) == {device}
        assert eqx.tree_equal(moved, linear)
        arrays, others = eqx.partition(mlp, eqx.is_array)
        again = eqx.combine(jax.device_put(arrays, device), others)
        assert devices_of(again) == {device} and eqx.tree_equal(again, mlp)
        assert again.layers[0].weight is not mlp.layers[0].weight


@several
def test_computation_follows_the_model(getkey, data):
    """Output and gradients are on the device of the model. The function is traced as often as by `jax.jit`."""
    linear = Linear(2, 1, key=getkey())
    filtered, plain = TraceRecorder(loss), TraceRecorder(loss)
    step, plain_step = eqx.filter_jit(eqx.filter_value_and_grad(filtered)), jax.jit(jax.value_and_grad(plain))
    results = []
    for device in (DEVICES[0], DEVICES[-1], DEVICES[0]):
        args = jax.device_put((linear,) + data, device)
        results.append(step(*args))
        plain_step(*args)
        assert devices_of(results[-1]) == {device}
        assert filtered.traces == plain.traces
    assert_close(results[1], results[0])


@several
def test_models_on_two_devices_stay_on_them(getkey):
    """Each of two models is used on its own device. Mixing them is an error, as in plain JAX."""
    models = [jax.device_put(Linear(2, 2, key=getkey()), device) for device in DEVICES[:2]]
    outs = [eqx.filter_jit(m)(jnp.ones(2)) for m in models]
    assert [devices_of(out) for out in outs] == [{device} for device in DEVICES[:2]]
    with pytest.raises(ValueError, match="(?i)device"):
        eqx.filter_jit(lambda a, b: a.weight + b.weight)(*models)


# pmap


@several
def test_pmap_of_a_stack_of_models(getkey, draw):
    """Each device has one model, which returns what it returns alone."""
    models = [Linear(2, 3, key=getkey()) for _ in DEVICES]
    xs = draw(HOW_MANY, 2)
    got = jax.pmap(lambda m, x: m(x))(stacked(models), xs)
    assert_close(got, stacked([m(x) for m, x in zip(models, xs)]))
    assert_close(jax.pmap(Linear.__call__)(stacked(models), xs), got)
    assert_close(jax.pmap(eqx.filter_jit(lambda m, x: m(x)))(stacked(models), xs), got)
    assert_close(jax.pmap(models[0].__call__)(xs), jax.vmap(models[0])(xs))


@several
def test_pmap_is_vmap(getkey, draw):
    """They agree for a collective over the axis, and for a recurrent cell in a scan."""
    cells = stacked([GRUCell(2, 3, key=getkey()) for _ in DEVICES])
    h, xs = draw(HOW_MANY, 3), draw(HOW_MANY, 4, 2)

    def last(cell, h, xs):
        h, _ = lax.scan(lambda h, x: (cell(x, h), None), h, xs)
        return h - lax.pmean(h, "i")

    assert_close(jax.pmap(last, "i")(cells, h, xs), jax.vmap(last, axis_name="i")(cells, h, xs))


@several
def test_the_mean_of_gradients_is_that_of_the_batch(mlp, data):
    """Each device differentiates on its part of the batch. `None` passes through collectives unchanged."""
    arrays, others = eqx.partition(mlp, eqx.is_array)

    def gradient(arrays, xs, ys):
        grads = eqx.filter_grad(loss)(eqx.combine(arrays, others), xs, ys)
        assert grads.final_activation.deterministic is None
        return lax.pmean(grads, "batch"), lax.psum(tree_map(lambda g: g / HOW_MANY, grads), "batch")

    expected = eqx.filter_grad(loss)(mlp, *data)
    parts = [x.reshape(HOW_MANY, 2, -1) for x in data]
    for grads in jax.pmap(gradient, "batch", in_axes=(None, 0, 0))(arrays, *parts):
        for i in (0, HOW_MANY - 1):
            assert_close(tree_map(lambda g, i=i: g[i], grads), expected)


@several
def test_replicas_are_trained_alike(mlp, data):
    """Replicas that are updated with the mean of their gradients stay equal to one model that is trained alone."""
    arrays, others = eqx.partition(mlp, eqx.is_array)

    def step(model, xs, ys, mean):
        grads = mean(eqx.filter_grad(loss)(model, xs, ys))
        return eqx.apply_updates(model, tree_map(lambda g: -0.1 * g, grads))

    @ft.partial(jax.pmap, axis_name="batch")
    def parallel(arrays, xs, ys):
        new = step(eqx.combine(arrays, others), xs, ys, lambda grads: lax.pmean(grads, "batch"))
        return eqx.filter(new, eqx.is_array)

    replicas, parts = stacked([arrays] * HOW_MANY), [x.reshape(HOW_MANY, 2, -1) for x in data]
    alone = mlp
    for _ in range(2):
        replicas = parallel(replicas, *parts)
        alone = eqx.filter_jit(step)(alone, *data, lambda grads: grads)
    for i in range(HOW_MANY):
        assert_close(tree_map(lambda x, i=i: x[i], replicas), eqx.filter(alone, eqx.is_array))


# Shardings


def sharded(model):
    """A `Linear` whose weight and bias are split by rows over the devices."""
    return jax.device_put(model, eqx.tree_at(lambda m: (m.weight, m.bias), model, (named("d", None), named("d"))))


@pytest.fixture
def linear(getkey):
    return Linear(3, BATCH, key=getkey())


@shards
@several
def test_a_sharded_model_computes_the_same_and_stays_sharded(linear, draw):
    """In the output of `filter_jit`, in gradients and in updates, each array keeps its layout."""
    x, model = draw(3), sharded(linear)
    assert devices_of(model) == set(DEVICES) and len(set(layout(model.weight).values())) == HOW_MANY

    def step(model, x):
        value, grads = eqx.filter_value_and_grad(lambda m: (m["layer"](x) ** 2).sum())(model)
        return value, eqx.apply_updates(model, tree_map(lambda g: -0.1 * g, grads)), grads

    got = eqx.filter_jit(step)({"layer": model, "name": "text"}, x)
    expected = eqx.filter_jit(step)({"layer": linear, "name": "text"}, x)
    assert got[1]["name"] == "text" and got[2]["name"] is None
    assert_close([got[0], got[1]["layer"], got[2]], [expected[0], expected[1]["layer"], expected[2]])
    for tree in (got[1]["layer"], got[2]["layer"]):
        assert layout(tree.weight) == layout(model.weight) and layout(tree.bias) == layout(model.bias)


@shards
@several
def test_a_sharded_batch_and_a_replicated_model(mlp, data):
    """The gradient is that of the whole batch, and each device has all of it."""
    arrays, others = eqx.partition(mlp, eqx.is_array)
    model = eqx.combine(jax.device_put(arrays, named()), others)
    batch = [jax.device_put(x, named("d")) for x in data]
    grads = eqx.filter_jit(eqx.filter_grad(loss))(model, *batch)
    assert_close(grads, eqx.filter_grad(loss)(mlp, *data))
    for g in tree_leaves(grads):
        assert len(layout(g)) == HOW_MANY and set(layout(g).values()) == {str((slice(None),) * g.ndim)}


@shards
@several
def test_filtering_keeps_shardings(linear):
    """Functions that split and combine trees move no array."""
    model = sharded(linear)
    for same in (
        eqx.combine(*eqx.partition(model, eqx.is_inexact_array)),
        eqx.filter(model, eqx.is_array),
        eqx.tree_at(lambda m: m.bias, model, model.bias),
        eqx.apply_updates(model, None),
    ):
        assert same.weight is model.weight and same.bias is model.bias
    assert eqx.tree_equal(model, linear)


@shards
@several
def test_in_shardings_and_out_shardings_of_a_model(linear, draw):
    """`in_shardings` and `out_shardings` apply to the arrays of a model, as a prefix or leaf by leaf."""
    if "in_shardings" not in inspect.signature(jax.jit).parameters:
        pytest.skip("jax.jit takes in_shardings since 0.4.4, this is " + jax.__version__)
    x = draw(3)
    rows = eqx.tree_at(lambda m: (m.weight, m.bias), linear, (named("d", None), named("d")))
    for shardings, out in ((rows, rows), (named("d"), named("d")), (None, rows), (rows, None)):
        f = eqx.filter_jit(
            lambda model, text, x: (model, text, model(x)),
            in_shardings=(shardings, None, None),
            out_shardings=(out, None, None),
        )
        model, text, y = f(linear, "text", x)
        assert text == "text"
        assert_close([model, y], [linear, linear(x)])
        assert layout(model.weight) == layout(sharded(linear).weight)
        assert layout(model.bias) == layout(sharded(linear).bias)


needs_in_shardings = pytest.mark.skipif(
    "in_shardings" not in inspect.signature(jax.jit).parameters,
    reason="jax.jit takes in_shardings since 0.4.4, this is " + jax.__version__,
)


@shards
@several
@needs_in_shardings
@pytest.mark.parametrize("statics", [(), (len,), (len, 2.5, "text", None)], ids=len)
def test_output_shardings_are_for_arrays(draw, statics):
    """Other outputs are returned unchanged. `jitf` returns Python numbers as `jax.jit` does."""
    x = draw(BATCH)

    def fun(x):
        return {"x": [2 * x, x + 1], "rest": statics}

    for shardings in (named("d"), {"x": named("d"), "rest": None}, {"x": [named(), named("d")], "rest": named()}):
        out, plain = eqx.filter_jit(fun, out_shardings=shardings)(x), shardings
        assert all(a is b for a, b in zip(out["rest"], statics)) and len(out["rest"]) == len(statics)
        plain = shardings["x"] if isinstance(shardings, dict) else shardings
        expected = jax.jit(lambda x: fun(x)["x"], out_shardings=plain)(x)
        assert list(map(layout, out["x"])) == list(map(layout, expected))
        assert_close(out["x"], expected)
    number = eqx.jitf(lambda x: (x, 2), filter_fn=eqx.is_array, out_shardings=named())(x)[1]
    assert eqx.is_array(number) and layout(number) == layout(jax.jit(lambda: 2, out_shardings=named())())


@shards
@several
def test_an_explicit_mesh_and_partition_specs(draw):
    """Both are passed on to `jax.jit`."""
    if not hasattr(jax, "set_mesh"):
        pytest.skip("jax.set_mesh exists since 0.7, this is " + jax.__version__)
    x, spec = draw(BATCH), jax.sharding.PartitionSpec("d")
    explicit = (jax.sharding.AxisType.Explicit,)  # the default since 0.9
    mesh = jax.make_mesh((HOW_MANY,), ("d",), axis_types=explicit, devices=DEVICES)
    by_mesh = jax.sharding.NamedSharding(mesh, spec)
    out, kept = eqx.filter_jit(lambda x: (2 * x, len), out_shardings=(by_mesh, None))(x)
    assert out.sharding == jax.jit(lambda x: 2 * x, out_shardings=by_mesh)(x).sharding and kept is len
    with jax.set_mesh(mesh):
        out, kept = eqx.filter_jit(lambda x: (2 * x, len), in_shardings=(spec,), out_shardings=spec)(x)
        assert out.sharding == jax.jit(lambda x: 2 * x, in_shardings=(spec,), out_shardings=spec)(x).sharding
        assert kept is len


@shards
@needs_in_shardings
def test_memory_kinds_of_outputs(draw):
    x = draw(BATCH)
    try:
        host = jax.sharding.SingleDeviceSharding(DEVICES[0], memory_kind="pinned_host")
        expected = jax.jit(lambda x: 2 * x, out_shardings=host)(x).sharding.memory_kind
    except Exception as error:
        pytest.skip("this backend has no pinned_host, or JAX {} no memory kinds: {}".format(jax.__version__, error))
    assert eqx.filter_jit(lambda x: (2 * x, len), out_shardings=(host, None))(x)[0].sharding.memory_kind == expected


@shards
@several
@needs_in_shardings
def test_shardings_by_a_method_of_a_model(linear, draw):
    """What the model holds isn't taken for shardings."""
    by = Splits(linear).split
    f = eqx.filter_jit(lambda x: (2 * x, len), in_shardings=by, out_shardings=by)
    assert layout(f(draw(BATCH))[0]) == layout(jax.device_put(draw(BATCH), named("d")))


def error_of(f, *args, **kwargs):
    try:
        f(*args, **kwargs)
    except Exception as error:
        return type(error), str(error)
    return None, ""


@shards
@several
@needs_in_shardings
def test_input_shardings_fit_or_are_refused_as_by_jax(draw):
    """`in_shardings` is a tuple, a list, one sharding, or too short or too long. Inputs are also passed by keyword."""
    x, by = draw(BATCH), named("d")
    for shardings in (by, (by, None), [None, by], (by,), [by], (by, by, by), {"a": by}):
        ours = eqx.filter_jit(lambda a, b, text: a + b, in_shardings=shardings)
        jaxs = jax.jit(lambda a, b: a + b, in_shardings=shardings)
        error, message = error_of(ours, x, x, text="text")
        assert error is error_of(jaxs, x, x)[0] or "by keyword" in message
        ours = eqx.filter_jit(lambda a, b, text: a + b, in_shardings=shardings, static_argnames="text")
        error, message = error_of(ours, x, x, text="text")
        assert error is error_of(jaxs, x, x)[0]
        if error is None:
            assert layout(ours(x, x, text="text")) == layout(jaxs(x, x))
        elif not isinstance(shardings, dict):
            assert "Its length is {}, and the number of these inputs is 2: `a`, `b`".format(len(shardings)) in message
    f = eqx.filter_jit(lambda a, b: a + b, in_shardings=(by, by))
    with pytest.raises(ValueError, match="takes inputs by position, as `jax.jit` does, but `b` was passed by keyword"):
        f(x, b=x)
    with pytest.raises(TypeError, match=r"item in `in_shardings` for `b` to be a sharding, .*, got `str` 'd'"):
        eqx.filter_jit(lambda a, b: a + b, in_shardings=(by, "d"))(x, x)
    with pytest.raises(TypeError, match=r"item in `out_shardings` for `output\[1\]` to be a sharding, .*, got `int` 3"):
        eqx.filter_jit(lambda a: (a, a), out_shardings=(by, 3))(x)
    with pytest.raises(ValueError, match=r"At `out_shardings` expected a `tuple` with `\[0\]`, `\[1\]`, got"):
        eqx.filter_jit(lambda a: (a, len), out_shardings=(by, None, None))(x)


@shards
@several
@needs_in_shardings
def test_in_shardings_leave_out_the_arrays_of_the_function(linear, draw):
    x = draw(3)
    for fun in (linear, linear.__call__, tree_util.Partial(Linear.__call__, linear)):
        out = eqx.filter_jit(fun, in_shardings=(named(),), out_shardings=named("d"))(x)
        assert layout(out) == layout(jax.device_put(linear(x), named("d")))


# Without a backend


def test_defining_and_decorating_start_no_backend():
    """Modules and decorated functions can be defined where no backend can start."""
    program = """
import equinox as eqx, jax
class Model(eqx.Module):
    weight: object
    size: int = eqx.field(static=True, default=1)
    @eqx.filter_jit
    def __call__(self, x):
        return x
@eqx.filter_jit(donate_argnums=0)
@eqx.filter_value_and_grad(has_aux=True)
def step(model, x):
    return x
@eqx.jitf(filter_fn=eqx.is_array, static_argnums=1)
@eqx.gradf(filter_tree=Model(True))
def loss(model, x):
    return x
model = eqx.tree_at(lambda m: m.weight, Model(1.0), 2.0)
assert eqx.filter(model, eqx.is_inexact_array).weight is None and repr(model)
try:
    jax.devices()
except Exception:
    print("no backend")
"""
    env = dict(os.environ, JAX_PLATFORMS="no_such_backend", JAX_PLATFORM_NAME="no_such_backend")
    env["PYTHONPATH"] = os.path.dirname(os.path.dirname(eqx.__file__))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == "no backend"

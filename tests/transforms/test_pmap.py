"""`filter_pmap`: as `filter_vmap`, with a device for each example."""

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from jax import lax
from jaxprs import jaxpr_kinds
from modules import Affine, Nested
from tracing import TraceRecorder

import equinox as eqx

SIZE = min(2, jax.device_count())
NUMBERS = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)[:SIZE]
MODEL = Nested(Affine(NUMBERS[0], 2.0), ["text", jnp.tanh])


def call(model, x, *, scale=1.0, name="name"):
    return {"y": scale * model(x), "weight": model.first.weight, "rest": (model.rest, name)}


@pytest.mark.parametrize("of_x", [0, 1, -1, lambda leaf: leaf.ndim - 1], ids=["0", "1", "-1", "function"])
@pytest.mark.parametrize("of_y", [0, 2, -1, lambda leaf: 1], ids=["0", "2", "-1", "function"])
def test_it_maps_as_vmap_does(of_x, of_y):
    axis = of_x(NUMBERS) if callable(of_x) else of_x
    options = {"in_axes": (None, of_x), "out_axes": {"y": of_y, "weight": None, "rest": 0}}
    x = np.moveaxis(NUMBERS, 0, axis)
    got = eqx.filter_pmap(call, **options)(MODEL, x, name="other")
    expected = eqx.filter_vmap(call, **options)(MODEL, x, name="other")
    np.testing.assert_allclose(got["y"], expected["y"])
    np.testing.assert_allclose(got["weight"], NUMBERS[0])
    assert got["rest"] == expected["rest"] == (MODEL.rest, "other")


def test_each_example_has_a_device():
    got = eqx.filter_pmap(lambda x: (x + lax.psum(x, "device"), "text"), axis_name="device")(NUMBERS)
    np.testing.assert_allclose(got[0], NUMBERS + NUMBERS.sum(0))
    assert got[1] == "text"
    if hasattr(got[0], "sharding"):  # an array of JAX before 0.3.20 doesn't tell
        assert len(got[0].sharding.device_set) == SIZE


def test_a_model_that_is_called_is_on_all_devices():
    model = Affine(jnp.asarray(NUMBERS[0]), 1.0)
    for fun in (model, model.__call__, jax.tree_util.Partial(Affine.__call__, model), eqx.filter_jit(model)):
        got = eqx.filter_pmap(fun)(NUMBERS)
        np.testing.assert_allclose(got, NUMBERS[0] * NUMBERS + 1.0)


def test_an_ensemble_is_made_and_called():
    keys = jrandom.split(jrandom.PRNGKey(0), SIZE)
    make = lambda key: eqx.nn.Linear(4, 3, key=key)  # noqa: E731
    models = eqx.filter_pmap(make)(keys)
    assert type(models) is eqx.nn.Linear and models.weight.shape == (SIZE, 3, 4)
    got = eqx.filter_pmap(lambda model, x: model(x), in_axes=(0, None))(models, NUMBERS[0, 0])
    np.testing.assert_allclose(got, [make(key)(NUMBERS[0, 0]) for key in keys], rtol=1e-5)


def test_keywords_are_mapped_along_axis_0_and_static_inputs_are_as_they_are():
    got = eqx.filter_pmap(lambda x, *, y, scale, name: (x * y * scale, name), in_axes=1)(
        NUMBERS[0, :, :SIZE], y=NUMBERS[:, 0, :3], scale=2, name="name"
    )
    np.testing.assert_allclose(got[0], 2 * NUMBERS[0, :, :SIZE].T * NUMBERS[:, 0, :3])
    assert got[1] == "name"


def test_it_is_compiled_once_for_a_function_and_its_options():
    """Also if the function is transformed again, and if another model of the same structure comes."""
    seen = TraceRecorder(lambda model, x, number: model(x) * number)
    for number, traces in ((1, True), (1, False), (2, True), (1, False)):
        before = seen.traces
        model = Affine(NUMBERS[0] + number, 1.0)
        got = eqx.filter_pmap(seen, in_axes=(None, 0, None))(model, NUMBERS, number)
        np.testing.assert_allclose(got, number * model(NUMBERS))
        assert (seen.traces > before) == traces
    seen.traces = 0
    eqx.filter_pmap(seen, in_axes=(None, 0, None))(model, NUMBERS[:, :1], 1)
    assert seen.traces


def test_axes_that_count_from_the_last_depend_on_the_shapes():
    """Also if only the shapes differ from those of an earlier call."""
    f = eqx.filter_pmap(lambda x: 2 * x, in_axes=-1, out_axes=lambda leaf: leaf.ndim)
    for x in (NUMBERS[0, :, :SIZE], NUMBERS[:, :, :SIZE], NUMBERS[0, :, :SIZE]):
        np.testing.assert_allclose(f(x), 2 * x)


def test_the_jaxpr_is_that_of_plain_jax():
    def on_arrays(weight, x):
        return jnp.tanh(weight * x + 2.0), weight

    def filtered(weight, x):
        model = Nested(Affine(weight, 2.0), MODEL.rest)
        run = lambda model, x: (model.rest[1](model(x)), model)  # noqa: E731
        y, model = eqx.filter_pmap(run, in_axes=(None, 0), out_axes=(0, None))(model, x)
        return y, model.first.weight

    plain = jax.pmap(on_arrays, in_axes=(None, 0), out_axes=(0, None))
    kinds = jaxpr_kinds(plain, NUMBERS[0], NUMBERS)
    assert jaxpr_kinds(filtered, NUMBERS[0], NUMBERS) == kinds and "tanh" in str(kinds)


@pytest.mark.parametrize("out_axes, traces", [(1, 1), (eqx.if_array(0), 1), (-1, 2)], ids=["1", "if_array", "-1"])
def test_how_often_the_function_is_traced(out_axes, traces):
    """Twice if only the output tells its axes, because JAX wants to know them before. The output may be static."""
    seen = TraceRecorder(lambda x: (x, "text"))
    f = eqx.filter_pmap(seen, out_axes=out_axes)
    for _ in range(2):
        assert f(NUMBERS[:, 0])[1] == "text"
        assert seen.traces == traces
    assert eqx.filter_pmap(lambda x: "text", out_axes=out_axes)(NUMBERS) == "text"


def test_lower():
    f = eqx.filter_pmap(call, in_axes=(None, 0), out_axes={"y": -1, "weight": None, "rest": None})
    try:
        lowered = f.lower(MODEL, NUMBERS)
    except NotImplementedError as error:
        pytest.skip(str(error))
    got, expected = lowered.compile()(MODEL, NUMBERS), f(MODEL, NUMBERS)
    np.testing.assert_allclose(got["y"], expected["y"])
    assert got["rest"] == expected["rest"]


@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable")
def test_other_options_are_those_of_jax():
    device = jax.devices()[-SIZE:]
    for donate in ({"donate_argnums": 0}, {"donate": "all"}):
        f = eqx.filter_pmap(lambda x: (2 * x, "text"), devices=device, **donate)
        got = f(jnp.array(NUMBERS))
        np.testing.assert_allclose(got[0], 2 * NUMBERS)
    with pytest.raises(TypeError, match="`filter_pmap` passes its keyword arguments to `jax.pmap`.*nonsense"):
        eqx.filter_pmap(call, nonsense=1)
    with pytest.raises(TypeError, match="takes no `static_broadcasted_argnums`: what isn't an array is static"):
        eqx.filter_pmap(call, static_broadcasted_argnums=1)


def test_its_gradient():
    loss = lambda m: eqx.filter_pmap(lambda m, x: (m(x), "text"), in_axes=(None, 0))(m, NUMBERS)[0].sum()  # noqa: E731
    got = eqx.filter_grad(loss)(Affine(jnp.asarray(NUMBERS[0]), jnp.asarray(1.0)))
    np.testing.assert_allclose(got.weight, NUMBERS.sum(0))
    np.testing.assert_allclose(got.bias, NUMBERS.size)


# Errors


@pytest.mark.parametrize(
    "in_axes, message",
    [
        (
            (None, 3),
            r"axis 3 of `x` \(by `in_axes`\), but the number of its axes is 3: it is `ndarray` float32\[\d,3,4\]",
        ),
        ((0, 0), r"maps along axes of one size, but these differ:\n  .* `(x|model.first.weight)`, "),
        ((None,), r"At `in_axes` expected a `tuple` with `\[0\]`, `\[1\]`"),
        ((None, None), "has nothing to map: .* Pass an array to map"),
    ],
    ids=["no such axis", "sizes", "too few", "all None"],
)
def test_axes_that_do_not_fit_the_inputs(in_axes, message):
    with pytest.raises(ValueError, match="`filter_pmap` .*" + message):
        eqx.filter_pmap(call, in_axes=in_axes)(MODEL, NUMBERS)


@pytest.mark.parametrize(
    "out_axes, message",
    [
        ({"y": 4, "weight": 0, "rest": 0}, r"axis 4 of `output\['y'\]` \(by `out_axes`\)"),
        ({"y": 0}, r"At `out_axes` expected a `dict` with .*`\['rest'\]`"),
    ],
    ids=["no such axis", "keys"],
)
def test_axes_that_do_not_fit_the_output(out_axes, message):
    with pytest.raises(ValueError, match="`filter_pmap` .*" + message):
        eqx.filter_pmap(call, in_axes=(None, 0), out_axes=out_axes)(MODEL, NUMBERS)


def test_a_size_that_is_not_that_of_the_arrays():
    with pytest.raises(ValueError, match="size 7: `axis_size`"):
        eqx.filter_pmap(call, in_axes=(None, 0), axis_size=7)(MODEL, NUMBERS)
    with pytest.raises(ValueError, match="nothing to map: .* such as `jnp.arange\\(2\\)`"):
        eqx.filter_pmap(call, in_axes=None, axis_size=2)(MODEL, NUMBERS)


def test_too_few_devices_are_counted():
    """Also where the function fails on its own, JAX's error stays the cause."""
    count = jax.local_device_count()
    message = "the examples are {} and the devices {}. Pass fewer".format(count + 1, count)
    with pytest.raises(ValueError, match=message) as info:
        eqx.filter_pmap(lambda x: x)(np.ones(count + 1, np.float32))
    assert isinstance(info.value.__cause__, ValueError)


def test_too_few_devices_for_a_program_are_counted():
    """JAX before 0.8 lowers a program for any number of devices. Its `compile` counts them."""
    if not hasattr(jax.pmap(lambda x: x), "lower"):
        pytest.skip("functions are lowered since JAX 0.2.25, this is " + jax.__version__)
    count = jax.local_device_count()
    message = "examples are {0} and the devices {1}|requires {0}.*only {1}".format(count + 1, count)
    with pytest.raises(ValueError, match=message):
        eqx.filter_pmap(lambda x: x).lower(np.ones(count + 1, np.float32)).compile()


def test_an_error_of_the_function_is_its_own():
    def fail(x):
        raise ValueError("its own")

    with pytest.raises(ValueError, match="^its own"):
        eqx.filter_pmap(fail)(NUMBERS)

"""`filter_shard_map`: plain `jax.shard_map` on the arrays alone, and everything else unchanged."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from devices import DEVICES, HOW_MANY, assert_close, layout, mesh_of, named, several, shards
from jax import lax
from jaxprs import jaxpr_kinds
from tracing import TraceRecorder

import equinox as eqx
from equinox import _compat
from equinox.nn import MLP

pytestmark = [
    several,
    shards,
    pytest.mark.skipif(
        tuple(map(int, jax.__version__.split(".")[:3])) < (0, 4, 4), reason="shard_map exists since JAX 0.4.4"
    ),
]
BATCH = 2 * HOW_MANY


def P(*parts):
    return jax.sharding.PartitionSpec(*parts)


def mesh():
    return mesh_of(d=HOW_MANY)


def plain(fun, in_specs, out_specs, **options):
    return _compat.shard_map(fun, mesh(), in_specs, out_specs, **options)


def mapped(fun, in_specs, out_specs, **options):
    return eqx.filter_shard_map(fun, mesh=mesh(), in_specs=in_specs, out_specs=out_specs, **options)


class Scale(eqx.Module):
    weight: Any
    name: Any = "name"
    times: int = eqx.field(static=True, default=2)

    def __call__(self, x):
        return self.weight * x * self.times

    def spec(self, x):
        return P("d")

    def mean(self, x, *, by=1.0):
        return lax.pmean((self.weight * x).sum(), "d") * by


def test_as_plain_shard_map_on_the_arrays(draw):
    """With collectives, for specs in a prefix, as one for all, as functions, and with `None` for what isn't split."""
    x, y, w = draw(BATCH, 3), draw(3), draw(3)

    def on_arrays(w, x, y):
        return w * x + y, lax.psum((w * x).sum(0), "d")

    expected = plain(on_arrays, (P(), P("d"), P()), (P("d"), P()))(w, x, y)

    def on_trees(model, data, y):
        a, b = on_arrays(model.weight, data["x"][0], y)
        return {"a": a, "model": model, "rest": [b, data["f"], 3, None]}

    def by_shape(x):
        return P("d") if x.ndim == 2 else P()

    ins = [(None, P("d"), P()), [P(), {"x": [P("d")], "f": None}, None], by_shape, (None, by_shape, by_shape)]
    outs = [{"a": P("d"), "model": None, "rest": P()}, by_shape, {"a": P("d"), "model": P(), "rest": by_shape}]
    for in_specs, out_specs in [*zip(ins, outs), (ins[3], outs[0])]:
        out = mapped(on_trees, in_specs, out_specs)(Scale(w), {"x": [x], "f": len}, y)
        assert_close((out["a"], out["rest"][0]), expected)
        assert layout(out["a"]) == layout(expected[0])
        assert out["rest"][1:] == [len, 3, None] and out["model"].name == "name" and out["model"].times == 2


def test_the_jaxpr_is_that_of_plain_shard_map(draw):
    x, w = draw(BATCH, 3), draw(3)
    by_hand = jaxpr_kinds(plain(lambda w, x: jnp.tanh(w * x * 2), (P(), P("d")), P("d")), w, x)
    f = mapped(lambda m, x: (jnp.tanh(m(x["x"])), m.name), (P(), P("d")), (P("d"), None))
    assert jaxpr_kinds(lambda w, x: f(Scale(w), {"x": x, "name": "x"})[0], w, x) == by_hand


def test_models_and_methods_are_whole_on_each_device(draw):
    """So are the arrays of keyword inputs. The result is a pytree of its function."""
    x, scale = draw(BATCH, 3), Scale(draw(3))
    f = mapped(scale, P("d"), P("d"))
    assert_close(f(x), scale(x))
    assert_close(mapped(scale.mean, P("d"), None)(x, by=jnp.array(3.0)), 3 * (scale.weight * x).sum() / HOW_MANY)
    grads = eqx.filter_grad(lambda f: (f(x) ** 2).sum())(f)
    assert_close(grads.__wrapped__.weight, jax.grad(lambda w: ((w * x * 2) ** 2).sum())(scale.weight))
    assert f == mapped(scale, P("d"), P("d")) and hash(f) == hash(mapped(scale, P("d"), P("d")))
    assert f != mapped(scale, P("d"), P())


def test_the_mean_of_gradients_over_devices(getkey, draw):
    """A step of data-parallel training gives the gradient of the whole batch."""
    model = MLP(3, 1, 4, 1, key=getkey())
    x, y = draw(BATCH, 3), draw(BATCH, 1)

    def loss(model, x, y):
        return ((jax.vmap(model)(x) - y) ** 2).mean()

    @eqx.filter_jit
    @eqx.filter_shard_map(mesh=mesh(), in_specs=(P(), P("d"), P("d")), out_specs=P(), check_vma=False)
    def gradient(model, x, y):
        grads = eqx.filter_grad(loss)(model, x, y)
        return jax.tree_util.tree_map(lambda g: lax.pmean(g, "d"), grads)

    assert_close(gradient(model, x, y), eqx.filter_grad(loss)(model, x, y))


@pytest.mark.skipif(hasattr(jax, "shard_map"), reason="JAX can check all operations since 0.6.1")
def test_an_operation_that_jax_cannot_check(draw):
    """The error names the option by our name. The option helps."""
    fun = lambda x: eqx.error_if(x, jnp.isnan(x), "It is NaN.")  # noqa: E731
    x = draw(BATCH)
    with pytest.raises(NotImplementedError, match="pass the `check_vma=False` argument"):
        mapped(fun, P("d"), P("d"))(x)
    unchecked = eqx.filter_jit(mapped(fun, P("d"), P("d"), check_vma=False))  # JAX 0.4.13 needs the program to live on
    assert_close(unchecked(x), x)


def test_nests_in_other_transformations(draw):
    """Under `filter_jit` it is traced once. It works in `vmap`, `grad` and `scan`."""
    x, w = draw(BATCH), draw(3)
    fun = TraceRecorder(lambda w, x: (w * x, "text"))
    f = eqx.filter_jit(mapped(fun, (P(), P("d")), P("d")))
    for _ in range(2):
        out, text = f(w[0], x)
        assert_close(out, w[0] * x)
        assert text == "text"
    assert fun.traces == 1
    g = mapped(lambda w, x: w * x, (P(), P("d")), P("d"))
    assert_close(jax.jit(jax.vmap(g, (0, None)))(w, x), w[:, None] * x)
    assert_close(jax.jit(jax.grad(lambda w: g(w, x).sum()))(w[0]), x.sum())
    assert_close(eqx.filter_jit(lambda: eqx.filter_scan(lambda c, w: (g(w, c), None), x, w)[0])(), w.prod() * x)


def test_numpy_arrays_and_functions_without_arrays():
    n = np.arange(float(HOW_MANY), dtype=np.float32)
    f = mapped(lambda x, s: (x + lax.axis_index("d"), s), (P("d"), None), (P("d"), None))
    out, text = eqx.filter_jit(f)(n, "text")
    assert text == "text" and out.tolist() == [2.0 * i for i in range(HOW_MANY)]


def test_typed_keys():
    if not hasattr(jax.random, "wrap_key_data"):
        pytest.skip("typed keys are whole since JAX 0.4.16, this is " + jax.__version__)
    keys = jax.random.split(jax.random.key(0), HOW_MANY)
    f = mapped(lambda keys, name: (jax.vmap(jax.random.uniform)(keys), name), (P("d"), None), (P("d"), None))
    assert_close(eqx.filter_jit(f)(keys, "name")[0], jax.vmap(jax.random.uniform)(keys))


def test_specs_by_a_method_of_a_model():
    """What the model holds isn't taken for specs."""
    by = Scale(jnp.ones(2)).spec
    x = jnp.arange(float(HOW_MANY))
    assert mapped(lambda x: 2 * x, by, by)(x).tolist() == (2 * x).tolist()


def test_some_axes_of_the_mesh():
    """Axes that `axis_names` leaves out are XLA's."""
    two = mesh_of(a=HOW_MANY // 2, b=2)
    options = {"mesh": two, "in_specs": P("a"), "out_specs": P("a"), "axis_names": ["a"]}
    f = eqx.filter_shard_map(lambda x: x + lax.axis_index("a"), **options)
    x = jnp.zeros(HOW_MANY)
    try:
        out = eqx.filter_jit(f)(x)
    except NotImplementedError as error:
        pytest.skip("JAX {}: {}".format(jax.__version__, error))
    assert out.tolist() == [float(i // 2) for i in range(HOW_MANY)]


def test_the_mesh_of_the_context():
    f = eqx.filter_shard_map(lambda x: x + lax.axis_index("d"), in_specs=P("d"), out_specs=P("d"))
    x = jnp.zeros(HOW_MANY)
    if not hasattr(jax, "shard_map"):
        with pytest.raises(NotImplementedError, match="needs JAX 0.6.1 or newer"):
            f(x)
    elif hasattr(jax, "set_mesh"):
        with jax.set_mesh(mesh()):
            assert f(x).tolist() == list(range(HOW_MANY))


def test_errors_name_paths_and_shapes():
    x = {"a": [jnp.ones((HOW_MANY + 1, 2))]}
    array = r"`filter_shard_map` can't split `tree\['a'\]\[0\]`, `.*` float32\[{},2\], as".format(HOW_MANY + 1)
    with pytest.raises(ValueError, match=array + " `in_specs` says: .* axis 0 into {} parts".format(HOW_MANY)):
        mapped(lambda tree: tree, P("d"), P("d"))(x)
    with pytest.raises(ValueError, match=r"can't split `tree\['a'\]\[0\]`.*is 3, but the number of axes is 2"):
        mapped(lambda tree: tree, P(None, None, "d"), P("d"))(x)
    with pytest.raises(
        ValueError, match=r"can't split `tree\['a'\]\[0\]`.*the axis 'e' of the mesh, but the mesh has 'd'\."
    ):
        mapped(lambda tree: tree, P("e"), P("d"))(x)
    with pytest.raises(TypeError, match=r"in `in_specs` for `tree\['a'\]\[0\]` to be a sharding, .*, got `str` 'd'"):
        mapped(lambda tree: tree, ({"a": "d"},), P("d"))(x)
    with pytest.raises(TypeError, match=r"in `out_specs` for `output\[0\]` to be a sharding, .*, got `int` 3"):
        mapped(lambda x: [x, len], P("d"), 3)(jnp.ones(HOW_MANY))
    with pytest.raises(ValueError, match=r"`in_specs` to have the structure of the tuple .* At `in_specs\[0\]`"):
        mapped(lambda tree: tree, ({"b": P("d")},), P("d"))(x)
    with pytest.raises(ValueError, match=r"`out_specs` to have the structure of the output.* At `out_specs`"):
        mapped(lambda tree: tree, P(), {"b": P("d")})(x)
    with pytest.raises(TypeError, match=r"function in `in_specs` .* For `tree\['a'\]\[0\]` it returned `function`"):
        mapped(lambda tree: tree, lambda x: P, P("d"))(x)
    with pytest.raises(TypeError, match="`filter_shard_map` expects a function or another callable"):
        mapped(3, P("d"), P("d"))
    with pytest.raises(ValueError, match="from the function"):
        mapped(raising, P("d"), P("d"))(jnp.ones(HOW_MANY))


def raising(x):
    raise ValueError("from the function")


def test_arrays_on_the_devices_already(draw):
    x = jax.device_put(draw(BATCH), named("d"))
    out = mapped(lambda x: 2 * x, P("d"), P("d"))(x)
    assert_close(out, 2 * x)
    assert layout(out) == layout(x) and set(layout(x)) == set(DEVICES)


def test_what_is_no_mesh_is_refused():
    with pytest.raises(TypeError, match="`filter_shard_map` expects `mesh` to be a `jax.sharding.Mesh`, got `int` 3"):
        eqx.filter_shard_map(lambda x: x, mesh=3, in_specs=P(), out_specs=P())

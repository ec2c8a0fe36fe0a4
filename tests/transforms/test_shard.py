"""`filter_shard` and `filter_device_put`: the arrays of a tree are moved, and nothing else."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from devices import DEVICES, HOW_MANY, assert_close, layout, named, several, shards
from jax import tree_util
from jaxprs import jaxpr_kinds

import equinox as eqx
from equinox._compat.release import jax_release

EITHER = pytest.mark.parametrize("put", [eqx.filter_shard, eqx.filter_device_put])


class Net(eqx.Module):
    layers: Any
    scale: Any
    name: Any = "net"
    size: int = eqx.field(static=True, default=3)


def net():
    layers = [{"w": jnp.ones((2 * HOW_MANY, 3)), "b": np.ones(HOW_MANY, np.float32)}, jax.nn.relu, None, 2]
    return Net(layers, jnp.ones(()))


def rows(x):
    """Split the first axis if there is one."""
    return named(*["d"][: x.ndim])


def devices_of(x):
    return x.devices() if callable(getattr(x, "devices", None)) else {x.device()}


@EITHER
def test_a_device_for_all_arrays(put):
    """Anything but an array is the same object, and a NumPy array becomes a JAX array."""
    before = net()
    for device in (DEVICES[-1], DEVICES[0]):
        after = put(before, device)
        assert type(after) is Net and after.size == 3 and after.name is before.name
        assert after.layers[1:] == [jax.nn.relu, None, 2]
        arrays = [after.layers[0]["w"], after.layers[0]["b"], after.scale]
        assert all(eqx.is_inexact_array(x) and set(devices_of(x)) == {device} for x in arrays)
        assert_close(eqx.filter(after, eqx.is_array), eqx.filter(before, eqx.is_array))


@shards
@several
@EITHER
def test_a_tree_of_shardings_is_a_prefix(put):
    """Each item applies to all arrays below it. `None` and functions are items too."""
    w, b = named("d", None), named("d")
    tree = net()
    expected = {"w": jax.device_put(tree.layers[0]["w"], w), "b": jax.device_put(tree.layers[0]["b"], b)}
    exact = tree_util.tree_map(lambda x: rows(x) if eqx.is_array(x) else None, tree)
    prefix = Net([{"w": w, "b": rows}, named(), named(), named()], named())
    for given in (rows, exact, prefix, Net(rows, rows), Net([rows, None, None, None], None)):
        after = put(tree, given)
        assert {key: layout(x) for key, x in after.layers[0].items()} == {k: layout(x) for k, x in expected.items()}
        assert after.layers[1:] == [jax.nn.relu, None, 2]
    assert len(set(layout(put(tree, named()).layers[0]["w"]).values())) == 1


def test_no_sharding_means_no_change():
    """`filter_shard` returns the same array. `filter_device_put` makes a JAX array, as `jax.device_put` does."""
    tree = net()
    after = eqx.filter_shard(tree, None)
    assert after.layers[0]["b"] is tree.layers[0]["b"] and after.scale is tree.scale
    assert eqx.is_inexact_array(eqx.filter_device_put(tree).layers[0]["b"])


@shards
@several
def test_constrained_inside_of_jit(getkey):
    """The output has the sharding. In the jaxpr there is one constraint for each array, as if written by hand."""
    tree, x = net(), jnp.ones((HOW_MANY, 2))

    def double(tree):
        tree = tree_util.tree_map(lambda leaf: 2 * leaf if eqx.is_array(leaf) else leaf, tree)
        return eqx.filter_shard(tree, rows)

    after = eqx.filter_jit(double)(tree)
    assert layout(after.layers[0]["w"]) == layout(jax.device_put(tree.layers[0]["w"], named("d", None)))
    assert layout(after.layers[0]["b"]) == layout(jax.device_put(tree.layers[0]["b"], named("d")))
    assert after.layers[1:] == [jax.nn.relu, None, 2] and float(after.scale) == 2.0
    by_hand = jaxpr_kinds(lambda x: jax.lax.with_sharding_constraint(2 * x, named("d", None)) + 1, x)
    assert jaxpr_kinds(lambda x: eqx.filter_shard({"x": 2 * x, "name": "x"}, rows)["x"] + 1, x) == by_hand


@shards
@several
def test_inside_of_other_transformations(draw):
    x = draw(HOW_MANY, 2)

    def fun(x):
        return (eqx.filter_shard({"x": x, "n": 3}, lambda x: named())["x"] ** 2).sum()

    if jax_release(jax) >= (0, 4, 13):  # JAX 0.4.1 constrains arrays in compiled functions only
        assert_close(jax.grad(fun)(x), 2 * x)
    assert_close(jax.jit(jax.grad(fun))(x), 2 * x)
    assert_close(jax.jit(jax.vmap(fun))(x), (x**2).sum(1))
    assert_close(jax.jit(lambda x: jax.lax.map(fun, x))(x), (x**2).sum(1))


def test_an_old_jax_refuses_to_constrain():
    if hasattr(jax.lax, "with_sharding_constraint"):
        assert jax.jit(lambda x: eqx.filter_shard(x, DEVICES[0]))(jnp.ones(2)).tolist() == [1.0, 1.0]
    else:
        with pytest.raises(NotImplementedError, match="`filter_shard in a transformation` needs JAX 0.4.1 or newer"):
            jax.jit(lambda x: eqx.filter_shard(x, DEVICES[0]))(jnp.ones(2))


@shards
@several
def test_typed_keys():
    if not hasattr(jax.random, "key"):
        pytest.skip("typed keys came in JAX 0.4.11, this is " + jax.__version__)
    keys = jax.random.split(jax.random.key(0), HOW_MANY)
    for put in (eqx.filter_shard, eqx.filter_device_put):
        after = put({"keys": keys, "n": 1}, named("d"))["keys"]
        assert layout(after) == layout(jax.device_put(keys, named("d")))
        assert (jax.random.key_data(after) == jax.random.key_data(keys)).all()
    if not hasattr(jax.random, "key_impl"):
        with pytest.raises(NotImplementedError, match="typed keys in a transformation` needs JAX 0.4.18 or newer"):
            jax.jit(lambda keys: eqx.filter_shard(keys, named("d")))(keys)
        return
    after = jax.jit(lambda keys: eqx.filter_shard(keys, named("d")))(keys)
    assert len(set(layout(after).values())) == HOW_MANY
    assert (jax.random.key_data(after) == jax.random.key_data(keys)).all()


@shards
@several
def test_explicit_axes():
    """On a mesh with explicit axes `jax.lax.with_sharding_constraint` is refused, but `jax.sharding.reshard` works."""
    if not hasattr(jax, "set_mesh"):
        pytest.skip("jax.set_mesh exists since 0.7, this is " + jax.__version__)
    explicit = (jax.sharding.AxisType.Explicit,)
    mesh = jax.make_mesh((HOW_MANY,), ("d",), axis_types=explicit, devices=DEVICES)
    spec = jax.sharding.PartitionSpec("d")
    sharding, x = jax.sharding.NamedSharding(mesh, spec), jnp.ones(HOW_MANY)
    with jax.set_mesh(mesh):
        for given in (sharding, spec, lambda x: spec):
            assert eqx.filter_shard([x, "x"], given)[0].sharding == sharding
            assert (
                eqx.filter_jit(lambda x, given=given: eqx.filter_shard([x + 1, "x"], given))(x)[0].sharding == sharding
            )


@shards
@several
@EITHER
def test_errors_name_the_path(put):
    name, tree = put.__name__, {"a": [jnp.ones((HOW_MANY + 1, 2)), "x"]}
    message = (
        r"`{}` can't shard `x\['a'\]\[0\]`, `.*` float32\[{},2\], as `device_or_shardings` says: .*axis 0 into {} parts"
    )
    with pytest.raises(ValueError, match=message.format(name, HOW_MANY + 1, HOW_MANY)):
        put(tree, named("d"))
    with pytest.raises(ValueError, match=r"can't shard `x\['a'\]\[0\]`.*is 3, but the number of axes is 2"):
        put(tree, named(None, None, "d"))
    with pytest.raises(ValueError, match=r"the structure of the tree.* At `device_or_shardings\['a'\]` expected"):
        put(tree, {"a": [None, None, None]})
    with pytest.raises(TypeError, match=r"For `x\['a'\]\[0\]` it returned `function`"):
        put(tree, lambda x: rows)
    if put is eqx.filter_shard:
        with pytest.raises(
            ValueError, match=r"can't shard `x`, `Tracer` float32\[2\].*is 3, but the number of axes is 1"
        ):
            jax.jit(lambda x: put(x, named(None, None, "d")))(jnp.ones(2))

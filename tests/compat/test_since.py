"""Each feature of `SINCE` is used as users do. It works, or its error names the release of JAX that it needs."""

import functools as ft
import os
import re
import tempfile
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from devices import CAN_SHARD, mesh_of

import equinox as eqx
from equinox import _compat
from equinox._compat.release import jax_release
from equinox._trees.safetensors import write_arrays

X = jnp.ones(2)
FLOAT = jax.ShapeDtypeStruct((2,), np.float32)


def double(x):
    return 2 * x


def save_all(*args, **kwargs):
    """A policy of `jax.checkpoint`."""
    return True


def with_aux(x):
    return x.sum(), "aux"


def typed_key():
    if not hasattr(jax.random, "key"):
        pytest.skip("this JAX has no typed keys")
    return jax.random.key(0)


def spec(*axes):
    """A `PartitionSpec`, or `None` where JAX has none."""
    return jax.sharding.PartitionSpec(*axes) if CAN_SHARD else None


def one_device():
    """A mesh of one device with two axes, or `None` where JAX shards no model."""
    return mesh_of(a=1, b=1) if CAN_SHARD else None


def shard_mapped(**options):
    return eqx.filter_shard_map(double, in_specs=spec(), out_specs=spec(), **options)


def mesh_of_context():
    if not hasattr(jax, "shard_map"):
        return shard_mapped()(X)
    if not hasattr(jax, "set_mesh"):
        pytest.skip("this JAX can't set a mesh by a public name")
    with jax.set_mesh(one_device()):
        return shard_mapped()(X)


def checked_on_an_accelerator():
    if jax.default_backend() == "cpu":
        pytest.skip("no accelerator")
    return eqx.error_if(X, X < 0, "It is negative.")


def stopped():
    # A breakpoint keeps the local variables of all frames, those of pytest too, unless it is told how many.
    call = jax.jit(lambda x: eqx.error_if(x, x < 0, "It is negative.", on_error="breakpoint"))
    if not hasattr(jax, "debug"):
        return call(X)
    with mock.patch.object(jax.debug, "breakpoint", ft.partial(jax.debug.breakpoint, num_frames=2)):
        return call(X)


def called_back(**options):
    return jax.jit(lambda x: eqx.filter_pure_callback(double, x, result_shape_dtypes=FLOAT, **options))(X)


def on_first_device():
    device = jax.devices()[0]
    return jax.sharding.SingleDeviceSharding(device) if CAN_SHARD else device


def breakpoint_where_negative(x):
    eqx.debug.breakpoint_if(x < 0, num_frames=2)
    return x


def load_a_key():
    """The file is written as `save` writes it, so that an old JAX has one."""
    record = {"version": 1, "metadata": {}, "leaves": {"": {"key": "threefry2x32"}}}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "key.safetensors")
        write_arrays("save", path, {"": np.zeros(2, np.uint32)}, record)
        return eqx.load(path)


def save_a_key():
    with tempfile.TemporaryDirectory() as folder:
        eqx.save(os.path.join(folder, "key.safetensors"), typed_key())


USES = {
    "backward_nan": lambda: jax.grad(lambda x: eqx.debug.backward_nan(x).sum())(X),
    "breakpoint_if": lambda: jax.jit(breakpoint_where_negative)(X),
    "dot_product_attention(implementation=...)": lambda: eqx.nn.dot_product_attention(
        *[jnp.ones((2, 1, 4))] * 3, implementation="xla"
    ),
    "error_if of a typed key": lambda: jax.jit(lambda key: eqx.error_if(key, X[0] < 0, "No."))(typed_key()),
    "error_if on an accelerator": checked_on_an_accelerator,
    "error_if(on_error='breakpoint')": stopped,
    "filter_checkpoint(policy=...)": lambda: eqx.filter_checkpoint(double, policy=save_all)(X),
    "filter_hessian(has_aux=True)": lambda: eqx.filter_hessian(with_aux, has_aux=True)(X),
    "filter_jacfwd(has_aux=True)": lambda: eqx.filter_jacfwd(with_aux, has_aux=True)(X),
    "filter_jacrev(has_aux=True)": lambda: eqx.filter_jacrev(with_aux, has_aux=True)(X),
    "filter_pure_callback": called_back,
    "filter_pure_callback(sharding=...)": lambda: called_back(sharding=on_first_device()),
    "filter_pure_callback(vmap_method=...)": lambda: called_back(vmap_method="expand_dims"),
    "filter_scan(checkpoint=policy)": lambda: eqx.filter_scan(lambda c, x: (c, x), X, X, checkpoint=save_all),
    "filter_shard in a transformation": lambda: jax.jit(lambda x: eqx.filter_shard(x, jax.devices()[0]))(X),
    "filter_shard of typed keys in a transformation": lambda: jax.jit(lambda x: eqx.filter_shard(x, jax.devices()[0]))(
        typed_key()
    ),
    "filter_shard_map": lambda: shard_mapped(mesh=one_device())(X),
    "filter_shard_map(axis_names=...)": lambda: jax.jit(shard_mapped(mesh=one_device(), axis_names=["a"]))(X),
    "filter_shard_map(mesh=None)": mesh_of_context,
    "in_shardings": lambda: eqx.filter_jit(double, in_shardings=None)(X),
    "load of a typed key": load_a_key,
    "lower": lambda: eqx.filter_jit(double).lower(X),
    "out_shardings": lambda: eqx.filter_jit(double, out_shardings=None)(X),
    "save of a typed key": save_a_key,
    "shardings": lambda: eqx.shardings([X], [("*", spec())], one_device()),
    "spmd_axis_name": lambda: eqx.filter_vmap(double, spmd_axis_name="a")(X),
    "store_dce": lambda: jax.jit(eqx.debug.store_dce)(X),
}


@pytest.mark.parametrize("feature", sorted(USES))
def test_a_feature_works_from_its_release_on(feature):
    """If the JAX lacks the function too, and not only its option, the error names the function."""
    release, _ = _compat.SINCE[feature]
    if jax_release(jax) >= release:
        USES[feature]()
        return
    function = re.split("[ (]", feature)[0]
    named = feature if jax_release(jax) >= _compat.SINCE.get(function, [()])[0] else function
    with pytest.raises(NotImplementedError, match=re.escape("`{}` needs JAX ".format(named))):
        USES[feature]()


def test_each_feature_is_tested():
    assert set(USES) == set(_compat.SINCE)

"""Several devices: which there are, meshes of them, and where the parts of an array lie.

On the CPU, `conftest.py` asks JAX for eight devices. On other backends the tests use the devices that there are.
"""

import jax
import numpy as np
import pytest
from jax.tree_util import tree_leaves, tree_structure

HOW_MANY = min(8, len(jax.devices()))
DEVICES = jax.devices()[:HOW_MANY]

several = pytest.mark.skipif(
    HOW_MANY < 2,
    reason="needs several devices, but JAX has only {}. On accelerators, use a machine with more of them and a single "
    "process (`-n 0`, in a cell EQX_WORKERS=0). On the CPU, unset XLA_FLAGS, and start JAX after tests/conftest.py "
    "has asked for eight devices".format(DEVICES),
)
CAN_SHARD = hasattr(getattr(jax, "sharding", None), "PartitionSpec")  # since JAX 0.4.1
shards = pytest.mark.skipif(
    not CAN_SHARD,
    reason="models can be sharded since JAX 0.4.1, this is " + jax.__version__,
)


def mesh_of(**sizes):
    """A mesh of the first devices. `jax.make_mesh` is newer than this way to make one."""
    number = int(np.prod(list(sizes.values())))
    return jax.sharding.Mesh(np.array(DEVICES[:number]).reshape(*sizes.values()), tuple(sizes))


def named(*axes):
    """A sharding along one axis, `d`, of all devices."""
    return jax.sharding.NamedSharding(mesh_of(d=HOW_MANY), jax.sharding.PartitionSpec(*axes))


def layout(x):
    """Which device has which part of an array."""
    return {device: str(index) for device, index in x.sharding.devices_indices_map(x.shape).items()}


def assert_close(got, expected):
    """Assert that two trees have the same structure, and nearly the same numbers."""
    assert tree_structure(got) == tree_structure(expected)
    for a, b in zip(tree_leaves(got), tree_leaves(expected)):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-5)

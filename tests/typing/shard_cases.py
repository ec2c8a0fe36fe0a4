"""What type checkers say of shardings."""

from typing import Tuple

import jax
from typing_extensions import assert_type

import equinox as eqx


def step(model: eqx.nn.Linear, x: jax.Array) -> Tuple[eqx.nn.Linear, str]:
    return model, "y"


def moved(model: eqx.nn.Linear, x: jax.Array) -> None:
    assert_type(eqx.filter_shard(model, jax.devices()[0]), eqx.nn.Linear)
    assert_type(eqx.filter_device_put(model), eqx.nn.Linear)
    eqx.filter_shard(model)  # error: mypy[call-arg] pyright[reportCallIssue]
    mapped = eqx.filter_shard_map(step, in_specs=None, out_specs=None)
    assert_type(mapped(model, x), Tuple[eqx.nn.Linear, str])
    mapped(model)  # error: mypy[call-arg] pyright[reportCallIssue]
    eqx.filter_shard_map(step, in_specs=None)  # error: mypy[call-overload] pyright[reportCallIssue]
    wrap = eqx.filter_shard_map
    wrap(3, in_specs=0, out_specs=0)  # error: mypy[call-overload] pyright[reportCallIssue,reportArgumentType]


@eqx.filter_shard_map(in_specs=None, out_specs=None)
def decorated(x: int) -> str:
    return str(x)


assert_type(decorated(1), str)
decorated("a")  # error: mypy[arg-type] pyright[reportArgumentType]
eqx.clear_caches()

"""A sharding of XLA. It was an `OpSharding`, a protocol buffer. In jaxlib 0.4.13 it is an `HloSharding`."""

from typing import Any

from jaxlib import xla_client as xc


def apply(jax: str) -> None:
    # Up to 0.4.12 jax reads the protocol buffer from the C++ class.
    xc.GSPMDSharding._op_sharding = property(lambda self: self._hlo_sharding.to_proto())
    # 0.4.9 calls this C++ function. Later releases call a method of the sharding.
    xc._xla.is_op_sharding_fully_replicated = lambda sharding: _as_hlo(sharding).is_replicated()


def _as_hlo(sharding: Any) -> Any:
    return xc.HloSharding.from_proto(sharding) if isinstance(sharding, xc.OpSharding) else sharding

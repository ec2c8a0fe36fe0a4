"""Classes that later releases of jaxlib renamed or removed.

JAX below 0.4.9 names them when it is imported: in annotations, in `isinstance` checks, and as keys of its tables of
handlers. Most of them only need to exist.
"""

from typing import Any, Tuple

from jaxlib import xla_client as xc


class DeviceArrayBase:
    """Base of jax's own Python `_DeviceArray`, below 0.4.

    jax adds the other methods. The methods here were those of the C++ class, which users got instead of jax's class.
    """

    __slots__: Tuple[str, ...] = ()

    @property
    def weak_type(self) -> bool:
        return bool(self.aval.weak_type)  # type: ignore[attr-defined]

    def device(self) -> Any:
        return self.device_buffer.device()  # type: ignore[attr-defined]

    def is_deleted(self) -> bool:
        # jax puts an object without any methods in place of the buffer that it deletes.
        is_deleted = getattr(self.device_buffer, "is_deleted", None)  # type: ignore[attr-defined]
        return is_deleted is None or bool(is_deleted())


class _AlsoArrays(type):
    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, xc.ArrayImpl)


class Buffer(metaclass=_AlsoArrays):
    """One array on one device. It is never instantiated.

    Since jaxlib 0.4.5 a `jax.Array` takes its place. So JAX 0.4.0 to 0.4.8 must believe that a `jax.Array` is one.
    Otherwise it wraps the arrays that it moves between devices into a `_DeviceArray`, which C++ no longer takes. Below
    0.4 jax doesn't see `ArrayImpl`.
    """


class ShardedBuffer:
    """Many of them; 0.3.17 to 0.4.4. Never instantiated."""


class _Rebasable:
    """A base class in the place of `object`.

    jax assigns to `ShardedDeviceArrayBase.__bases__`. Python allows it if the base isn't `object` itself, but a class
    of the same layout.
    """

    __slots__ = ()


class ShardedDeviceArrayBase(_Rebasable):
    """Base of jax's own `_ShardedDeviceArray`; 0.2.19 to 0.4.6."""

    __slots__ = ()


class ShardedDeviceArray(ShardedDeviceArrayBase):
    """What the C++ pmap returned; 0.2.19 to 0.4.6. Never instantiated: jax uses its Python `_ShardedDeviceArray`."""


def apply(jax: str) -> None:
    xe = xc._xla
    xc.DeviceArrayBase = xe.DeviceArrayBase = DeviceArrayBase
    xc.Buffer = xe.Buffer = Buffer
    xe.PyLocalBuffer = Buffer  # its name in 0.2.18
    xc.ShardedBuffer = ShardedBuffer
    xe.pmap_lib.ShardedDeviceArrayBase = ShardedDeviceArrayBase
    xe.pmap_lib.ShardedDeviceArray = ShardedDeviceArray
    xc.Executable = xc.LoadedExecutable  # up to 0.4.1
    xc.MeshPspecSharding = xc.NamedSharding  # up to 0.4.1
    xc.OpShardingSharding = xc.GSPMDSharding  # up to 0.4.6
    # One class for every kind of device now. Chex and Optax name the three.
    xe.CpuDevice = xe.GpuDevice = xe.TpuDevice = xe.Device

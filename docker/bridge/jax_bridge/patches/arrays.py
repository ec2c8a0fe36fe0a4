"""`jax.Array` in JAX 0.4.0 to 0.4.6. Some of its methods are Python code of jax, others are C++ code of jaxlib.

In these releases an array has parts: one buffer per device. In jaxlib 0.4.13 each part is a `jax.Array` itself. An
array on one device has one part: itself. Some methods of jax call the same method of each part, and would never return.
"""

import sys
from typing import Any

import numpy as np
from jaxlib import xla_client as xc

from ..hook import AfterImport

# jax defines these methods, and calls them for each part. The C++ methods work on the whole array.
NATIVE = ("__cuda_array_interface__", "delete", "on_device_size_in_bytes", "unsafe_buffer_pointer")


def apply(jax: str) -> None:
    array = xc.ArrayImpl
    array._npy_value = _host_value(array._npy_value)
    array._device = property(lambda self: next(iter(self._sharding.device_set)), _ignore)
    array.copy_to_device = _copy_to_device

    native = {name: vars(array)[name] for name in NATIVE}

    def put_right() -> None:
        for name, attribute in native.items():
            setattr(array, name, attribute)
        array.weak_type = property(array.weak_type.fget, _ignore)

    sys.meta_path.insert(0, AfterImport("jax._src.array", put_right))


def _host_value(native: Any) -> Any:
    """`_npy_value`, the copy on the host. jax keeps it; if it is `None`, jax reads it from the parts."""

    def get(self: Any) -> Any:
        if isinstance(self._sharding, xc.SingleDeviceSharding) and not self.is_deleted():
            return self._single_device_array_to_np_array()
        return native.fget(self)

    return property(get, native.fset)


def _copy_to_device(self: Any, device: Any) -> Any:
    return device.client.buffer_from_pyval(np.asarray(self), device)


def _ignore(self: Any, value: Any) -> None:
    """Set nothing. jax sets these attributes of an array that it copied, and they have that value already."""

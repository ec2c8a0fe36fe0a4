"""Device buffers, executables and the client, with the names that they had before `jax.Array`: JAX below 0.4.

jax wraps each buffer into an array of its own Python class `_DeviceArray`.
"""

from typing import Any, Callable, Dict, List, Tuple

import numpy as np
from jaxlib import xla_client as xc


def _native(name: str) -> Callable[["Buffer"], Any]:
    """A C++ method. It is looked up now, because jax 0.3.18 and later replace it with their own."""
    method = getattr(xc.ArrayImpl, name)
    return lambda self: method(self.raw)


class Buffer:
    """One array on one device: the `ArrayImpl` called `raw`, with the old names of its methods."""

    aval = None  # jax 0.3.15 and later sets one before it gives a part of a sharded array to the user

    def __init__(self, raw: Any, device: Any, client: "Client") -> None:
        self.raw, self.client, self._on = raw, client, device

    delete = _native("delete")
    is_deleted = _native("is_deleted")
    is_ready = _native("is_ready")
    block_until_ready = _native("block_until_ready")
    block_host_until_ready = block_until_ready
    unsafe_buffer_pointer = _native("unsafe_buffer_pointer")
    _to_numpy = _native("_single_device_array_to_np_array")

    def to_py(self) -> Any:
        if self.is_deleted():
            raise RuntimeError("Invalid argument: Buffer has been deleted.")  # the message of the original jaxlib
        return self._to_numpy()

    def __array__(self, dtype: Any = None) -> Any:
        return np.asarray(self.to_py(), dtype)

    @property
    def shape(self) -> Tuple[int, ...]:
        return tuple(self.to_py().shape)

    @property
    def dtype(self) -> Any:
        return self.to_py().dtype

    def xla_shape(self) -> Any:
        return xc.Shape.array_shape(self.dtype, self.shape)

    def device(self) -> Any:
        return self._on

    def platform(self) -> str:
        return str(self._on.platform)

    def copy_to_host_async(self) -> None:
        """Do nothing: the array is on the host already."""

    def copy_to_device(self, device: Any) -> "Buffer":
        return self.client.buffer_from_pyval(self.to_py(), device)


class Executable:
    """A compiled program, which takes and returns `Buffer`s."""

    def __init__(self, raw: Any, client: "Client") -> None:
        self.raw, self.client = raw, client

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

    def execute(self, args: List[Buffer]) -> List[Buffer]:
        return self._on_one_device(self.raw.execute([arg.raw for arg in args]))

    def execute_with_token(self, args: List[Buffer]) -> Tuple[List[Buffer], Any]:
        outs, token = self.raw.execute_with_token([arg.raw for arg in args])
        return self._on_one_device(outs), token

    def execute_sharded_on_local_devices(self, args: List[List[Buffer]]) -> List[List[Buffer]]:
        outs = self.raw.execute_sharded_on_local_devices([[shard.raw for shard in arg] for arg in args])
        devices = self.raw.local_devices()
        return [[Buffer(shard, device, self.client) for shard, device in zip(out, devices)] for out in outs]

    def _on_one_device(self, outs: List[Any]) -> List[Buffer]:
        (device,) = self.raw.local_devices()
        return [Buffer(out, device, self.client) for out in outs]


class Client:
    """The backend, which makes `Buffer`s and `Executable`s."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

    def buffer_from_pyval(self, x: Any, device: Any = None, *_: Any, **__: Any) -> Buffer:
        device = device or self.raw.local_devices()[0]
        return Buffer(self.raw.buffer_from_pyval(np.asarray(x), device, force_copy=True), device, self)

    def compile(self, computation: Any, compile_options: Any = None, *_: Any, **__: Any) -> Executable:
        options = compile_options or xc.CompileOptions()
        if isinstance(computation, xc.XlaComputation):  # up to 0.3.0; MLIR since
            if options.parameter_is_tupled_arguments:
                computation = _untupled(computation)
                options.parameter_is_tupled_arguments = False
            computation = xc._xla.mlir.xla_computation_to_mlir_module(computation)
        return Executable(self.raw.compile(computation, options), self)


def _untupled(computation: Any) -> Any:
    """The same program, which takes its parameters one by one.

    jax passes more than 100 parameters as one tuple. The CPU client of this jaxlib doesn't take a tuple.
    """
    (tuple_shape,) = computation.program_shape().parameter_shapes()
    builder = xc.XlaBuilder("untupled")
    shapes = enumerate(tuple_shape.tuple_shapes())
    parameters = [xc.ops.Parameter(builder, i, shape) for i, shape in shapes]
    return builder.build(xc.ops.Call(builder, computation, [xc.ops.Tuple(builder, parameters)]))


def apply(jax: str) -> None:
    make_cpu_client = xc.make_cpu_client
    native_client = xc.Device.client.fget
    clients: Dict[str, Client] = {}  # one per platform, because jax compares clients

    def wrapped(raw: Any) -> Client:
        return clients.setdefault(raw.platform, Client(raw))

    xc.make_cpu_client = lambda **_: wrapped(make_cpu_client())  # the options chose an implementation; only one is left
    xc.Device.client = property(lambda device: wrapped(native_client(device)))

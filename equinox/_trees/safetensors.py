"""Safetensors files with checksums. No such file can hold code.

The library `safetensors` writes the files. It also checks the index of a file before the file is read. The bytes of the
arrays are read here. The library reads arrays for NumPy too, but not those of float8. With NumPy before 1.26 it warns
of `np.bool`. With a file of 1 GB it takes twice as long (safetensors 0.8.0). Its documentation describes the format:
https://huggingface.co/docs/safetensors

The checksums are in the metadata of the file. There is one for each array with its dtype and shape, and one for all
metadata. Other readers ignore them.
"""

import contextlib
import functools as ft
import importlib.util
import json
import os
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .. import _compat
from .replaced_file import replaced_path

# The dtypes that every release of the library writes, and their names in the index of a file.
CODES = {
    "bool": "BOOL",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "bfloat16": "BF16",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
}
_DTYPES = {code: dtype for dtype, code in CODES.items()}
_DTYPES.update(C64="complex64", F8_E8M0="float8_e8m0fnu")  # newer releases write them too

_METADATA = "__metadata__"
_CHECKSUMS = "equinox_checksums"  # of the arrays, in JSON
_CHECKSUM = "equinox_checksum"  # of all other metadata
_WORTH_A_THREAD = 2**16  # bytes


class DamagedFile(ValueError):
    """What is wrong with a file. The message continues "The file ..."."""


def write_arrays(function, path, arrays, metadata):
    """Write NumPy arrays to a file. It replaces an old file at once, when all is written: a crash leaves the old one.

    Args:
        function: The name of the public function that writes.
        path: The path of the file.
        arrays: A dictionary from names to C-contiguous arrays, of the dtypes in `CODES`.
        metadata: A dictionary from texts to texts.
    """
    library = _library(function)
    metadata = dict(metadata, **{_CHECKSUMS: json.dumps(_checksums_of(arrays))})
    metadata[_CHECKSUM] = _checksum_of_metadata(metadata)
    with replaced_path(path) as temporary:
        try:
            library.numpy.save_file(arrays, temporary, metadata)
        except library.SafetensorError as error:
            raise OSError("`{}` can't write {!r}. {}".format(function, path, error)) from error


def read_metadata(function, path):
    """The `__metadata__` of a file, and whether it has this library's checksums.

    Raises:
        DamagedFile: A part of the file is missing or wrong, or it has another format.
    """
    with _index(function, path) as (_, _, metadata, checksums):
        return metadata, checksums is not None


def read_arrays(function, path):
    """Read a file.

    Returns:
        A dictionary from names to new NumPy arrays; the `__metadata__`; and whether the file has this library's
        checksums. If it has, the arrays are in the order in which they were given to `write_arrays`.

    Raises:
        DamagedFile: A part of the file is missing or wrong, or it has another format.
    """
    with _index(function, path) as (file, entries, metadata, checksums):
        start = file.tell()
        arrays, found = {}, {}
        with ThreadPoolExecutor(1) as pool:  # for the checksum of an array while the next one is read
            for name in entries if checksums is None else checksums:
                x = arrays[name] = _read_array(file, start, name, entries[name])
                if checksums is not None:
                    compute = ft.partial(_checksum, x)
                    found[name] = pool.submit(compute).result if x.nbytes > _WORTH_A_THREAD else compute
    for name, checksum in found.items():
        if checksum() != checksums[name]:
            raise DamagedFile("is damaged: the checksum of `{}` is wrong".format(name))
    return arrays, metadata, checksums is not None


def _read_array(file, start, name, entry):
    dtype = _compat.dtype_named(_DTYPES.get(entry["dtype"], ""))
    if dtype is None:
        raise DamagedFile("has `{}` in the dtype {}, which this JAX doesn't have".format(name, entry["dtype"]))
    begin, end = entry["data_offsets"]
    data = _aligned_bytes(end - begin)
    file.seek(start + begin)
    if file.readinto(memoryview(data)) != data.size:
        raise DamagedFile("changed while it was read")
    if dtype == np.bool_ and data.size and data.max() > 1:
        raise DamagedFile("has a bool in `{}` that is no bool".format(name))
    try:
        return data.view(dtype).reshape(entry["shape"])
    except ValueError:
        raise DamagedFile("has `{}` in a shape that NumPy doesn't have".format(name)) from None


def _aligned_bytes(size):
    """New bytes that begin at a multiple of 64, so that JAX on the CPU can use them without a copy."""
    data = np.empty(size + 63, np.uint8)
    begin = -data.ctypes.data % 64
    return data[begin : begin + size]


@contextlib.contextmanager
def _index(function, path):
    """Open a file that the library accepts.

    Yields:
        The file, at the first byte after the index; the entries of the arrays by name; the `__metadata__`; the
        checksums of the arrays. `None` instead of the checksums if the file has none.
    """
    library = _library(function)
    while True:
        with open(path, "rb") as file:
            try:
                with library.safe_open(path, framework="numpy"):
                    pass
            except library.SafetensorError as error:
                raise DamagedFile("was cut off, is damaged, or has another format: {}".format(error)) from None
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):  # no other file has replaced it
                index = json.loads(file.read(int.from_bytes(file.read(8), "little")).decode("utf-8"))
                metadata = index.pop(_METADATA, None) or {}
                yield file, index, metadata, _checksums(index, metadata)
                return


def _checksums(entries, metadata):
    """Check the metadata, and remove the checksums from it. Returns those of the arrays, or `None`."""
    found = {name for name in (_CHECKSUM, _CHECKSUMS) if name in metadata}
    if not found:
        return None
    if metadata.pop(_CHECKSUM, None) != _checksum_of_metadata(metadata):
        raise DamagedFile("is damaged: the checksum of its metadata is wrong")
    checksums = json.loads(metadata.pop(_CHECKSUMS))
    if checksums.keys() != entries.keys():
        raise DamagedFile("is damaged: its metadata has other names than its index")
    return checksums


def _checksums_of(arrays):
    """The checksums of NumPy arrays by name. Several threads share the work: `zlib.crc32` lets others run."""
    names, count = list(arrays), min(8, os.cpu_count() or 1)

    def part(i):
        return {name: _checksum(arrays[name]) for name in names[i::count]}

    with ThreadPoolExecutor(count) as pool:
        found = {name: checksum for checksums in pool.map(part, range(count)) for name, checksum in checksums.items()}
    return {name: found[name] for name in names}


def _checksum(x):
    start = zlib.crc32("{} {}".format(x.dtype.name, x.shape).encode())
    return zlib.crc32(memoryview(x.reshape(-1).view(np.uint8)), start)


def _checksum_of_metadata(metadata):
    return "{:08x}".format(zlib.crc32(json.dumps(metadata, sort_keys=True).encode()))


def _library(function):
    if importlib.util.find_spec("safetensors") is None:
        raise ImportError(
            "`{}` needs the library safetensors. Install it: pip install 'safetensors>=0.5'".format(function)
        )
    import safetensors.numpy  # noqa: PLC0415 (an extra)

    return safetensors

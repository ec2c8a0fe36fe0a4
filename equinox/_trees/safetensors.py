"""Safetensors files with checksums. No such file can hold code.

The library `safetensors` writes the files. It also checks the index of a file before the file is read. The bytes of the
arrays are read here. The library reads arrays for NumPy too, but not those of float8. With NumPy before 1.26 it warns
of `np.bool`. With a file of 1 GB it takes twice as long (safetensors 0.8.0). Its documentation describes the format:
https://huggingface.co/docs/safetensors

The metadata of a file has one entry, a record in JSON. The library writes several entries in a random order, so two
files of the same arrays would differ. The record has a checksum for each array with its dtype and shape. It ends with
the checksum of its own text, in all versions. Other readers ignore it.
"""

import contextlib
import functools as ft
import importlib.util
import json
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, NamedTuple, Optional

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
_RECORD = "equinox"
_CHECKSUMS = "array_checksums"
_END = ', "record_checksum": "'
# Parts of the text of a record. It is noticed by two of them, so damage has to hit nearly all of them to hide it.
_MARKS = '{"version": ', '"metadata": {', '"leaves": {', '"{}": {{'.format(_CHECKSUMS), _END
_WORTH_A_THREAD = 2**16  # bytes


class _Index(NamedTuple):
    """What an open file says of itself.

    Attributes:
        file: The file, at the first byte after the index.
        entries: The dtype, the shape and the place of each array, by name.
        metadata: The `__metadata__`.
        record: What `write_arrays` got. `None` in a file of others.
        checksums: The checksums of the arrays, by name. Empty in a file of others.
    """

    file: Any
    entries: Dict[str, Any]
    metadata: Dict[str, str]
    record: Optional[Dict[str, Any]]
    checksums: Dict[str, int]


class DamagedFile(ValueError):
    """What is wrong with a file. The message continues "The file ..."."""


def write_arrays(function, path, arrays, record):
    """Write NumPy arrays to a file. It replaces an old file at once, when all is written: a crash leaves the old one.

    Args:
        function: The name of the public function that writes.
        path: The path of the file.
        arrays: A dictionary from names to C-contiguous arrays, of the dtypes in `CODES`.
        record: A dictionary that JSON can express.
    """
    library = _library(function)
    text = _with_checksum(json.dumps(dict(record, **{_CHECKSUMS: _checksums_of(arrays)})))
    with replaced_path(path) as temporary:
        try:
            library.numpy.save_file(arrays, temporary, {_RECORD: text})
            with library.safe_open(temporary, framework="numpy"):  # an old release also writes what it can't read
                pass
        except library.SafetensorError as error:
            raise OSError("`{}` can't write {!r}. {}".format(function, path, error)) from error


def read_metadata(function, path):
    """The record of a file that `write_arrays` wrote, or `None`; and the `__metadata__` of the file.

    Raises:
        DamagedFile: A part of the file is missing or wrong, or it has another format.
    """
    with _opened(function, path) as index:
        return index.record, index.metadata


def read_arrays(function, path):
    """Read a file.

    Returns:
        A dictionary from names to new NumPy arrays; and the record of a file that `write_arrays` wrote, or `None`. If
        it wrote the file, the arrays are in the order in which it got them.

    Raises:
        DamagedFile: A part of the file is missing or wrong, or it has another format.
    """
    with _opened(function, path) as index:
        start = index.file.tell()
        arrays, found = {}, {}
        with _threads() as pool:  # for the checksum of an array while the next ones are read
            for name in index.checksums or index.entries:
                x = arrays[name] = _read_array(index.file, start, name, index.entries[name])
                if index.checksums:
                    found[name] = _checksum_later(pool, x)
    for name, checksum in found.items():
        if checksum() != index.checksums[name]:
            raise DamagedFile("is damaged: the checksum of `{}` is wrong".format(name))
    return arrays, index.record


def _threads():
    """As many threads as can compute checksums at a time: `zlib.crc32` lets others run."""
    return ThreadPoolExecutor(min(8, os.cpu_count() or 1))


def _start(pool, function):
    """Begin to call a function in another thread. Returns a function that gives the result."""
    try:
        return pool.submit(function).result
    except RuntimeError:  # no thread can start any more, because the program ends
        return function


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
def _opened(function, path):
    """Open a file that the library accepts. Yields its `_Index`."""
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
                yield _Index(file, index, metadata, *_checked_record(index, metadata))
                return


def _checked_record(entries, metadata):
    """The record and the checksums of an `_Index`. A record whose name is damaged is noticed too."""
    text = metadata.get(_RECORD, "")
    if not text.startswith("{") and all(sum(mark in other for mark in _MARKS) < 2 for other in metadata.values()):
        return None, {}
    if _with_checksum(text.rpartition(_END)[0] + "}") != text:
        raise DamagedFile("is damaged: its metadata has only a part of what `eqx.save` writes")
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:  # an integer with too many digits, or too many lists in lists
        raise DamagedFile("has metadata that this Python can't read: {}".format(error)) from None
    checksums = record.pop(_CHECKSUMS)
    if checksums.keys() != entries.keys():
        raise DamagedFile("is damaged: its record has other names than its index")
    return record, checksums


def _checksums_of(arrays):
    """The checksums of NumPy arrays, by name."""
    with _threads() as pool:
        found = {name: _checksum_later(pool, x) for name, x in arrays.items()}
    return {name: checksum() for name, checksum in found.items()}


def _checksum_later(pool, x):
    """A function that gives the checksum. Another thread computes that of a large array."""
    compute = ft.partial(_checksum, x)
    return _start(pool, compute) if x.nbytes > _WORTH_A_THREAD else compute


def _checksum(x):
    start = zlib.crc32("{} {}".format(x.dtype.name, x.shape).encode())
    return zlib.crc32(memoryview(x.reshape(-1).view(np.uint8)), start)


def _with_checksum(text):
    """The text of a record, with the checksum of this text at its end."""
    return '{}{}{:08x}"}}'.format(text[:-1], _END, zlib.crc32(text.encode()))


def _library(function):
    if importlib.util.find_spec("safetensors") is None:
        raise ImportError(
            "`{}` needs the library safetensors. Install it: pip install 'safetensors>=0.5'".format(function)
        )
    import safetensors.numpy  # noqa: PLC0415 (an extra)

    return safetensors

"""The format of safetensors files: an index in JSON, and then the bytes of the arrays. No file can hold code.

A file begins with the length of the index, in eight bytes. The index maps the name of each array to its dtype, its
shape and the place of its bytes. Its `__metadata__` maps texts to texts. https://huggingface.co/docs/safetensors
describes the format.

A file of this library has checksums too: of the index, and of each array. Other readers ignore them.
"""

import json
import os
import zlib

import numpy as np

from .. import _compat
from .replaced_file import replaced_file

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
}  # the dtypes that every reader of such files knows
_DTYPES = {code: dtype for dtype, code in CODES.items()}
_DTYPES.update(C64="complex64", F8_E8M0="float8_e8m0fnu")  # newer ones, which this library reads

_METADATA = "__metadata__"
_CHECKSUM = "equinox_checksum"
_CHECKSUMS = "equinox_checksums"
_MAX_INDEX = 100_000_000  # bytes; the format says so
_PLACEHOLDER = '"{}":"{{}}"'.format(_CHECKSUM)


def write_arrays(path, arrays, metadata):
    """Write NumPy arrays to a file. It replaces an old file at once, when all is written: a crash leaves the old one.

    Args:
        path: The path of the file.
        arrays: A dictionary from names to C-contiguous arrays, of the dtypes in `CODES` and of native byte order.
        metadata: A dictionary from texts to texts.
    """
    # The largest items come first, so that each array begins at a multiple of its item's size.
    in_order = sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize)
    places, end = {}, 0
    for name, x in in_order:
        places[name] = [end, end + x.nbytes]
        end += x.nbytes
    checksums = {name: zlib.crc32(_bytes_of(x)) for name, x in in_order}
    index = {_METADATA: dict(metadata, **{_CHECKSUMS: json.dumps(checksums), _CHECKSUM: "0" * 8})}
    for name, x in arrays.items():
        index[name] = {"dtype": CODES[x.dtype.name], "shape": list(x.shape), "data_offsets": places[name]}
    text = json.dumps(index, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    checksum = "{:08x}".format(zlib.crc32(text))
    text = text.replace(_PLACEHOLDER.format("0" * 8).encode(), _PLACEHOLDER.format(checksum).encode(), 1)
    with replaced_file(path) as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for _, x in in_order:
            file.write(_bytes_of(x))


def _bytes_of(x):
    return memoryview(x.reshape(-1).view(np.uint8))


class DamagedFile(ValueError):
    """What is wrong with a file. The message continues "The file ..."."""


def read_metadata(path):
    """The `__metadata__` of a file, and whether it has this library's checksums.

    Raises:
        DamagedFile: The file isn't whole, or is of another format.
    """
    with open(path, "rb") as file:
        _, metadata, checksums, _ = _read_index(file)
    return metadata, checksums is not None


def read_arrays(path):
    """Read a file.

    Returns:
        A dictionary from names to new NumPy arrays, in the order of the index; the `__metadata__`; and whether the file
        has this library's checksums.

    Raises:
        DamagedFile: The file isn't whole, or is of another format.
    """
    with open(path, "rb") as file:
        index, metadata, checksums, start = _read_index(file)
        found = {}
        for name, (dtype, shape, (begin, end)) in index.items():
            data = np.empty(end - begin, np.uint8)
            file.seek(start + begin)
            if file.readinto(memoryview(data)) != data.size:
                raise DamagedFile("changed while it was read")
            if checksums is not None and zlib.crc32(data) != checksums.get(name):
                raise DamagedFile("is damaged: the checksum of `{}` is wrong".format(name))
            if dtype == np.bool_ and data.size and data.max() > 1:
                raise DamagedFile("has a bool in `{}` that is no bool".format(name))
            try:
                found[name] = data.view(dtype).reshape(shape)
            except ValueError:  # NumPy has no such shape
                raise DamagedFile("has `{}` in a shape that NumPy doesn't have".format(name)) from None
    return found, metadata, checksums is not None


def _read_index(file):
    """The index, the metadata, the checksums or `None`, and where the bytes begin.

    The index is `{name: (dtype, shape, place)}`.
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, _MAX_INDEX):
        raise DamagedFile("was cut off, or is of another format: its index doesn't fit into its {} bytes".format(size))
    text = file.read(length)
    index = _parse(text)
    metadata = index.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(x, str) for x in metadata.values()):
        raise DamagedFile("has `__metadata__` that doesn't map texts to texts")
    checksums = _checksums(text, metadata)
    end = 0
    entries = {name: _entry(name, entry) for name, entry in index.items()}
    for name, (_, _, place) in sorted(entries.items(), key=lambda item: item[1][2]):
        if place[0] != end:
            raise DamagedFile("is damaged: the bytes of `{}` don't begin where others end".format(name))
        end = place[1]
    if 8 + length + end != size:
        raise DamagedFile("was cut off, or is damaged: it has {} bytes instead of {}".format(size, 8 + length + end))
    return entries, metadata, checksums, 8 + length


def _parse(text):
    def without_repeats(pairs):
        if len(dict(pairs)) < len(pairs):
            raise DamagedFile("has a name twice")
        return dict(pairs)

    try:
        index = json.loads(text.decode("utf-8"), object_pairs_hook=without_repeats)
    except DamagedFile:
        raise
    except (ValueError, RecursionError):
        index = None
    if not isinstance(index, dict):
        raise DamagedFile("is damaged, or is of another format: it doesn't begin with an index in JSON")
    return index


def _entry(name, entry):
    try:
        code, shape, place = entry["dtype"], tuple(entry["shape"]), tuple(entry["data_offsets"])
        numbers = all(type(n) is int and n >= 0 for n in shape + place)
        whole = numbers and len(entry) == 3 and len(place) == 2 and isinstance(code, str)
    except (KeyError, TypeError):
        whole = False
    if not whole:
        raise DamagedFile("is damaged: its index doesn't describe `{}`".format(name))
    dtype = _compat.dtype_named(_DTYPES.get(code, ""))
    if dtype is None:
        raise DamagedFile("has `{}` in the dtype {}, which this JAX doesn't have".format(name, code))
    items = 1
    for n in shape:
        items *= n
    if place[1] - place[0] != items * dtype.itemsize:
        raise DamagedFile("is damaged: `{}` has another number of bytes than its shape".format(name))
    return dtype, shape, place


def _checksums(text, metadata):
    """The checksums of the arrays. `None` if the file has none."""
    if _CHECKSUM not in metadata and _CHECKSUMS not in metadata:
        return None
    checksum = metadata.pop(_CHECKSUM, "")
    plain = text.replace(_PLACEHOLDER.format(checksum).encode(), _PLACEHOLDER.format("0" * 8).encode(), 1)
    if "{:08x}".format(zlib.crc32(plain)) != checksum:
        raise DamagedFile("is damaged: the checksum of its index is wrong")
    return json.loads(metadata.pop(_CHECKSUMS))

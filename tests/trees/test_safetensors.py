"""Safetensors files: damaged ones, and the library of the format as the oracle."""

import collections
import json
import os
import re
import struct

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import equinox as eqx


@pytest.fixture
def path(tmp_path):
    """The path of a file that isn't there yet, in an empty folder."""
    return str(tmp_path / "model.safetensors")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """What `load` gives for a small file, and the bytes of the file."""
    path = str(tmp_path_factory.mktemp("files") / "small.safetensors")
    tree = {"a": jnp.arange(3, dtype=jnp.int8), "b": [jnp.ones(1, jnp.complex64), 2.5, "text"]}
    eqx.save(path, tree, metadata={"x": 1})
    with open(path, "rb") as file:
        return eqx.load(path), file.read()


@pytest.fixture(scope="module")
def shared_path(tmp_path_factory):
    """The path of a file that may be there."""
    return str(tmp_path_factory.mktemp("files") / "model.safetensors")


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def test_each_prefix_is_an_error(path, small):
    """A file that was cut off at any place is refused, with its name. So is one with a byte more."""
    _, data = small
    write(path, data + b"\0")
    sizes = [len(data) + 1, *reversed(range(len(data)))]
    for size in sizes:
        os.truncate(path, size)
        for function in (eqx.load, eqx.load_metadata):
            with pytest.raises(ValueError) as error:
                function(path)
            message = "`{}` can't read {!r}. The file was cut off, is damaged, or has another format"
            assert message.format(function.__name__, path) in str(error.value)


def test_each_flipped_byte_is_an_error_or_harmless(path, small):
    """A byte that changed is an error, or the data is right."""
    expected, data = small
    write(path, data)
    refused = 0
    with open(path, "r+b", buffering=0) as file:
        for place, byte in enumerate(data):
            for flip in (1, 32, 255, 0):
                file.seek(place)
                file.write(bytes([byte ^ flip]))
                refused += is_refused_or_right(path, expected)
    assert refused >= 3 * len(data) - 24  # the spaces after the index may become other white space
    assert not is_refused_or_right(path, expected)


def is_refused_or_right(path, expected):
    """Whether `load` refuses the file. If not, it has the expected arrays."""
    try:
        loaded = eqx.load(path)
    except ValueError as error:
        assert "can't read" in str(error)
        return True
    assert eqx.tree_equal(loaded, expected) and eqx.load_metadata(path) == {"x": 1}
    return False


@pytest.mark.parametrize("name", ["first", "last"])
def test_a_flipped_byte_of_a_large_array_is_an_error(path, name):
    """Another thread computes the checksums of large arrays."""
    arrays = {"first": np.full(2**15, 1.5), "small": np.ones(3), "last": np.full(2**15, 2.5)}
    eqx.save(path, arrays)
    with open(path, "rb") as file:
        data = bytearray(file.read())
    place = data.index(arrays[name].tobytes()) + arrays[name].nbytes - 1
    data[place] ^= 1
    write(path, data)
    with pytest.raises(ValueError, match="the checksum of `{}` is wrong".format(name)):
        eqx.load(path)


@settings(max_examples=50)
@given(st.data())
def test_random_damage(shared_path, small, data):
    """Several bytes that changed, or are missing: an error, or the right data."""
    expected, whole = small
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    write(shared_path, damaged)
    is_refused_or_right(shared_path, expected)


@pytest.mark.parametrize("change", [(b'"F32"', b'"I32"'), (b"[2,3]", b"[3,2]")])
def test_the_checksum_is_of_the_dtype_and_the_shape_too(path, change):
    """The index says the same size, so the library of the format accepts it."""
    eqx.save(path, {"a": jnp.ones((2, 3))})
    with open(path, "rb") as file:
        data = file.read()
    write(path, data.replace(*change, 1))
    with pytest.raises(ValueError, match="the checksum of `a` is wrong"):
        eqx.load(path)


def test_the_file_that_is_checked_is_the_one_that_is_read(path, monkeypatch):
    """Another file may take its place between."""
    write(path, b"no file of the format")
    safe_open = safetensors.safe_open

    def replace(*args, **kwargs):
        monkeypatch.setattr(safetensors, "safe_open", safe_open)
        eqx.save(path, {"a": 1.5})
        return safe_open(*args, **kwargs)

    monkeypatch.setattr(safetensors, "safe_open", replace)
    assert eqx.load(path) == {"a": 1.5}


def container(index, data=b""):
    """A file of the format, as its description says."""
    text = index if isinstance(index, bytes) else json.dumps(index).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype="U8", shape=(1,), place=(0, 1), **more):
    return dict(dtype=dtype, shape=list(shape), data_offsets=list(place), **more)


BY_THE_LIBRARY = "The file was cut off, is damaged, or has another format: "
BAD_FILES = {
    "empty": (b"", BY_THE_LIBRARY),
    "text": (b"Not a model at all.", BY_THE_LIBRARY),
    "pickle": (b"\x80\x04\x95" + b"\0" * 100, BY_THE_LIBRARY),
    "no JSON": (container(b"{"), BY_THE_LIBRARY),
    "no dictionary": (container([1]), BY_THE_LIBRARY),
    "deep": (container(b"[" * 100000), BY_THE_LIBRARY),
    "metadata": (container({"__metadata__": {"a": 1}}), BY_THE_LIBRARY),
    "entry": (container({"a": 1}), BY_THE_LIBRARY),
    "negative": (container({"a": entry(shape=(-1, -1))}, b"a"), BY_THE_LIBRARY),
    "float": (container({"a": entry(shape=(1.0,))}, b"a"), BY_THE_LIBRARY),
    "unknown dtype": (container({"a": entry("O")}, b"a"), BY_THE_LIBRARY),
    "bytes": (container({"a": entry("F32")}, b"a"), BY_THE_LIBRARY),
    "overlap": (container({"a": entry(), "b": entry()}, b"a"), BY_THE_LIBRARY),
    "hole": (container({"a": entry(place=(1, 2))}, b"ab"), BY_THE_LIBRARY),
    "too much": (container({"a": entry()}, b"ab"), BY_THE_LIBRARY),
    "bool": (container({"a": entry("BOOL")}, b"\2"), "a bool in `a` that is no bool"),
    "dimensions": (container({"a": entry(shape=(1,) * 100)}, b"a"), "in a shape that NumPy doesn't have"),
    "half": (container({"__metadata__": {"equinox": "{}"}}), "only a part of what `eqx.save` writes"),
    "renamed record": (
        container({"__metadata__": {"equinoy": '{"version": 1, "a": 1, "record_checksum": "00000000"}'}}),
        "only a part of what `eqx.save` writes",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_files_of_others_that_are_wrong(name, path):
    """Each is refused with a message that says what is wrong."""
    data, message = BAD_FILES[name]
    write(path, data)
    with pytest.raises(ValueError, match=re.escape(message)):
        eqx.load(path)


def test_a_dtype_that_this_jax_lacks(path, monkeypatch):
    """The error names the array and the dtype."""
    write(path, container({"a": entry("F8_E5M2")}, b"a"))
    monkeypatch.setattr("equinox._compat.dtype_named", lambda name: None)
    with pytest.raises(ValueError, match="has `a` in the dtype F8_E5M2, which this JAX doesn't have"):
        eqx.load(path)


def test_arrays_come_in_the_order_of_the_tree(path):
    """The library of the format orders them by their dtypes."""
    eqx.save(path, [np.ones(1, dtype) for dtype in ("int8", "float64", "float16", "int64")])
    assert list(eqx.load(path)) == ["0", "1", "2", "3"]


def test_arrays_begin_where_jax_needs_no_copy(path):
    """JAX on the CPU takes the memory of a NumPy array that begins at a multiple of 64 bytes."""
    eqx.save(path, [np.ones(n, np.int8) for n in range(5)])
    assert all(x.ctypes.data % 64 == 0 for x in eqx.load(path).values() if x.size)


def test_metadata_that_this_python_cannot_read(path, monkeypatch):
    """An integer may have more digits than this Python allows. The file isn't damaged."""
    eqx.save(path, jnp.ones(2), metadata={"a": 1})
    loads = json.loads

    def refuse(text):
        if text.startswith('{"version"'):
            raise ValueError("Exceeds the limit for integer string conversion")
        return loads(text)

    monkeypatch.setattr(json, "loads", refuse)
    for load in (eqx.load, eqx.load_metadata):
        with pytest.raises(ValueError, match="The file has metadata that this Python can't read: Exceeds the limit"):
            load(path)


def test_when_no_thread_can_start(path, monkeypatch):
    """As in a function that `atexit` calls."""

    def refuse(*args):
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr("concurrent.futures.ThreadPoolExecutor.submit", refuse)
    arrays = {"a": np.arange(2**15, dtype="float64"), "b": np.ones(3)}
    eqx.save(path, arrays)
    assert eqx.tree_equal(eqx.load(path), arrays)


def test_a_file_that_cannot_be_read_back_replaces_nothing(path, monkeypatch):
    """Release 0.5.0 of the library writes an index of more than 100 MB, and refuses to read it."""
    eqx.save(path, {"a": 1.5})

    def refuse(*args, **kwargs):
        raise safetensors.SafetensorError("HeaderTooLarge")

    with monkeypatch.context() as patch:
        patch.setattr(safetensors, "safe_open", refuse)
        with pytest.raises(OSError, match="`save` can't write .*HeaderTooLarge"):
            eqx.save(path, {"a": 2.5})
    assert eqx.load(path) == {"a": 1.5} and os.listdir(os.path.dirname(path)) == ["model.safetensors"]


def test_without_the_library(path, monkeypatch):
    """The error has the command that installs it. Nothing is written."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name, call in (("save", lambda: eqx.save(path, 1)), ("load", lambda: eqx.load(path))):
        with pytest.raises(ImportError, match="`{}` needs the library safetensors. .*pip install".format(name)):
            call()
    with pytest.raises(ImportError, match="`load_metadata` needs"):
        eqx.load_metadata(path)
    assert os.listdir(os.path.dirname(path)) == []


def test_the_same_tree_and_metadata_give_the_same_bytes(path):
    """So files can be compared by their hashes. The library orders several entries at random, so there is one."""
    data = []
    for _ in range(5):
        eqx.save(path, {"b": jnp.ones(3), "a": 1.5, "c": jnp.zeros(2, jnp.complex64)}, metadata={"x": 1, "a": [2]})
        with open(path, "rb") as file:
            data.append(file.read())
    assert len(set(data)) == 1
    with safetensors.safe_open(path, framework="numpy") as file:
        assert list(file.metadata()) == ["equinox"]


# The library of the format

PLAIN = collections.OrderedDict(
    [("b.weight", np.arange(6, dtype=np.float32).reshape(2, 3)), ("a", np.array(5, np.int64)), ("c", np.zeros((0, 2)))]
)


def test_the_library_of_the_format_reads_what_save_writes(path):
    """Names, shapes, dtypes and values."""
    eqx.save(path, dict(PLAIN, d=jnp.array([1 + 2j]), e="text", f=jnp.ones(2, jnp.bfloat16)), metadata={"a": 1})
    with open(path, "rb") as file:
        loaded = dict(safetensors.deserialize(file.read()))
    assert loaded.keys() == {*PLAIN, "d", "f"}
    for name, dtype in (("b.weight", "F32"), ("a", "I64"), ("c", "F64")):
        assert loaded[name]["dtype"] == dtype and tuple(loaded[name]["shape"]) == PLAIN[name].shape
        assert bytes(loaded[name]["data"]) == PLAIN[name].tobytes()
    assert list(loaded["d"]["shape"]) == [1, 2] and np.frombuffer(loaded["d"]["data"], np.float32).tolist() == [1, 2]
    assert loaded["f"]["dtype"] == "BF16"


def test_arrays_of_the_other_byte_order(path):
    """The format has little-endian numbers only."""
    eqx.save(path, {"a": np.arange(3, dtype=">f4")})
    assert safetensors.numpy.load_file(path)["a"].tolist() == eqx.load(path)["a"].tolist() == [0, 1, 2]


def test_load_reads_what_the_library_of_the_format_writes(path):
    """With its metadata."""
    safetensors.numpy.save_file(PLAIN, path, metadata={"format": "np"})
    loaded = eqx.load(path)
    assert loaded.keys() == PLAIN.keys()
    assert eqx.tree_equal(dict(loaded), dict(PLAIN))
    assert eqx.load_metadata(path) == {"format": "np"}
    safetensors.numpy.save_file(PLAIN, path, metadata={"equinox": "0.13.8"})
    assert eqx.load(path).keys() == PLAIN.keys() and eqx.load_metadata(path) == {"equinox": "0.13.8"}

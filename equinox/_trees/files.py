"""`save`, `load` and `load_metadata`: the arrays of a tree in a safetensors file.

The file describes itself. Its metadata `equinox` is a record in JSON: the version of the record, the user's metadata,
checksums, and how each leaf is stored that isn't an array of a dtype that safetensors has:

- `{"type": "float", "text": "0.5"}` for a Python `bool`, `int`, `float`, `complex` or `str`: it is in the record alone.
- `{"dtype": "complex64"}` for an array that is stored as pairs of real numbers, along a new last axis.
- `{"dtype": "int4"}`, and so on, for an array that is stored as bytes, along a new last axis.
- `{"key": "threefry2x32"}` for typed PRNG keys, which are stored as their `key_data`.
- `{"same_as": "name"}` for an object that has another name too. It is stored under that name alone.
"""

from __future__ import annotations

import json
import os
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, Union, overload

import jax
import numpy as np
from jax import tree_util

from .. import _compat
from .._compat.types import Literal, PyTree, T
from .names import Rename, fill, leaf_names
from .paths import describe_leaf
from .predicates import is_array, is_jax_array, is_numpy
from .safetensors import CODES, DamagedFile, read_arrays, read_metadata, write_arrays
from .values import values_of

_VERSION = 1
_RESERVED = "__metadata__"

# How a Python value is written as text, and read. `repr` keeps each bit of a float.
_TO_TEXT: Dict[type, Callable[[Any], str]] = {
    bool: repr,
    int: hex,  # `repr` refuses more than 4300 digits
    float: repr,
    complex: lambda x: "{!r} {!r}".format(x.real, x.imag),
    str: str,
}
_FROM_TEXT: Dict[str, Callable[[str], Any]] = {
    "bool": {"True": True, "False": False}.__getitem__,
    "int": lambda text: int(text, 16),
    "float": float,
    "complex": lambda text: complex(*map(float, text.split(" "))),
    "str": str,
}

Path = Union[str, "os.PathLike[str]"]


def save(path: Path, tree: PyTree, *, metadata: Optional[Mapping[str, Any]] = None, sep: str = ".") -> None:
    """Save the arrays of a tree, and its Python numbers and texts, in a safetensors file. `load` reads it.

    The leaves are saved by name, as `to_dict` names them. Other leaves, such as functions, are not saved. `load` takes
    them from its `like`. An array that is at two places of the tree is saved once.

    The file is complete or not there: the data is written to another file in the same folder, which replaces the old
    file at the end. An array that is spread over devices is gathered. Other readers of safetensors can read the arrays.
    For them, complex arrays are pairs of real numbers, typed PRNG keys are their data, and arrays of rare dtypes such
    as int4 are bytes.

    Args:
        path: The path of the file. Usually it ends with `.safetensors`.
        tree: Any pytree, such as a model, the state of an optimiser, or a tuple of both.
        metadata: A dictionary of what JSON can express, such as the sizes of the model. `load_metadata` reads it.
        sep: What stands between the parts of a name.

    Raises:
        ValueError: Two leaves have the same name, or one has the name `__metadata__`, or one that isn't valid Unicode.
        ValueError: A text in the tree has a pair of surrogates.
        ValueError: An array spans several processes, so this process doesn't see all of it. Or it was deleted.
        TypeError: `metadata` is no dictionary with texts as keys, or JSON can't express it.
        TypeError: An array is traced: `save` was called inside a transformation such as `jax.jit`.
        TypeError: `path` is no path.
        TypeError: A NumPy array has a dtype that JAX doesn't have, such as that of texts or objects.
        TypeError: A leaf is a `jax.ShapeDtypeStruct`, which has no values.
        TypeError: `sep` is no text.
        OSError: The file can't be written. The old file stays as it is.
        ImportError: The library safetensors isn't installed.
        NotImplementedError: `tree` has typed PRNG keys, and the running JAX is older than 0.4.16.

    Example:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
        >>> mlp = eqx.nn.MLP(3, 2, width_size=8, depth=1, key=jax.random.PRNGKey(0))
        >>> eqx.save(path, mlp, metadata={"width": 8})
        >>> width = eqx.load_metadata(path)["width"]
        >>> like = eqx.nn.MLP(3, 2, width_size=width, depth=1, key=jax.random.PRNGKey(1))
        >>> eqx.tree_equal(eqx.load(path, like), mlp)
        True
    """
    path = _checked_path("save", path)
    metadata = _as_json(metadata)
    names, leaves = leaf_names("save", tree, sep), tree_util.tree_leaves(tree)
    arrays: Dict[str, np.ndarray] = {}
    encodings: Dict[str, Dict[str, str]] = {}
    seen: Dict[int, str] = {}
    for name, leaf in zip(names, leaves):
        _check_name(name)
        if type(leaf) in _TO_TEXT:
            encodings[name] = {"type": type(leaf).__name__, "text": _as_text(name, leaf)}
        elif id(leaf) in seen:
            encodings[name] = {"same_as": seen[id(leaf)]}
        elif is_array(leaf):
            seen[id(leaf)] = name
            arrays[name], encoding = _encode(name, leaf)
            if encoding is not None:
                encodings[name] = encoding
        elif is_numpy(leaf):
            raise TypeError(
                "`save` can't save `{}`, {}: JAX doesn't have this dtype. Keep the values in lists in the tree, or in "
                "`metadata`.".format(name, describe_leaf(leaf))
            )
        elif isinstance(leaf, jax.ShapeDtypeStruct):
            raise TypeError(
                "`save` can't save `{}`: it has no values, only the shape and the dtype of an array. Save the model, "
                "and use its shapes as the `like` of `load`.".format(name)
            )
    write_arrays("save", path, arrays, {"version": _VERSION, "metadata": metadata, "leaves": encodings})


@overload
def load(path: Path, like: None = ..., *, sep: str = ...) -> Dict[str, Any]: ...
@overload
def load(path: Path, like: T, *, strict: Literal[True] = ..., rename: Optional[Rename] = ..., sep: str = ...) -> T: ...
@overload
def load(
    path: Path, like: T, *, strict: Literal[False], rename: Optional[Rename] = ..., sep: str = ...
) -> Tuple[T, Dict[str, Any]]: ...
@overload
def load(
    path: Path, like: PyTree = ..., *, strict: bool = ..., rename: Optional[Rename] = ..., sep: str = ...
) -> PyTree: ...
def load(
    path: Path,
    like: PyTree = None,
    *,
    strict: bool = True,
    rename: Optional[Rename] = None,
    sep: str = ".",
) -> PyTree:
    """Load a file that `save` wrote, or another safetensors file. Nothing in such a file is executed.

    Everything is checked before anything is built: the checksums of the file, and that the arrays fit `like`. So a file
    that is cut off or damaged is an error.

    Args:
        path: The path of the file.
        like: A pytree like the one that was saved, as in `from_dict`. Its leaves are replaced by those of the file, by
            name. Each new array is where the array of `like` is. If `like` is `None`, the result is a dictionary.
        strict: As in `from_dict`: whether it is an error if something is missing, unknown or doesn't fit.
        rename: As in `from_dict`: a function or patterns that give the names in `like`.
        sep: What stands between the parts of a name.

    Returns:
        A tree of the structure of `like`. If `strict` is `False`, `(tree, rest)`, as from `from_dict`. If `like` is
        `None`, a dictionary, which `from_dict` takes. It has NumPy arrays, typed PRNG keys, and Python numbers and
        texts.

    Raises:
        ValueError: The file is no safetensors file, was cut off, is damaged, or has a newer version of the format.
        ValueError: Something is missing, unknown, or of another shape or dtype. The message has all of it, with near
            names.
        ValueError: `rename` or `strict` was given without `like`.
        TypeError: `rename` is no function and no dictionary, or gives something that is no text.
        TypeError: `sep` is no text.
        TypeError: `path` is no path.
        OSError: The file can't be read.
        ImportError: The library safetensors isn't installed.
        NotImplementedError: The file has typed PRNG keys, and the running JAX is older than 0.4.16.

    Example:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "linear.safetensors")
        >>> eqx.save(path, {"weight": jnp.ones(2, jnp.bfloat16), "scale": 0.5})
        >>> eqx.load(path)
        {'weight': array([1, 1], dtype=bfloat16), 'scale': 0.5}
        >>> eqx.load(path, {"weight": jnp.zeros(2, jnp.bfloat16), "scale": 0.0})["weight"].tolist()
        [1.0, 1.0]
    """
    if like is None and (rename is not None or not strict):
        raise ValueError("`load` without `like` gives all that is in the file. Pass `like` with `rename` and `strict`.")
    path = _checked_path("load", path)
    try:
        arrays, record = read_arrays("load", path)
        leaves = arrays if record is None else _decoded(arrays, _checked_version(record)["leaves"])
    except DamagedFile as error:
        raise _unreadable("load", path, error) from None
    return leaves if like is None else fill("load", like, leaves, strict, rename, sep, are_new=True)


def load_metadata(path: Path) -> Dict[str, Any]:
    """Load the metadata that was given to `save`. The arrays are not read.

    Args:
        path: The path of the file.

    Returns:
        A dictionary, as JSON has it: a tuple has become a list. For a safetensors file that `save` didn't write, its
        `__metadata__`.

    Raises:
        ValueError: The file is no safetensors file, was cut off, is damaged, or has a newer version of the format.
        TypeError: `path` is no path.
        OSError: The file can't be read.
        ImportError: The library safetensors isn't installed.

    Example:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
        >>> eqx.save(path, jnp.ones(2), metadata={"sizes": (3, 8, 2)})
        >>> eqx.load_metadata(path)
        {'sizes': [3, 8, 2]}
    """
    path = _checked_path("load_metadata", path)
    try:
        record, metadata = read_metadata("load_metadata", path)
        return metadata if record is None else _checked_version(record)["metadata"]
    except DamagedFile as error:
        raise _unreadable("load_metadata", path, error) from None


def _checked_path(function, path):
    try:
        return os.fspath(path)
    except TypeError:
        raise TypeError(
            "`{}` expects `path` to be the path of a file, got {}.".format(function, describe_leaf(path))
        ) from None


def _as_json(metadata):
    """The checked metadata, as `load_metadata` gives it."""
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, Mapping) or not all(isinstance(key, str) for key in metadata):
        raise TypeError(
            "`save` expects `metadata` to be a dictionary with texts as keys, got {}.".format(describe_leaf(metadata))
        )
    try:
        return json.loads(json.dumps(dict(metadata), default=_refuse))
    except (TypeError, ValueError, RecursionError) as error:  # such as a list that holds itself
        raise TypeError("`save` expects `metadata` that JSON can express: {}.".format(error)) from None


def _refuse(value):
    raise TypeError(
        "it has {}. Convert it, for example by `float(x)` or `x.tolist()`, or save it in the tree".format(
            describe_leaf(value)
        )
    )


def _check_name(name):
    if name == _RESERVED:
        raise ValueError("`save` can't save a leaf with the name {!r}: the format uses it.".format(name))
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("`save` can't save a leaf with the name {!r}: it has a lone surrogate.".format(name)) from None


def _as_text(name, leaf):
    text = _TO_TEXT[type(leaf)](leaf)
    if json.loads(json.dumps(text)) != text:
        raise ValueError(
            "`save` can't save `{}`: JSON makes one character of two surrogates in its text. Write the character "
            "itself.".format(name)
        )
    return text


def _unreadable(function, path, error):
    return ValueError("`{}` can't read {!r}. The file {}.".format(function, path, error))


def _encode(name, array):
    """The NumPy array that is stored for an array, and its encoding or `None`."""
    try:
        x = values_of(array) if is_jax_array(array) else np.asarray(array)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind("`save` can't save `{}`: {}".format(name, error)) from None
    x = x.astype(x.dtype.newbyteorder("="), order="C", copy=False)
    if is_jax_array(array) and _compat.is_typed_key(array):
        return x, {"key": _compat.key_impl_name(array)}
    if x.dtype.name in CODES:
        return x, None
    if x.dtype.kind == "c":
        parts = x.reshape(-1).view(x.real.dtype).reshape((*x.shape, 2))
    else:
        parts = x.reshape(-1).view(np.uint8).reshape((*x.shape, x.dtype.itemsize))
    return parts, {"dtype": x.dtype.name}


def _checked_version(record):
    if record["version"] > _VERSION:
        raise DamagedFile(
            "has version {} of the format of `eqx.save`. This library reads versions up to {}. Update it".format(
                record["version"], _VERSION
            )
        )
    return record


def _decoded(arrays, encodings):
    """The leaves, by name, in the order of the file. Python values and names of the same object come last."""
    leaves = {name: _decode(name, x, encodings.get(name, {})) for name, x in arrays.items()}
    for name, encoding in encodings.items():
        if "type" in encoding:
            leaves[name] = _FROM_TEXT[encoding["type"]](encoding["text"])
        elif "same_as" in encoding:
            leaves[name] = leaves[encoding["same_as"]]
    return leaves


def _decode(name, x, encoding):
    if "key" in encoding:
        return _compat.typed_keys(x, encoding["key"])
    if "dtype" not in encoding:
        return x
    dtype = _compat.dtype_named(encoding["dtype"])
    if dtype is None:
        raise DamagedFile("has `{}` in the dtype {}, which this JAX doesn't have".format(name, encoding["dtype"]))
    return x.reshape(-1).view(dtype).reshape(x.shape[:-1])

"""`tree_serialise_leaves` and `tree_deserialise_leaves`: the leaves of a tree one after another in a file."""

from __future__ import annotations

import contextlib
import os
from typing import Any, BinaryIO, Optional, Union

import jax
import jax.numpy as jnp
import numpy as np
from jax import tree_util

from .. import _compat
from .._compat import named_children
from .._compat.types import IsLeaf, PyTree, T
from .layout import layout_of
from .paths import describe_leaf
from .predicates import is_array_or_shape, is_jax_array, is_numpy
from .prefix import is_function, items_of_leaves, mismatch
from .published import PublishedLeaves
from .replaced_file import replaced_file
from .values import values_of

PathOrFile = Union[str, "os.PathLike[str]", BinaryIO]

_NUMBERS = (bool, int, float, complex)
_SUFFIX = ".eqx"
_KEPT = b"equinox: values before the conversion\n"


def default_serialise_filter_spec(f: BinaryIO, x: Any) -> None:
    """Write one leaf to a file, in NumPy's format `.npy`. This is what `tree_serialise_leaves` does by default.

    JAX and NumPy arrays and Python numbers are written. Typed PRNG keys are written as their data. Other leaves are not
    written.

    Args:
        f: A file that is open for writing bytes.
        x: The leaf.

    Raises:
        ValueError: NumPy's format can't hold the leaf, such as an `int` of more than 64 bits or an array of objects.
        ValueError: The array was deleted, or this process doesn't see all of it.
        TypeError: The array is traced.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> eqx.default_serialise_filter_spec(file, jnp.ones(2))
        >>> np.load(io.BytesIO(file.getvalue())).tolist()
        [1.0, 1.0]
    """
    if is_jax_array(x) or is_numpy(x) or type(x) in _NUMBERS:
        np.save(f, np.asarray(_as_numpy(x)), allow_pickle=False)


def default_deserialise_filter_spec(f: BinaryIO, x: Any) -> Any:
    """Read one leaf from a file. This is what `tree_deserialise_leaves` does by default.

    Args:
        f: A file that is open for reading bytes.
        x: A leaf like the one that was written. A `jax.ShapeDtypeStruct` may stand for a JAX array.

    Returns:
        The leaf: a JAX array, a NumPy array or a Python number, as `x` is. If `x` is none of these, `x`.

    Raises:
        ValueError: The file ends too early, or has something else here.
        ValueError: The shape or the dtype differs from that of `x`. The message has both.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> eqx.default_serialise_filter_spec(file, 2.5)
        >>> eqx.default_deserialise_filter_spec(io.BytesIO(file.getvalue()), 0.0)
        2.5
    """
    if is_array_or_shape(x) or is_numpy(x):
        return _like(x, _read_array(f))
    if type(x) in _NUMBERS:
        value = _read_array(f)
        number = value.item() if value.shape == () else value
        if type(number) is not type(x):
            raise ValueError("expected {}, got {}".format(describe_leaf(x), describe_leaf(value)))
        return number
    return x


def _read_array(f):
    """The next array of a file. `np.load` would also open archives."""
    return np.lib.format.read_array(f, allow_pickle=False)


def _like(x, value):
    """The array `value` of a file as an array of the kind of `x`."""
    is_key = _is_key(x)
    if is_key:
        try:
            value = _compat.typed_keys(value, _compat.key_impl_name(x))
        except (TypeError, ValueError):
            raise ValueError("expected the data of {}, got {}".format(describe_leaf(x), describe_leaf(value))) from None
    elif value.dtype.kind == "V" and value.dtype.itemsize == x.dtype.itemsize:
        value = value.view(x.dtype)  # a dtype that NumPy itself doesn't have, such as bfloat16
    if value.shape != x.shape or value.dtype != x.dtype:
        raise ValueError("expected {}, got {}".format(describe_leaf(x), describe_leaf(value)))
    if is_numpy(x):
        return value[()] if isinstance(x, np.generic) else value
    placement = _compat.placement(x)
    return jnp.asarray(value) if placement is None else jax.device_put(value, placement)


def tree_serialise_leaves(
    path_or_file: PathOrFile,
    pytree: PyTree,
    filter_spec: PyTree = default_serialise_filter_spec,
    is_leaf: Optional[IsLeaf] = None,
) -> None:
    """Write the leaves of a tree to a file, one after another. `tree_deserialise_leaves` reads them.

    `save` writes a file that describes itself, whose arrays have names. If a path is given, the new file replaces the
    old one when it is whole.

    The published Equinox reads and writes the same files. So a layer whose leaves differ there is written in its form:
    a `Dropout` as its probability and its flag, a cell with the sum of its two biases. What the published layer can't
    hold, such as the two biases, comes after all leaves.

    Args:
        path_or_file: The path of a file, or a file that is open for writing bytes. A path without a suffix gets the
            suffix `.eqx`.
        pytree: Any pytree.
        filter_spec: A function that writes one leaf, from `(file, leaf)` to `None`. Or a pytree of such functions that
            is a prefix of `pytree`. A leaf that only the published layer has is written by the function for the first
            leaf of the layer.
        is_leaf: As in `jax.tree_util.tree_flatten`: what else in `pytree` counts as a leaf.

    Raises:
        ValueError: A leaf can't be written, such as an `int` of more than 64 bits. The message has its path.
        TypeError: An array is traced: the call is inside a transformation such as `jax.jit`.
        ValueError: The structure of `filter_spec` isn't a prefix of that of `pytree`. The message says where.
        TypeError: A leaf of `filter_spec` is no function.
        TypeError: `path_or_file` is no path and no file.

    Example:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "model.eqx")
        >>> eqx.tree_serialise_leaves(path, {"weight": jnp.ones(2), "steps": 3})
        >>> eqx.tree_deserialise_leaves(path, {"weight": jnp.zeros(2), "steps": 0})["steps"]
        3
    """
    published = _published(pytree, filter_spec, "pytree", is_leaf, default_serialise_filter_spec, _as_numpy)
    lossy = [i for i, converted in enumerate(published.converted) if converted.loses()]
    with _opened("tree_serialise_leaves", path_or_file, replaced_file) as file:
        _write(file, pytree, published.leaves)
        if lossy:
            file.write(_KEPT)
            np.save(file, np.array(lossy))
            for i in lossy:
                _write(file, pytree, published.converted[i].own)


def tree_deserialise_leaves(
    path_or_file: PathOrFile,
    like: T,
    filter_spec: PyTree = default_deserialise_filter_spec,
    is_leaf: Optional[IsLeaf] = None,
) -> T:
    """Read the leaves of a tree from a file that `tree_serialise_leaves` or the published Equinox wrote.

    Make `like` with the arguments of the layer that was written. The page about saving says what can't be converted.

    Args:
        path_or_file: The path of a file, or a file that is open for reading bytes. A path without a suffix gets the
            suffix `.eqx`.
        like: A pytree of the same structure as the one that was written, with leaves of the same shapes and dtypes. A
            `jax.ShapeDtypeStruct` may stand for an array.
        filter_spec: A function that reads one leaf, from `(file, leaf of like)` to the new leaf. Or a pytree of such
            functions that is a prefix of `like`.
        is_leaf: As in `jax.tree_util.tree_flatten`: what else in `like` counts as a leaf.

    Returns:
        A tree of the structure of `like`. What is structure here and a leaf in the published Equinox, such as the
        probability of a `Dropout`, is that of the file.

    Raises:
        ValueError: A leaf can't be read, or has another shape, dtype or type than that of `like`. The message has its
            path.
        ValueError: A path was given, and the file has more than the leaves.
        ValueError: The structure of `filter_spec` isn't a prefix of that of `like`. The message says where.
        TypeError: A leaf of `filter_spec` is no function.
        TypeError: `path_or_file` is no path and no file.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> eqx.tree_serialise_leaves(file, [jnp.ones(2), 0.5])
        >>> new = eqx.tree_deserialise_leaves(io.BytesIO(file.getvalue()), [jnp.zeros(2), 0.0])
        >>> new[0].tolist(), new[1]
        ([1.0, 1.0], 0.5)
    """
    published = _published(like, filter_spec, "like", is_leaf, default_deserialise_filter_spec, _as_zeros)
    with _opened("tree_deserialise_leaves", path_or_file, lambda path: open(path, "rb")) as file:
        leaves = _read(file, like, published.leaves)
        if published.converted and _has_kept(file):
            for i in _read(file, like, [("like", len(published.converted), _load_numbers)])[0]:
                published.converted[i].kept = _read(file, like, published.converted[i].own)
        if file is not path_or_file and file.read(1):
            raise ValueError("`tree_deserialise_leaves` expects a file with the leaves of `like`, but it has more.")
    return published.build(leaves)


def _write(file, tree, leaves):
    for path, leaf, function in leaves:
        try:
            function(file, leaf)
        except (TypeError, ValueError) as error:  # such as an int of more than 64 bits
            kind, where = TypeError if isinstance(error, TypeError) else ValueError, _in_words(path, tree, "pytree")
            raise kind("`tree_serialise_leaves` can't write {}: {}".format(where, error)) from error


def _read(file, like, leaves):
    new = []
    for path, leaf, function in leaves:
        try:
            new.append(function(file, leaf))
        except (EOFError, ValueError) as error:
            raise ValueError(
                "`tree_deserialise_leaves` can't read {}: {}. The file must have the leaves of `like`, in the same "
                "order. Make `like` with the arguments of the layers that were written.".format(
                    _in_words(path, like, "like"), str(error).rstrip(".")
                )
            ) from error
    return new


def _in_words(path, tree, root):
    """The path of a leaf, with the class of the layer that has it."""
    place, node, layer = root, tree, None
    while node is not None:
        layer = type(node).__name__ if layout_of(node) is not None else layer
        steps = [(place + name, child) for name, child in named_children(node) or ()]
        place, node = next(
            ((to, x) for to, x in steps if path[: len(to)] == to and path[len(to) :][:1] in ".["), ("", None)
        )
    return "`{}`".format(path) if layer is None else "`{}` of a layer of the class `{}`".format(path, layer)


def _has_kept(file):
    """Whether values before the conversion follow. If something else follows, the file is left at its beginning."""
    start = file.tell() if file.seekable() else None
    found = file.read(len(_KEPT))
    if found and found != _KEPT:
        if start is None:
            raise ValueError(
                "`tree_deserialise_leaves` can't go back in this file, but must look at what follows the leaves of "
                "`like`. Pass a path, or a file that can seek."
            )
        file.seek(start)
    return found == _KEPT


def _load_numbers(file, end):
    """The numbers of the layers whose values follow. They are below `end`."""
    numbers = _read_array(file)
    if numbers.ndim != 1 or numbers.dtype.kind != "i" or not all(0 <= i < end for i in numbers):
        raise ValueError("expected values before the conversion for {} layers of `like`".format(end))
    return numbers


def _as_numpy(x):
    """A JAX array as a NumPy array."""
    return values_of(x) if is_jax_array(x) else x


def _as_zeros(x):
    """Zeros of the shape and dtype of an array. Only these are asked of `like`."""
    if not is_array_or_shape(x) or _is_key(x):
        return x
    return np.zeros(x.shape, x.dtype)


def _is_key(x):
    return not is_numpy(x) and _compat.is_typed_key(x)


def _published(tree, filter_spec, name, is_leaf, default, as_numpy):
    """The leaves of `tree` in the published form, with the functions of `filter_spec`."""
    treedef = tree_util.tree_flatten(tree, is_leaf=is_leaf)[1]
    functions = items_of_leaves(
        filter_spec, treedef, lambda x: False, "filter_spec", "a function from a file and a leaf"
    )
    if functions is None:
        raise ValueError(
            "`filter_spec` must have the structure of `{0}`, or of a prefix of it. {1}".format(
                name, mismatch(tree, filter_spec, name, is_leaf)
            )
        )
    default = filter_spec if is_function(filter_spec) else default
    return PublishedLeaves(tree, name, functions, default, is_leaf, as_numpy, _like)


@contextlib.contextmanager
def _opened(function, path_or_file, open_path):
    if hasattr(path_or_file, "read") or hasattr(path_or_file, "write"):
        yield path_or_file
        return
    try:
        path = os.fspath(path_or_file)
    except TypeError:
        raise TypeError(
            "`{}` expects `path_or_file` to be a path or a file, got {}.".format(function, describe_leaf(path_or_file))
        ) from None
    if not os.path.splitext(path)[1]:
        path += _SUFFIX
    with open_path(path) as file:
        yield file

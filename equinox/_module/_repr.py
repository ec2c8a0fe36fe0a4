"""A pytree as text: its structure, arrays as `f32[3,2]`, long containers and deep nesting cut short."""

import dataclasses
import types

import numpy as np

from .._filters import is_array

_WIDTH = 88  # a line; what doesn't fit is broken over several, one item to each
_MAX_ITEMS = 6  # of a list, tuple or dictionary
_MAX_DEPTH = 8

_SHORT_KINDS = {"float": "f", "bfloat": "bf", "complex": "c", "int": "i", "uint": "u"}


def tree_repr(tree):
    """`tree` as text. What a field or item holds is shown by its own `repr` unless it is an array or container."""
    return _layout(_document(tree, 0), 0)


def _document(x, depth):
    """`x` as a string, or as `(opening, items, closing)`, where items are `(label, document)`."""
    if is_array(x) or isinstance(x, np.ndarray):
        return _array(x)
    layout = getattr(type(x), "__layout__", None)
    if layout is not None and not isinstance(x, type):
        opening, closing = type(x).__name__ + "(", ")"
        items = [(name + "=", x.__dict__[name]) for name in layout.shown if name in x.__dict__]
    elif isinstance(x, tuple) and hasattr(x, "_fields"):
        opening, closing = type(x).__name__ + "(", ")"
        items = [(name + "=", item) for name, item in zip(x._fields, x)]
    elif type(x) is dict:
        opening, closing = "{", "}"
        items = [(repr(key) + ": ", item) for key, item in x.items()]
    elif type(x) is list:
        opening, closing = "[", "]"
        items = [("", item) for item in x]
    elif type(x) is tuple:
        opening, closing = "(", ",)" if len(x) == 1 else ")"
        items = [("", item) for item in x]
    else:
        return _leaf(x)
    if items and depth == _MAX_DEPTH:
        return opening + "..." + closing
    hidden = len(items) - _MAX_ITEMS if layout is None else 0
    if hidden > 0:
        items = items[:_MAX_ITEMS]
    documents = [(label, _document(item, depth + 1)) for label, item in items]
    if hidden > 0:
        documents.append(("", "... {} more".format(hidden)))
    return opening, documents, closing


def _array(x):
    """`f32[3,2]`; the names of dtypes are those of jaxprs. NumPy arrays say so, as they are no parameters."""
    kind = str(x.dtype)
    head = kind.rstrip("0123456789")
    short = _SHORT_KINDS[head] + kind[len(head) :] if head in _SHORT_KINDS else kind
    text = "{}[{}]".format(short, ",".join(map(str, x.shape)))
    return text + "(numpy)" if isinstance(x, np.ndarray) else text


def _leaf(x):
    if isinstance(x, type) or isinstance(x, (types.FunctionType, types.BuiltinFunctionType)):
        return x.__qualname__
    if callable(x) and not dataclasses.is_dataclass(x) and hasattr(x, "__qualname__"):
        return x.__qualname__  # jax.nn.relu and other wrapped functions
    text = repr(x)
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."


def _layout(document, indent):
    """On one line if that fits, else one item to a line."""
    if isinstance(document, str):
        return document
    opening, items, closing = document
    flat = _flat(document)
    if indent + len(flat) <= _WIDTH:
        return flat
    margin = " " * (indent + 2)
    lines = [margin + label + _layout(item, indent + 2) for label, item in items]
    return "\n".join([opening, ",\n".join(lines), " " * indent + closing.lstrip(",")])


def _flat(document):
    if isinstance(document, str):
        return document
    opening, items, closing = document
    return opening + ", ".join(label + _flat(item) for label, item in items) + closing

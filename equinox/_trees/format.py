"""Write a pytree as text. Arrays are written as `f32[3,2]`. Long containers and deep nesting are cut short."""

from .. import _compat
from .layout import layout_of
from .paths import short_repr
from .predicates import is_jax_array

_WIDTH = 88  # of a line. A longer node has one line for each item.
_MAX_ITEMS = 6  # of a list, tuple or dictionary
_MAX_DEPTH = 8
_MAX_LENGTH = 2000  # If the text is longer, the deepest levels are left out.

_SHORT_KINDS = {"float": "f", "bfloat": "bf", "complex": "c", "int": "i", "uint": "u"}


def tree_repr(tree):
    """Write `tree` as text. A leaf that is no array is shown by its own `repr`."""
    shown = ""
    for depth in range(1, _MAX_DEPTH + 1):
        text = _layout(_document(tree, depth), 0, _WIDTH)
        if shown and (text == shown or len(text) > _MAX_LENGTH):
            break
        shown = text
    return shown


def _document(x, depth):
    """Describe `x` down to `depth`: a string, or `(opening, items, closing)`. Each item is `(label, document)`."""
    if is_jax_array(x) or _compat.is_numpy_array(x):
        return array_text(x)
    layout = layout_of(x)
    if layout is not None:
        opening, closing = type(x).__name__ + "(", ")"
        items = [(name + "=", x.__dict__[name]) for name in layout.shown if name in x.__dict__]
    elif isinstance(x, tuple) and hasattr(x, "_fields"):
        opening, closing = type(x).__name__ + "(", ")"
        items = [(name + "=", item) for name, item in zip(x._fields, x)]
    elif isinstance(x, dict):
        opening, closing = ("{", "}") if type(x) is dict else (type(x).__name__ + "({", "})")
        items = [(short_repr(key, _WIDTH) + ": ", item) for key, item in x.items()]
    elif type(x) is list:
        opening, closing = "[", "]"
        items = [("", item) for item in x]
    elif type(x) is tuple:
        opening, closing = "(", ",)" if len(x) == 1 else ")"
        items = [("", item) for item in x]
    else:
        return _leaf(x)
    if items and depth == 0:
        return opening + "..." + closing.lstrip(",")
    hidden = len(items) - _MAX_ITEMS if layout is None else 0
    if hidden > 0:
        items = items[:_MAX_ITEMS]
    documents = [(label, _document(item, depth - 1)) for label, item in items]
    if hidden > 0:
        documents.append(("", "... {} more".format(hidden)))
    return opening, documents, closing


def array_text(x):
    """Write an array as `f32[3,2]`, with the names of dtypes that jaxprs use.

    A NumPy array is marked, because optimisers return JAX arrays. A weakly typed array is marked, because a function is
    compiled again for it.
    """
    kind = str(x.dtype)
    head = kind.rstrip("0123456789")
    short = _SHORT_KINDS[head] + kind[len(head) :] if head in _SHORT_KINDS else kind
    text = "{}[{}]".format(short, ",".join(map(str, x.shape)))
    if _compat.is_numpy_array(x):
        return text + "(numpy)"
    return "weak_" + text if getattr(x, "weak_type", False) else text


def _leaf(x):
    name = getattr(x, "__name__", None)
    if callable(x) and isinstance(name, str):  # functions, classes, and JAX's wrapped functions
        return name
    return short_repr(x, _WIDTH)


def _layout(document, indent, room):
    """Write `document` on one line if it fits into `room`. Otherwise write one item on each line."""
    flat = _flat(document)
    if isinstance(document, str) or len(flat) <= room:
        return flat
    opening, items, closing = document
    indent += 2
    lines = [
        " " * indent + label + _layout(item, indent, _WIDTH - indent - len(label) - len(",")) for label, item in items
    ]
    return "\n".join([opening, ",\n".join(lines), " " * (indent - 2) + closing.lstrip(",")])


def _flat(document):
    if isinstance(document, str):
        return document
    opening, items, closing = document
    return opening + ", ".join(label + _flat(item) for label, item in items) + closing

"""`tree_pformat`, `tree_pprint` and the `repr` of modules: write a pytree as text. Arrays are written as `f32[3,2]`."""

from __future__ import annotations

import operator
import sys
from typing import Any, Callable, Optional

import jax

from .. import _compat
from .._compat.types import PyTree
from .layout import layout_of
from .paths import describe_leaf, short_repr
from .predicates import is_jax_array

_MAX_DEPTH = 100  # Deeper nodes are cut short, so that Python's limit of recursion isn't reached.

# A `repr` is short for a tree of any size.
_REPR_WIDTH = 88
_REPR_MAX_ITEMS = 6  # of a list, tuple or dictionary
_REPR_MAX_DEPTH = 8
_REPR_MAX_LENGTH = 2000  # If the text is longer, the deepest levels are left out.

_SHORT_KINDS = {"float": "f", "bfloat": "bf", "complex": "c", "int": "i", "uint": "u"}


def tree_pformat(
    tree: PyTree,
    *,
    width: int = 80,
    indent: int = 2,
    short_arrays: bool = True,
    struct_as_array: bool = False,
    truncate_leaf: Optional[Callable[[Any], bool]] = None,
) -> str:
    """Write a pytree as text. The `repr` of a module cuts long lists and deep nesting short. This function doesn't.

    An array is written as its dtype and shape. A function is written as its name. Another leaf is written as its
    `repr`, on one line. Nodes more than 100 levels deep, and a list that holds itself, are written as `[...]`.

    Args:
        tree: Any pytree.
        width: The width of a line in characters. A node that is longer has one line for each item.
        indent: By how many spaces the items of a node are indented.
        short_arrays: Whether an array is written as `f32[3,2]`. Otherwise its `repr` is written, with its values.
        struct_as_array: Whether a `jax.ShapeDtypeStruct` is written as the array that it stands for.
        truncate_leaf: A function `node -> bool`. A node or leaf for which it is true is written as its type alone, as
            in `Linear(...)`.

    Returns:
        The text.

    Raises:
        TypeError: `width` or `indent` is no integer.
        TypeError: `truncate_leaf` is no function.
        ValueError: `width` or `indent` is negative.

    Example:
        >>> mlp = eqx.nn.MLP(3, 2, width_size=8, depth=1, key=jax.random.PRNGKey(0))
        >>> eqx.tree_pformat({"layers": mlp.layers, "scale": 2.0}, truncate_leaf=lambda x: isinstance(x, eqx.nn.Linear))
        "{'layers': (Linear(...), Linear(...)), 'scale': 2.0}"
        >>> eqx.tree_pformat([np.ones(2), jax.nn.relu]), eqx.tree_pformat([np.ones(2)], short_arrays=False)
        ('[f64[2](numpy), relu]', '[array([1., 1.])]')
    """
    if truncate_leaf is not None and not callable(truncate_leaf):
        raise TypeError(
            "`tree_pformat` expects `truncate_leaf` to be a function, got {}.".format(describe_leaf(truncate_leaf))
        )
    width, indent = _as_size("width", width), _as_size("indent", indent)
    return _Writer(width, indent, short_arrays, struct_as_array, truncate_leaf).write(tree, _MAX_DEPTH)


def tree_pprint(
    tree: PyTree,
    *,
    width: int = 80,
    indent: int = 2,
    short_arrays: bool = True,
    struct_as_array: bool = False,
    truncate_leaf: Optional[Callable[[Any], bool]] = None,
) -> None:
    """Print a pytree, as `tree_pformat` writes it.

    Args:
        tree: Any pytree.
        width: The width of a line in characters. A node that is longer has one line for each item.
        indent: By how many spaces the items of a node are indented.
        short_arrays: Whether an array is written as `f32[3,2]`. Otherwise its `repr` is written, with its values.
        struct_as_array: Whether a `jax.ShapeDtypeStruct` is written as the array that it stands for.
        truncate_leaf: A function `node -> bool`. A node or leaf for which it is true is written as its type alone, as
            in `Linear(...)`.

    Raises:
        TypeError: `width` or `indent` is no integer.
        TypeError: `truncate_leaf` is no function.
        ValueError: `width` or `indent` is negative.

    Example:
        >>> eqx.tree_pprint({"weight": jnp.ones((3, 2)), "bias": jnp.ones(3)}, width=20)
        {
          'weight': f32[3,2],
          'bias': f32[3]
        }
    """
    print(
        tree_pformat(
            tree,
            width=width,
            indent=indent,
            short_arrays=short_arrays,
            struct_as_array=struct_as_array,
            truncate_leaf=truncate_leaf,
        )
    )


def _as_size(name, value):
    """`value`, the argument `name`, as an int that isn't negative."""
    try:
        size = operator.index(value)
    except TypeError:
        raise TypeError(
            "`tree_pformat` expects `{}` to be an integer, got {}.".format(name, describe_leaf(value))
        ) from None
    if size < 0:
        raise ValueError("`tree_pformat` expects `{}` to be at least 0, got {}.".format(name, size))
    return size


def tree_repr(tree):
    """Write `tree` as a short text. A leaf that is no array is shown by its own `repr`."""
    writer, shown = _Writer(_REPR_WIDTH, max_items=_REPR_MAX_ITEMS, max_leaf=_REPR_WIDTH), ""
    for depth in range(1, _REPR_MAX_DEPTH + 1):
        text = writer.write(tree, depth)
        if shown and (text == shown or len(text) > _REPR_MAX_LENGTH):
            break
        shown = text
    return shown


class _Writer:
    """Writes trees as text. The first five options are those of `tree_pformat`.

    `max_items` is the number of items of a list, tuple or dictionary that are written. `max_leaf` is the number of
    characters of a leaf.
    """

    def __init__(
        self,
        width,
        indent=2,
        short_arrays=True,
        struct_as_array=False,
        truncate_leaf=None,
        max_items=sys.maxsize,
        max_leaf=sys.maxsize,
    ):
        self.width = width
        self.indent = indent
        self.short_arrays = short_arrays
        self.struct_as_array = struct_as_array
        self.truncate_leaf = truncate_leaf
        self.max_items = max_items
        self.max_leaf = max_leaf
        self._above = []  # the `id`s of the nodes that hold the node that is described

    def write(self, tree, depth):
        """Write `tree` down to `depth`."""
        return self._layout(self._document(tree, depth), 0, 0, self.width)

    def _document(self, x, depth):
        """Describe `x` down to `depth`: a string, or `(opening, items, closing)`. Each item is `(label, document)`."""
        if self.truncate_leaf is not None and self.truncate_leaf(x):
            return type(x).__name__ + "(...)"
        if is_jax_array(x) or _compat.is_numpy_array(x):
            return array_text(x) if self.short_arrays else _array_repr(x)
        if self.struct_as_array and isinstance(x, jax.ShapeDtypeStruct):
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
            items = [(short_repr(key, self.max_leaf) + ": ", item) for key, item in x.items()]
        elif type(x) is list:
            opening, closing = "[", "]"
            items = [("", item) for item in x]
        elif type(x) is tuple:
            opening, closing = "(", ",)" if len(x) == 1 else ")"
            items = [("", item) for item in x]
        else:
            return self._leaf(x)
        if items and (depth == 0 or id(x) in self._above):
            return opening + "..." + closing.lstrip(",")
        hidden = len(items) - self.max_items if layout is None else 0
        if hidden > 0:
            items = items[: self.max_items]
        self._above.append(id(x))
        documents = [(label, self._document(item, depth - 1)) for label, item in items]
        self._above.pop()
        if hidden > 0:
            documents.append(("", "... {} more".format(hidden)))
        return opening, documents, closing

    def _leaf(self, x):
        name = getattr(x, "__name__", None)
        if callable(x) and isinstance(name, str):  # functions, classes, and JAX's wrapped functions
            return name
        return short_repr(x, self.max_leaf)

    def _layout(self, document, indent, column, room):
        """Write `document` on one line if it fits into `room`. Otherwise write one item on each line.

        The text begins at `column`. The line on which it begins is indented by `indent`.
        """
        if isinstance(document, str):
            return document.replace("\n", "\n" + " " * column)
        if _room_left(document, room) >= 0:
            return _flat(document)
        opening, items, closing = document
        inner = indent + self.indent
        lines = []
        for label, item in items:
            column = inner + len(label)
            lines.append(" " * inner + label + self._layout(item, inner, column, self.width - column - len(",")))
        return "\n".join([opening, ",\n".join(lines), " " * indent + closing.lstrip(",")])


def _room_left(document, room):
    """How many characters of `room` are left after `document` on one line. Negative if it doesn't fit."""
    if isinstance(document, str):
        return -1 if "\n" in document else room - len(document)
    opening, items, closing = document
    room -= len(opening) + len(closing) + len(", ") * max(len(items) - 1, 0)
    for label, item in items:
        if room < 0:
            break
        room = _room_left(item, room - len(label))
    return room


def _flat(document):
    if isinstance(document, str):
        return document
    opening, items, closing = document
    return opening + ", ".join(label + _flat(item) for label, item in items) + closing


def _array_repr(x):
    try:
        return repr(x)
    except Exception:  # the array was deleted, or this process can't see all of it
        return array_text(x)


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

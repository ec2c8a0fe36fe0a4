"""What has changed between two trees, in words: by path, before and after."""

from __future__ import annotations

import os
import sys
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from .._compat.types import PyTree
from .format import array_text, tree_pformat
from .paths import class_name, differing_marks, differing_static_fields, short_repr, short_text, walk_together
from .predicates import is_array

_WIDTH = 60  # of the text of a leaf or of a static value


class Change(NamedTuple):
    """One difference between two trees. `str` gives it in words, as in `model.step: 3 -> 4 (int, static)`."""

    path: str  # as in `model.layers[0].activation`. Empty for a whole tree.
    before: Optional[str]  # what was there, in words. `None` if there was nothing.
    after: Optional[str]  # what is there now, in words. `None` if there is nothing.
    text: str

    def __str__(self) -> str:
        return "{}: {}".format(self.path or "the tree", self.text)


def changes_in_tree(
    before: PyTree,
    after: PyTree,
    root: str,
    of_leaves: Callable[[str, Any, Any], Optional[Change]],
    of_static: Callable[[str, Any, Any], Change],
) -> List[Change]:
    """What differs between two trees, in the order of flattening.

    Args:
        before: A tree.
        after: Another tree.
        root: What the paths begin with.
        of_leaves: Called with a path and the two leaves there. It returns `None` if they are the same.
        of_static: Called with a path and two static values that differ. If a field is static in only one of two
            modules, the other value is the child.
    """
    changes: Dict[str, Change] = {}
    for path, a, b, a_children, b_children in walk_together(before, after, root):
        for change in _changes_at(path, a, b, a_children, b_children, of_leaves, of_static):
            # A field that is static in only one of two modules is found a second time, among their children.
            changes.setdefault(change.path, change)
    return list(changes.values())


def _changes_at(
    path: str, a: Any, b: Any, a_children: Any, b_children: Any, of_leaves: Any, of_static: Any
) -> Iterator[Change]:
    """The changes at one place that `walk_together` found."""
    if a_children is None and b_children is None:
        change = of_leaves(path, a, b)
        if change is not None:
            yield change
    elif a_children is None or b_children is None or type(a) is not type(b):
        yield arrow(path, _node_text(a, a_children), _node_text(b, b_children))
    elif list(a_children) != list(b_children):
        if isinstance(a, (list, tuple)):
            yield arrow(path, _node_text(a, a_children), _node_text(b, b_children))
            return
        yield from [Change(path + x, "a key", None, "this key is gone") for x in a_children if x not in b_children]
        yield from [Change(path + x, None, "a key", "a new key") for x in b_children if x not in a_children]
        if a_children.keys() == b_children.keys():
            yield arrow(path, ", ".join(a_children), ", ".join(b_children), "another order of keys")
    else:
        fields = differing_static_fields(a, a_children, b, b_children)
        for name, x, y in fields:
            yield of_static("{}.{}".format(path, name), x, y)
        marks = differing_marks(a, b)
        if any(marks) or not fields:
            before, after = _node_text(a, a_children) + marks[0], _node_text(b, b_children) + marks[1]
            yield arrow(path, before, after, "" if any(marks) else "other static data")


def value_change(path: str, a: Any, b: Any, note: str = "") -> Change:
    """The change from one value to another, with their texts and types. `note` comes after the types."""
    texts = cut_together(leaf_text(a), leaf_text(b))
    notes = [class_name(a) if type(a) is type(b) else "{} -> {}".format(class_name(a), class_name(b))]
    if texts[0] == texts[1] and type(a) is type(b):
        notes.append("other values" if is_array(a) else "another object")
    return arrow(path, *texts, ", ".join(notes + [note] * bool(note)))


def arrow(path: str, before: str, after: str, note: str = "") -> Change:
    """The change from one text to another."""
    text = "{} -> {}".format(before, after)
    return Change(path, before, after, "{} ({})".format(text, note) if note else text)


def leaf_text(x: Any) -> str:
    """Write a leaf on one line: an array as `f32[3,2]`, a function as its name, anything else as its `repr`.

    The items of a static tuple, list or dictionary are written in the same way.
    """
    if is_array(x):
        return array_text(x)
    name = getattr(x, "__qualname__", None) or getattr(x, "__name__", None)
    if callable(x) and isinstance(name, str):  # functions, classes, and JAX's wrapped functions
        return name
    if isinstance(x, (tuple, list, dict)):
        return tree_pformat(x, width=sys.maxsize)  # in its `repr` the functions have addresses
    return short_repr(x, sys.maxsize)


def cut_together(a: str, b: str) -> Tuple[str, str]:
    """Two texts, cut to `_WIDTH`. If they first differ in what is cut off, their beginnings are cut off too."""
    same = len(os.path.commonprefix([a, b]))
    if a != b and same > _WIDTH - len("..."):
        a, b = ("..." + text[same - _WIDTH // 2 :] for text in (a, b))
    return short_text(a, _WIDTH), short_text(b, _WIDTH)


def _node_text(x: Any, children: Any) -> str:
    if children is None:
        return short_text(leaf_text(x), _WIDTH)
    if x is None:
        return "None"
    text = "a `{}`".format(type(x).__name__)
    return "{} of {}".format(text, len(children)) if isinstance(x, (list, tuple)) else text

"""What differs between the inputs of two traces of a function, in words."""

from __future__ import annotations

import os
import sys
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .._dispatch.cache_key import ArrayKey
from .._dispatch.trace_listeners import Shape
from .._trees.format import array_text
from .._trees.paths import differing_static_fields, short_repr, short_text, walk_together
from .._trees.predicates import is_array
from .._trees.static import is_same

_LINES_SHOWN = 20  # in the words for one trace
_WIDTH = 60  # of the text of a static value


class Change(NamedTuple):
    """One difference between two traces. `str` gives it in words, as in `model.step: 3 -> 4 (int, static)`."""

    path: str  # as in `model.layers[0].activation`
    before: Optional[str]  # what was there, in words. `None` if there was nothing.
    after: Optional[str]  # what is there now, in words. `None` if there is nothing.
    text: str

    def __str__(self) -> str:
        return "{}: {}".format(self.path, self.text)


def closest(inputs: Any, earlier: Sequence[Any]) -> Tuple[int, List[Change]]:
    """The number of the earlier trace that differs least, and what differs. Of several, it is the last.

    Args:
        inputs: The inputs of a trace.
        earlier: The earlier traces. Each is a pair: its number, and its inputs. There is at least one.
    """
    candidates = [(number, changes_between(before, inputs)) for number, before in reversed(earlier)]
    return min(candidates, key=lambda candidate: len(candidate[1]))


def in_words(number: int, other: int, changes: List[Change]) -> str:
    """What trace `number` differs in from the trace `other`."""
    if changes:
        head = "Trace {} differs from trace {}:".format(number, other)
        hidden = len(changes) - _LINES_SHOWN
        more = ["... and {} more".format(hidden)] if hidden > 0 else []
        return "\n  ".join([head, *map(str, changes[:_LINES_SHOWN]), *more])
    return (
        "Trace {} has the same inputs as trace {}: the compiled functions were cleared, the earlier trace raised an "
        "error, or a setting of JAX or another transformation around the call has changed.".format(number, other)
    )


def changes_between(before: Any, after: Any) -> List[Change]:
    """What differs between two lists of inputs (see `_dispatch.arguments.Input`), in the order of the second."""
    old, new = _by_name(before), _by_name(after)
    found = [Change(x.name, "an input", None, "this input is gone") for key, x in old.items() if key not in new]
    for key, x in new.items():
        if key not in old:
            found.append(Change(x.name, None, "an input", "a new input"))
            continue
        if x.by_position != old[key].by_position:
            ways = [
                "by position" if by_position else "by keyword" for by_position in (old[key].by_position, x.by_position)
            ]
            found.append(_arrow(x.name, *ways))
        changes: Dict[str, Change] = {}
        for place in walk_together(old[key].value, x.value, x.name):
            for change in _changes_at(*place):
                # A field that is static in only one of two modules is found a second time, among their children.
                changes.setdefault(change.path, change)
        found.extend(changes.values())
    return found


def _by_name(inputs: Any) -> Any:
    return {i if x.is_bound else x.name: x for i, x in enumerate(inputs)}  # all bound inputs have the same name


def _changes_at(path: str, a: Any, b: Any, a_children: Any, b_children: Any) -> Iterator[Change]:
    """The changes at one place that `walk_together` found."""
    if a_children is None and b_children is None:
        if not _is_same_leaf(a, b):
            yield _leaf_change(path, a, b)
    elif a_children is None or b_children is None or type(a) is not type(b):
        yield _arrow(path, _node_text(a, a_children), _node_text(b, b_children))
    elif list(a_children) != list(b_children):
        if isinstance(a, (list, tuple)):
            yield _arrow(path, _node_text(a, a_children), _node_text(b, b_children))
            return
        yield from [Change(path + x, "a key", None, "this key is gone") for x in a_children if x not in b_children]
        yield from [Change(path + x, None, "a key", "a new key") for x in b_children if x not in a_children]
        if a_children.keys() == b_children.keys():
            yield _arrow(path, ", ".join(a_children), ", ".join(b_children), "another order of keys")
    else:
        fields = differing_static_fields(a, a_children, b, b_children)
        for name, x, y in fields:
            yield _leaf_change("{}.{}".format(path, name), x, y)
        if not fields:
            yield _arrow(path, _node_text(a, a_children), _node_text(b, b_children), "other static data")


def _is_same_leaf(a: Any, b: Any) -> bool:
    if type(a) is Shape or type(b) is Shape:
        return bool(a == b)
    if is_array(a) and is_array(b):  # static arrays are compared by content
        return a is b or ArrayKey(a) == ArrayKey(b)
    return is_same(a, b)


def _leaf_change(path: str, a: Any, b: Any) -> Change:
    texts = _cut(_leaf_text(a), _leaf_text(b))
    if type(a) is Shape and type(b) is Shape:
        return _arrow(path, *texts)
    if type(a) is Shape or type(b) is Shape:
        return _arrow(
            path, *[t if type(x) is Shape else "{} ({}, static)".format(t, _type(x)) for t, x in zip(texts, (a, b))]
        )
    note = _type(a) if type(a) is type(b) else "{} -> {}".format(_type(a), _type(b))
    if texts[0] == texts[1] and type(a) is type(b):
        note += ", other values" if is_array(a) else ", another object"
    return _arrow(path, *texts, note=note + ", static")


def _leaf_text(x: Any) -> str:
    if is_array(x):
        return array_text(x)
    name = getattr(x, "__qualname__", None) or getattr(x, "__name__", None)
    if callable(x) and isinstance(name, str):  # functions, classes, and JAX's wrapped functions
        return name
    return short_repr(x, sys.maxsize)


def _cut(a: str, b: str) -> Tuple[str, str]:
    """Two texts, cut to `_WIDTH`. If they first differ in what is cut off, their beginnings are cut off too."""
    same = len(os.path.commonprefix([a, b]))
    if a != b and same > _WIDTH - len("..."):
        a, b = ("..." + text[same - _WIDTH // 2 :] for text in (a, b))
    return short_text(a, _WIDTH), short_text(b, _WIDTH)


def _node_text(x: Any, children: Any) -> str:
    if children is None:
        return short_text(_leaf_text(x), _WIDTH)
    if x is None:
        return "None"
    text = "a `{}`".format(type(x).__name__)
    return "{} of {}".format(text, len(children)) if isinstance(x, (list, tuple)) else text


def _type(x: Any) -> str:
    return type(x).__name__


def _arrow(path: str, before: str, after: str, note: str = "") -> Change:
    text = "{} -> {}".format(before, after)
    return Change(path, before, after, "{} ({})".format(text, note) if note else text)

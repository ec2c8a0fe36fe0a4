"""What differs between the inputs of two traces of a function, in words."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

from .._dispatch.cache_key import ArrayKey
from .._dispatch.trace_listeners import Shape
from .._trees.changes import Change, arrow, changes_in_tree, cut_together, leaf_text, value_change
from .._trees.predicates import is_array
from .._trees.static import is_same

_LINES_SHOWN = 20  # in the words for one trace


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
            found.append(arrow(x.name, *ways))
        found.extend(changes_in_tree(old[key].value, x.value, x.name, _leaves_change, _static_change))
    return found


def _by_name(inputs: Any) -> Any:
    return {i if x.is_bound else x.name: x for i, x in enumerate(inputs)}  # all bound inputs have the same name


def _leaves_change(path: str, a: Any, b: Any) -> Optional[Change]:
    return None if _is_same_leaf(a, b) else _static_change(path, a, b)


def _is_same_leaf(a: Any, b: Any) -> bool:
    if type(a) is Shape or type(b) is Shape:
        return bool(a == b)
    if is_array(a) and is_array(b):  # static arrays are compared by content
        return a is b or ArrayKey(a) == ArrayKey(b)
    return is_same(a, b)


def _static_change(path: str, a: Any, b: Any) -> Change:
    """The change between two values. Each is static, or a `Shape`."""
    if type(a) is not Shape and type(b) is not Shape:
        return value_change(path, a, b, "static")
    texts = cut_together(leaf_text(a), leaf_text(b))
    notes = ["" if type(x) is Shape else " ({}, static)".format(type(x).__name__) for x in (a, b)]
    return arrow(path, *[text + note for text, note in zip(texts, notes)])

"""Put equal layers of a list together, so that the table of a deep model is short."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

from .summary_layers import Layer


class Run(NamedTuple):
    """Equal layers at places of a list that follow one another at equal distances."""

    layer: Layer  # the first
    path: str  # of all of them, as in `.layers[0:12]`
    repeats: int  # how many they are. If they are inside another run, of all its layers together.


def fold(layers: List[Layer]) -> List[Run]:
    """Put equal layers that follow one another in a list together. Their inner layers are then together too."""
    kinds = _kinds(layers)
    runs: List[Run] = []
    pending = [Run(layers[0], "", 1)]
    while pending:
        run = pending.pop()
        runs.append(run)
        inner = [Run(x, run.path + name, run.repeats * n) for x, name, n in _runs(run.layer.inner, kinds)]
        pending.extend(reversed(inner))
    return runs


def _kinds(layers: List[Layer]) -> List[int]:
    """A number for each layer. Layers of the same number look the same, with all inner layers."""
    numbers: Dict[Any, int] = {}
    kinds = [0] * len(layers)
    for x in reversed(layers):  # inner layers first
        inner = tuple([(y.name, kinds[y.start]) for y in x.inner])
        texts = tuple(map(tuple, (x.outputs, x.dtypes, x.shardings)))
        kind = (type(x.node), x.parameters, x.trainable, x.nbytes, texts, inner)
        kinds[x.start] = numbers.setdefault(kind, len(numbers))
    return kinds


_ITEM = re.compile(r"(.*)\[(\d+)\]")  # the name of an item of a list


def _runs(layers: List[Layer], kinds: List[int]) -> Iterator[Tuple[Layer, str, int]]:
    """The runs among the inner layers of one layer: `(the first, the name of the run, how many)`."""
    i = 0
    while i < len(layers):
        end, name = i + 1, layers[i].name
        item = _ITEM.fullmatch(name)
        if item:
            first, last, step = int(item.group(2)), int(item.group(2)), None
            while end < len(layers) and kinds[layers[end].start] == kinds[layers[i].start]:
                following = _ITEM.fullmatch(layers[end].name)
                if not following or following.group(1) != item.group(1):
                    break
                place = int(following.group(2))
                if step not in (None, place - last):
                    break
                step, last, end = place - last, place, end + 1
            if step is not None:
                places = "{}:{}".format(first, last + 1) + (":{}".format(step) if step != 1 else "")
                name = "{}[{}]".format(item.group(1), places)
        yield layers[i], name, end - i
        i = end

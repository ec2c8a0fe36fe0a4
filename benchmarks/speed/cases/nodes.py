"""The cost of a module as an object and as a pytree node. The floors are a dataclass and a named tuple."""

import collections
import dataclasses
import functools as ft
import timeit
from collections.abc import Iterator
from typing import Any

from interleaved import FLOOR
from jax.tree_util import tree_flatten

import equinox as eqx
from speed.case import EQUINOX, Call, Case

NODES = 100


class Five(eqx.Module):
    a: Any
    b: Any
    c: Any
    d: Any
    e: Any

    def method(self, x):
        return x


@dataclasses.dataclass
class PlainFive:
    a: Any
    b: Any
    c: Any
    d: Any
    e: Any

    def method(self, x):
        return x


TupleFive = collections.namedtuple("TupleFive", "a b c d e")


def cases() -> Iterator[Case]:
    # The statement is compiled into the loop, because a function call would take longer than the 50 ns to measure.
    for name, statement in [
        ("construct", "Class(1, 2, 3, 4, 5)"),
        ("read_method", "instance.method"),
        ("read_field", "instance.a"),
    ]:
        yield Case(name, ft.partial(compiled, statement), timed=run_compiled, seconds=0.5)
    yield Case("node_flatten", lambda: {FLOOR: flatten(TupleFive), EQUINOX: flatten(Five)}, per=NODES, seconds=0.5)
    yield Case(
        "node_unflatten", lambda: {FLOOR: unflatten(TupleFive), EQUINOX: unflatten(Five)}, per=NODES, seconds=0.5
    )


def compiled(statement: str) -> dict[str, Any]:
    def timer(cls: type) -> timeit.Timer:
        return timeit.Timer(statement, globals={"Class": cls, "instance": cls(1, 2, 3, 4, 5)})

    return {FLOOR: timer(PlainFive), EQUINOX: timer(Five)}


def run_compiled(timer: timeit.Timer, repeats: int) -> float:
    return timer.timeit(repeats)


def flatten(cls: type) -> Call:
    tree = [cls(1, 2, 3, 4, 5) for _ in range(NODES)]
    return lambda: tree_flatten(tree)


def unflatten(cls: type) -> Call:
    leaves, treedef = tree_flatten([cls(1, 2, 3, 4, 5) for _ in range(NODES)])
    return lambda: treedef.unflatten(leaves)

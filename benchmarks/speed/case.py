"""One piece of work that several contenders do, and what was measured."""

import dataclasses
import itertools
import time
from collections.abc import Callable
from typing import Any

from interleaved import FLOOR, Times, race, timed_by

Call = Callable[[], Any]
EQUINOX = "equinox"  # the contender for the measured library, ours or a published one


@dataclasses.dataclass(frozen=True)
class Case:
    """One piece of work.

    Attributes:
        name: The name of the case.
        make: Returns the calls to time, by the names of the contenders. One of them is `FLOOR`.
        size: How large the work is, counted in `unit`.
        unit: What `size` counts.
        per: How many pieces of work one call does. The figures are for one piece.
        timed: As for `interleaved.race`.
        seconds: How long to measure.
    """

    name: str
    make: Callable[[], dict[str, Call]]
    size: int | None = None
    unit: str = "leaves"
    per: int = 1
    timed: Callable[[Any, int], float] = timed_by(time.perf_counter)
    seconds: float = 1.0

    def measure(self, only: frozenset[str] | None = None, speed: float = 1.0) -> dict[str, Any]:
        """The figures as JSON, for the floor and for the contenders in `only`. By default, for all contenders."""
        calls = self.make()
        chosen = {name: call for name, call in calls.items() if only is None or name == FLOOR or name in only}
        times = race(chosen, self.seconds * speed, self.timed)
        return {"case": self.name, "size": self.size, "unit": self.unit, "contenders": figures(times, self.per)}


def figures(times: Times, per: int = 1) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "seconds": times.seconds(name) / per,
            "ratio": times.ratio(name),
            "spread": times.spread(name),
            "noisy": times.is_noisy(name),
            "rounds": len(times.rounds[name]),
        }
        for name in times.rounds
    }


LARGE = 1000  # arrays


def several(make: Callable[[], dict[str, Call]], leaves: int, number: int = 3) -> dict[str, Call]:
    """Contenders that each have several equal programs, and call them in turn, if a program has many arrays.

    How fast a program with 1000 arrays runs also depends on where the compiler puts it in memory. Of equal ones, the
    first takes up to 20 % less time than the others, which differ by up to 10 %. So the first isn't measured, and
    each contender's programs are compiled before and after those of the others.
    """
    if leaves < LARGE:
        return make()
    made = []
    for i in range(1 + number):
        calls = make()
        for name in sorted(calls, reverse=i % 2 == 0):
            calls[name]()
        made.append(calls)
    _first.append(made[0])
    return {name: _in_turn([calls[name] for calls in made[1:]]) for name in made[0]}


def _in_turn(calls: list[Call]) -> Call:
    turns = itertools.cycle(calls)
    return lambda: next(turns)()


_first: list[dict[str, Call]] = []  # they keep their memory

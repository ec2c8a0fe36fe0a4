"""Timing contenders in turns, with a fake clock and fake calls."""

import gc
import itertools
import random

import pytest
from interleaved import ATTEMPTS, FLOOR, MAX_ROUNDS, MIN_ROUNDS, race, timed_by


class Machine:
    """A machine whose calls take `seconds[name]`, multiplied by `disturb(name, now)`."""

    def __init__(self, seconds, disturb=lambda name, now: 1):
        self.now, self.disturb = 0.0, disturb
        self.calls = {name: self.call(name, cost) for name, cost in seconds.items()}

    def call(self, name, seconds):
        def call():
            self.now += seconds * self.disturb(name, self.now)

        return call

    def clock(self):
        return self.now

    def race(self, seconds=1.0):
        return race(self.calls, seconds, clock=self.clock)


def test_a_ratio_is_relative_to_the_floor():
    times = Machine({FLOOR: 2e-5, "twice": 4e-5, "half": 1e-5}).race()
    assert [times.ratio(name) for name in (FLOOR, "twice", "half")] == pytest.approx([1, 2, 0.5])
    assert times.seconds("twice") == pytest.approx(4e-5)
    assert not any(map(times.is_noisy, times.rounds))


def test_a_disturbance_of_most_rounds_does_not_change_the_ratio():
    """Even if it disturbs one contender only."""
    draw = random.Random(0).random
    times = Machine({FLOOR: 5e-3, "twice": 1e-2}, lambda name, now: 3 if name == "twice" and draw() < 0.7 else 1).race(
        5
    )
    assert times.ratio("twice") == pytest.approx(2)
    assert not times.is_noisy("twice")


def test_a_machine_that_slows_all_equally_is_not_noisy():
    times = Machine({FLOOR: 1e-3, "twice": 2e-3}, lambda name, now: 1 + now).race()
    assert times.ratio("twice") == pytest.approx(2, rel=0.1)
    assert not times.is_noisy("twice")


def test_halves_that_disagree_are_noisy_and_measured_for_longer():
    """For example if one contender becomes slow at some time."""
    steady, unsteady = Machine({FLOOR: 1e-3, "other": 1e-3}), Machine({FLOOR: 1e-3, "other": 1e-3})
    unsteady.disturb = lambda name, now: 1 + now if name == "other" else 1
    calm, noisy = steady.race(), unsteady.race()
    assert noisy.is_noisy("other") and not noisy.is_noisy(FLOOR)
    assert noisy.spread("other") > 0.15 > calm.spread("other")
    assert unsteady.now > (ATTEMPTS - 0.5) * steady.now


@pytest.mark.parametrize("seconds", [1e-9, 10.0])
def test_measuring_ends(seconds):
    """After the maximum of rounds or when the time is over, but not before the minimum of rounds."""
    times = Machine({FLOOR: seconds, "other": seconds}).race()
    assert {len(rounds) for rounds in times.rounds.values()} == {MAX_ROUNDS if seconds < 1 else MIN_ROUNDS}


def test_a_disturbed_call_does_not_count_as_a_slow_one():
    """A short call that is alone in its turn would find cold caches."""
    calls = {FLOOR: 0, "other": 0}
    machine = Machine({FLOOR: 1e-5, "other": 1e-5})

    def disturb(name, now):
        calls[name] += 1
        return 1000 if name == "other" and calls[name] == 2 else 1  # the first one when the repeats are chosen

    machine.disturb = disturb
    machine.race()
    assert calls["other"] == pytest.approx(calls[FLOOR], rel=0.1)


def test_each_contender_runs_after_each_other_one():
    """Otherwise one contender would always run after the one that fills the caches most."""
    order = []
    machine = Machine({FLOOR: 1.0, "a": 1.0, "b": 1.0}, lambda name, now: order.append(name) or 1)
    machine.race()
    assert {(x, y) for x, y in itertools.pairwise(order) if x != y} >= {("b", FLOOR), (FLOOR, "a"), ("a", "b")}
    begins = order[-3 * MIN_ROUNDS :: 3]
    assert begins[:3] == [FLOOR, "a", "b"]


@pytest.mark.parametrize("whole", [False, True])
def test_the_wait_counts_only_if_the_whole_is_timed(whole):
    machine = Machine({"call": 1.0})

    def wait(result):
        left, machine.left = machine.left, 0.0
        machine.now += left

    machine.left = 5.0
    assert timed_by(machine.clock, wait, whole)(machine.calls["call"], 3) == (8.0 if whole else 3.0)
    assert machine.now == 8.0


def test_the_garbage_collector_is_off_while_measuring():
    """Afterwards it is on or off as before."""
    seen = set()
    machine = Machine({FLOOR: 1.0}, lambda name, now: seen.add(gc.isenabled()) or 1)
    assert gc.isenabled()
    machine.race()
    assert gc.isenabled() and False in seen
    machine.disturb = lambda name, now: 1 / 0
    with pytest.raises(ZeroDivisionError):
        machine.race()
    assert gc.isenabled()

"""Measure how many times slower one call is than another, on a machine that also does other things.

The calls that are compared (the *contenders*) run in turns, for many rounds, in one process. A disturbance can only
slow a call down, so only the fastest rounds of each contender count. The ratio of two contenders is also computed for
each half of the rounds. If the two halves disagree, the machine was too noisy.
"""

import gc
import time

FLOOR = "floor"  # the contender that the others are compared with
TOO_NOISY = 0.15  # the measurement is too noisy if its halves disagree by more than this
FAST = 0.02  # this share of the rounds counts as undisturbed

# A turn repeats the call for about this long: long enough for the clock, and short enough to be undisturbed.
BATCH_S = 0.001
MAX_REPEATS = 100000
COLD_S = 0.01  # if a call takes less time than this, each turn has at least two calls
TRIES = 3
MIN_ROUNDS, MAX_ROUNDS = 10, 200
ATTEMPTS = 3  # while the result is too noisy, measure again, at most this many times


class Times:
    """The seconds that one call of each contender took in each round."""

    def __init__(self, names):
        self.rounds = {name: [] for name in names}

    def seconds(self, name, half=slice(None)):
        """How long an undisturbed call takes."""
        times = sorted(self.rounds[name][half])
        return times[int(len(times) * FAST)]

    def ratio(self, name, half=slice(None)):
        """How many times longer a call takes than one of the contender `FLOOR`."""
        return self.seconds(name, half) / self.seconds(FLOOR, half)

    def spread(self, name):
        """By how much the ratios of the two halves disagree: 0.1 is 10 %."""
        middle = len(self.rounds[name]) // 2
        halves = sorted([self.ratio(name, slice(middle)), self.ratio(name, slice(middle, None))])
        return halves[1] / halves[0] - 1

    def is_noisy(self, name):
        return self.spread(name) > TOO_NOISY


def race(calls, seconds, timed=None, clock=time.perf_counter):
    """Run the calls in turns for about `seconds`.

    Args:
        calls: Functions without arguments, by the names of their contenders. One name is `FLOOR`.
        timed: `timed(call, repeats)` returns the seconds that this number of calls took.

    Returns:
        The `Times`.
    """
    timed = timed or timed_by(clock)
    for call in calls.values():
        timed(call, 1)  # to compile, and to fill caches
    repeats = {name: _repeats(call, timed) for name, call in calls.items()}
    times = Times(calls)
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for _ in range(ATTEMPTS):
            _run_rounds(calls, repeats, times, timed, clock, seconds)
            if not any(times.is_noisy(name) for name in calls):
                break
    finally:
        if collecting:
            gc.enable()
    return times


def timed_by(clock, wait=lambda result: None, whole=False):
    """A `timed` for `race`. It calls `wait` on the last result. With `whole` the time includes this wait."""

    def timed(call, repeats):
        turns = range(repeats)
        start = clock()
        for _ in turns:
            result = call()
        if whole:
            wait(result)
        elapsed = clock() - start
        wait(result)
        return elapsed

    return timed


def _repeats(call, timed):
    """How many calls take about `BATCH_S`. It is 1 only for a long call, for which cold caches don't matter.

    The best of several tries counts. Otherwise a disturbed call would look slow, and would run alone in its turns. With
    cold caches each time, a short call is two or three times slower.
    """
    repeats = 1
    while True:
        elapsed = min(timed(call, repeats) for _ in range(TRIES))
        if elapsed >= BATCH_S / 2 or repeats >= MAX_REPEATS:
            return 2 if repeats == 1 and elapsed < COLD_S else repeats
        repeats = min(MAX_REPEATS, max(repeats * 2, int(repeats * BATCH_S / max(elapsed, 1e-9))))


def _run_rounds(calls, repeats, times, timed, clock, seconds):
    names = list(calls)
    stop = clock() + seconds
    for i in range(MAX_ROUNDS):
        if i >= MIN_ROUNDS and clock() > stop:
            break
        first = i % len(names)  # so that no contender always runs after the same other one
        for name in names[first:] + names[:first]:
            if repeats[name] > 1:
                timed(calls[name], 1)  # untimed: it fills the caches that the others emptied
            times.rounds[name].append(timed(calls[name], repeats[name]) / repeats[name])

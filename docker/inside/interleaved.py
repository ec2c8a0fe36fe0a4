"""How many times slower one call is than another, on a machine that does other things too.

All contenders take turns, for many rounds, in one process. Of each its fast rounds count, as what disturbs only ever
slows down; their ratio is the figure. It is computed for each half of the rounds as well: where the two disagree, the
machine was too noisy to tell.
"""

import gc
import time

FLOOR = "floor"  # the contender that the others are compared with
TOO_NOISY = 0.15  # halves that disagree by more than this
FAST = 0.02  # the share of the rounds that is taken for undisturbed

BATCH_S = 0.001  # a turn repeats the call for about so long: the clock is fine enough, and often nobody disturbs
MOST_REPEATS = 100000
COLD_S = 0.01  # a call that takes longer may come alone in its turn
TRIES = 3
FEWEST_ROUNDS, MOST_ROUNDS = 10, 200
ATTEMPTS = 3  # measuring goes on for so many times its length while it is too noisy


class Times:
    """The seconds that one call took, of each contender in each round."""

    def __init__(self, names):
        self.rounds = {name: [] for name in names}

    def seconds(self, name, half=slice(None)):
        """Of an undisturbed call."""
        times = sorted(self.rounds[name][half])
        return times[int(len(times) * FAST)]

    def ratio(self, name, half=slice(None)):
        """To the floor."""
        return self.seconds(name, half) / self.seconds(FLOOR, half)

    def spread(self, name):
        """By how much the ratios of the two halves disagree: 0.1 is 10 %."""
        middle = len(self.rounds[name]) // 2
        halves = sorted([self.ratio(name, slice(middle)), self.ratio(name, slice(middle, None))])
        return halves[1] / halves[0] - 1

    def is_noisy(self, name):
        return self.spread(name) > TOO_NOISY


def race(calls, seconds, timed=None, clock=time.perf_counter):
    """Let `calls`, a dict of functions without arguments, take turns for about `seconds`.

    One of them is named `FLOOR`. `timed(call, repeats)` gives the seconds that so many calls took.

    Returns: Times.
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
    """A `timed` for `race`. What is still to do when the last call returns is waited for, on the clock if `whole`."""

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
    """How many calls take `BATCH_S`; 1 only for one that takes so long that it doesn't matter how cold the caches are.

    By the best of several tries: were one disturbed call taken for a slow one, it would run alone in each turn, and be
    two or three times slower than its like.
    """
    repeats = 1
    while True:
        elapsed = min(timed(call, repeats) for _ in range(TRIES))
        if elapsed >= BATCH_S / 2 or repeats >= MOST_REPEATS:
            return 2 if repeats == 1 and elapsed < COLD_S else repeats
        repeats = min(MOST_REPEATS, max(repeats * 2, int(repeats * BATCH_S / max(elapsed, 1e-9))))


def _run_rounds(calls, repeats, times, timed, clock, seconds):
    names = list(calls)
    stop = clock() + seconds
    for i in range(MOST_ROUNDS):
        if i >= FEWEST_ROUNDS and clock() > stop:
            break
        first = i % len(names)  # nobody always runs after the same other one
        for name in names[first:] + names[:first]:
            if repeats[name] > 1:
                timed(calls[name], 1)  # what the others left of the caches is for nobody to pay
            times.rounds[name].append(timed(calls[name], repeats[name]) / repeats[name])

"""The search of a bisection finds the same as trying all releases, in fewer steps."""

import itertools
import math

from harness.bisect.search import Verdict, bracket, next_to_try

GOOD, BAD, SKIPPED = Verdict.GOOD, Verdict.BAD, Verdict.SKIPPED


def truths():
    """All lists of 2 to 12 verdicts with one change from good to bad, and up to two skipped between the ends."""
    for number in range(2, 13):
        for first_bad in range(1, number):
            inner = range(1, number - 1)
            for skipped in itertools.chain.from_iterable(itertools.combinations(inner, many) for many in range(3)):
                yield [SKIPPED if index in skipped else GOOD if index < first_bad else BAD for index in range(number)]


def linear(truth):
    """The oracle tries all releases."""
    bad = next(index for index, verdict in enumerate(truth) if verdict is BAD)
    return max(index for index, verdict in enumerate(truth[:bad]) if verdict is GOOD), bad


def halve(truth, known=None):
    """Search to the end. Returns the last good and the first bad release, and the tries in order."""
    verdicts = known or [None] * len(truth)
    tried = []
    while (index := next_to_try(verdicts)) is not None:
        assert verdicts[index] is None, "a release is tried twice"
        verdicts[index] = truth[index]
        tried.append(index)
    found = bracket(verdicts)
    return (found.good, found.bad), tried


def test_the_search_finds_the_change_in_few_steps():
    for truth in truths():
        found, tried = halve(truth)
        assert found == linear(truth), truth
        assert len(tried) <= math.ceil(math.log2(len(truth))) + truth.count(SKIPPED) + 2, truth


def test_the_ends_are_tried_first():
    for truth in truths():
        assert halve(truth)[1][:2] == [0, len(truth) - 1]


def test_the_number_of_steps_that_is_shown_is_never_exceeded():
    for truth in truths():
        if SKIPPED not in truth:
            ends = [truth[0], *[None] * (len(truth) - 2), truth[-1]]
            assert len(halve(truth, list(ends))[1]) <= bracket(ends).steps


def test_a_stopped_search_goes_on_from_its_verdicts():
    for truth in truths():
        found, tried = halve(truth)
        for stop in range(len(tried)):
            known = [truth[index] if index in tried[:stop] else None for index in range(len(truth))]
            assert halve(truth, known) == (found, tried[stop:])


def test_verdicts_of_a_search_with_other_ends_are_used():
    truth = [GOOD] * 6 + [BAD] * 6
    known = [None] * 12
    known[5], known[6] = GOOD, BAD
    assert halve(truth, known) == ((5, 6), [0, 11])

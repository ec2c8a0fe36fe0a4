"""A loose check for each change: fail if a case takes twice its target. Noise alone doesn't do that."""

from collections.abc import Callable
from typing import Any

from speed.contestants import OURS
from speed.targets import MISSED, NOISY, target_of, verdict

TIMES_OVER = 2.0
CASES = [
    *("{}/{}".format(work, leaves) for work in ("dispatch_in", "dispatch_in_out") for leaves in (10, 100, 1000)),
    "train_step/10",
    "train_step/100",  # with 1000 leaves it takes too long to compile
]
OPTIONS = ["--cases", "dispatch", "--contenders", "equinox", "--speed", "0.7", "--only", *CASES]


def judge(content: dict[str, Any], say: Callable[[str], None]) -> int:
    """Print what is too slow and what is too noisy to judge. Returns the exit status."""
    slow = judged = 0
    for case in content["cases"]:
        target = target_of(case["case"], case["size"])
        figures = case["contenders"].get(OURS)
        if target is None or figures is None:
            continue
        outcome = verdict(target, figures, TIMES_OVER)
        judged += outcome != NOISY
        if outcome in (MISSED, NOISY):
            slow += outcome == MISSED
            say(
                "{}/{}: {:.2f} {}, the gate is {:g} times {:g}{}.".format(
                    case["case"],
                    case["size"],
                    target.value(figures),
                    target.unit,
                    TIMES_OVER,
                    target.first,
                    "" if outcome == MISSED else "; this isn't judged, because the machine is too noisy",
                )
            )
    say("{} of {} over {:g} times the target.".format(slow, judged, TIMES_OVER))
    if not judged:
        say("Nothing was judged, because the machine is too noisy. Run this again when it is less busy.")
    return 1 if slow or not judged else 0

"""A loose gate for each change: what takes twice its target has lost its fast path; noise alone doesn't do that."""

from collections.abc import Callable
from typing import Any

from speed.contestants import OURS
from speed.targets import MISSED, NOISY, target_of, verdict

TIMES_OVER = 2.0
CASES = [
    *("{}/{}".format(work, leaves) for work in ("dispatch_in", "dispatch_in_out") for leaves in (10, 100, 1000)),
    "train_step/10",
    "train_step/100",  # that of 1000 leaves takes too long to compile
]
OPTIONS = ["--cases", "dispatch", "--contenders", "equinox", "--speed", "0.7", "--only", *CASES]


def judge(content: dict[str, Any], say: Callable[[str], None]) -> int:
    """Say what is too slow, and what couldn't be told. Returns the exit status."""
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
                    "" if outcome == MISSED else "; the machine is too noisy to tell, so it isn't judged",
                )
            )
    say("{} of {} over {:g} times the target.".format(slow, judged, TIMES_OVER))
    if not judged:
        say("Nothing could be told on so noisy a machine: run it again when it has less to do.")
    return 1 if slow or not judged else 0

"""The targets: the bound that each case must stay below, and the bound that is wanted after it.

A target bounds the ratio to the floor. It bounds the time itself if nothing comparable can be the floor.
"""

import dataclasses
from typing import Any

RATIO, MICROSECONDS, MILLISECONDS = "x", "us", "ms"
SECONDS_OF = {MICROSECONDS: 1e-6, MILLISECONDS: 1e-3}


@dataclasses.dataclass(frozen=True)
class Target:
    first: float
    then: float | None = None
    unit: str = RATIO

    def value(self, figures: dict[str, Any]) -> float:
        return value(figures, self.unit)


def value(figures: dict[str, Any], unit: str) -> float:
    """The measured value that a target in `unit` bounds: the ratio, or the time in that unit."""
    return figures["ratio"] if unit == RATIO else figures["seconds"] / SECONDS_OF[unit]


def _by_leaves(first: list[float], then: list[float]) -> dict[int | None, Target]:
    return {
        size: Target(*bounds)
        for size, bounds in zip((10, 100, 1000, 5000), zip(first, then, strict=True), strict=False)
    }


def _all(*args: Any, **kwargs: Any) -> dict[int | None, Target]:
    return {None: Target(*args, **kwargs)}


# Name of the case -> size -> target. `None` stands for all sizes.
TARGETS: dict[str, dict[int | None, Target]] = {
    "dispatch_in": _by_leaves([1.7, 1.3, 1.1, 1.1], [1.5, 1.2, 1.1, 1.1]),
    "dispatch_in, second": _all(1.5),
    "dispatch_in, in turn": _all(1.5),
    "dispatch_made": _all(2),
    "dispatch_in_out": _by_leaves([1.75, 1.75, 1.75, 1.75], [1.3, 1.1, 1.1, 1.1]),
    "train_step": _by_leaves([1.6, 1.45, 1.2], [1.2, 1.1, 1.05]),
    "optimizer_step": _all(1.05),
    "trace_lower_optimizer": _all(1.1),
    "node_flatten": _all(0.5, unit=MICROSECONDS),
    "node_unflatten": _all(0.65, unit=MICROSECONDS),
    "construct": _all(3, unit=MICROSECONDS),
    "read_method": _all(1.3, unit=MICROSECONDS),
    "read_field": _all(0.05, unit=MICROSECONDS),
    "tree_at": _all(3),
    "tree_equal": _all(1.2),
    "partition": _all(1.2),
    "combine": _all(1.2),
    "to_dict": _all(15, unit=MILLISECONDS),
    "save": _all(1.3),
    "load": _all(1.3),
    "summary": _all(1000, unit=MILLISECONDS),
    "trace_lower": _all(1.1),
    "trace_lower_grad": _all(1.1),
    "trace_lower_jvp": _all(1.1),
    "trace_lower_vjp": _all(1.1),
    "trace_lower_jacrev": _all(1.1),
    "trace_lower_checkpoint": _all(1.1),
    "trace_lower_scan": _all(1.1),
    "trace_lower_cond": _all(1.1),
    "trace_lower_custom_jvp": _all(1.1),
    "trace_lower_custom_vjp": _all(1.1),
    "trace_lower_closure": _all(1.1),
    "call_custom_jvp": _all(1.3, 1.2),
    "call_custom_vjp": _all(1.3, 1.2),
    "call_scan": _all(1.3, 1.2),
    "call_cond": _all(1.3, 1.2),
    "trace_lower_vmap": _all(1.1),
    "trace_lower_ensemble": _all(1.1),
    "call_vmap": _all(1.1),
    "trace_lower_shard_map": _all(1.1),
    "dispatch_donated": _by_leaves([2, 1.75], [1.5, 1.2]),  # it looks for an array that is passed twice
    "import": _all(50, unit=MILLISECONDS),
    "returns_before_done": _all(0.5),
    "layer": _all(1.05),
}

MET, MISSED, NOISY = "met", "missed", "too noisy"


def target_of(case: str, size: int | None) -> Target | None:
    """The target of a case, found by the part of its name before a colon."""
    targets = TARGETS.get(case.partition(":")[0], {})
    return targets.get(size) or targets.get(None)


def verdict(target: Target, figures: dict[str, Any], times_over: float = 1.0) -> str:
    """Whether the target is met. Too noisy, if the excess is less than the difference of two halves of the rounds."""
    over = target.value(figures) / (target.first * times_over)
    if figures["noisy"] or 1 < over <= 1 + figures["spread"]:
        return NOISY
    return MET if over <= 1 else MISSED

"""The start of a run of a cell. It completes the result when the run ends."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from harness.results.result import Result


@dataclass(frozen=True)
class Started:
    """When a run began, by the date and by the monotonic clock, and its random id."""

    at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    clock: float = field(default_factory=time.monotonic)
    run: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def spent_s(self) -> float:
        return time.monotonic() - self.clock

    def complete(self, result: Result, hashes: Mapping[str, str], set_up_s: float | None = None) -> Result:
        """The result with the times, the hashes and the id of its run.

        `set_up_s` is how long it took until the tests began. `None`: they never began.
        """
        spent_s = self.spent_s
        seconds = {"setup": spent_s if set_up_s is None else set_up_s, **result.seconds, "total": spent_s}
        return replace(
            result,
            started=self.at.isoformat(timespec="milliseconds"),
            seconds={name: round(value, 1) for name, value in seconds.items()},
            hashes=dict(hashes),
            run=self.run,
        )

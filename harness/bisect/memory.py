"""The results of a bisection, in a file. A bisection with the same tests, source and Python goes on from them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.bisect.search import Verdict
from harness.system import schema
from harness.system.errors import CannotGoOn
from harness.system.files import write_whole


@dataclass(frozen=True)
class Trial:
    """The result of one release."""

    verdict: Verdict
    reason: str = ""  # why it is skipped, or what failed
    lines: tuple[str, ...] = ()  # the failed assertion
    seconds: float = 0.0
    lasting: bool = True  # False: another try may end differently, for example when the network is back


class Memory:
    """The results so far, by release. Each is written to the file before the next try begins."""

    def __init__(self, folder: Path, tests: Sequence[str], source: str, python: str) -> None:
        self._identity: dict[str, Any] = {"schema": 1, "tests": list(tests), "source": source, "python": python}
        key = hashlib.sha256(json.dumps(self._identity, sort_keys=True).encode()).hexdigest()[:16]
        self.path = folder / (key + ".json")
        self.logs = folder / key
        self.trials: dict[str, Trial] = {}

    def recall(self) -> Mapping[str, Trial]:
        """Read the results of earlier runs.

        Raises:
            CannotGoOn: The file can't be read.
        """
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))["trials"]
            self.trials = schema.build(dict[str, Trial], stored)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, schema.Mismatch) as error:
            message = "The earlier results can't be read from {}: {!r}. Forget them: add --forget."
            raise CannotGoOn(message.format(self.path, error)) from None
        return self.trials

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self.trials = {}

    def remember(self, jax: str, trial: Trial) -> None:
        """Keep a result. A result that isn't `lasting` isn't written to the file, so the next bisection tries again."""
        self.trials[jax] = trial
        kept = {jax: asdict(trial) for jax, trial in self.trials.items() if trial.lasting}
        write_whole(self.path, json.dumps({**self._identity, "trials": kept}, indent=2) + "\n")

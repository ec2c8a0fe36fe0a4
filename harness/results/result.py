"""The result of a cell: one JSON file, `results/<cell>.json`. A reader never sees half of it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import Enum
from pathlib import Path
from typing import Any

from harness.rows import Cell
from harness.system import schema
from harness.system.files import from_json, write_whole
from harness.system.paths import RESULTS
from harness.system.program import typed
from harness.system.safe_text import safe, safe_within

SCHEMA = 2


class Outcome(str, Enum):
    """The six outcomes of a cell. Only `PASSED` is a success."""

    PASSED = "passed"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"  # this hardware or its driver can't run it
    UNAVAILABLE = "unavailable"  # its packages can't be fetched, or don't install from the lock
    NOT_RUN = "not run"  # a device or an interpreter is missing here, or it was never run, or the run was interrupted
    STALE = "stale"  # it has a result, but the source, lock or image changed since


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the tests of a cell tell about their run."""

    seconds: dict[str, float] = field(default_factory=dict)  # setup, tests, total
    counts: dict[str, int] = field(default_factory=dict)  # passed, failed, errors, skipped, xfailed
    failures: list[str] = field(default_factory=list)  # names of failed tests, 50 at most
    versions: dict[str, str] = field(default_factory=dict)  # python, jax, jaxlib, numpy ...
    devices: list[dict[str, Any]] = field(default_factory=list)  # platform, kind, id
    driver: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)  # what proof_of_place saw
    measures: dict[str, float] = field(default_factory=dict)  # the figures of the project's programs

    @property
    def facts(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(Facts)}


@dataclass(frozen=True)
class Result(Facts):
    """The result of one run of one cell."""

    cell: str
    outcome: Outcome
    reason: str = ""  # one line for the user, with the next move
    where: str = "host"  # or "container"
    bridge: bool = False  # an old JAX ran on jaxlib 0.4.13, see docker/bridge
    started: str = ""  # ISO 8601, UTC
    hashes: dict[str, str] = field(default_factory=dict)  # lock, source, image (see `fingerprint`), and the device
    run: str = ""  # a random id of the run, so that a file of another run isn't used by mistake
    schema: int = SCHEMA

    @classmethod
    def of(cls, cell: Cell, outcome: Outcome, reason: str = "", **facts: Any) -> "Result":
        """The result of a cell."""
        return cls(cell.name, outcome, reason, bridge=cell.bridge, **facts)

    @property
    def line(self) -> str:
        """The outcome and its reason, in one line for the user."""
        return "{}: {}".format(self.cell, ": ".join(filter(None, (self.outcome.value, self.reason))))

    def __post_init__(self) -> None:
        """Make all strings safe to show in a terminal, on a page or in a log."""
        for one in fields(self):
            object.__setattr__(self, one.name, safe_within(getattr(self, one.name)))


class ResultError(Exception):
    """The file of a result can't be used. The message, for the user, names the file and the next move."""

    def __init__(self, message: str) -> None:
        super().__init__(safe(message))


def write(result: Result, folder: Path = RESULTS) -> Path:
    """Write the result of a cell. The last result stays in place until the new one is completely on the disk.

    Raises:
        OSError: The new result can't be written. The last result is unchanged.
    """
    path = folder / (result.cell + ".json")
    write_whole(path, json.dumps(asdict(result), indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    return path


def read(cell_name: str, folder: Path = RESULTS) -> Result | None:
    """The last result of a cell, or `None` if there is none.

    Raises:
        ResultError: There is a file, but it can't be read as a result.
    """
    path = folder / (cell_name + ".json")
    try:
        found = stored(path)
        result = None if found is None else schema.build(Result, found)
    except schema.Mismatch as mismatch:
        raise _unusable(path, cell_name, "is no result: {}".format(mismatch.problem.rstrip("."))) from None
    except ValueError as error:
        raise _unusable(path, cell_name, str(error)) from error
    if result is not None and result.cell != cell_name:
        raise _unusable(path, cell_name, "is a result of `{}`".format(result.cell))
    return result


def stored(path: Path) -> dict[str, Any] | None:
    """The object in a file of this harness, or `None` if there is none.

    Raises:
        ValueError: There is a file, but it can't be used. The message continues the name of the file.
    """
    if path.exists() and not path.is_file():  # reading a FIFO would never end
        raise ValueError("can't be read: it is not a regular file")
    try:
        found = from_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError("can't be read: {}".format(error.strerror)) from error
    except ValueError as error:
        raise ValueError("isn't JSON: {}".format(error)) from error
    if not isinstance(found, dict):
        raise ValueError("holds no JSON object")
    if found.get("schema") != SCHEMA:
        raise ValueError("has schema {!r}, and this harness reads schema {}".format(found.get("schema"), SCHEMA))
    return found


def last(cell_name: str, folder: Path = RESULTS) -> Result | None:
    """The last result of a cell, or `None` if there is none or it can't be used."""
    try:
        return read(cell_name, folder)
    except ResultError:
        return None


def as_of_now(result: Result, hashes: Mapping[str, str]) -> Result:
    """The result, marked stale if the lock, source, image or device of the run isn't today's. `hashes` are today's.

    "Not run" and "unsupported" depend on the machine alone, so such a result never becomes stale.
    """
    relevant: tuple[str, ...] = ()
    if result.outcome in (Outcome.PASSED, Outcome.FAILED):
        relevant = ("source", "lock", "image", "device")
    elif result.outcome is Outcome.UNAVAILABLE and "lock" in result.hashes:  # otherwise the cell had no lock
        relevant = ("lock", "image")
    changed = [what for what in relevant if _differs(what, result.hashes, hashes)]
    if not changed:
        return result
    when = " on " + result.started[:10] if result.started else ""
    shown = "was {}{}".format(result.outcome.value, when)
    if result.hashes.get("device"):
        shown += " on {}".format(result.hashes["device"])
    others = [what for what in changed if what != "device"]
    why = ["the {} changed since".format(" and the ".join(others))] if others else []
    why += ["this machine has {}".format(hashes.get("device") or "no such device")] * ("device" in changed)
    return replace(result, outcome=Outcome.STALE, reason="; ".join([shown, *why]))


def _differs(what: str, then: Mapping[str, str], now: Mapping[str, str]) -> bool:
    if what == "image" and not now.get(what):
        return False  # on the host, today's image isn't known
    if what == "device":  # `now` has no device where it doesn't matter, as in the table
        return what in now and (not now[what] or then.get(what) != now[what])
    return then.get(what, "") != now.get(what, "")


def _unusable(path: Path, cell_name: str, problem: str) -> ResultError:
    command = typed("run", cell_name)
    if cell_name.endswith("-found"):  # a run that belongs to no cell, see `harness.run.installed_cell`
        command = typed("here", cell_name.split("-")[-2])
    return ResultError("{} {}. Delete it and run it again: {}".format(path, problem, command))

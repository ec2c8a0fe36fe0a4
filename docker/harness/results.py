"""What came of a cell: one JSON file each, `results/<cell>.json`, written whole or not at all."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from harness.files import from_json, write_whole
from harness.places import RESULTS
from harness.shown import safe, safe_within

SCHEMA = 2


class Outcome(str, Enum):
    """What is known of a cell. No two of these mean the same, and only the first is good news."""

    PASSED = "passed"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"  # this hardware, or its driver, can't run it
    UNAVAILABLE = "unavailable"  # its packages can't be had, or don't install from the lock
    NOT_RUN = "not run"  # a device or an interpreter is missing here; or it was never run, or was interrupted
    STALE = "stale"  # there is a result, but of another source, lock or image than today's


@dataclass(frozen=True)
class Result:
    """What one run of one cell showed."""

    cell: str
    outcome: Outcome
    reason: str = ""  # one line for the user, with the next move
    where: str = "host"  # or "container"
    bridge: bool = False  # an old JAX on jaxlib 0.4.13, by docker/bridge
    started: str = ""  # ISO 8601, UTC
    seconds: dict[str, float] = field(default_factory=dict)  # setup, tests, total
    counts: dict[str, int] = field(default_factory=dict)  # passed, failed, errors, skipped, xfailed
    failures: list[str] = field(default_factory=list)  # the tests that failed, 50 at most
    versions: dict[str, str] = field(default_factory=dict)  # python, jax, jaxlib, numpy ...
    devices: list[dict[str, Any]] = field(default_factory=list)  # platform, kind, id
    driver: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)  # what proof_of_place saw
    measures: dict[str, float] = field(default_factory=dict)  # loop_ratio ...
    hashes: dict[str, str] = field(default_factory=dict)  # lock, source, image, see `fingerprint`; and the device
    run: str = ""  # drawn for the run that this is a result of: another file can't be taken for it
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        """What is kept can be shown: in a terminal, on a page, in a log of GitHub's."""
        for one in fields(self):
            object.__setattr__(self, one.name, safe_within(getattr(self, one.name)))


class ResultError(Exception):
    """A file of a result can't be used. The message, for the user, names it and the next move."""

    def __init__(self, message: str) -> None:
        super().__init__(safe(message))


def write(result: Result, folder: Path = RESULTS) -> Path:
    """Keep a result. The last one of the cell stays until this one is on the disk.

    Raises: OSError: it can't be written; the last one is still there.
    """
    path = _path(result.cell, folder)
    write_whole(path, json.dumps(asdict(result), indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    return path


def read(cell_name: str, folder: Path = RESULTS) -> Result | None:
    """The last result of a cell; `None`: there is none.

    Raises: ResultError: there is a file, but no result in it that this harness understands.
    """
    path = _path(cell_name, folder)
    if path.exists() and not path.is_file():  # a FIFO would keep the reader waiting
        raise _unusable(path, cell_name, "can't be read: it is no file")
    try:
        stored = from_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, cell_name, "can't be read: {}".format(error.strerror)) from error
    except ValueError as error:
        raise _unusable(path, cell_name, "isn't JSON: {}".format(error)) from error
    problem = _problem(stored, cell_name)
    if problem:
        raise _unusable(path, cell_name, problem)
    return Result(**{**stored, "outcome": Outcome(stored["outcome"])})


def last(cell_name: str, folder: Path = RESULTS) -> Result | None:
    """The last result of a cell; `None`: there is none that can be used, and a new one replaces what is there."""
    try:
        return read(cell_name, folder)
    except ResultError:
        return None


def as_of_now(result: Result, hashes: Mapping[str, str]) -> Result:
    """The result, or what is left of it if what it was shown for has changed since: that it is stale.

    That something is missing, or unsupported, on a machine was never shown for a lock or a source.
    """
    if result.outcome is Outcome.UNAVAILABLE and "lock" not in result.hashes:
        return result  # nothing is known of the lock that it was shown for
    relevant = {
        Outcome.PASSED: ("source", "lock", "image", "device"),
        Outcome.FAILED: ("source", "lock", "image", "device"),
        Outcome.UNAVAILABLE: ("lock", "image"),
    }
    changed = [what for what in relevant.get(result.outcome, ()) if _differs(what, result.hashes, hashes)]
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
        return False  # on the host nothing is known of today's image
    if what == "device":  # the table, which asks about none, shows what was run, wherever that was
        return what in now and (not now[what] or then.get(what) != now[what])
    return then.get(what, "") != now.get(what, "")


def _path(cell_name: str, folder: Path) -> Path:
    return folder / (cell_name + ".json")


def _unusable(path: Path, cell_name: str, problem: str) -> ResultError:
    command = "make cell CELL=" + cell_name
    if cell_name.endswith("-found"):  # no cell, see `harness.found`
        command = "make test-here BACKEND=" + cell_name.split("-")[-2]
    return ResultError("{} {}. Delete it and run it again: {}".format(path, problem, command))


def _problem(stored: Any, cell_name: str) -> str:
    """What keeps this JSON from being a result of the cell; empty: nothing."""
    if not isinstance(stored, dict):
        return "holds no JSON object"
    if stored.get("schema") != SCHEMA:
        return "is of schema {!r}, and this harness reads {}".format(stored.get("schema"), SCHEMA)
    hints = get_type_hints(Result)
    expected = {one.name for one in fields(Result)}
    if set(stored) != expected:
        wrong = ", ".join("`{}`".format(name) for name in sorted(set(stored) ^ expected))
        return "has keys too many or too few: {}".format(wrong)
    for name, hint in hints.items():
        if not fits(stored[name], hint):
            return "has `{}: {!r}`, which isn't {}".format(name, stored[name], getattr(hint, "__name__", hint))
    if stored["cell"] != cell_name:
        return "is a result of `{}`".format(stored["cell"])
    return ""


def fits(value: Any, hint: Any) -> bool:
    """Whether what JSON gave can be a value of the type."""
    if hint is Any:
        return True
    if get_origin(hint) is dict:
        return isinstance(value, dict) and all(fits(item, get_args(hint)[1]) for item in value.values())
    if get_origin(hint) is list:
        return isinstance(value, list) and all(fits(item, get_args(hint)[0]) for item in value)
    if hint is Outcome:
        return value in [outcome.value for outcome in Outcome]
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint

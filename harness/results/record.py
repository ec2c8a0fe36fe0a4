"""The published record: the results of runs on any machine, in one file that is committed.

`python -m harness table` adds newer results of this checkout to the record, and then draws the table from it. It
removes no entry. The record doesn't decide which cells to run: only `results/` does.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from harness.results.result import SCHEMA, Outcome, Result, stored
from harness.results.resume import RAN
from harness.rows import project
from harness.system import schema
from harness.system.errors import WrongUsage
from harness.system.files import write_whole
from harness.system.paths import ROOT
from harness.system.program import typed

RECORD = ROOT / project().record
# The fields of a result that are published. The other fields are long, or useful only on the machine of the run.
PUBLISHED = "outcome reason where bridge started seconds counts versions devices driver measures hashes".split()
DEFAULTS = asdict(Result("", Outcome.NOT_RUN))


class RecordError(WrongUsage):
    """The record can't be used. The message, for the user, ends with the next move."""

    def __init__(self, problem: str) -> None:
        super().__init__("{}. Restore the committed record: git checkout -- {}".format(problem, project().record))


def read(path: Path = RECORD) -> dict[str, Result]:
    """The recorded results, by the names of their cells. Empty if there is no record yet.

    Raises:
        RecordError: There is a file, but it can't be used.
    """
    try:
        found = stored(path) or {"cells": {}}
        cells = schema.build(dict[str, dict[str, Any]], found.get("cells"))
        return {name: schema.build(Result, {**facts, "cell": name}, name) for name, facts in cells.items()}
    except schema.Mismatch as mismatch:
        raise RecordError("{} is no record: {}".format(path, str(mismatch).rstrip("."))) from None
    except ValueError as error:
        raise RecordError("{} {}".format(path, error)) from error


def merged(record: Mapping[str, Result], results: Mapping[str, Result]) -> dict[str, Result]:
    """For each cell the recorded result, or the result of this checkout if that replaces it."""
    return {**record, **{name: result for name, result in results.items() if supersedes(result, record.get(name))}}


def supersedes(new: Result, recorded: Result | None) -> bool:
    """Whether a new result replaces the recorded one: a later run does, and so does the first run of a cell."""
    if recorded is None:
        return True
    if new.outcome in RAN and recorded.outcome in RAN:
        return new.started > recorded.started
    return new.outcome in RAN or (recorded.outcome not in RAN and new.outcome is not Outcome.NOT_RUN)


def write(known: Mapping[str, Result], path: Path = RECORD) -> bool:
    """Write the record. A cell that was not run has no entry.

    Returns:
        Whether the file changed.

    Raises:
        OSError: The file can't be written.
    """
    cells = {name: published(known[name]) for name in sorted(known) if known[name].outcome is not Outcome.NOT_RUN}
    content = {
        "schema": SCHEMA,
        "about": "`{}` adds newer results to this file, and draws the table from it.".format(typed("table")),
        "cells": cells,
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    write_whole(path, text)
    return True


def published(result: Result) -> dict[str, Any]:
    """The published fields of a result. Fields with their default value are left out."""
    result = replace(result, reason=result.reason.replace(str(ROOT) + "/", ""))
    facts = {name: getattr(result, name) for name in PUBLISHED}
    if "unmeasured" in result.evidence:
        facts["evidence"] = {"unmeasured": result.evidence["unmeasured"]}
    return {name: value for name, value in facts.items() if value != DEFAULTS[name] or name == "outcome"}
